"""Drives for the receiver of an emulated board."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from glovebox.emulator.nmea import Epoch, drive

DRIVE_S = 60


def epochs(seconds: int) -> list[Epoch]:
    """Give a drive that begins now."""
    # Ahead by a second, so that no time is told twice, without a fix and with one.
    now = datetime.now(UTC).replace(microsecond=0)
    return list(drive(now + timedelta(seconds=2), seconds))
