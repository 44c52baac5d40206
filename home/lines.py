"""The lines of the landing, and the one reading of them; four kinds stand there.

- a record, byte for byte as the vehicle made it (docs/record.md): ``[1,"…``
- a position of a polled source: ``{"point":{"source":…,"device":…,"time":…,"lat":…,"lon":…}}``
- a row of a polled table, which is none of positions: ``{"row":…}``
- a dead letter, anything else that arrived: ``{"dead":…,"at":…,"why":…}``

A dead letter stands in its place among the others, so one commit keeps both, and a later version,
reads it again: nothing that arrived is thrown away.
"""

from __future__ import annotations

import json
import re
from json import JSONDecodeError
from typing import Any, NamedTuple

from telematics.record import REQUIRED, whole

DEAD = b'{"dead":'
POINT = b'{"point":'
ROW = b'{"row":'
# Larger is no number that JSON's other readers keep exactly.
LARGEST = 2**53
NAMES = (
    re.compile(r"[A-Za-z0-9._-]{1,12}"),
    re.compile(r"[2-9b-z]{6}"),
    re.compile(r"[0-9a-f]{6}"),
)
SOURCE = re.compile(r"[a-z0-9_]{1,32}")
NAMES_KNOWN_MAX = 10_000
# No board runs for longer without a start, ms.
MONO_MAX = 20 * 366 * 86_400_000
LAT_MAX, LON_MAX, TRACK_MAX = 90, 180, 360


class Row(NamedTuple):
    """One position as the days need it; ``crc`` only tells two of the same number apart."""

    device: str
    installation: str
    boot: str
    seq: int
    # None in a polled one: its trips are told by time.
    trip: int | None
    time: int | None
    time_ok: int
    mono: int
    lat: float
    lon: float
    mode: int | None
    alt: float | None
    speed: float | None
    track: float | None
    climb: float | None
    eph: float | None
    eps: float | None
    receiver: str | None
    lost: int
    skipped: int
    crc: str


class Dead(NamedTuple):
    """What is no record: its bytes, when it came (0: not known), and why it is none."""

    raw: bytes
    at: int
    why: str


class _WrongError(ValueError):
    """A value that a record cannot have."""


def landed(raw: bytes, *, now: int) -> tuple[bytes, Row | Dead]:
    """Give the line that is kept for what arrived, and what it is."""
    found = _record(raw)
    if isinstance(found, Row):
        return raw, found
    dead = found._replace(at=now)
    return enveloped(dead), dead


def enveloped(dead: Dead) -> bytes:
    """Give the line of a dead letter; its bytes come back from it exactly."""
    values = {"dead": dead.raw.decode("utf-8", "surrogateescape"), "at": dead.at, "why": dead.why}
    return json.dumps(values, separators=(",", ":")).encode("ascii")


def point_line(values: dict[str, object]) -> bytes:
    """Give the line of a polled position; `read` tells what is wrong with it."""
    return json.dumps({"point": values}, separators=(",", ":")).encode("ascii")


def read(line: bytes) -> Row | Dead | None:
    """Read a line of the landing; a row of a table is none of positions, and gives None."""
    if line.startswith(DEAD):
        return _again(line)
    if line.startswith(POINT):
        return _point(line)
    if line.startswith(ROW):
        return None
    return _record(line)


