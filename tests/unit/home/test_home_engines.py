"""The texts of SQL mean the same on SQLite as on DuckDB: what another engine is to be given."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from home import days, engine
from home.config import Config
from tests.home import filled, made

if TYPE_CHECKING:
    from pathlib import Path

DAY = ("day/once", "day/points", "day/legs", "day/stops", "day/minutes", "day/runs")
VIEWS = ("views/gaps", "views/windows", "views/trip_parts", "views/trips", "views/stops")
KEYS = ("device", "installation", "trip", "seq", "first_seq", "minute_no", "kind", "start_ms")


def tables(base: Any, texts: tuple[str, ...]) -> dict[str, list[dict[str, Any]]]:  # noqa: ANN401  either engine
    """Run the texts one after the other, and give what each made."""
    found = {}
    for path in texts:
        name = path.rpartition("/")[2]
        base.execute(f"CREATE TABLE {name} AS {engine.text(path)}")
        answer = base.execute(f"SELECT * FROM {name}")
        names = [column[0] for column in answer.description]
        rows = [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
        found[name] = sorted(rows, key=lambda row: str([row.get(key) for key in KEYS]))
    return found


@pytest.mark.thorough
def test_sqlite_makes_the_same_days_and_views(tmp_path: Path) -> None:
    """From the same lines: every row and value, floats but for their last digits."""
    fleet = made.fleet(9, 3000, vehicles=3)
    lost = {raw for at, raw in enumerate(sorted(fleet.records)) if at % 97 == 0}
    folder = filled.built(tmp_path, [raw for _, raw in fleet.messages if raw not in lost])
    with engine.connect(Config(folder=folder)) as base:
        columns = [name for name in days.HEARD if name != "crc"]
        heard = base.execute(f"SELECT {', '.join(columns)}, '' AS crc FROM points").fetchall()
    kinds = ", ".join(f"{name} {kind}" for name, kind in days.HEARD.items())
    marks = ", ".join("?" * len(days.HEARD))
    made_by = []
    other = sqlite3.connect(":memory:")
    with engine.memory() as one:
        for each in (one, other):
            each.execute(f"CREATE TABLE heard ({kinds})")
            each.executemany(f"INSERT INTO heard VALUES ({marks})", heard)
            made_by.append(tables(each, DAY))
            for table in ("runs", "legs", "stops"):
                each.execute(f"ALTER TABLE {table} ADD COLUMN utc_day VARCHAR")
                each.execute(f"UPDATE {table} SET utc_day = '2026-09-21'")
            each.execute("ALTER TABLE stops RENAME TO stop_parts")
            made_by[-1] |= tables(each, VIEWS)
    other.close()

    duck, lite = made_by
    assert len(duck["gaps"]) == len(lost)
    for name, rows in duck.items():
        assert len(rows) == len(lite[name]), name
        for row, too in zip(rows, lite[name], strict=True):
            assert row.keys() == too.keys()
            for column, value in row.items():
                if isinstance(value, float):
                    assert too[column] == pytest.approx(value, rel=1e-9, abs=1e-9), (name, column)
                else:
                    assert too[column] == value, (name, column)
