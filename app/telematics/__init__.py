"""The service on the board: gpsd → record → Redis queue."""

__version__ = "0.1.0"
