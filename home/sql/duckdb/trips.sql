-- What only DuckDB is asked for: the owner's time, the line in its order, the stops.
SELECT core.trip_id, core.device, core.installation, core.trip, core.first_seq, core.last_seq,
       core.start_ms, core.end_ms,
       strftime(make_timestamp(1000 * (core.start_ms + near_start.offset_ms)), '%Y-%m-%d %H:%M:%S')
       AS start_local,
       strftime(make_timestamp(1000 * (core.end_ms + near_end.offset_ms)), '%Y-%m-%d %H:%M:%S')
       AS end_local,
       strftime(make_timestamp(1000 * (core.start_ms + near_start.offset_ms)), '%Y-%m-%d')
       AS local_day,
       core.positions, core.distance_m, core.moving_s, core.top_speed,
       COALESCE(stopped.stops, 0) AS stops,
       core.start_lat, core.start_lon, core.end_lat, core.end_lon, core.carried_m, drawn.line
FROM trips_core AS core
ASOF JOIN time_zone AS near_start ON core.start_ms >= near_start.from_ms
ASOF JOIN time_zone AS near_end ON core.end_ms >= near_end.from_ms
LEFT JOIN (SELECT trip_id, COUNT(*) AS stops FROM stops GROUP BY trip_id) AS stopped
       USING (trip_id)
LEFT JOIN (
    SELECT trip_parts.trip_id,
           '[' || string_agg(lines.line, ',' ORDER BY trip_parts.start_ms, trip_parts.first_seq) || ']'
           AS line
    FROM trip_parts
    JOIN lines USING (device, installation, trip, utc_day)
    GROUP BY trip_parts.trip_id
) AS drawn USING (trip_id)
