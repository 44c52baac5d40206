"""Drives as a GPS receiver tells them: NMEA sentences, made or read from a log.

Pure: the emulator's dongle and the tests decide when to send; nothing here sleeps or opens a port.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from glovebox.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

EARTH_M_PER_DEGREE = 111_320.0
KNOTS_PER_M_S = 1.943844
KMH_PER_M_S = 3.6
DRIVING_M_S = 14.0  # 50 km/h
ORIGIN = (52.5145, 13.3501)
ALTITUDE_M = 34.0
GEOID_M = 39.9
SATELLITES = (2, 5, 9, 12, 15, 18, 21, 25)
# Shares of a drive: at rest, faster, straight, through the curve, slower; the rest is at rest.
REST, FASTER, STRAIGHT, CURVE, SLOWER = 0.05, 0.15, 0.45, 0.75, 0.9
CURVE_DEGREES = 90.0
MODE_NONE, MODE_2D, MODE_3D = 1, 2, 3

_SENTENCE = re.compile(r"[$!](?P<body>[^*]+)\*(?P<sum>[0-9A-Fa-f]{2})")
_TIME_FIELD = {"RMC": 1, "GGA": 1, "ZDA": 1, "GNS": 1, "GBS": 1, "GST": 1, "GLL": 5}


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What a receiver knows at one instant; ``lat`` and ``lon`` are meant only from mode 2 on."""

    time: datetime
    mode: int = MODE_3D
    lat: float = 0.0
    lon: float = 0.0
    altitude: float = ALTITUDE_M
    speed: float = 0.0
    track: float = 0.0
    hdop: float = 0.9


@dataclass(frozen=True, kw_only=True)
class Burst:
    """The sentences of one instant in a log, as they stand there."""

    time: str | None
    sentences: tuple[str, ...]

    def encode(self) -> bytes:
        """Give what the receiver sends."""
        return encode(self.sentences)


def drive(
    start: datetime, seconds: int, *, hz: int = 1, origin: tuple[float, float] = ORIGIN
) -> Iterator[Epoch]:
    """Give every epoch of a drive: start, a straight, a curve to the right, a stop."""
    lat, lon = origin
    step = 1 / hz
    total = seconds * hz
    for number in range(total):
        share = number / total
        speed, track = _speed(share), _track(share)
        yield Epoch(
            time=start + timedelta(seconds=number) / hz,
            lat=lat,
            lon=lon,
            altitude=ALTITUDE_M + 5.0 * math.sin(math.pi * share),
            speed=speed,
            track=track,
        )
        north = speed * step * math.cos(math.radians(track))
        east = speed * step * math.sin(math.radians(track))
        lat += north / EARTH_M_PER_DEGREE
        lon += east / (EARTH_M_PER_DEGREE * math.cos(math.radians(lat)))


def void(start: datetime, seconds: int, *, hz: int = 1) -> Iterator[Epoch]:
    """Give the epochs of a receiver that has no fix, as a cold dongle sends them."""
    for number in range(seconds * hz):
        yield Epoch(time=start + timedelta(seconds=number) / hz, mode=MODE_NONE, hdop=99.99)


