-- Windows of true time that end with a minute, over midnights too; a minute without a record is
-- none, and counts for nothing.
WITH summed AS (
    SELECT minutes.*,
           SUM(sum_cms) OVER (
               PARTITION BY device ORDER BY minute_no RANGE BETWEEN 1 PRECEDING AND CURRENT ROW
           ) AS sum_2,
           SUM(positions) OVER (
               PARTITION BY device ORDER BY minute_no RANGE BETWEEN 1 PRECEDING AND CURRENT ROW
           ) AS positions_2,
           SUM(moved) OVER (
               PARTITION BY device ORDER BY minute_no RANGE BETWEEN 1 PRECEDING AND CURRENT ROW
           ) AS moved_2,
           SUM(sum_cms) OVER (
               PARTITION BY device ORDER BY minute_no RANGE BETWEEN 9 PRECEDING AND CURRENT ROW
           ) AS sum_10,
           SUM(positions) OVER (
               PARTITION BY device ORDER BY minute_no RANGE BETWEEN 9 PRECEDING AND CURRENT ROW
           ) AS positions_10,
           MAX(top_cms) OVER (
               PARTITION BY device ORDER BY minute_no RANGE BETWEEN 59 PRECEDING AND CURRENT ROW
           ) AS top_60,
           LAG(minute_no) OVER (PARTITION BY device ORDER BY minute_no) AS minute_0,
           LAG(sum_cms) OVER (PARTITION BY device ORDER BY minute_no) AS sum_0,
           LAG(positions) OVER (PARTITION BY device ORDER BY minute_no) AS positions_0
    FROM minutes
),
compared AS (
    SELECT summed.*,
           ROUND(sum_cms * 3.6E-2 / positions, 3) AS speed_kmh,
           ROUND(sum_2 * 3.6E-2 / positions_2, 3) AS avg2_kmh,
           ROUND(sum_10 * 3.6E-2 / positions_10, 3) AS avg10_kmh,
           CASE WHEN minute_no = minute_0 + 1
                THEN ROUND(sum_cms * 3.6E-2 / positions - sum_0 * 3.6E-2 / positions_0, 3)
                END AS change_kmh
    FROM summed
)
SELECT device, minute_no * 60000 AS minute_ms, positions, speed_kmh, ROUND(top_cms * 3.6E-2, 3) AS top_kmh,
       avg2_kmh, avg10_kmh, change_kmh,
       CASE WHEN change_kmh >= 20 THEN 1 WHEN change_kmh <= -20 THEN -1 ELSE 0 END AS speed_diff,
       -- Crawling, within an hour of having driven 60 km/h: standing parked is no jam.
       CASE WHEN avg2_kmh <= 20 AND moved_2 > 0 AND top_60 >= 1667 THEN 1 ELSE 0 END AS jam,
       lat, lon
FROM compared
