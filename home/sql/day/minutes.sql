-- What a vehicle did in each minute in which it recorded; the view `windows` looks back from here.
WITH placed AS (
    SELECT device, time_ms, v_cms, moving, lat, lon,
           (time_ms - MOD(time_ms, 60000)) / 60000 AS minute_real,
           ROW_NUMBER() OVER (
               PARTITION BY device, time_ms - MOD(time_ms, 60000)
               ORDER BY time_ms DESC, installation DESC, seq DESC
           ) AS from_end
    FROM points
    WHERE time_ms IS NOT NULL
)
SELECT device,
       CAST(minute_real AS BIGINT) AS minute_no,
       COUNT(*) AS positions,
       CAST(SUM(v_cms) AS BIGINT) AS sum_cms,
       MAX(v_cms) AS top_cms,
       CAST(SUM(moving) AS BIGINT) AS moved,
       MAX(CASE WHEN from_end = 1 THEN lat END) AS lat,
       MAX(CASE WHEN from_end = 1 THEN lon END) AS lon
FROM placed
GROUP BY device, CAST(minute_real AS BIGINT)
