-- Each number once, whatever came twice and in whatever order: equal input, equal choice.
SELECT device, installation, boot, seq, trip, time_ms, time_ok, repaired, mono, lat, lon, mode,
       alt, speed, track, climb, eph, eps, receiver, lost, skipped
FROM (
    SELECT heard.*,
           ROW_NUMBER() OVER (
               PARTITION BY device, installation, seq
               ORDER BY crc, time_ms, mono, lat, lon, alt, speed, track
           ) AS nth
    FROM heard
) AS numbered
WHERE nth = 1
