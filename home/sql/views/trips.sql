-- Trips from their parts of days.
SELECT trip_id, device, trip_no,
       MAX(CASE WHEN from_start = 1 THEN installation END) AS installation,
       MAX(CASE WHEN from_start = 1 THEN trip END) AS trip,
       MIN(first_seq) AS first_seq,
       MAX(last_seq) AS last_seq,
       MIN(start_ms) AS start_ms,
       MAX(end_ms) AS end_ms,
       SUM(positions) AS positions,
       (SUM(way_mm) + SUM(CASE WHEN begins = 0 AND bridge_mm > 30000 THEN bridge_mm ELSE 0 END))
       / 1E3 AS distance_m,
       (SUM(moving_ms) + SUM(CASE WHEN begins = 0 AND bridge_mm > 30000 THEN away_ms ELSE 0 END))
       / 1E3 AS moving_s,
       MAX(top_cms) / 1E2 AS top_speed,
       MAX(CASE WHEN from_start = 1 THEN start_lat END) AS start_lat,
       MAX(CASE WHEN from_start = 1 THEN start_lon END) AS start_lon,
       MAX(CASE WHEN from_end = 1 THEN end_lat END) AS end_lat,
       MAX(CASE WHEN from_end = 1 THEN end_lon END) AS end_lon,
       MAX(CASE WHEN from_start = 1 THEN bridge_mm END) / 1E3 AS carried_m
FROM trip_parts
GROUP BY trip_id, device, trip_no
