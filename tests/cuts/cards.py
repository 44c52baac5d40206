"""Cards that a cut can leave: what a log of writes makes of a card, up to any of them.

A card without a cache has at each moment all writes that were done, and of the one under way the
sectors up to some place. So one logged start gives as many cut cards as one cares to look at.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glovebox.emulator.writes import SECTOR
from glovebox.host.run import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from glovebox.emulator.writes import Write

COPY = 4 << 20


@dataclass(frozen=True, kw_only=True, order=True)
class Moment:
    """When the power goes: so many writes are done, and of the next one so many sectors."""

    done: int
    torn: int = 0

    def __str__(self) -> str:
        """Name it."""
        return f"after {self.done} writes" + (f" and {self.torn} sectors" if self.torn else "")


def moments(writes: Sequence[Write], count: int, *, seed: int = 0) -> list[Moment]:
    """Choose moments: before the first write, around the partition table's, and in between.

    Every second one tears a write. The same log and number give the same moments.
    """
    dice = random.Random(seed)  # noqa: S311  the same choice each time
    chosen = {Moment(done=0), Moment(done=1), Moment(done=len(writes))}
    for number, write in enumerate(writes):
        if write.start == 0:
            chosen |= {Moment(done=number), Moment(done=number + 1)}
    while len(chosen) < min(count, len(writes)):
        done = dice.randrange(len(writes))
        sectors = len(writes[done].data) // SECTOR
        chosen.add(Moment(done=done, torn=dice.randrange(sectors) if len(chosen) % 2 else 0))
    return sorted(chosen)


def apply(writes: Sequence[Write], card: Path, begin: Moment, end: Moment) -> None:
    """Bring a card from one moment to a later one."""
    handle = os.open(card, os.O_WRONLY)
    try:
        for write in writes[begin.done : end.done]:
            os.pwrite(handle, write.data, write.start)
        if end.torn:
            write = writes[end.done]
            os.pwrite(handle, write.data[: end.torn * SECTOR], write.start)
    finally:
        os.close(handle)


def each(
    base: Path, writes: Sequence[Write], when: Sequence[Moment], folder: Path
) -> Iterator[tuple[Moment, Path]]:
    """Give the card of each moment, in order of time; what is done to it is forgotten."""
    now, card, shown = Moment(done=0), folder / "moving.img", folder / "moment.img"
    copy(base, card)
    try:
        for moment in sorted(when):
            apply(writes, card, now, moment)
            now = moment
            copy(card, shown)
            yield moment, shown
    finally:
        for path in (card, shown):
            path.unlink(missing_ok=True)


def copy(source: Path, target: Path) -> None:
    """Copy a card; what is empty takes no room."""
    run(["cp", "--sparse=always", "--", source, target])


def without_system(image: Path, target: Path, *, size: int, data_start: int) -> Path:
    """Copy a card's partition table and data, for cards of which nothing else is looked at."""
    with image.open("rb") as whole, target.open("wb") as small:
        small.write(whole.read(SECTOR))
        for place in range(data_start, image.stat().st_size, COPY):
            whole.seek(place)
            data = whole.read(COPY)
            if data.strip(b"\0"):
                small.seek(place)
                small.write(data)
        small.truncate(size)
    return target
