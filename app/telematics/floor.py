"""The clock's floor: at boot, time cannot be earlier than what is known to have happened.

A board without a battery clock wakes at the time its system was built. Until the receiver has told
the time, certificates are "not yet valid" and files look as if from the future. The floor is the
latest of: the clock as it is (systemd sets it to the image's epoch), the last write of a state file
(the saved clock), and the newest record's confirmed time, as far as that is not years ahead of the
others: then it is a receiver's word alone, and the clock was not set by it either.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from telematics import numbers
from telematics.clock import USUAL_MS, remembered
from telematics.epoch import BELIEVED_FROM, BELIEVED_UNTIL
from telematics.files import write_whole
from telematics.journal import NAME, SALVAGED
from telematics.record import RecordError, decode
from telematics.repair import FOLDER, records_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

TAIL = 64 << 10

log = logging.getLogger(__name__)


def floor_ms(queue: Path, state: Path) -> int:
    """Give the latest time, in ms since 1970 UTC, that is known to have been; 0 if none is."""
    saved = max(_believed(_saved(queue, state)), default=0)
    latest = saved + USUAL_MS if saved else BELIEVED_UNTIL
    recorded = [each for each in _believed(_recorded(queue, state)) if each <= latest]
    return max([saved, *recorded])


def lift(queue: Path, state: Path, *, remember: Path | None = None) -> bool:
    """Set the clock to its floor if it stands below; True if it was set.

    ``remember`` is a file in RAM that keeps the floor of this start, the first that is asked for.
    """
    now = time.time_ns() // 1_000_000
    known = remembered(remember, otherwise=0) if remember else 0
    floor = known or floor_ms(queue, state)
    if remember and not known and remember.parent.is_dir():
        write_whole(remember, f"{max(floor, now)}\n", durable=False)
    if now >= floor:
        return False
    time.clock_settime_ns(time.CLOCK_REALTIME, floor * 1_000_000)
    log.info("the clock was before its floor, it is set to %d", floor // 1000)
    return True


def _believed(times: Iterable[int]) -> list[int]:
    return [each for each in times if BELIEVED_FROM <= each < BELIEVED_UNTIL]


def _saved(queue: Path, state: Path) -> Iterator[int]:
    for path in _files(queue, state):
        yield path.stat().st_mtime_ns // 1_000_000


def _recorded(queue: Path, state: Path) -> Iterator[int]:
    mark = numbers.read(_content(state / "numbers"))
    if mark is not None:
        yield from _time_of(mark.last.encode())
    for path in _files(queue, state):
        if path.suffix in (".aof", ".journal"):
            for _, raw, _ in records_in(path, max(0, path.stat().st_size - TAIL)):
                yield from _time_of(raw)


def _files(queue: Path, state: Path) -> Iterator[Path]:
    names = [state / "numbers", state / NAME, state / SALVAGED]
    folder = queue / FOLDER
    if folder.is_dir():
        names += folder.iterdir()
    return (each for each in names if each.is_file())


def _time_of(raw: bytes) -> Iterator[int]:
    try:
        found = decode(raw)
    except RecordError:
        return
    if found.time_ok and found.time is not None:
        yield found.time


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
