"""The landing: raw lines in segments that never change; the name of a segment is its commit.

A segment is written under a hidden name, flushed, renamed, and the folder flushed. Whoever was
killed in between has nothing committed; the hidden file is swept at the next start. Small segments
are merged: the merged one is committed before the small ones go, so a kill in between leaves lines
twice at most, and what comes twice is one position (`home.days`).
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, NamedTuple

from home import files, index
from home.lines import DEAD, Dead, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from home.index import Entry, Summary
    from home.lines import Row

SUFFIX = ".lines"
SMALL = 1 << 20
MERGED = 4 << 20
MERGE_AT = 32

log = logging.getLogger(__name__)


class Offsets(NamedTuple):
    """A segment of one of Kafka's partitions: its messages from ``first`` up to before ``next``."""

    partition: int
    first: int
    next: int

    @property
    def name(self) -> str:
        """Give the segment's name."""
        return f"{self.partition}-{self.first}-{self.next}{SUFFIX}"


def offsets_of(name: str) -> Offsets | None:
    """Read a segment's name, None if it is none of Kafka's."""
    parts = name.removesuffix(SUFFIX).split("-")
    if len(parts) != len(Offsets._fields) or not all(part.isdecimal() for part in parts):
        return None
    return Offsets(*map(int, parts))


def content_name(device: str, installation: str, first: int, last: int, content: bytes) -> str:
    """Give the name of a segment that is told by its content."""
    digest = hashlib.sha256(content).hexdigest()[:16]
    return f"{device}-{installation}-{first}-{last}-{digest}{SUFFIX}"


@dataclass
class Landing:
    """The landing of one home, for the one process that adds to it; see `opened`."""

    root: Path
    segments: dict[str, Entry] = field(default_factory=dict)
    total: Summary = field(default_factory=index.Summary)
    # Called after each new segment with its name and entry, from the thread that added it.
    listeners: list[Callable[[str, Entry], None]] = field(default_factory=list)
    _guard: threading.RLock = field(default_factory=threading.RLock)
    _index: IO[bytes] | None = None

    def open(self) -> Self:
        """Sweep what was not committed, and learn what is there."""
        files.make_folder(self.root)
        _sweep(self.root)
        self.segments, fresh = look(self.root)
        self.total = index.summary(self.segments.values())
        self._note_all(fresh=fresh)
        return self

    def close(self) -> None:
        """Let go of the index."""
        if self._index is not None:
            self._index.close()
            self._index = None

    def put(self, name: str, lines: Sequence[bytes], entry: Entry) -> bool:
        """Commit lines under a name, durably, and tell whether they are new.

        OSError if they are not: then nothing of them is there.
        """
        path = self.root / name
        with self._guard:
            if name in self.segments:
                return False
        files.make_folder(path.parent)
        files.write(path, b"\n".join(lines) + b"\n")
        with self._guard:
            if name in self.segments:  # by another thread with the same content
                return False
            self.segments[name] = entry
            self.total.take(entry)
            self._note(name, entry)
        for listener in self.listeners:
            # The lines are there for good: who brought them is told so, whatever a listener does.
            try:
                listener(name, entry)
            except Exception:
                log.exception("a part of the home did not take notice of new records")
        return True

    def next_offset(self, folder: str, partition: int) -> int | None:
        """Give the offset that a partition goes on with, None if nothing of it is there."""
        with self._guard:
            known = [offsets_of(name.rpartition("/")[2]) for name in self._within(folder)]
        return max(
            (each.next for each in known if each and each.partition == partition), default=None
        )

    def merge(self) -> int:
        """Make few segments of many small ones, and give how many went."""
        gone = 0
        with self._guard:
            folders = {name.rpartition("/")[0] for name in self.segments}
        for folder in sorted(folders):
            while group := self._mergeable(folder):
                self._merge(folder, group)
                gone += len(group)
        if gone:
            self._note_all(fresh=True)
        return gone

    def remove(self, names: Iterable[str]) -> None:
        """Remove segments for good."""
        with self._guard:
            for name in names:
                (self.root / name).unlink(missing_ok=True)
                self.segments.pop(name, None)
            self.total = index.summary(self.segments.values())

    def _within(self, folder: str) -> list[str]:
        return [name for name in self.segments if name.rpartition("/")[0] == folder]

    def _mergeable(self, folder: str) -> list[str]:
        """Choose small segments that make one; of Kafka's only those that follow each other."""
        with self._guard:
            sizes = {name: self.segments[name].size for name in self._within(folder)}
        if folder.startswith("kafka/"):
            known = [(offsets_of(name.rpartition("/")[2]), name) for name in sizes]
            runs = _adjacent(sorted((each, name) for each, name in known if each), sizes)
        else:
            runs = [sorted(name for name, size in sizes.items() if size < SMALL)]
        for run in runs:
            if len(run) >= MERGE_AT:
                return _up_to(run, sizes)
        return []

    def _merge(self, folder: str, group: Sequence[str]) -> None:
        content = [(self.root / name).read_bytes() for name in group]
        lines: list[bytes] = [line for each in content for line in index.lines_of(each)]
        first, last = (offsets_of(group[at].rpartition("/")[2]) for at in (0, -1))
        if folder.startswith("kafka/") and first and last:
            name = first._replace(next=last.next).name
        else:
            lines = sorted(set(lines))
            digest = hashlib.sha256(b"\n".join(lines)).hexdigest()[:16]
            name = f"merged-{len(lines)}-{digest}{SUFFIX}"
        path = f"{folder}/{name}"
        if path not in group:
            files.write(self.root / path, b"\n".join(lines) + b"\n")
        entry = entry_of(lines)
        with self._guard:
            self.segments[path] = entry
            self._note(path, entry)
            self.remove(each for each in group if each != path)

    def _note_all(self, *, fresh: bool) -> None:
        """Write the index anew if need be, without what is gone; it is only a cache."""
        path = self.root / "index.jsonl"
        with self._guard, suppress(OSError):  # on a full disk the rest has to go on
            self.close()
            if fresh or not path.exists():
                text = "".join(entry.write(name) + "\n" for name, entry in self.segments.items())
                files.write(path, text.encode())
            self._index = path.open("ab", buffering=0)

    def _note(self, name: str, entry: Entry) -> None:
        # Not flushed: what is missing in the index is read from the segment.
        if self._index is not None:
            try:
                self._index.write((entry.write(name) + "\n").encode())
            except OSError:
                self._index.close()
                self._index = None


