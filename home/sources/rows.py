"""The rows of a polled table: raw, append-only, each once, and the cursor in the same commit.

A segment ``FIRST-LAST.rows`` in the landing holds what one page brought that was new: its first
line has the cursor from then on, each other line a row with its key. The name is the commit, as
everywhere in the landing. Which keys are known stands in an index beside them, which is made anew
from the segments if it is missing, damaged or behind.

A row whose content has changed under the same key is another version: the table has the newest.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from typing import TYPE_CHECKING, Any, NamedTuple

from home import files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Self

SUFFIX = ".rows"
MERGE_AT = 32
SMALL = 1 << 20
# json.dumps would make an encoder for each row.
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
TABLES = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS known (key BLOB PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS upto (number INTEGER NOT NULL);
"""


class Keyed(NamedTuple):
    """A row and its key, both as JSON."""

    key: str
    row: str


class Rows:
    """The rows of one source, for the one process that adds to them."""

    def __init__(self, folder: Path) -> None:
        """See what is there."""
        self.folder = folder
        files.make_folder(folder)
        self._sweep()
        self.cursor: Any = None
        for segment in self.segments()[-1:]:
            self.cursor = json.loads(next(_lines(segment)))["cursor"]
        self._kept = self.cursor  # as it stands in the landing
        self._number = self._next()
        self._base = self._index()

    def __enter__(self) -> Self:
        """Give it for a while."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the index."""
        self._base.close()

    def add(self, rows: Sequence[Keyed], *, cursor: Any, now: int, last: bool = True) -> int:  # noqa: ANN401  JSON's values
        """Commit what is new among the rows, and where to go on; give how many were new.

        Where to go on alone is committed at the end of a round: what is asked twice adds nothing.
        """
        new = self._new(rows)
        self.cursor = cursor
        if not new and (cursor == self._kept or not last):
            return 0
        number = self._number
        head = json.dumps({"cursor": cursor, "at": now}, separators=(",", ":"))
        lines = [head, *(f'{{"key":{each.key},"row":{each.row}}}' for each in new)]
        files.write(self.folder / _name(number, number), ("\n".join(lines) + "\n").encode())
        self._kept, self._number = cursor, number + 1
        self._note(number, new)
        return len(new)

    def merge(self) -> None:
        """Make one segment of many small ones that follow each other."""
        small = [each for each in self.segments() if each.stat().st_size < SMALL]
        run: list[Path] = []
        for segment in small:
            if run and _numbers(run[-1])[1] + 1 != _numbers(segment)[0]:
                run = []
            run.append(segment)
            if len(run) == MERGE_AT:
                self._merge(run)
                run = []

    def segments(self) -> list[Path]:
        """List the segments in their order."""
        found = [path for path in self.folder.glob(f"*{SUFFIX}") if not path.name.startswith(".")]
        return sorted(found, key=_numbers)

    def _merge(self, run: Sequence[Path]) -> None:
        lines = [line for segment in run for line in list(_lines(segment))[1:]]
        head = next(_lines(run[-1]))
        name = _name(_numbers(run[0])[0], _numbers(run[-1])[1])
        files.write(self.folder / name, ("\n".join([head, *lines]) + "\n").encode())
        for segment in run:
            segment.unlink()

    def _sweep(self) -> None:
        """Remove what was not committed, and what a merged segment holds already."""
        for path in self.folder.glob(".*"):
            path.unlink()
        reached = 0
        for segment in sorted(
            self.segments(), key=lambda path: (_numbers(path)[0], -_numbers(path)[1])
        ):
            _, last = _numbers(segment)
            if last <= reached:
                segment.unlink()
            reached = max(reached, last)

    def _next(self) -> int:
        segments = self.segments()
        return _numbers(segments[-1])[1] + 1 if segments else 1

    def _new(self, rows: Sequence[Keyed]) -> list[Keyed]:
        new: dict[bytes, Keyed] = {}
        for each in rows:
            key, content = _digest(each.key), _digest(each.row)
            known = self._base.execute("SELECT content FROM known WHERE key = ?", (key,)).fetchone()
            if known is None or known[0] != content:
                new[key] = each
            else:
                new.pop(key, None)
        return list(new.values())

    def _note(self, number: int, rows: Sequence[Keyed]) -> None:
        with self._base:
            self._base.executemany(
                "INSERT OR REPLACE INTO known VALUES (?, ?)",
                [(_digest(each.key), _digest(each.row)) for each in rows],
            )
            self._base.execute("DELETE FROM upto")
            self._base.execute("INSERT INTO upto VALUES (?)", (number,))

    def _index(self) -> sqlite3.Connection:
        path = self.folder / "keys.sqlite"
        try:
            return self._filled(path)
        except sqlite3.DatabaseError:
            for each in self.folder.glob("keys.sqlite*"):
                each.unlink()
            return self._filled(path)

    def _filled(self, path: Path) -> sqlite3.Connection:
        """Open the index and take in the segments that it does not know."""
        self._base = sqlite3.connect(path, check_same_thread=False)
        try:
            self._base.executescript(TABLES)
            (upto,) = self._base.execute("SELECT COALESCE(MAX(number), 0) FROM upto").fetchone()
            last = self._next() - 1
            if upto > last:  # of other segments than these
                self._base.execute("DELETE FROM known")
                upto = 0
            for segment in self.segments():
                number = _numbers(segment)[1]
                if number > upto:
                    self._note(number, list(_keyed(segment)))
        except BaseException:
            self._base.close()
            raise
        return self._base


def every(folder: Path) -> Iterator[tuple[str, Any]]:
    """Give key and row of every version of every row, the older ones first."""
    found = [path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith(".")]
    reached = 0
    for segment in sorted(found, key=lambda path: (_numbers(path)[0], -_numbers(path)[1])):
        last = _numbers(segment)[1]
        if last > reached:
            for each in _keyed(segment):
                yield each.key, json.loads(each.row)
        reached = max(reached, last)


def newest(folder: Path) -> int:
    """Give the number of the newest page that was committed: it tells two states apart."""
    found = [path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith(".")]
    return max((_numbers(path)[1] for path in found), default=0)


def _keyed(segment: Path) -> Iterator[Keyed]:
    lines = _lines(segment)
    next(lines)
    for line in lines:
        values = json.loads(line)
        yield Keyed(dumped(values["key"]), dumped(values["row"]))


def dumped(value: Any) -> str:  # noqa: ANN401  JSON's values
    """Write JSON; what was read from such text is written the same."""
    return _encode(value)


def _lines(segment: Path) -> Iterator[str]:
    with segment.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            yield line.rstrip("\n")


def _name(first: int, last: int) -> str:
    return f"{first:010d}-{last:010d}{SUFFIX}"


def _numbers(path: Path) -> tuple[int, int]:
    first, _, last = path.name.removesuffix(SUFFIX).partition("-")
    return int(first), int(last)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
