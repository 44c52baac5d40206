"""A vehicle's drive as its receiver tells it, for the receiver of an emulated board to replay.

Own code, thirty lines: the libraries for NMEA read it, and none writes what gpsd needs for a fix.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from telematics.record import Record

KNOTS = 1.943844
GEOID_M = 39.9
SATELLITES = "02,05,09,12,15,18,21,25,,,,"
MINUTE_DIGITS = 100_000


def sentences(record: Record, *, time_ms: int) -> Iterator[str]:
    """Give RMC, GGA and GSA of one moment, without line ends."""
    when = datetime.fromtimestamp(time_ms / 1000, UTC)
    clock = f"{when:%H%M%S}.{when.microsecond // 10_000:02d}"
    place = f"{_angle(record.lat, 'NS', digits=2)},{_angle(record.lon, 'EW', digits=3)}"
    knots, track = (record.speed or 0.0) * KNOTS, record.track or 0.0
    yield _sentence(f"GPRMC,{clock},A,{place},{knots:.3f},{track:.2f},{when:%d%m%y},,,A")
    yield _sentence(f"GPGGA,{clock},{place},1,08,0.90,{record.alt or 0.0:.1f},M,{GEOID_M},M,,")
    yield _sentence(f"GPGSA,A,{record.mode},{SATELLITES},1.60,0.90,1.30")


def _sentence(body: str) -> str:
    total = 0
    for byte in body.encode("ascii"):
        total ^= byte
    return f"${body}*{total:02X}"


def _angle(degrees: float, sides: str, *, digits: int) -> str:
    # Rounded as a whole first, so that 59.999999 minutes never become 60.
    whole, minutes = divmod(round(abs(degrees) * 60 * MINUTE_DIGITS), 60 * MINUTE_DIGITS)
    return f"{whole:0{digits}d}{minutes / MINUTE_DIGITS:08.5f},{sides[degrees < 0]}"