def look(root: Path) -> tuple[dict[str, Entry], bool]:
    """Say what each committed segment holds, and whether the index did not know it all.

    Anybody may look, also while another process adds: a segment never changes.
    """
    known: dict[str, Entry] = {}
    stale = 0
    try:
        noted = (root / "index.jsonl").read_bytes()
    except FileNotFoundError:
        noted = b""
    for line in noted.split(b"\n"):
        parsed = index.parse(line) if line else None
        if parsed is not None:
            stale += parsed[0] in known
            known[parsed[0]] = parsed[1]
    found: dict[str, Entry] = {}
    fresh = False
    for name, size in _listed(root):
        entry = known.get(name)
        if entry is None or entry.size != size:
            fresh = True
            try:
                entry = entry_of(index.lines_of((root / name).read_bytes()))
            except FileNotFoundError:  # merged meanwhile: the merged one is among those to come
                continue
            entry.size = size
        found[name] = entry
    return found, fresh or stale + len(known) - len(found) > len(found)


def read_lines(root: Path, name: str) -> Iterator[bytes]:
    """Give the lines of a segment; FileNotFoundError if it was merged meanwhile."""
    yield from index.lines_of((root / name).read_bytes())


def dead_letters(root: Path, segments: Mapping[str, Entry]) -> Iterator[tuple[str, int, Dead]]:
    """Give segment, line number and dead letter of all that are dead today."""
    for name, entry in segments.items():
        if not entry.dead:
            continue
        lines = list(enumerate(read_lines(root, name), 1))
        # Most are in their envelopes; only what the medium destroyed is found by reading all.
        marked = [(number, read(line)) for number, line in lines if line.startswith(DEAD)]
        dead = [(number, found) for number, found in marked if isinstance(found, Dead)]
        if len(dead) != entry.dead:
            read_all = [(number, read(line)) for number, line in lines]
            dead = [(number, found) for number, found in read_all if isinstance(found, Dead)]
        yield from ((name, number, found) for number, found in dead)


def entry_of(lines: Iterable[bytes]) -> Entry:
    """Read a segment's lines for its entry."""
    entry = index.Entry()
    for line in lines:
        found: Row | Dead | None = read(line)
        entry.add(line, found)
    return entry


def _listed(root: Path) -> list[tuple[str, int]]:
    """List the segments; twice if need be, so that one that is merged meanwhile is not missed."""
    found = []
    for folder, _, names in os.walk(root):
        for name in names:
            if name.endswith(SUFFIX) and not name.startswith("."):
                path = os.path.join(folder, name)  # noqa: PTH118  thousands of them at a start
                try:
                    found.append((os.path.relpath(path, root), os.stat(path).st_size))  # noqa: PTH116
                except FileNotFoundError:
                    return _listed(root)
    return sorted(found)


def _sweep(root: Path) -> None:
    """Remove what was never committed, and Kafka's segments that a merged one holds."""
    for path in root.rglob(".*"):
        if path.is_file():
            path.unlink()
    for folder in (root / "kafka").glob("*"):
        named = [offsets_of(path.name) for path in folder.glob(f"*{SUFFIX}")]
        reached: tuple[int, int] = (-1, 0)
        for each in sorted((each for each in named if each), key=lambda o: (o[0], o[1], -o[2])):
            if each.partition == reached[0] and each.next <= reached[1]:
                (folder / each.name).unlink()
            else:
                reached = (each.partition, each.next)


def _adjacent(known: Sequence[tuple[Offsets, str]], sizes: Mapping[str, int]) -> list[list[str]]:
    runs: list[list[str]] = []
    before: Offsets | None = None
    for each, name in known:
        small = sizes[name] < SMALL
        follows = before is not None and each[:2] == (before.partition, before.next)
        if small and follows and runs:
            runs[-1].append(name)
        elif small:
            runs.append([name])
        before = each if small else None
    return runs


def _up_to(run: Sequence[str], sizes: Mapping[str, int]) -> list[str]:
    chosen: list[str] = []
    size = 0
    for name in run:
        size += sizes[name]
        if size > MERGED and len(chosen) > 1:
            break
        chosen.append(name)
    return chosen
