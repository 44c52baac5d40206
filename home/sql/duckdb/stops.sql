-- Stops with the trip that they belong to.
SELECT parts.trip_id, core.device, core.start_ms, core.end_ms, core.lat, core.lon
FROM stops_core AS core
JOIN (SELECT DISTINCT device, installation, trip, trip_id FROM trip_parts) AS parts
USING (device, installation, trip)
