-- Standing for two minutes or longer; what midnight cut is one.
WITH ordered AS (
    SELECT stop_parts.*,
           LAG(end_ms) OVER (PARTITION BY device, installation, trip ORDER BY start_ms) AS before_ms,
           LAG(utc_day) OVER (
               PARTITION BY device, installation, trip ORDER BY start_ms
           ) AS before_day
    FROM stop_parts
),
numbered AS (
    SELECT ordered.*,
           SUM(CASE WHEN start_ms - before_ms <= 10000 AND before_day < utc_day THEN 0 ELSE 1 END)
           OVER (
               PARTITION BY device, installation, trip ORDER BY start_ms ROWS UNBOUNDED PRECEDING
           ) AS stop_no
    FROM ordered
)
SELECT numbered.device || '/' || numbered.installation || '/' || CAST(numbered.trip AS VARCHAR)
       AS part_id,
       numbered.device, numbered.installation, numbered.trip,
       MIN(start_ms) AS start_ms, MAX(end_ms) AS end_ms,
       SUM(lat_sum) / (1000000.0 * SUM(positions)) AS lat,
       SUM(lon_sum) / (1000000.0 * SUM(positions)) AS lon
FROM numbered
GROUP BY numbered.device, numbered.installation, numbered.trip, stop_no
HAVING MAX(end_ms) - MIN(start_ms) >= 120000
