-- Traffic metrics of detectors, one row a minute: vehicles by class (c2 to c5), their mean speeds
-- (v2 to v5, NULL without a vehicle) and the occupancy of the road.
-- Columns up to avgspeed10minutes are the old batch's, its faults included: a class without a
-- vehicle counts as speed 0, there is neither jam nor none between 40 and 41 km/h, and "2 minutes"
-- are 3 rows, "10 minutes" 11, whatever time passed between them. speed_kmh and what follows says
-- the same in true time: the mean speed of the vehicles, and of those of the last 120 and 600 s.
WITH speeds AS (
    SELECT detector_rows.*,
           (COALESCE(v2, 0) + COALESCE(v3, 0) + COALESCE(v4, 0) + COALESCE(v5, 0)) / 4E0
           AS currentspeed,
           c2 + c3 + c4 + c5 AS vehicles,
           c2 * COALESCE(v2, 0) + c3 * COALESCE(v3, 0) + c4 * COALESCE(v4, 0)
           + c5 * COALESCE(v5, 0) AS summed
    FROM detector_rows
),
windowed AS (
    SELECT speeds.*,
           LAG(currentspeed) OVER (PARTITION BY detector ORDER BY at_s) AS previousspeed,
           AVG(currentspeed) OVER (
               PARTITION BY detector ORDER BY at_s ROWS BETWEEN 2 PRECEDING AND CURRENT ROW
           ) AS avgspeed2minutes,
           AVG(currentspeed) OVER (
               PARTITION BY detector ORDER BY at_s ROWS BETWEEN 10 PRECEDING AND CURRENT ROW
           ) AS avgspeed10minutes,
           SUM(summed) OVER (
               PARTITION BY detector ORDER BY at_s RANGE BETWEEN 119 PRECEDING AND CURRENT ROW
           ) AS summed_2,
           SUM(vehicles) OVER (
               PARTITION BY detector ORDER BY at_s RANGE BETWEEN 119 PRECEDING AND CURRENT ROW
           ) AS vehicles_2,
           SUM(summed) OVER (
               PARTITION BY detector ORDER BY at_s RANGE BETWEEN 599 PRECEDING AND CURRENT ROW
           ) AS summed_10,
           SUM(vehicles) OVER (
               PARTITION BY detector ORDER BY at_s RANGE BETWEEN 599 PRECEDING AND CURRENT ROW
           ) AS vehicles_10
    FROM speeds
),
told AS (
    SELECT windowed.*,
           CASE WHEN vehicles > 0 THEN summed * 1E0 / vehicles END AS speed_kmh,
           CASE WHEN vehicles_2 > 0 THEN summed_2 * 1E0 / vehicles_2 END AS avg_120s_kmh,
           CASE WHEN vehicles_10 > 0 THEN summed_10 * 1E0 / vehicles_10 END AS avg_600s_kmh
    FROM windowed
)
SELECT detector AS uniqueid, at_s AS recordtimestamp, currentspeed, occupancy AS bezettingsgraad,
       previousspeed,
       CASE
           WHEN occupancy <> 0 AND currentspeed >= 0 AND currentspeed <= 40 THEN 1
           WHEN occupancy = 0 OR (currentspeed >= 41 AND currentspeed <= 250) THEN 0
           ELSE -1
       END AS trafficjamindicator,
       c2 AS trafficintensityclass2, c3 AS trafficintensityclass3,
       c4 AS trafficintensityclass4, c5 AS trafficintensityclass5,
       CASE
           WHEN currentspeed - previousspeed >= 20 THEN 1
           WHEN currentspeed - previousspeed <= -20 THEN -1
           ELSE 0
       END AS speeddiffindicator,
       avgspeed2minutes, avgspeed10minutes,
       vehicles, speed_kmh, avg_120s_kmh, avg_600s_kmh,
       CASE WHEN avg_120s_kmh <= 40 AND occupancy > 0 THEN 1 ELSE 0 END AS jam
FROM told
ORDER BY detector, at_s