def sentences(epoch: Epoch) -> tuple[str, ...]:
    """Give the sentences of an epoch, without line ends: RMC, VTG, GGA, GSA."""
    clock = f"{epoch.time:%H%M%S}.{epoch.time.microsecond // 10_000:02d}"
    date = f"{epoch.time:%d%m%y}"
    if epoch.mode < MODE_2D:
        return (
            _sentence(f"GPRMC,{clock},V,,,,,,,{date},,,N"),
            _sentence("GPVTG,,,,,,,,,N"),
            _sentence(f"GPGGA,{clock},,,,,0,00,{epoch.hdop:.2f},,,,,,"),
            _sentence("GPGSA,A,1,,,,,,,,,,,,,99.99,99.99,99.99"),
        )
    place = f"{_angle(epoch.lat, 'NS', digits=2)},{_angle(epoch.lon, 'EW', digits=3)}"
    knots = epoch.speed * KNOTS_PER_M_S
    used = ",".join(f"{each:02d}" for each in SATELLITES) + "," * (12 - len(SATELLITES))
    high = f"{epoch.altitude:.1f},M,{GEOID_M:.1f},M" if epoch.mode == MODE_3D else ",M,,M"
    return (
        _sentence(f"GPRMC,{clock},A,{place},{knots:.3f},{epoch.track:.2f},{date},,,A"),
        _sentence(
            f"GPVTG,{epoch.track:.2f},T,,M,{knots:.3f},N,{epoch.speed * KMH_PER_M_S:.3f},K,A"
        ),
        _sentence(f"GPGGA,{clock},{place},1,{len(SATELLITES):02d},{epoch.hdop:.2f},{high},,"),
        _sentence(
            f"GPGSA,A,{epoch.mode},{used},{epoch.hdop * 1.8:.2f},{epoch.hdop:.2f},"
            f"{epoch.hdop * 1.5:.2f}"
        ),
    )


def encode(lines: Iterable[str]) -> bytes:
    """Give sentences as they go over the wire."""
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1")


def checksum(body: str) -> str:
    """Give the checksum of what stands between ``$`` and ``*``: all bytes, exclusive or."""
    total = 0
    for byte in body.encode("latin-1"):
        total ^= byte
    return f"{total:02X}"


def intact(line: str) -> bool:
    """Tell whether a line is a sentence with the right checksum."""
    found = _SENTENCE.fullmatch(line.strip())
    return found is not None and checksum(found["body"]) == found["sum"].upper()


def time_of(line: str) -> str | None:
    """Give a sentence's time of day as it stands there; None if its kind or this one has none."""
    values = line.strip().partition("*")[0].split(",")
    place = _TIME_FIELD.get(values[0][3:]) if values[0].startswith("$") else None
    return values[place] or None if place is not None and place < len(values) else None


def epochs_of(path: Path) -> Iterator[Burst]:
    """Give a log's sentences grouped by their time; comments and damaged lines are left out."""
    when: str | None = None
    gathered: list[str] = []
    found = False
    try:
        with path.open(encoding="latin-1") as log:
            for line in log:
                if not intact(line):
                    continue
                found = True
                time = time_of(line)
                if time is not None and when is not None and time != when:
                    yield Burst(time=when, sentences=tuple(gathered))
                    gathered = []
                when = time or when
                gathered.append(line.strip())
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise ConfigError(message, hint="give a file of NMEA sentences") from error
    if not found:
        message = f"{path}: holds no NMEA sentence with a right checksum"
        raise ConfigError(message, hint="lines look like $GPRMC,…*5A")
    yield Burst(time=when, sentences=tuple(gathered))


def _sentence(body: str) -> str:
    return f"${body}*{checksum(body)}"


def _angle(degrees: float, sides: str, *, digits: int) -> str:
    """Write an angle as NMEA does: degrees and minutes without a space, then the side."""
    # Rounded as a whole first, so that 59.999999 minutes never become 60.
    units = round(abs(degrees) * 60 * 100_000)
    whole, minutes = divmod(units, 60 * 100_000)
    return f"{whole:0{digits}d}{minutes / 100_000:08.5f},{sides[degrees < 0]}"


def _speed(share: float) -> float:
    if share < REST or share >= SLOWER:
        return 0.0
    if share < FASTER:
        return DRIVING_M_S * (share - REST) / (FASTER - REST)
    if share < CURVE:
        return DRIVING_M_S
    return DRIVING_M_S * (SLOWER - share) / (SLOWER - CURVE)


def _track(share: float) -> float:
    turned = min(max((share - STRAIGHT) / (CURVE - STRAIGHT), 0.0), 1.0)
    return 45.0 + CURVE_DEGREES * turned
