"""The service on the board: gpsd → record → Redis queue."""
