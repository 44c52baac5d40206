"""DuckDB over the files of the days: the views that docs/home.md names, and nothing that runs.

The texts of SQL keep to what SQLite, DuckDB, MariaDB and Flink all understand, but for those in
``sql/duckdb``.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from home.errors import HomeError
from home.landing import dead_letters, look

if TYPE_CHECKING:
    from collections.abc import Iterator

    from home.config import Config

SQL = Path(__file__).with_name("sql")
# What DuckDB may take, a quarter of the machine's memory; beyond it it writes to the disk.
MEMORY_MIB = (128, 1024)
# By table of the views: the file of the days, and what its columns are if there is no day yet.
COLUMNS = {
    "points": "device VARCHAR, installation VARCHAR, boot VARCHAR, seq BIGINT, trip BIGINT, "
    "time_ms BIGINT, time_ok INTEGER, repaired INTEGER, mono BIGINT, lat DOUBLE, lon DOUBLE, "
    "mode INTEGER, alt DOUBLE, speed DOUBLE, track DOUBLE, climb DOUBLE, eph DOUBLE, eps DOUBLE, "
    "receiver VARCHAR, lost BIGINT, skipped BIGINT, v_cms BIGINT, moving INTEGER, dt_ms BIGINT, "
    "step_mm BIGINT",
    "legs": "device VARCHAR, installation VARCHAR, trip BIGINT, receiver VARCHAR, "
    "first_seq BIGINT, last_seq BIGINT, start_ms BIGINT, end_ms BIGINT, positions BIGINT, "
    "way_mm BIGINT, moving_ms BIGINT, top_cms BIGINT, start_boot VARCHAR, start_lat DOUBLE, "
    "start_lon DOUBLE, end_boot VARCHAR, end_lat DOUBLE, end_lon DOUBLE",
    "stops": "device VARCHAR, installation VARCHAR, trip BIGINT, first_seq BIGINT, "
    "start_ms BIGINT, end_ms BIGINT, positions BIGINT, lat_sum BIGINT, lon_sum BIGINT",
    "minutes": "device VARCHAR, minute_no BIGINT, positions BIGINT, sum_cms BIGINT, "
    "top_cms BIGINT, moved BIGINT, lat DOUBLE, lon DOUBLE",
    "runs": "device VARCHAR, installation VARCHAR, first_seq BIGINT, last_seq BIGINT, "
    "lost BIGINT, skipped BIGINT, start_ms BIGINT, start_lat DOUBLE, start_lon DOUBLE, "
    "end_ms BIGINT, end_lat DOUBLE, end_lon DOUBLE",
    "lines": "device VARCHAR, installation VARCHAR, trip BIGINT, line VARCHAR",
}
SHOWN = ("points", "trips", "stops", "gaps", "windows", "dead")
ZONES_UNTIL = 2100
TRIES = 5


@contextmanager
def memory(scratch: Path | None = None) -> Iterator[Any]:
    """Give an empty DuckDB in memory that reaches no network and spills into ``scratch``."""
    try:
        import duckdb  # noqa: PLC0415  60 MB, for whom needs it
    except ImportError:
        raise HomeError("DuckDB is missing; hint: pip install duckdb") from None
    base = duckdb.connect(":memory:")
    try:
        base.execute("SET TimeZone = 'UTC'")
        base.execute("SET autoinstall_known_extensions = false")
        base.execute("SET autoload_known_extensions = false")
        least, most = MEMORY_MIB
        quarter = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 22
        base.execute(f"SET memory_limit = '{max(least, min(most, quarter))}MiB'")
        base.execute(f"SET threads = {min(4, os.cpu_count() or 1)}")
        where = "" if scratch is None else quoted(scratch)
        base.execute(f"SET temp_directory = '{where}'")
        yield base
    finally:
        base.close()


@contextmanager
def connect(config: Config, *, dead: bool = True) -> Iterator[Any]:
    """Give a DuckDB with the views over a home's days; what it makes stays in memory.

    Without ``dead`` that view is empty: to fill it every segment with a dead letter is read.
    """
    scratch = config.folder / "days"
    with memory(scratch if scratch.is_dir() else None) as base:
        views(base, config.folder, config.time_zone, dead=dead)
        yield base


def views(base: Any, folder: Path, time_zone: str, *, dead: bool = True) -> None:  # noqa: ANN401  a class of C
    """Make the views."""
    for table, columns in COLUMNS.items():
        name = {"stops": "stop_parts"}.get(table, table)
        paths = sorted((folder / "days").glob(f"*/{table}.parquet"))
        if not paths:
            base.execute(f"CREATE TABLE {name} ({columns}, utc_day VARCHAR)")
            continue
        listed = ", ".join(f"'{quoted(path)}'" for path in paths)
        base.execute(
            f"CREATE VIEW {name} AS SELECT * EXCLUDE (filename),"
            f" parse_filename(parse_dirpath(filename)) AS utc_day"
            f" FROM read_parquet([{listed}], filename = true)"
        )
    _time_zone(base, time_zone)
    for name, source in (
        ("gaps", "views/gaps"),
        ("windows", "views/windows"),
        ("trip_parts", "views/trip_parts"),
        ("trips_core", "views/trips"),
        ("stops_core", "views/stops"),
        ("stops", "duckdb/stops"),
        ("trips", "duckdb/trips"),
    ):
        base.execute(f"CREATE VIEW {name} AS {text(source)}")
    for path in sorted((folder / "tables").glob("*.parquet")):
        base.execute(f"CREATE VIEW \"{path.stem}\" AS SELECT * FROM read_parquet('{quoted(path)}')")
    _dead(base, folder / "landing", fill=dead)


def _time_zone(base: Any, name: str) -> None:  # noqa: ANN401  a class of C
    base.execute("CREATE TABLE time_zone (from_ms BIGINT, offset_ms BIGINT)")
    base.executemany("INSERT INTO time_zone VALUES (?, ?)", list(offsets(name)))


@lru_cache(maxsize=4)
def offsets(name: str) -> tuple[tuple[int, int], ...]:
    """Give from when on a time zone is so many ms ahead of UTC."""
    zone = ZoneInfo(name)

    def ahead(hour: int) -> int:
        moment = datetime.fromtimestamp(hour * 3600, UTC).astimezone(zone).utcoffset()
        return 0 if moment is None else int(moment.total_seconds() * 1000)

    found = [(-(1 << 53), ahead(0))]
    step = 24 * 7
    last = int(datetime(ZONES_UNTIL, 1, 1, tzinfo=UTC).timestamp()) // 3600
    for week in range(0, last, step):
        if ahead(week) == ahead(week + step):
            continue
        found.extend(
            (hour * 3_600_000, ahead(hour))
            for hour in range(week + 1, week + step + 1)
            if ahead(hour) != ahead(hour - 1)
        )
    return tuple(found)


def _dead(base: Any, root: Path, *, fill: bool) -> None:  # noqa: ANN401  a class of C
    base.execute(
        "CREATE TABLE dead (source VARCHAR, segment VARCHAR, line_no BIGINT, time_ms BIGINT,"
        " reason VARCHAR, line VARCHAR)"
    )
    if not fill or not root.is_dir():
        return
    for _ in range(TRIES):
        try:
            rows = [
                (name.partition("/")[0], name, number, dead.at, dead.why, _shown(dead.raw))
                for name, number, dead in dead_letters(root, look(root)[0])
            ]
        except FileNotFoundError:  # merged meanwhile: its lines stand elsewhere now
            continue
        break
    else:
        raise HomeError(f"{root}: it changes faster than it can be read; hint: try again")
    if rows:
        base.executemany("INSERT INTO dead VALUES (?, ?, ?, ?, ?, ?)", rows)


def _shown(raw: bytes) -> str:
    return raw.decode(errors="replace")


@lru_cache(maxsize=64)
def text(name: str) -> str:
    """Give a text of SQL by its name, such as views/gaps."""
    return (SQL / f"{name}.sql").read_text(encoding="utf-8")


def quoted(path: Path) -> str:
    """Give a path as it stands between the quotes of SQL."""
    return os.fspath(path).replace("'", "''")
