-- A row a position, as the charts of the original have it; ts is UTC.
SELECT parts.trip_id AS tripId,
       points.device AS userId,
       points.lat, points.lon,
       points.alt AS altitude,
       points.speed,
       TIMESTAMPADD(MICROSECOND, points.time_ms * 1000, TIMESTAMP'1970-01-01 00:00:00') AS ts,
       points.updated_at,
       points.device, points.installation, points.seq
FROM points
JOIN drive_parts AS parts
  ON parts.device = points.device AND parts.installation = points.installation
 AND parts.trip = points.trip AND parts.utc_day = points.utc_day
WHERE points.time_ms IS NOT NULL
