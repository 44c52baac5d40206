-- A row a trip. Its line is there as text: GROUP_CONCAT would cut it at 1 MiB.
SELECT trip_id AS tripId,
       geojson AS tripLine,
       average_speed AS averageSpeed,
       positions AS points,
       TIMESTAMPADD(MICROSECOND, start_ms * 1000, TIMESTAMP'1970-01-01 00:00:00') AS start_ts,
       TIMESTAMPADD(MICROSECOND, end_ms * 1000, TIMESTAMP'1970-01-01 00:00:00') AS end_ts
FROM drives
