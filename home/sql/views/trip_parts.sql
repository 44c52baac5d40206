-- Which parts of days make one trip, and the name of the trip, which is that of the first. Parts are one trip if the vehicle says so, over any midnight; if it was
-- on its way without a position, as in a tunnel: the board ran on, half an hour at most, and came
-- out at 3 m/s or more; and a polled vehicle's, if no more than five minutes lie between.
WITH ordered AS (
    SELECT legs.*,
           LAG(installation) OVER (PARTITION BY device ORDER BY start_ms, first_seq) AS inst_0,
           LAG(trip) OVER (PARTITION BY device ORDER BY start_ms, first_seq) AS trip_0,
           LAG(end_ms) OVER (PARTITION BY device ORDER BY start_ms, first_seq) AS end_ms_0,
           LAG(end_boot) OVER (PARTITION BY device ORDER BY start_ms, first_seq) AS boot_0,
           LAG(end_lat) OVER (PARTITION BY device ORDER BY start_ms, first_seq) AS lat_0,
           LAG(end_lon) OVER (PARTITION BY device ORDER BY start_ms, first_seq) AS lon_0
    FROM legs
),
measured AS (
    SELECT ordered.*,
           POWER(SIN(RADIANS(start_lat - lat_0) / 2), 2)
           + COS(RADIANS(lat_0)) * COS(RADIANS(start_lat))
           * POWER(SIN(RADIANS(start_lon - lon_0) / 2), 2) AS h
    FROM ordered
),
bridged AS (
    SELECT measured.*,
           start_ms - end_ms_0 AS away_ms,
           CAST(ROUND(
               12742017600.0 * ASIN(SQRT(CASE WHEN h > 1 THEN 1.0 ELSE h END))
           ) AS BIGINT) AS bridge_mm
    FROM measured
),
judged AS (
    SELECT bridged.*,
           CASE
               WHEN inst_0 IS NULL OR inst_0 <> installation THEN 1
               WHEN trip_0 = trip THEN 0
               WHEN start_boot = '' AND away_ms BETWEEN 0 AND 300000 THEN 0
               WHEN start_boot <> '' AND boot_0 = start_boot AND away_ms BETWEEN 1 AND 1800000
                    AND bridge_mm >= 3 * away_ms AND bridge_mm >= 500000 THEN 0
               ELSE 1
           END AS begins
    FROM bridged
),
numbered AS (
    SELECT judged.*,
           SUM(begins) OVER (
               PARTITION BY device ORDER BY start_ms, first_seq ROWS UNBOUNDED PRECEDING
           ) AS trip_no
    FROM judged
),
placed AS (
    SELECT numbered.*,
           ROW_NUMBER() OVER (
               PARTITION BY device, trip_no ORDER BY start_ms, first_seq
           ) AS from_start,
           ROW_NUMBER() OVER (
               PARTITION BY device, trip_no ORDER BY start_ms DESC, first_seq DESC
           ) AS from_end
    FROM numbered
)
SELECT placed.*,
       MAX(CASE WHEN from_start = 1
           THEN device || '/' || installation || '/' || CAST(trip AS VARCHAR) END
       ) OVER (PARTITION BY device, trip_no) AS trip_id
FROM placed
