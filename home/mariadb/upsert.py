"""Brings a MariaDB up to date with the days that are built; doing it again changes nothing.

Each table of a day is loaded as it is, in one transaction with the note of what the day was built
from: a kill in between leaves the day as it was, and the next time does it again. A position is a
row by device, installation and number, so one that moved to another day is still one.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from home import days, engine
from home.errors import BusyError, HomeError
from home.mariadb.link import connect

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from home.config import Config
    from home.mariadb.settings import Server

# Another number makes all tables anew.
VERSION = 1
LOCK = "glovebox-home"
LOCK_S = 10
# Beyond it a text cannot be part of a key.
KEY = "VARCHAR(80)"
TYPES = {"VARCHAR": "VARCHAR(255)", "BIGINT": "BIGINT", "INTEGER": "INT", "DOUBLE": "DOUBLE"}
LONG_TEXT = "LONGTEXT"
# Table, and the columns that tell its rows apart.
TABLES = {
    "points": ("device", "installation", "seq"),
    "legs": ("device", "installation", "trip", "utc_day"),
    "stop_parts": ("device", "installation", "trip", "first_seq", "utc_day"),
    "minutes": ("device", "minute_no"),
    "runs": ("device", "installation", "first_seq", "utc_day"),
}
# What DuckDB puts together over all days: a trip with its line, and which parts it is of.
DRIVES = {
    "trip_id": KEY, "device": KEY, "installation": KEY, "trip": "BIGINT", "first_seq": "BIGINT",
    "last_seq": "BIGINT", "start_ms": "BIGINT", "end_ms": "BIGINT", "start_local": "VARCHAR(32)",
    "end_local": "VARCHAR(32)", "local_day": "VARCHAR(32)", "positions": "BIGINT",
    "distance_m": "DOUBLE", "moving_s": "DOUBLE", "top_speed": "DOUBLE", "stops": "BIGINT",
    "start_lat": "DOUBLE", "start_lon": "DOUBLE", "end_lat": "DOUBLE", "end_lon": "DOUBLE",
    "carried_m": "DOUBLE", "average_speed": "DOUBLE", "geojson": LONG_TEXT, "digest": "CHAR(32)",
}  # fmt: skip
PARTS = {
    "device": KEY, "installation": KEY, "trip": "BIGINT", "utc_day": KEY, "trip_id": KEY,
}  # fmt: skip
PARTS_KEY = ("device", "installation", "trip", "utc_day")
# In the order in which they need each other; by the name of their text.
VIEWS = {
    "gaps": "views/gaps",
    "windows": "views/windows",
    "stops": "views/stops",
    "trips": "mariadb/trips",
    "tripLines": "mariadb/tripLines",
}
# A line has two ends at least; what is one place is a line to itself.
FOUND = """
SELECT trips.* EXCLUDE (line),
       '{"type":"LineString","coordinates":'
       || CASE WHEN contains(line, '],[') THEN line ELSE left(line, -1) || ',' || line[2:] END
       || '}' AS geojson,
       md5(trips::VARCHAR) AS digest
