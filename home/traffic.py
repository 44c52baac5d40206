"""Traffic metrics from a table of detectors: one text of SQL, on DuckDB or on SQLite."""

from __future__ import annotations

import csv
import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from home import engine
from home.errors import HomeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

NAMES = ("detector", "time", "occupancy", "v2", "v3", "v4", "v5", "c2", "c3", "c4", "c5")
TABLE = (
    "CREATE TABLE detector_rows (detector INTEGER, at_s BIGINT, occupancy INTEGER, v2 DOUBLE, "
    "v3 DOUBLE, v4 DOUBLE, v5 DOUBLE, c2 INTEGER, c3 INTEGER, c4 INTEGER, c5 INTEGER)"
)


def metrics(
    rows: Sequence[tuple[object, ...]], *, on: str = "duckdb"
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Give the metrics' names and rows."""
    if on == "sqlite":
        base = sqlite3.connect(":memory:")
        try:
            return answered(base.cursor(), rows)
        finally:
            base.close()
    with engine.memory() as other:
        return answered(other, rows)


def answered(
    cursor: Any,  # noqa: ANN401  of whichever engine
    rows: Sequence[tuple[object, ...]],
    *,
    mark: str = "?",
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Fill an engine's table and ask it; ``mark`` is how it writes a value's place."""
    cursor.execute(TABLE)
    if rows:
        marks = ", ".join([mark] * len(NAMES))
        cursor.executemany(f"INSERT INTO detector_rows VALUES ({marks})", rows)
    cursor.execute(engine.text("traffic"))
    return [column[0] for column in cursor.description], list(cursor.fetchall())


def read(path: Path) -> list[tuple[object, ...]]:
    """Read detectors' rows; a detector's minute that comes twice is one."""
    mistakes: list[str] = []
    rows: dict[tuple[object, object], tuple[object, ...]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        lacking = [name for name in NAMES if name not in (table.fieldnames or ())]
        if lacking:
            raise HomeError(f"{path}: no column {', '.join(lacking)}; hint: {','.join(NAMES)}")
        for row in _parsed(table, mistakes):
            rows[row[0], row[1]] = row
    if mistakes:
        raise HomeError("\n".join(f"{path}: {line}" for line in mistakes[:20]))
    return [rows[key] for key in sorted(rows, key=str)]


def _parsed(table: csv.DictReader[str], mistakes: list[str]) -> Iterator[tuple[object, ...]]:
    for row in table:
        try:
            yield (
                int(row["detector"]),
                _seconds(row["time"]),
                int(row["occupancy"]),
                *(float(row[f"v{n}"]) if row[f"v{n}"] else None for n in range(2, 6)),
                *(int(row[f"c{n}"] or 0) for n in range(2, 6)),
            )
        except (ValueError, TypeError, OverflowError) as error:
            mistakes.append(f"line {table.line_num}: {error}")


def _seconds(text: str) -> int:
    if text.isdecimal():
        return int(text)
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
