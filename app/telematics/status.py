"""The state of the service, as it writes it and as ``telematics status`` tells it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from telematics.problem import Code, Problem, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Made = TypeVar("Made")

RUNTIME_DIRECTORY = "/run/telematics"
STATE_DIRECTORY = "/var/lib/telematics"
NAME = "status.json"
# The service writes every 10 s, and while there is trouble every 5 s if gpsd speaks; under load or
# emulation it may be late, but not this late.
SILENT_MS = 30_000
# More of anything than there can be.
COUNT_MAX = 1 << 62
NOT_RUNNING = "not running; hint: systemctl status telematics"


class Exit(IntEnum):
    """The exit codes of ``telematics status``; 3 is what systemctl says of a stopped unit."""

    RECORDING = 0
    TROUBLE = 1
    USAGE = 2
    NOT_RUNNING = 3


@dataclass(frozen=True, kw_only=True)
class Position:
    """The last position that stands in the queue."""

    lat: float
    lon: float
    time: int | None
    time_ok: bool
    mono: int


@dataclass(frozen=True, kw_only=True)
class Status:
    """How it goes; counters are since the start of the service, ``mono`` is CLOCK_BOOTTIME in ms.

    ``connections``: how often gpsd was reached. ``late``: reports of an epoch already recorded.
    ``no_position``: epochs without a position.
    ``dropped``: records lost because the queue was away too long. ``vanished``: records the queue
    had and came back without. ``spilled``: records that went to the journal because the queue was
    away. ``slowest_ms``: the longest an epoch waited until it was on the medium.
    ``flooded``: reports lost because the writer hung.
    """

    version: str
    pid: int
    mono: int
    started: int
    ready: bool
    device: str
    installation: str
    boot: str
    gpsd: bool
    connections: int
    receivers: tuple[str, ...]
    satellites: tuple[int, int] | None
    mode: int
    position: Position | None
    queue: bool
    queue_length: int | None
    last_seq: int
    waiting: int
    recorded: int
    dropped: int
    vanished: int
    spilled: int
    slowest_ms: int
    late: int
    no_position: int
    garbled: int
    flooded: int
    problems: tuple[Problem, ...]


def runtime_file(environ: Mapping[str, str]) -> Path:
    """Give the place of the status; systemd names the folder in the service's environment."""
    return Path(environ.get("RUNTIME_DIRECTORY", RUNTIME_DIRECTORY)) / NAME


def text_of(status: Status) -> str:
    """Give the JSON that ``telematics status --json`` shows."""
    return json.dumps(asdict(status), indent=2) + "\n"


def line_of(status: Status) -> str:
    """Give the JSON that the service writes: 17 times as quick as what a person reads."""
    return json.dumps(vars(status), default=vars) + "\n"


