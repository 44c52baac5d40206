-- Where a vehicle stood for ten seconds or longer while it recorded; the view joins what midnight
-- cut, and shows those of two minutes and longer. Places in millionths of a degree, for exact sums.
WITH standing AS (
    SELECT points.device, points.installation, points.trip, points.seq, points.time_ms,
           points.lat, points.lon,
           CASE WHEN moving = 0 AND step_mm = 0 THEN 1 ELSE 0 END AS stands
    FROM points
    JOIN legs
      ON legs.device = points.device AND legs.installation = points.installation
     AND legs.trip = points.trip AND COALESCE(legs.receiver, '') = COALESCE(points.receiver, '')
    WHERE time_ms IS NOT NULL
),
islands AS (
    SELECT standing.*,
           ROW_NUMBER() OVER (PARTITION BY device, installation, trip ORDER BY seq)
           - ROW_NUMBER() OVER (PARTITION BY device, installation, trip, stands ORDER BY seq)
           AS island
    FROM standing
)
SELECT device, installation, trip,
       MIN(seq) AS first_seq,
       MIN(time_ms) AS start_ms,
       MAX(time_ms) AS end_ms,
       COUNT(*) AS positions,
       CAST(SUM(CAST(ROUND(lat * 1000000) AS BIGINT)) AS BIGINT) AS lat_sum,
       CAST(SUM(CAST(ROUND(lon * 1000000) AS BIGINT)) AS BIGINT) AS lon_sum
FROM islands
WHERE stands = 1
GROUP BY device, installation, trip, island
HAVING MAX(time_ms) - MIN(time_ms) >= 10000
