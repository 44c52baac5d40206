"""Drives for the receiver of an emulated board."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from glovebox.emulator.nmea import FASTER, Epoch, drive

DRIVE_S = 60
LONG_DRIVE_S = 3600  # it is ended when all has happened


def epochs(seconds: int) -> list[Epoch]:
    """Give a drive that begins now."""
    # Ahead by a second, so that no time is told twice, without a fix and with one.
    now = datetime.now(UTC).replace(microsecond=0)
    return list(drive(now + timedelta(seconds=2), seconds))


def under_way() -> list[Epoch]:
    """Give a long drive that is at full speed already."""
    past = round(LONG_DRIVE_S * FASTER)
    now = datetime.now(UTC).replace(microsecond=0)
    return list(drive(now + timedelta(seconds=2 - past), LONG_DRIVE_S))[past:]