FROM trips
WHERE line IS NOT NULL
"""
SPEEDS = """
SELECT changed.* EXCLUDE (geojson, digest), speeds.average_speed, changed.geojson, changed.digest
FROM changed
LEFT JOIN (
    SELECT parts.trip_id, AVG(points.speed) AS average_speed
    FROM points
    JOIN trip_parts AS parts USING (device, installation, trip, utc_day)
    WHERE points.time_ms IS NOT NULL AND points.utc_day IN (SELECT utc_day FROM touched)
          AND parts.trip_id IN (SELECT trip_id FROM changed)
    GROUP BY parts.trip_id
) AS speeds USING (trip_id)
"""


@dataclass(frozen=True, kw_only=True)
class Brought:
    """What was written."""

    days: tuple[str, ...]
    removed: tuple[str, ...]
    positions: int
    trips: int


def bring(config: Config, server: Server) -> Brought:
    """Load the days that were built since the last time, and the trips that they changed."""
    have = {day: built for day, built in days.built_days(config.folder).items() if built}
    with connect(server) as base, base.cursor() as cursor:
        _alone(cursor, server)
        _make(cursor)
        base.commit()
        cursor.execute("SELECT utc_day, built FROM home_days")
        there = dict(cursor.fetchall())
        changed = [day for day in sorted(have) if there.get(day) != have[day]]
        gone = [day for day in sorted(there) if day not in have]
        positions = 0
        with tempfile.TemporaryDirectory(prefix=".mariadb-", dir=config.folder) as scratch:
            for day in changed:
                positions += _day(cursor, config.folder, day, Path(scratch))
                cursor.execute("REPLACE INTO home_days VALUES (%s, %s)", (day, have[day]))
                base.commit()
            for day in gone:
                for table in TABLES:
                    cursor.execute(f"DELETE FROM {table} WHERE utc_day = %s", (day,))
                cursor.execute("DELETE FROM home_days WHERE utc_day = %s", (day,))
                base.commit()
            trips = _drives(cursor, config, Path(scratch), changed)
            base.commit()
    return Brought(days=tuple(changed), removed=tuple(gone), positions=positions, trips=trips)


def _alone(cursor: Any, server: Server) -> None:  # noqa: ANN401  no types of the driver
    cursor.execute("SELECT GET_LOCK(%s, %s)", (f"{LOCK} {server.database}"[:64], LOCK_S))
    if cursor.fetchone() != (1,):
        raise BusyError(f"MariaDB at {server.place}: another home fills it; hint: one home for one")


def _make(cursor: Any) -> None:  # noqa: ANN401  likewise
    """Make tables and views if they are not there, or are another version's."""
    cursor.execute("SHOW TABLES LIKE 'home_version'")
    if cursor.fetchone():
        cursor.execute("SELECT version FROM home_version")
        if cursor.fetchone() == (VERSION,):
            return
    cursor.execute("SHOW TABLES")
    there = {name for (name,) in cursor.fetchall()}
    ours = {*TABLES, *VIEWS, "drives", "drive_parts", "home_days"}
    if "home_version" in there:
        cursor.execute("UPDATE home_version SET version = 0")
    elif there & ours:
        named = ", ".join(sorted(there & ours))
        raise HomeError(
            f"MariaDB: {named} is there already, and not this home's; "
            "hint: an empty database of its own: CREATE DATABASE home"
        )
    else:
        # First and last: what a kill leaves in between is ours, and made anew.
        _table(cursor, "home_version", {"version": "BIGINT"}, ("version",))
        cursor.execute("INSERT INTO home_version VALUES (0)")
    cursor.connection.commit()
    for name in VIEWS:
        cursor.execute(f"DROP VIEW IF EXISTS {_named(name)}")
    for name in (*TABLES, "drives", "drive_parts", "home_days"):
        cursor.execute(f"DROP TABLE IF EXISTS {name}")
    for name, key in TABLES.items():
        kinds = _columns(name)
        more = {"updated_at": "TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP"}
        _table(cursor, name, {**kinds, **(more if name == "points" else {})}, key)
        cursor.execute(f"CREATE INDEX by_day ON {name} (utc_day)")
    _table(cursor, "drives", DRIVES, ("trip_id",))
    _table(cursor, "drive_parts", PARTS, PARTS_KEY)
    _table(cursor, "home_days", {"utc_day": KEY, "built": LONG_TEXT}, ("utc_day",))
    for name, text in VIEWS.items():
        cursor.execute(f"CREATE VIEW {_named(name)} AS {spoken(engine.text(text))}")
    cursor.execute("UPDATE home_version SET version = %s", (VERSION,))


def spoken(text: str) -> str:
    """Give a text of the common subset in MariaDB's words: it names two types otherwise."""
    return text.replace("AS BIGINT)", "AS SIGNED)").replace("AS VARCHAR)", "AS CHAR)")


def _columns(table: str) -> dict[str, str]:
    source = {"stop_parts": "stops"}.get(table, table)
    pairs = [column.split(" ") for column in engine.COLUMNS[source].split(", ")]
    kinds = {name: KEY if name in TABLES[table] else TYPES[kind] for name, kind in pairs}
    kinds |= {name: "BIGINT" for name, kind in pairs if kind == "BIGINT"}
    return {**kinds, "utc_day": "VARCHAR(16)"}


