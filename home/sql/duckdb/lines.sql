-- A leg's way as text, a place every 20 m: its order is what no other engine is asked for.
WITH cumulated AS (
    SELECT points.*,
           SUM(step_mm) OVER (
               PARTITION BY device, installation, trip ORDER BY seq ROWS UNBOUNDED PRECEDING
           ) // 20000 AS piece
    FROM points
    SEMI JOIN legs ON legs.device = points.device AND legs.installation = points.installation
         AND legs.trip = points.trip AND legs.receiver IS NOT DISTINCT FROM points.receiver
    WHERE time_ms IS NOT NULL
),
thinned AS (
    SELECT device, installation, trip, seq, lat, lon
    FROM cumulated
    QUALIFY piece IS DISTINCT FROM LAG(piece) OVER (
                PARTITION BY device, installation, trip ORDER BY seq
            )
         OR LEAD(seq) OVER (PARTITION BY device, installation, trip ORDER BY seq) IS NULL
)
SELECT device, installation, trip,
       string_agg('[' || lon || ',' || lat || ']', ',' ORDER BY seq) AS line
FROM thinned
GROUP BY device, installation, trip
