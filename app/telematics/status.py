"""The state of the service, as it writes it and as ``telematics status`` tells it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

RUNTIME_DIRECTORY = "/run/telematics"
STATE_DIRECTORY = "/var/lib/telematics"
NAME = "status.json"
# The service writes every 10 s, and while there is trouble every 5 s if gpsd speaks; under load or
# emulation it may be late, but not this late.
SILENT_MS = 30_000
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
    problems: tuple[str, ...]


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
    """Read what the service wrote; None if there is nothing, or its process is gone."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        position = values.pop("position")
        status = Status(position=Position(**position) if position else None, **values)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status if _lives(status.pid) else None


def verdict(status: Status | None, *, now: int) -> tuple[Exit, tuple[str, ...]]:
    """Give the exit code and every problem there is to tell."""
    if status is None:
        return Exit.NOT_RUNNING, (NOT_RUNNING,)
    problems = status.problems
    silent = now - status.mono
    if silent > SILENT_MS:
        problems = (*problems, f"the service hangs: no word for {silent // 1000} s")
    if not status.ready:
        problems = (*problems, "still starting")
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
        *(("problem", problem) for problem in problems),
    ]
    return "\n".join(f"{name:<11} {value}" for name, value in lines)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
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
        # Not fromtimestamp(): a board of 32 bit may refuse what a broken receiver says.
        when = f"{datetime.fromtimestamp(0, UTC) + _ms(position.time):%Y-%m-%dT%H:%M:%SZ}"
        when += "" if position.time_ok else " (time not confirmed)"
    return f"{position.lat:.6f} {position.lon:.6f}, {when}, {age_s:.1f} s ago"


def _ms(value: int) -> timedelta:
    return timedelta(milliseconds=value)
