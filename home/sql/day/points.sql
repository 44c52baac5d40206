-- Positions with the way from the one before: step_mm counts for the distance, so it is 0 where
-- the vehicle stands and only the receiver's noise moves. v_cms is the speed in cm/s: sums of whole
-- numbers are the same in every order and on every engine.
WITH timed AS (
    SELECT once.*,
           LAG(time_ms) OVER (PARTITION BY device, installation ORDER BY seq) AS before_ms
    FROM once
),
counted AS (
    -- A polled position brings no trip: one ends where there is none for five minutes.
    SELECT timed.*,
           SUM(CASE WHEN time_ms - before_ms > 300000 THEN 1 ELSE 0 END) OVER (
               PARTITION BY device, installation ORDER BY seq ROWS UNBOUNDED PRECEDING
           ) AS session_no
    FROM timed
),
told AS (
    SELECT device, installation, boot, seq, time_ms, time_ok, repaired, mono, lat, lon, mode, alt,
           speed, track, climb, eph, eps, receiver, lost, skipped,
           COALESCE(
               trip, MIN(seq) OVER (PARTITION BY device, installation, session_no)
           ) AS trip
    FROM counted
),
paired AS (
    -- Two receivers of one vehicle do not mix.
    SELECT told.*,
           LAG(lat) OVER (
               PARTITION BY device, installation, trip, receiver ORDER BY seq
           ) AS lat_0,
           LAG(lon) OVER (
               PARTITION BY device, installation, trip, receiver ORDER BY seq
           ) AS lon_0,
           time_ms - LAG(time_ms) OVER (
               PARTITION BY device, installation, trip, receiver ORDER BY seq
           ) AS dt_ms
    FROM told
),
measured AS (
    SELECT paired.*,
           POWER(SIN(RADIANS(lat - lat_0) / 2), 2)
           + COS(RADIANS(lat_0)) * COS(RADIANS(lat)) * POWER(SIN(RADIANS(lon - lon_0) / 2), 2) AS h
    FROM paired
),
stepped AS (
    SELECT measured.*,
           CAST(ROUND(
               12742017600.0 * ASIN(SQRT(CASE WHEN h > 1 THEN 1.0 ELSE h END))
           ) AS BIGINT) AS way_mm
    FROM measured
),
quick AS (
    SELECT stepped.*,
           CASE
               WHEN speed IS NOT NULL THEN CAST(ROUND(speed * 100) AS BIGINT)
               WHEN dt_ms > 0 THEN CAST(ROUND(way_mm * 100.0 / dt_ms) AS BIGINT)
               ELSE 0
           END AS v_cms
    FROM stepped
),
judged AS (
    -- Moving at 1 m/s or more in the mean of five reports: one of them may be noise.
    SELECT quick.*,
           CASE WHEN SUM(v_cms) OVER (
               PARTITION BY device, installation, trip, receiver
               ORDER BY seq ROWS BETWEEN 2 PRECEDING AND 2 FOLLOWING
           ) >= 100 * COUNT(*) OVER (
               PARTITION BY device, installation, trip, receiver
               ORDER BY seq ROWS BETWEEN 2 PRECEDING AND 2 FOLLOWING
           ) THEN 1 ELSE 0 END AS moving
    FROM quick
)
SELECT device, installation, boot, seq, trip, time_ms, time_ok, repaired, mono, lat, lon, mode, alt,
       speed, track, climb, eph, eps, receiver, lost, skipped, v_cms, moving, COALESCE(dt_ms, 0) AS dt_ms,
       CASE
           WHEN way_mm IS NULL THEN 0
           -- Behind a hole the speed tells nothing about the way in between.
           WHEN dt_ms > 10000 THEN CASE WHEN way_mm > 30000 THEN way_mm ELSE 0 END
           WHEN moving = 1 THEN way_mm
           ELSE 0
       END AS step_mm
FROM judged
