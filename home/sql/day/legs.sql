-- A trip's part of this day, by the receiver that said most; the view `trips` puts parts together.
WITH placed AS (
    SELECT points.*,
           ROW_NUMBER() OVER (
               PARTITION BY device, installation, trip, receiver ORDER BY seq
           ) AS from_start,
           ROW_NUMBER() OVER (
               PARTITION BY device, installation, trip, receiver ORDER BY seq DESC
           ) AS from_end
    FROM points
    WHERE time_ms IS NOT NULL
),
parts AS (
    SELECT device, installation, trip, receiver,
           MIN(seq) AS first_seq,
           MAX(seq) AS last_seq,
           MIN(time_ms) AS start_ms,
           MAX(time_ms) AS end_ms,
           COUNT(*) AS positions,
           CAST(SUM(step_mm) AS BIGINT) AS way_mm,
           CAST(SUM(CASE WHEN step_mm > 0 AND dt_ms > 0 THEN dt_ms ELSE 0 END) AS BIGINT) AS moving_ms,
           MAX(v_cms) AS top_cms,
           MAX(CASE WHEN from_start = 1 THEN boot END) AS start_boot,
           MAX(CASE WHEN from_start = 1 THEN lat END) AS start_lat,
           MAX(CASE WHEN from_start = 1 THEN lon END) AS start_lon,
           MAX(CASE WHEN from_end = 1 THEN boot END) AS end_boot,
           MAX(CASE WHEN from_end = 1 THEN lat END) AS end_lat,
           MAX(CASE WHEN from_end = 1 THEN lon END) AS end_lon
    FROM placed
    GROUP BY device, installation, trip, receiver
),
ranked AS (
    SELECT parts.*,
           ROW_NUMBER() OVER (
               PARTITION BY device, installation, trip
               ORDER BY positions DESC, COALESCE(receiver, '')
           ) AS nth
    FROM parts
)
SELECT device, installation, trip, receiver, first_seq, last_seq, start_ms, end_ms, positions, way_mm,
       moving_ms, top_cms, start_boot, start_lat, start_lon, end_boot, end_lat, end_lon
FROM ranked
WHERE nth = 1
