"""What is known and what is still to be told, in one SQLite file and in one transaction.

So a change is told once: whoever is killed in between has neither the new state nor the message,
or both. A message leaves when its sink has taken it; each sink has its own queue, in order, so a
dead one holds up nobody else.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from home.alerts.rules import Change, State

KEPT = 1_000  # messages for one sink; of a longer outage the oldest are left out, and that is told
TABLES = """
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL, kind TEXT NOT NULL,
    device TEXT NOT NULL, at INTEGER NOT NULL, title TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS by_sink ON messages (sink, id);
"""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message to one sink; ``id`` stays the same however often it is tried."""

    id: int
    kind: str
    device: str
    at: int
    title: str


class Outbox:
    """The file; it is opened for each use, so any thread may use it."""

    def __init__(self, path: Path) -> None:
        """Open or make it; a file that is no longer one of SQLite's is put aside."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._prepare()
        except sqlite3.DatabaseError:
            path.replace(path.with_suffix(".damaged"))
            self._prepare()

    def tell(
        self,
        decide: Callable[[State], tuple[Sequence[Change], State]],
        sinks: Sequence[str],
    ) -> Sequence[Change]:
        """Decide by what is known, and keep the messages and the new state, both or neither."""
        with self._writing() as base:
            row = base.execute("SELECT value FROM state WHERE name = 'known'").fetchone()
            changes, known = decide(json.loads(row[0]) if row else {})
            base.execute(
                "INSERT OR REPLACE INTO state VALUES ('known', ?)",
                (json.dumps(known),),
            )
            for change in changes:
                base.executemany(
                    "INSERT INTO messages (sink, kind, device, at, title) VALUES (?, ?, ?, ?, ?)",
                    [(sink, change.kind, change.device, change.at, change.title) for sink in sinks],
                )
            self._forget(base, sinks)
            for sink in sinks:
                self._shorten(base, sink)
        return changes

    def known(self) -> State:
        """Give what is known."""
        with self._open() as base:
            row = base.execute("SELECT value FROM state WHERE name = 'known'").fetchone()
        return dict(json.loads(row[0])) if row else {}

    def next(self, sink: str) -> Message | None:
        """Give the oldest message that a sink has not taken yet."""
        with self._open() as base:
            row = base.execute(
                "SELECT id, kind, device, at, title FROM messages"
                " WHERE sink = ? ORDER BY id LIMIT 1",
                (sink,),
            ).fetchone()
        names = ("id", "kind", "device", "at", "title")
        return Message(**dict(zip(names, row, strict=True))) if row else None

    def taken(self, message: Message) -> None:
        """Let go of a message that its sink has."""
        with self._writing() as base:
            base.execute("DELETE FROM messages WHERE id = ?", (message.id,))

    def waiting(self) -> dict[str, int]:
        """Count the messages by sink."""
        with self._open() as base:
            return dict(
                base.execute("SELECT sink, COUNT(*) FROM messages GROUP BY sink ORDER BY sink")
            )

    def _prepare(self) -> None:
        with self._open() as base:
            base.executescript(TABLES)
            base.execute("SELECT COUNT(*) FROM messages, state").fetchone()

    def _forget(self, base: sqlite3.Connection, sinks: Sequence[str]) -> None:
        """Remove what waits for sinks that home.yaml no longer names."""
        for (sink,) in base.execute("SELECT DISTINCT sink FROM messages").fetchall():
            if sink not in sinks:
                base.execute("DELETE FROM messages WHERE sink = ?", (sink,))

    def _shorten(self, base: sqlite3.Connection, sink: str) -> None:
        (count,) = base.execute("SELECT COUNT(*) FROM messages WHERE sink = ?", (sink,)).fetchone()
        if count <= KEPT:
            return
        many = count - KEPT + 1
        (first, at) = base.execute(
            "SELECT MAX(id), MAX(at) FROM (SELECT id, at FROM messages WHERE sink = ?"
            " ORDER BY id LIMIT ?)",
            (sink, many),
        ).fetchone()
        rows = base.execute(
            "SELECT id, kind, title FROM messages WHERE sink = ? ORDER BY id LIMIT ?", (sink, many)
        ).fetchall()
        left_out = sum(
            int(title.split()[0]) if kind == "left out" else 1 for _, kind, title in rows
        )
        base.execute("DELETE FROM messages WHERE sink = ? AND id <= ?", (sink, first))
        base.execute(
            "INSERT INTO messages VALUES (?, ?, 'left out', '', ?, ?)",
            (first, sink, at, f"{left_out} older messages were left out"),
        )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=30)) as base:
            base.execute("PRAGMA synchronous = FULL")
            yield base

    @contextmanager
    def _writing(self) -> Iterator[Any]:
        with self._open() as base:
            base.isolation_level = None
            base.execute("BEGIN IMMEDIATE")
            try:
                yield base
            except BaseException:
                base.execute("ROLLBACK")
                raise
            base.execute("COMMIT")
