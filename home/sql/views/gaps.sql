-- Numbers that have no record. An announcement comes with the record behind the numbers; what
-- nobody announced is unexplained; what was announced and came after all is closed.
WITH ordered AS (
    SELECT runs.*,
           MAX(last_seq) OVER (
               PARTITION BY device, installation ORDER BY first_seq, utc_day
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
           ) AS reached,
           LAG(end_ms) OVER (
               PARTITION BY device, installation ORDER BY first_seq, utc_day
           ) AS before_ms,
           LAG(end_lat) OVER (
               PARTITION BY device, installation ORDER BY first_seq, utc_day
           ) AS before_lat,
           LAG(end_lon) OVER (
               PARTITION BY device, installation ORDER BY first_seq, utc_day
           ) AS before_lon
    FROM runs
),
holes AS (
    -- What came before the first record of an installation is not ours, unless it was announced.
    SELECT device, installation, utc_day, before_ms, start_ms AS after_ms, before_lat, before_lon,
           start_lat AS after_lat, start_lon AS after_lon,
           COALESCE(
               reached + 1,
               CASE WHEN first_seq - lost - skipped < 1 THEN 1 ELSE first_seq - lost - skipped END
           ) AS hole_from,
           first_seq - 1 AS hole_to
    FROM ordered
    WHERE first_seq > COALESCE(reached + 1, first_seq - lost - skipped)
),
announced AS (
    SELECT device, installation, utc_day, start_ms, 'lost' AS kind,
           CASE WHEN first_seq - lost - skipped < 1 THEN 1 ELSE first_seq - lost - skipped END
           AS said_from,
           first_seq - skipped - 1 AS said_to
    FROM runs
    WHERE lost > 0
    UNION ALL
    SELECT device, installation, utc_day, start_ms, 'skipped' AS kind,
           CASE WHEN first_seq - skipped < 1 THEN 1 ELSE first_seq - skipped END AS said_from,
           first_seq - 1 AS said_to
    FROM runs
    WHERE skipped > 0
),
explained AS (
    SELECT holes.*, announced.kind, announced.said_from, announced.said_to,
           CASE WHEN said_from > hole_from THEN said_from ELSE hole_from END AS first_seq,
           CASE WHEN said_to < hole_to THEN said_to ELSE hole_to END AS last_seq
    FROM holes
    JOIN announced
      ON announced.device = holes.device AND announced.installation = holes.installation
     AND announced.said_from <= holes.hole_to AND announced.said_to >= holes.hole_from
),
edges AS (
    SELECT device, installation, utc_day, before_ms, after_ms, before_lat, before_lon, after_lat,
           after_lon, hole_from, hole_to, first_seq, last_seq
    FROM explained
    UNION ALL
    SELECT device, installation, utc_day, before_ms, after_ms, before_lat, before_lon, after_lat,
           after_lon, hole_from, hole_to, hole_to + 1 AS first_seq, hole_to + 1 AS last_seq
    FROM holes
),
between_edges AS (
    SELECT edges.*,
           COALESCE(MAX(last_seq) OVER (
               PARTITION BY device, installation, hole_from ORDER BY first_seq, last_seq
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
           ), hole_from - 1) AS told_to
    FROM edges
),
missing AS (
    SELECT device, installation, kind, said_from, said_to,
           CAST(SUM(last_seq - first_seq + 1) AS BIGINT) AS numbers
    FROM explained
    GROUP BY device, installation, kind, said_from, said_to
),
came AS (
    SELECT announced.*,
           said_to - said_from + 1 - COALESCE(missing.numbers, 0) AS numbers
    FROM announced
    LEFT JOIN missing USING (device, installation, kind, said_from, said_to)
)
SELECT device, installation, kind, first_seq, last_seq, last_seq - first_seq + 1 AS numbers,
       before_ms, after_ms, before_lat, before_lon, after_lat, after_lon, utc_day
FROM explained
UNION ALL
SELECT device, installation, 'unexplained' AS kind, told_to + 1 AS first_seq,
       first_seq - 1 AS last_seq, first_seq - told_to - 1 AS numbers,
       before_ms, after_ms, before_lat, before_lon, after_lat, after_lon, utc_day
FROM between_edges
WHERE first_seq > told_to + 1
UNION ALL
SELECT device, installation, 'closed' AS kind, said_from AS first_seq, said_to AS last_seq, numbers,
       NULL AS before_ms, start_ms AS after_ms, NULL AS before_lat, NULL AS before_lon,
       NULL AS after_lat, NULL AS after_lon, utc_day
FROM came
WHERE numbers > 0
