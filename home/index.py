"""What each segment of the landing holds: enough to say which days it touches, and no record.

An entry is a pure function of the segment and of what `home.lines` makes of it; the file of entries
only saves reading all segments at a start. Its size grows with segments, which are merged, and so
does what a process keeps in memory.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING
from zlib import crc32

from home.lines import Dead, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# Another reading of lines, or another way to build a day, is another number: then all is made anew.
VERSION = 1
DAY_MS = 86_400_000
NO_TIME = "no-time"
EPOCH = date(1970, 1, 1).toordinal()
# What comes after the year 9999 is no time that anybody can write down.
TIME_MAX = (date.max.toordinal() - EPOCH) * DAY_MS
DIGEST = 1 << 64

Boot = str  # device/installation/boot


@dataclass(frozen=True, kw_only=True)
class Position:
    """The newest position of a vehicle, as far as it has a time of its own."""

    time: int
    seq: int
    lat: float
    lon: float
    speed: float | None
    track: float | None
    installation: str


@dataclass(kw_only=True)
class Entry:
    """What one segment holds.

    ``days`` and ``untimed`` have a count of lines and a sum of their checksums each: the sum of
    all segments tells whether a day has other lines than when it was built, in whatever order
    they came and however segments were merged.
    """

    lines: int = 0
    size: int = 0
    dead: int = 0
    # UTC day, as days since 1970: lines, digest.
    days: dict[int, list[int]] = field(default_factory=dict)
    # Without a time of their own, by boot: lines, digest, least and largest mono.
    untimed: dict[Boot, list[int]] = field(default_factory=dict)
    # By boot: the least seq with a time of its own, and its time - mono.
    boots: dict[Boot, list[int]] = field(default_factory=dict)
    newest: dict[str, Position] = field(default_factory=dict)

    def add(self, line: bytes, found: Row | Dead | None) -> None:
        """Count one line in."""
        self.lines += 1
        self.size += len(line) + 1
        if found is None:
            return
        if isinstance(found, Dead):
            self.dead += 1
            return
        if found.time is None or not timed(found):
            _widen(self.untimed, _boot(found), [1, crc32(line), found.mono, found.mono])
            return
        _sum(self.days, found.time // DAY_MS, 1, crc32(line))
        if found.boot:
            _earlier(self.boots, _boot(found), [found.seq, found.time - found.mono])
        known = self.newest.get(found.device)
        if known is None or (known.time, known.seq) < (found.time, found.seq):
            self.newest[found.device] = Position(
                time=found.time, seq=found.seq, lat=found.lat, lon=found.lon, speed=found.speed,
                track=found.track, installation=found.installation,
            )  # fmt: skip

    def write(self, name: str) -> str:
        """Give the entry as one line of the index."""
        return json.dumps(
            {
                "v": VERSION, "segment": name, "lines": self.lines, "size": self.size,
                "dead": self.dead, "days": self.days, "untimed": self.untimed,
                "boots": self.boots, "newest": {k: vars(v) for k, v in self.newest.items()},
            },
            separators=(",", ":"),
        )  # fmt: skip


def parse(line: bytes) -> tuple[str, Entry] | None:
    """Read a line of the index; None if it is none of this version."""
    try:
        values = json.loads(line)
        if values["v"] != VERSION:
            return None
        return values["segment"], Entry(
            lines=values["lines"], size=values["size"], dead=values["dead"],
            days={int(day): counts for day, counts in values["days"].items()},
            untimed=values["untimed"], boots=values["boots"],
            newest={name: Position(**each) for name, each in values["newest"].items()},
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


@dataclass(kw_only=True)
class Summary:
    """What all segments hold together."""

    lines: int = 0
    size: int = 0
    dead: int = 0
    days: dict[int, list[int]] = field(default_factory=dict)
    untimed: dict[Boot, list[int]] = field(default_factory=dict)
    boots: dict[Boot, list[int]] = field(default_factory=dict)
    newest: dict[str, Position] = field(default_factory=dict)

    def take(self, entry: Entry) -> None:
        """Add a segment's entry."""
        self.lines += entry.lines
        self.size += entry.size
        self.dead += entry.dead
        for day, (count, digest) in entry.days.items():
            _sum(self.days, day, count, digest)
        for boot, counts in entry.untimed.items():
            _widen(self.untimed, boot, counts)
        for boot, first in entry.boots.items():
            _earlier(self.boots, boot, first)
        for device, position in entry.newest.items():
            known = self.newest.get(device)
            if known is None or (known.time, known.seq) < (position.time, position.seq):
                self.newest[device] = position

    def offset(self, boot: Boot) -> int | None:
        """Give what is added to mono for the time of a boot's records, None if nothing tells."""
        first = self.boots.get(boot)
        return None if first is None else first[1]

    def day_of(self, row: Row) -> tuple[str, int | None]:
        """Give the day that a position belongs to, and its time in ms."""
        when = row.time if timed(row) else self.repaired(_boot(row), row.mono)
        return (NO_TIME, None) if when is None else (day_name(when // DAY_MS), when)

    def repaired(self, boot: Boot, mono: int) -> int | None:
        """Give the time of a record without one of its own, by a good one of its boot."""
        offset = self.offset(boot)
        return None if offset is None or not 0 <= mono + offset < TIME_MAX else mono + offset

    def keys(self) -> dict[str, str]:
        """Give each day that has lines, and what it was built from if it is built now."""
        parts: dict[str, list[str]] = {}
        for day, (count, digest) in self.days.items():
            parts.setdefault(day_name(day), []).append(f"{count}:{digest:x}")
        for boot, counts in sorted(self.untimed.items()):
            for name in self._untimed_days(boot, counts):
                text = f"{boot}+{self.offset(boot)}:{counts[0]}:{counts[1]:x}"
                parts.setdefault(name, []).append(text)
        return {name: f"{VERSION} {' '.join(each)}" for name, each in parts.items()}

    def touches(self, entry: Entry, day: str) -> bool:
        """Tell whether a segment may have lines of a day."""
        number = None if day == NO_TIME else day_number(day)
        if number is not None and number in entry.days:
            return True
        return any(
            day in self._untimed_days(boot, counts) for boot, counts in entry.untimed.items()
        )

    def _untimed_days(self, boot: Boot, counts: list[int]) -> list[str]:
        offset = self.offset(boot)
        if offset is None:
            return [NO_TIME]
        first, last = offset + counts[2], offset + counts[3]
        days = range(max(0, first) // DAY_MS, min(last, TIME_MAX - 1) // DAY_MS + 1)
        beyond = [NO_TIME] if first < 0 or last >= TIME_MAX else []
        return [*map(day_name, days), *beyond]


def summary(entries: Iterable[Entry]) -> Summary:
    """Add up the entries of all segments."""
    total = Summary()
    for entry in entries:
        total.take(entry)
    return total


def day_name(number: int) -> str:
    """Give the name of a UTC day, such as 2026-11-28."""
    return date.fromordinal(EPOCH + number).isoformat()


def day_number(name: str) -> int:
    """Give the days since 1970 of a day's name; ValueError if it is none."""
    return date.fromisoformat(name).toordinal() - EPOCH


def timed(row: Row) -> bool:
    """Tell whether a position has a time of its own that can be meant."""
    return bool(row.time_ok) and row.time is not None and 0 <= row.time < TIME_MAX


def counted(entries: Mapping[str, Entry]) -> Counter[str]:
    """Count lines by where they came from: kafka, http, polled."""
    total: Counter[str] = Counter()
    for name, entry in entries.items():
        total[name.partition("/")[0]] += entry.lines
    return total


def lines_of(content: bytes) -> Iterator[bytes]:
    """Cut a segment into its lines."""
    yield from (line for line in content.split(b"\n") if line)


def _boot(row: Row) -> Boot:
    return f"{row.device}/{row.installation}/{row.boot}"


def _sum(days: dict[int, list[int]], day: int, count: int, digest: int) -> None:
    known = days.get(day)
    if known is None:
        days[day] = [count, digest]
    else:
        known[0] += count
        known[1] = (known[1] + digest) % DIGEST


def _widen(untimed: dict[Boot, list[int]], boot: Boot, more: list[int]) -> None:
    known = untimed.get(boot)
    if known is None:
        untimed[boot] = list(more)
    else:
        known[:] = [
            known[0] + more[0],
            (known[1] + more[1]) % DIGEST,
            min(known[2], more[2]),
            max(known[3], more[3]),
        ]


def _earlier(boots: dict[Boot, list[int]], boot: Boot, first: list[int]) -> None:
    # Two of one number with different times would need a forger; the lesser wins, so order does
    # not matter.
    if boot not in boots or first < boots[boot]:
        boots[boot] = first