def _table(cursor: Any, name: str, kinds: dict[str, str], key: Iterable[str]) -> None:  # noqa: ANN401  likewise
    columns = ", ".join(f"{column} {kind}" for column, kind in kinds.items())
    # Names of vehicles are told apart to the letter.
    cursor.execute(
        f"CREATE TABLE {name} ({columns}, PRIMARY KEY ({', '.join(key)}))"
        " ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    )


def _named(name: str) -> str:
    return f'"{name}"'


def _day(cursor: Any, folder: Path, day: str, scratch: Path) -> int:  # noqa: ANN401  likewise
    """Put a day's tables in the place of what is there of it; give its positions."""
    positions = 0
    for table in TABLES:
        source = {"stop_parts": "stops"}.get(table, table)
        path = engine.quoted(folder / "days" / day / f"{source}.parquet")
        names = list(_columns(table))
        query = f"SELECT *, '{day}' AS utc_day FROM read_parquet('{path}')"
        cursor.execute(f"DELETE FROM {table} WHERE utc_day = %s", (day,))
        with engine.memory(scratch) as base:
            found = _load(cursor, base, f"SELECT {', '.join(names)} FROM ({query})", table, names)
        positions += found if table == "points" else 0
    return positions


def _drives(cursor: Any, config: Config, scratch: Path, built: Sequence[str]) -> int:  # noqa: ANN401  likewise
    """Write the trips that are other than those that are there, and remove those that are none."""
    cursor.execute("SELECT trip_id, digest FROM drives")
    there = dict(cursor.fetchall())
    with engine.connect(config, dead=False) as base:
        base.execute(f"SET temp_directory = '{engine.quoted(scratch)}'")
        base.execute(f"CREATE TEMP TABLE found AS {FOUND}")
        now = dict(base.execute("SELECT trip_id, digest FROM found").fetchall())
        parts = base.execute(
            "SELECT DISTINCT trip_id FROM trip_parts WHERE list_contains(?, utc_day)", [built]
        ).fetchall()
        anew = {name for (name,) in parts}
        wanted = [name for name, digest in now.items() if there.get(name) != digest or name in anew]
        gone = [name for name in there if name not in now]
        if not wanted and not gone:
            return 0
        for name in (*gone, *(name for name in wanted if name in there)):
            cursor.execute("DELETE FROM drives WHERE trip_id = %s", (name,))
        base.execute("CREATE TEMP TABLE wanted (trip_id VARCHAR)")
        if wanted:
            base.executemany("INSERT INTO wanted VALUES (?)", [[name] for name in wanted])
        base.execute(
            "CREATE TEMP TABLE changed AS SELECT * FROM found SEMI JOIN wanted USING (trip_id)"
        )
        base.execute(
            "CREATE TEMP TABLE touched AS SELECT DISTINCT utc_day FROM trip_parts"
            " SEMI JOIN wanted USING (trip_id)"
        )
        names = list(DRIVES)
        _load(cursor, base, f"SELECT {', '.join(names)} FROM ({SPEEDS})", "drives", names)
        cursor.execute("DELETE FROM drive_parts")
        names = list(PARTS)
        query = f"SELECT DISTINCT {', '.join(names)} FROM trip_parts"
        _load(cursor, base, query, "drive_parts", names)
    return len(wanted)


def _load(cursor: Any, base: Any, query: str, table: str, names: Sequence[str]) -> int:  # noqa: ANN401  likewise
    """Have the server read what a query gives; a value that does not fit is an error."""
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        base.execute(
            f"COPY ({query}) TO '{file.name}' (FORMAT csv, HEADER false, NULLSTR 'NULL',"
            " QUOTE '\"', ESCAPE '\"')"
        )
        try:
            cursor.execute(
                f"LOAD DATA LOCAL INFILE '{file.name}' REPLACE INTO TABLE {table}"
                " CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"'"
                f" ESCAPED BY '' LINES TERMINATED BY '\\n' ({', '.join(names)})"
            )
        except AttributeError as error:
            # What the driver says (PyMySQL 1.2) if the server goes while it sends a file.
            raise ConnectionResetError("the connection was lost") from error
        loaded = int(cursor.rowcount)
    # A local file's errors are warnings, and the row is taken as far as it fits.
    cursor.execute("SHOW WARNINGS")
    said = cursor.fetchall()
    if said:
        raise HomeError(f"MariaDB: {table}: {said[0][2]}")
    return loaded
