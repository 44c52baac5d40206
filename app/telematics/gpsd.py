"""What gpsd says: lines cut out of its stream, and reports read from them.

No library is used: PyPI's ``gps`` breaks on Python 3.9 and later (``json`` lost ``encoding=``),
and Debian's ``python3-gps`` gives the previous report again when a read ends within a line, so a
position would be recorded twice. The protocol is one JSON object per line, see gpsd_json(5).
Pure: `listener.py` keeps the connection.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

LINE_MAX = 64 * 1024
MODE_MAX = 3
# The numbers of a report in the order of Tpv, and the least and the most that each can mean.
LIMITS = (
    ("lat", -90.0, 90.0), ("lon", -180.0, 180.0), ("altMSL", -1e6, 1e6), ("speed", 0.0, 1e5),
    ("track", 0.0, 360.0), ("climb", -1e5, 1e5), ("eph", 0.0, 1e9), ("eps", 0.0, 1e9),
)  # fmt: skip
EPOCH_ZERO = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)
# What json.loads does in the end, without the three functions before it.
_read = json.JSONDecoder().raw_decode


class Tpv(NamedTuple):
    """One time-position-velocity report; None is what gpsd did not say or could not mean.

    A tuple, as all that is made for each epoch: a frozen dataclass takes five times as long.
    """

    device: str
    mono: int
    time: int | None = None
    mode: int = 0
    lat: float | None = None
    lon: float | None = None
    alt_msl: float | None = None
    speed: float | None = None
    track: float | None = None
    climb: float | None = None
    eph: float | None = None
    eps: float | None = None


class Lines:
    """Cuts a stream of bytes into lines; holds at most one line of 64 KiB."""

    def __init__(self) -> None:
        """Begin at the start of a line."""
        self.too_long = 0
        self._rest = b""
        self._skipping = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Give each line that is complete now, without its end."""
        *complete, rest = (self._rest + chunk).split(b"\n")
        if self._skipping and complete:
            self._skipping = False
            del complete[0]
        if len(rest) > LINE_MAX:
            self.too_long += not self._skipping
            self._skipping = True
        self._rest = b"" if self._skipping else rest
        return complete


def monotonic_ms() -> int:
    """Give the time since boot, which no step of the wall clock moves and suspend does not stop."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def tpv_of(report: Mapping[str, object], *, mono: int) -> Tpv:
    """Read a TPV object, taking each value that cannot be meant as unknown."""
    get = report.get
    mode, device = get("mode"), get("device")
    return Tpv(
        device if isinstance(device, str) else "",
        mono,
        _time_ms(get("time")),
        mode if type(mode) is int and 0 <= mode <= MODE_MAX else 0,
        *[
            # type() and not isinstance(): True is an int for Python, and no latitude. json reads
            # NaN and Infinity, and a comparison with NaN is false.
            value * 1.0 if (type(value) is float or type(value) is int) and least <= value <= most
            else None
            for value, least, most in [(get(name), least, most) for name, least, most in LIMITS]
        ],
    )  # fmt: skip


def object_of(line: bytes) -> dict[str, object] | None:
    """Read a line as a JSON object; None if it is none."""
    try:
        text = line.decode()
        report, end = _read(text)
    except (ValueError, RecursionError):
        return None
    return report if isinstance(report, dict) and not text[end:].strip() else None


def _time_ms(value: object) -> int | None:
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
        aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        return (aware - EPOCH_ZERO) // MS
    except (ValueError, OverflowError):
        return None


def satellites(report: Mapping[str, object]) -> tuple[int, int] | None:
    """Count the satellites used and seen; a SKY without the list says nothing about them."""
    seen = report.get("satellites")
    if not isinstance(seen, list):
        return None
    known = [satellite for satellite in seen if isinstance(satellite, dict)]
    return sum(satellite.get("used") is True for satellite in known), len(seen)


def paths(devices: object) -> tuple[str, ...]:
    """Give the receivers that a DEVICES report names."""
    if not isinstance(devices, list):
        return ()
    paths = [device.get("path") for device in devices if isinstance(device, dict)]
    return tuple(path for path in paths if isinstance(path, str))