def _again(line: bytes) -> Row | Dead:
    try:
        values = json.loads(line)
        raw = values["dead"].encode("utf-8", "surrogateescape")
        at = int(values["at"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return Dead(line, 0, "damaged in the landing")
    found = _record(raw)
    return found if isinstance(found, Row) else found._replace(at=at)


def _record(raw: bytes) -> Row | Dead:
    if not whole(raw):
        return Dead(raw, 0, _why_not(raw))
    try:
        return _row(json.loads(raw, parse_constant=_refuse))
    except _WrongError as error:
        return Dead(raw, 0, str(error))
    except (ValueError, TypeError, RecursionError) as error:
        return Dead(raw, 0, f"not the values of a record: {error}")


def _why_not(raw: bytes) -> str:
    try:
        values = json.loads(raw)
    except (ValueError, RecursionError):
        return "not JSON"
    if not isinstance(values, list) or not values:
        return "not an array"
    if values[0] != 1:
        return f"a record of version {str(values[0])[:20]}, known is 1"
    return "the checksum does not fit"


_known: set[tuple[object, object, object]] = set()


def _row(values: list[Any]) -> Row:
    if len(values) < REQUIRED:
        raise _WrongError("too few values")
    _, crc, device, installation, boot, seq, into, when, mono, lat, lon, mode, ok = values[
        :REQUIRED
    ]
    names = (device, installation, boot)
    if names not in _known:
        _check_names(names)
    if type(seq) is not int or not 1 <= seq < LARGEST:
        raise _WrongError("seq is not a number from 1 on")
    if type(into) is not int or not 0 <= into < LARGEST:
        raise _WrongError("into_trip is not a number from 0 on")
    if when is not None and (type(when) is not int or not -LARGEST < when < LARGEST):
        raise _WrongError("time is not a whole number")
    if type(mono) is not int or not 0 <= mono < MONO_MAX:
        raise _WrongError("mono is not a number from 0 to 20 years")
    if type(mode) is not int or mode not in (2, 3) or type(ok) is not int or ok not in (0, 1):
        raise _WrongError("mode or time_ok is none")
    rest = values[REQUIRED:]
    if len(rest) < 8:  # noqa: PLR2004  the six optional ones, receiver and gap
        rest += [None] * (8 - len(rest))
    alt, speed, track, climb, eph, eps, receiver, gap = rest[:8]
    if receiver is not None and type(receiver) is not str:
        raise _WrongError("receiver is not a text")
    return Row(
        device, installation, boot, seq, seq - into, when, int(ok), mono,
        _number("lat", lat, -LAT_MAX, LAT_MAX), _number("lon", lon, -LON_MAX, LON_MAX), int(mode),
        _optional("alt", alt), _optional("speed", speed),
        _optional("track", track, 0, TRACK_MAX), _optional("climb", climb),
        _optional("eph", eph, 0), _optional("eps", eps, 0), receiver,
        *_gap(gap), crc,
    )  # fmt: skip


def _check_names(names: tuple[object, object, object]) -> None:
    for name, pattern in zip(names, NAMES, strict=True):
        if not isinstance(name, str) or not pattern.fullmatch(name):
            raise _WrongError(f"{str(name)[:20]!r} is no name of a vehicle, installation or boot")
    if len(_known) >= NAMES_KNOWN_MAX:
        _known.clear()
    _known.add(names)


def _number(name: str, value: object, low: float, high: float) -> float:
    if type(value) not in (int, float) or not low <= value <= high:  # type: ignore[operator]  # a number by then
        raise _WrongError(f"{name} is not a number from {low} to {high}")
    return float(value)  # type: ignore[arg-type]  # likewise


def _optional(name: str, value: object, low: float = -1e9, high: float = 1e9) -> float | None:
    if value is None:
        return None
    return _number(name, value, low, high)


def _gap(gap: object) -> tuple[int, int]:
    if gap is None:
        return 0, 0
    if not isinstance(gap, list) or len(gap) < 2:  # noqa: PLR2004  lost and skipped
        raise _WrongError("gap is not [lost, skipped]")
    for count in gap[:2]:
        if type(count) is not int or not 0 <= count < LARGEST:
            raise _WrongError("gap is not [lost, skipped]")
    return gap[0], gap[1]


def _point(line: bytes) -> Row | Dead:
    try:
        return _position(json.loads(line, parse_constant=_refuse)["point"])
    except _WrongError as error:
        return Dead(line, 0, str(error))
    except (JSONDecodeError, KeyError, TypeError, ValueError, RecursionError) as error:
        return Dead(line, 0, f"not the values of a position: {error!r}")


def _position(values: dict[str, Any]) -> Row:
    source, device, when = values["source"], values["device"], values["time"]
    if not isinstance(source, str) or not SOURCE.fullmatch(source):
        raise _WrongError("source is no name")
    if not isinstance(device, str) or not NAMES[0].fullmatch(device):
        raise _WrongError(f"device {str(device)[:20]!r} is no name of a vehicle")
    if type(when) is not int or not 0 < when < LARGEST:
        raise _WrongError("time is not a number of milliseconds")
    return Row(
        device=device, installation=f"{source}:", boot="", seq=when, trip=None, time=when,
        time_ok=1, mono=0, lat=_number("lat", values["lat"], -LAT_MAX, LAT_MAX),
        lon=_number("lon", values["lon"], -LON_MAX, LON_MAX), mode=None,
        alt=_optional("alt", values.get("alt")), speed=_optional("speed", values.get("speed")),
        track=_optional("track", values.get("track"), 0, TRACK_MAX),
        climb=_optional("climb", values.get("climb")), eph=_optional("eph", values.get("eph"), 0),
        eps=_optional("eps", values.get("eps"), 0), receiver=None, lost=0, skipped=0, crc="",
    )  # fmt: skip


def _refuse(constant: str) -> float:
    raise _WrongError(f"{constant} is no number")