def read(path: Path) -> Status | None:
    """Read what the service wrote; None if there is nothing, or its process is gone.

    ValueError if what stands there is not the status of this version.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        status = _read(json.loads(text), Status)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    return status if _lives(status.pid) else None


def verdict(status: Status | None, *, now: int) -> tuple[Exit, tuple[Problem, ...]]:
    """Give the exit code and every problem there is to tell."""
    if status is None:
        return Exit.NOT_RUNNING, ()
    problems = status.problems
    silent = now - status.mono
    if silent > SILENT_MS:
        text = f"the service hangs: no word for {silent // 1000} s"
        problems = (*problems, Problem(Code.HANGS, text))
    if not status.ready:
        problems = (*problems, Problem(Code.STARTING, "still starting"))
    return (Exit.TROUBLE if problems else Exit.RECORDING), problems


def describe(status: Status, *, now: int) -> str:
    """Tell the state in words for a person."""
    code, problems = verdict(status, now=now)
    queue = "does not answer" if not status.queue else f"{status.queue_length} records"
    lines = [
        ("telematics", "recording" if code is Exit.RECORDING else "trouble"),
        ("device", f"{status.device}, installation {status.installation}, boot {status.boot}"),
        ("receiver", _receiver(status)),
        ("fix", _fix(status)),
        ("position", _position(status.position, now=now)),
        ("queue", f"{queue}, last number {status.last_seq}, {status.waiting} waiting to enter"),
        ("recorded", f"{status.recorded} since the start"),
        ("dropped", str(status.dropped + status.vanished + status.flooded)),
        *(("problem", problem.text) for problem in problems),
    ]
    return "\n".join(f"{name:<11} {plain(value)}" for name, value in lines)


def _lives(pid: int) -> bool:
    if pid <= 0:  # see kill(2): these mean more than one process
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it runs as another user
        return True
    return True


def _receiver(status: Status) -> str:
    if not status.gpsd:
        return "gpsd does not answer"
    names = ", ".join(status.receivers) or "none"
    if status.satellites is None:
        return names
    used, seen = status.satellites
    return f"{names}, uses {used} of {seen} satellites"


def _fix(status: Status) -> str:
    return {2: "2D", 3: "3D"}.get(status.mode, "none")


def _position(position: Position | None, *, now: int) -> str:
    if position is None:
        return "none yet"
    age_s = (now - position.mono) / 1000
    if position.time is None:
        when = "at an unknown time"
    else:
        when = _utc(position.time) + ("" if position.time_ok else " (time not confirmed)")
    return f"{position.lat:.6f} {position.lon:.6f}, {when}, {age_s:.1f} s ago"


def _utc(time_ms: int) -> str:
    # Not fromtimestamp(): a board of 32 bit may refuse what a broken receiver says.
    try:
        moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=time_ms)
    except OverflowError:
        return f"{time_ms} ms from 1970 on"
    return f"{moment.replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def _read(value: object, kind: type[Made]) -> Made:
    """Make a value of a class of this module out of JSON; ValueError names what does not fit."""
    if not isinstance(value, dict):
        raise ValueError(f"no {kind.__name__.lower()}: {value!r:.80}")  # noqa: TRY004  one error
    made: dict[str, object] = {}
    for field in fields(kind):  # type: ignore[arg-type]  # each is a dataclass
        if field.name not in value:
            raise ValueError(f"{field.name} is missing")
        read = _READERS[str(field.type)]
        try:
            made[field.name] = read(value[field.name])
        except ValueError as error:
            raise ValueError(f"{field.name}: {error}") from error
    return kind(**made)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"{value!r:.80} is no text")


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(f"{value!r:.80} is neither true nor false")


def _count(value: object) -> int:
    if type(value) is int and -COUNT_MAX <= value <= COUNT_MAX:
        return value
    raise ValueError(f"{value!r:.80} is no whole number")


def _degrees(value: object) -> float:
    if isinstance(value, (float, int)) and -180 <= value <= 180:  # noqa: PLR2004  the globe's
        return float(value)
    raise ValueError(f"{value!r:.80} is no place on the globe")


def _list(value: object) -> list[object]:
    if isinstance(value, list):
        return value
    raise ValueError(f"{value!r:.80} is no list")


def _two_counts(value: object) -> tuple[int, int]:
    used, seen = map(_count, _list(value))
    return used, seen


# How each field of this module's classes is read, by its annotation.
_READERS: dict[str, Callable[[object], object]] = {
    "str": _text,
    "bool": _flag,
    "int": _count,
    "float": _degrees,
    "Code": lambda value: Code(_text(value)),
    "int | None": lambda value: None if value is None else _count(value),
    "tuple[int, int] | None": lambda value: None if value is None else _two_counts(value),
    "tuple[str, ...]": lambda value: tuple(map(_text, _list(value))),
    "Position | None": lambda value: None if value is None else _read(value, Position),
    "tuple[Problem, ...]": lambda value: tuple(_read(each, Problem) for each in _list(value)),
}
