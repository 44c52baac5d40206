"""Polls sources on their schedules into the landing, and makes tables of what came.

landing/polled/NAME/HASH.lines      positions and dead letters, as `home.lines` has them
landing/tables/NAME/FIRST-LAST.rows  rows of tables, `rows.py`
tables/NAME.parquet                  the table, a pure function of its rows and of `fields:`
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from home import engine, files
from home.landing import entry_of
from home.lines import Dead as DeadLine, enveloped, point_line
from home.sources import paths, rows
from home.sources.ask import Asker, SourceError, StoppedError
from home.sources.poll import Polled, round_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from pathlib import Path

    from home.landing import Landing
    from home.sources.poll import Page
    from home.sources.settings import Source

REMEMBERED = 4_096
OBJECT_MAX = 64 << 20

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class SourceStatus:
    """How a source does."""

    name: str
    asked: int = 0
    succeeded_ms: int = 0
    error: str = ""
    last: Polled = field(default_factory=Polled)


class PointKeep:
    """Keeps positions and dead letters in the landing; what is known is not landed again."""

    def __init__(self, source: Source, landing: Landing) -> None:
        """Prepare; the cursor of a feed of positions is where it was left in this process."""
        self.cursor: Any = None
        self._name, self._landing = source.name, landing
        self._recent: OrderedDict[bytes, None] = OrderedDict()

    def page(self, page: Page) -> int:
        """See Keep."""
        lines = [point_line(dict(point)) for point in page.points]
        new = [line for line in dict.fromkeys(lines) if line not in self._recent]
        _land(self._landing, self._name, [*new, *_dead_lines(page)])
        self._recent |= dict.fromkeys(new)
        while len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)
        self.cursor = page.cursor
        return len(new)


class TableKeep:
    """Keeps rows with `rows.Rows`, and dead letters in the landing."""

    def __init__(self, source: Source, landing: Landing, kept: rows.Rows) -> None:
        """Prepare."""
        self._name, self._landing, self._rows = source.name, landing, kept

    @property
    def cursor(self) -> Any:  # noqa: ANN401  JSON's values
        """See Keep."""
        return self._rows.cursor

    def page(self, page: Page) -> int:
        """See Keep."""
        _land(self._landing, self._name, _dead_lines(page))
        return self._rows.add(
            page.rows, cursor=page.cursor, now=int(time.time() * 1000), last=page.last
        )


def poll_for_ever(
    source: Source, landing: Landing, folder: Path, stopping: threading.Event, status: SourceStatus
) -> None:
    """Ask a source on its schedule until told to stop; nothing it says ends that."""
    begin = time.monotonic()
    point_keep = PointKeep(source, landing)
    while not stopping.is_set():
        try:
            poll_once(source, landing, folder, stopping, status, point_keep=point_keep)
        except StoppedError:
            return
        except (SourceError, OSError) as error:
            log.warning("%s: %s", source.name, error)
        # The next time on the schedule: one that took longer skips some, and none comes in a rush.
        late = (time.monotonic() - begin) % source.every_s
        stopping.wait(source.every_s - late)


def poll_once(
    source: Source,
    landing: Landing,
    folder: Path,
    stopping: threading.Event,
    status: SourceStatus,
    *,
    point_keep: PointKeep | None = None,
) -> Polled:
    """Ask a source once, and make its table."""
    asker = Asker(source=source, wait=stopping.wait, random=Random())  # noqa: S311  spreads tries
    status.asked += 1
    try:
        if source.point:
            status.last = round_of(source, asker, point_keep or PointKeep(source, landing))
        else:
            with rows.Rows(landing.root / "tables" / source.name) as kept:
                try:
                    status.last = round_of(source, asker, TableKeep(source, landing, kept))
                finally:
                    kept.merge()
                    make_table(source, folder)
    except (SourceError, OSError) as error:
        status.error = str(error)
        raise
    status.error, status.succeeded_ms = "", int(time.time() * 1000)
    return status.last


def make_table(source: Source, folder: Path) -> bool:
    """Make the table of a source if its rows or fields are not those it was made of."""
    place = folder / "landing" / "tables" / source.name
    table = folder / "tables" / f"{source.name}.parquet"
    fields = {name: list(path) for name, path in source.fields.items()}
    stamp = json.dumps([rows.newest(place), fields])
    noted = table.with_suffix(".made-of")
    if table.exists() and noted.exists() and noted.read_text(encoding="utf-8") == stamp:
        return False
    files.make_folder(table.parent)
    plain = table.with_name(f".{table.name}.json")
    half = files.hidden(table)
    try:
        count = _write_plain(plain, source, place)
        if not count:
            return False
        with engine.memory(table.parent) as base:
            base.execute(
                f"COPY (SELECT * EXCLUDE (_key, _version) FROM read_json('{engine.quoted(plain)}',"
                f" format = 'newline_delimited', sample_size = -1,"
                f" maximum_object_size = {OBJECT_MAX})"
                " QUALIFY row_number() OVER (PARTITION BY _key ORDER BY _version DESC) = 1"
                f" ORDER BY _key) TO '{engine.quoted(half)}' (FORMAT parquet, COMPRESSION zstd)"
            )
        files.flush(half)
        noted.unlink(missing_ok=True)
        half.rename(table)
        files.flush_names(table.parent)
        files.write(noted, stamp.encode())
    finally:
        plain.unlink(missing_ok=True)
        half.unlink(missing_ok=True)
    return True


def _write_plain(path: Path, source: Source, place: Path) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for version, (key, row) in enumerate(rows.every(place)):
            values = dict(_columns(source, row))
            file.write(rows.dumped({"_key": key, "_version": version, **values}) + "\n")
            count += 1
    return count


def _columns(source: Source, row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give a row's columns: those asked for, or all it has; what is nested stays JSON."""
    chosen = (
        {name: paths.get(row, path) for name, path in source.fields.items()}
        if source.fields
        else {name: value for name, value in row.items() if name not in ("_key", "_version")}
    )
    for name, value in chosen.items():
        yield name, rows.dumped(value) if isinstance(value, dict | list) else value


def _dead_lines(page: Page) -> list[bytes]:
    # Without the time it came: the same row at the next round is the same dead letter.
    return [enveloped(DeadLine(dead.row.encode(), 0, dead.why)) for dead in page.dead]


def _land(landing: Landing, name: str, lines: list[bytes]) -> None:
    if lines:
        digest = hashlib.sha256(b"\n".join(lines)).hexdigest()[:32]
        landing.put(f"polled/{name}/{digest}.lines", lines, entry_of(lines))
