-- Numbers without a hole between them; one ends also before a record that announces numbers
-- without one. The view `gaps` tells what is missing between runs, over all days.
WITH marked AS (
    SELECT points.*,
           CASE
               WHEN seq = 1 + LAG(seq) OVER (PARTITION BY device, installation ORDER BY seq)
                    AND lost = 0 AND skipped = 0 THEN 0
               ELSE 1
           END AS begins
    FROM points
    WHERE boot <> ''
),
numbered AS (
    SELECT marked.*,
           SUM(begins) OVER (
               PARTITION BY device, installation ORDER BY seq ROWS UNBOUNDED PRECEDING
           ) AS run_no
    FROM marked
),
placed AS (
    SELECT numbered.*,
           ROW_NUMBER() OVER (PARTITION BY device, installation, run_no ORDER BY seq) AS from_start,
           ROW_NUMBER() OVER (
               PARTITION BY device, installation, run_no ORDER BY seq DESC
           ) AS from_end
    FROM numbered
)
SELECT device, installation,
       MIN(seq) AS first_seq,
       MAX(seq) AS last_seq,
       CAST(SUM(lost) AS BIGINT) AS lost,
       CAST(SUM(skipped) AS BIGINT) AS skipped,
       MAX(CASE WHEN from_start = 1 THEN time_ms END) AS start_ms,
       MAX(CASE WHEN from_start = 1 THEN lat END) AS start_lat,
       MAX(CASE WHEN from_start = 1 THEN lon END) AS start_lon,
       MAX(CASE WHEN from_end = 1 THEN time_ms END) AS end_ms,
       MAX(CASE WHEN from_end = 1 THEN lat END) AS end_lat,
       MAX(CASE WHEN from_end = 1 THEN lon END) AS end_lon
FROM placed
GROUP BY device, installation, run_no
