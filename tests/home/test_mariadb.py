"""A real MariaDB beside the home: the same numbers, whatever is killed, and lines of any length."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

from home import days, engine, traffic
from home.config import Config
from home.errors import HomeError
from home.mariadb import settings, upsert
from home.mariadb.link import connect
from tests.home import filled, made
from tests.home.parts import HomeProcess, environment, until
from tests.home.test_http import CONFIG, RAWS, post
from tests.mariadb_server import MariaDb
from tests.unit.home.test_home_engines import DAY, VIEWS, tables
from tests.unit.home.test_home_traffic import INPUT, OLD, golden, known

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KILLS = 6
SAME = ("points", "gaps", "windows")
DRIVES = (
    "trip_id, first_seq, last_seq, start_ms, end_ms, start_local, positions, distance_m, moving_s,"
    " top_speed, stops, carried_m"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    """Give a server that answers."""
    given = MariaDb(tmp_path_factory.mktemp("mariadb"))
    given.start()
    yield given
    given.end()


@pytest.fixture
def place(server: MariaDb, request: pytest.FixtureRequest) -> settings.Server:
    """Give an empty database of the test's own, whatever another test left of the server."""
    if not server.runs:
        server.start()
    name = request.node.name.replace("[", "_").replace("]", "")[:60]
    server.ask(f"CREATE DATABASE {name}")
    return settings.Server(user="root", socket=server.socket, database=name)


def plain(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Give rows in an order of their own, with one kind of number for each value."""
    found = [
        tuple(
            round(float(value), 6) if isinstance(value, float | Decimal) else value for value in row
        )
        for row in rows
    ]
    return sorted(found, key=lambda row: [str(value) for value in row])


def same(folder: Path, server: MariaDb, place: settings.Server) -> None:
    """See that the database says what the home says: rows exactly, computed floats rounded."""
    for view in SAME:
        with engine.connect(Config(folder=folder)) as base:
            names = [row[0] for row in base.execute(f"DESCRIBE {view}").fetchall()]
        query = f"SELECT {', '.join(names)} FROM {view}"
        theirs = server.ask(query, database=place.database)
        assert plain(theirs) == plain(filled.rows(folder, query)), view
    ours = plain(filled.rows(folder, f"SELECT {DRIVES} FROM trips"))
    assert plain(server.ask(f"SELECT {DRIVES} FROM drives", database=place.database)) == ours
    # A stop has in DuckDB the name of its whole trip, in the common text that of its part.
    query = "SELECT device, start_ms, end_ms, lat, lon FROM stops"
    assert plain(server.ask(query, database=place.database)) == plain(filled.rows(folder, query))
    lines = server.ask("SELECT COUNT(*) FROM tripLines", database=place.database)
    assert lines == [(len(ours),)]


def over_midnight(count: int) -> list[bytes]:
    """Make a drive with stops and a hole that reaches over a UTC midnight."""
    midnight = made.START_MS - made.START_MS % 86_400_000
    start = midnight - count * 500
    return [
        made.record(
            "truck-7", at + 1, at_ms=start + at * 1000, mono=at * 1000,
            lat=round(52 + (at - at % 500 * (at % 500 > 300)) * 0.0001, 6),
            speed=0.0 if at % 500 > 300 else 11.0, gap=(2, 1) if at == 700 else None,
        )
        for at in range(count)
        if at not in (697, 698, 699)
    ]  # fmt: skip


def test_database_says_what_the_home_says(
    tmp_path: Path, server: MariaDb, place: settings.Server
) -> None:
    """Points, gaps, windows, stops and trips: of several vehicles, over midnight, with holes."""
    fleet = made.fleet(9, 4000, vehicles=3)
    lost = {raw for at, raw in enumerate(sorted(fleet.records)) if at % 97 == 0}
    raws = [raw for _, raw in fleet.messages if raw not in lost] + over_midnight(4000)
    folder = filled.built(tmp_path / "home", raws)

    brought = upsert.bring(Config(folder=folder), place)

    assert len(brought.days) == 2
    same(folder, server, place)
    assert server.ask("SELECT COUNT(*) FROM gaps", database=place.database)[0][0] > len(lost)


def test_late_records_come_as_one_row_each(
    tmp_path: Path, server: MariaDb, place: settings.Server
) -> None:
    """Again and again: no row twice, only days that changed are written, what moved has moved."""
    raws = over_midnight(2000)
    untimed = made.record(
        "truck-8", 5, at_ms=None, mono=5000, ok=0, installation="b3b9b2", boot="aaaaaa"
    )
    folder = filled.built(tmp_path / "home", [*raws[:500], *raws[1400:], untimed])
    config = Config(folder=folder)
    first = upsert.bring(config, place)
    assert (first.days[-1], len(first.days)) == ("no-time", 3)
    assert upsert.bring(config, place) == upsert.Brought(days=(), removed=(), positions=0, trips=0)

    # The clock of that boot is known now, and the drive's middle comes on the first day alone.
    before = made.START_MS - made.START_MS % 86_400_000 - 100_000
    good = made.record("truck-8", 6, at_ms=before, mono=6000, installation="b3b9b2", boot="aaaaaa")
    filled.built(folder, [*raws[500:900], good])
    second = upsert.bring(config, place)

    assert first.days[1] not in second.days
    assert second.removed == ("no-time",)
    same(folder, server, place)


def test_line_is_whole_beyond_a_mebibyte(
    tmp_path: Path, server: MariaDb, place: settings.Server
) -> None:
    """GeoJSON of 60,000 places that came in any order: it parses, and goes by number."""
    day = made.START_MS - made.START_MS % 86_400_000
    raws = [
        made.record(
            "truck-7", at + 1, at_ms=day + at * 1000, mono=at * 1000,
            lat=round(40 + at * 0.000203, 6), lon=13.123456, speed=22.0,
        )
        for at in range(60_000)
    ]  # fmt: skip
    random.Random(3).shuffle(raws)  # noqa: S311  repeatable, nothing is secret
    folder = filled.built(tmp_path / "home", raws, size=20_000)
    upsert.bring(Config(folder=folder), place)

    ((line, count),) = server.ask("SELECT tripLine, points FROM tripLines", database=place.database)
    places = json.loads(line)["coordinates"]
    assert len(line) > 1 << 20
    assert count == 60_000
    assert len(places) > 50_000
    assert places == sorted(places, key=lambda each: float(each[1]))


def test_killed_at_any_moment_it_is_brought_again(
    tmp_path: Path, server: MariaDb, place: settings.Server
) -> None:
    """Kill -9 of server or home while days are loaded: afterwards there is no difference."""
    folder = filled.built(tmp_path / "home", over_midnight(12_000), size=4000)
    config = tmp_path / "home.yaml"
    config.write_text(
        f"folder: home\nmariadb: {{socket: '{server.socket}', user: root,"
        f" database: {place.database}}}\n"
    )
    words = [sys.executable, "-m", "home", "--config", str(config), "mariadb"]
    chance = random.Random(5)  # noqa: S311  as above
    ends = []
    for number in range(KILLS):
        days.build(folder, again=True)
        with connect(place) as base, base.cursor() as cursor:
            cursor.execute("SHOW TABLES LIKE 'home_days'")
            if cursor.fetchone():  # so that there is something to do each time
                cursor.execute("DELETE FROM home_days")
                base.commit()
        child = subprocess.Popen(words, env=environment(), stderr=subprocess.PIPE, text=True)
        until(partial(begun, child, server, place), what="the load")
        time.sleep(chance.uniform(0.0, 0.6))  # the moment is what is tried, no event is waited for
        if number % 2:
            child.kill()
        else:
            server.end(signal.SIGKILL)
        ends.append(child.wait(120))
        said = child.stderr.read() if child.stderr else ""
        assert "Traceback" not in said
        if not number % 2:
            server.start()
    assert any(ends)
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    same(folder, server, place)


def begun(child: subprocess.Popen[str], server: MariaDb, place: settings.Server) -> bool:
    """Tell whether a home fills the database by now, or is done already."""
    free = server.ask(f"SELECT IS_FREE_LOCK('{upsert.LOCK} {place.database}')")
    return free == [(0,)] or child.poll() is not None


def trouble(home: HomeProcess) -> str:
    """Give what the home says of its MariaDB."""
    with urlopen(f"http://{home.address[0]}:{home.address[1]}/api/status") as answer:
        said: str = json.load(answer)["mariadb"]["error"]
        return said


def test_served_it_follows_and_comes_back(
    tmp_path: Path, server: MariaDb, place: settings.Server
) -> None:
    """What a vehicle posts is in the database; a server that was away gets all of it afterwards."""
    config = (
        f"{CONFIG}mariadb: {{socket: '{server.socket}', user: root, database: {place.database}}}\n"
    )
    server.end()
    home = HomeProcess(tmp_path, config)
    home.start()
    assert post(home)[0] == 200
    until(lambda: "Can't connect" in trouble(home), what="the trouble")
    server.start()

    def counted() -> int:
        if not server.ask("SHOW TABLES LIKE 'points'", database=place.database):
            return 0
        return int(server.ask("SELECT COUNT(*) FROM points", database=place.database)[0][0])

    until(lambda: counted() == len(RAWS), what="all records")
    assert home.end() == 0
    same(home.data, server, place)


def test_tables_of_others_are_left_alone(
    tmp_path: Path, server: MariaDb, place: settings.Server
) -> None:
    """A database with the original's own table is refused by name, and nothing of it is touched."""
    server.ask("CREATE TABLE trips (id INT)", database=place.database)
    server.ask("INSERT INTO trips VALUES (1)", database=place.database)
    folder = filled.built(tmp_path / "home", over_midnight(100))

    with pytest.raises(HomeError, match="trips is there already"):
        upsert.bring(Config(folder=folder), place)
    assert server.ask("SELECT * FROM trips", database=place.database) == [(1,)]


def test_every_text_means_the_same_there(place: settings.Server) -> None:
    """Days and views by the same texts on MariaDB as on DuckDB, but for the names of two types."""
    fleet = made.fleet(9, 2000, vehicles=3)
    made_by = []
    heard = heard_rows([raw for _, raw in fleet.messages][: len(fleet.messages) - 40])
    with engine.memory() as duck, connect(place) as base, base.cursor() as cursor:
        for each, mark in ((duck, "?"), (Spoken(cursor), "%s")):
            kinds = ", ".join(f"{name} {kind}" for name, kind in days.HEARD.items())
            each.execute(f"CREATE TABLE heard ({kinds})")
            marks = ", ".join([mark] * len(days.HEARD))
            each.executemany(f"INSERT INTO heard VALUES ({marks})", heard)
            made_by.append(tables(each, DAY))
            for table in ("runs", "legs", "stops"):
                each.execute(f"ALTER TABLE {table} ADD COLUMN utc_day VARCHAR(16)")
                each.execute(f"UPDATE {table} SET utc_day = '2026-09-21'")
            each.execute("ALTER TABLE stops RENAME TO stop_parts")
            made_by[-1] |= tables(each, VIEWS)

    ours, theirs = made_by
    assert len(ours["points"]) > 1900
    for name, rows in ours.items():
        assert plain([tuple(row.values()) for row in theirs[name]]) == plain(
            [tuple(row.values()) for row in rows]
        ), name


def heard_rows(raws: list[bytes]) -> list[tuple[object, ...]]:
    """Give what the days' texts start from: each position as it was heard, duplicates and all."""
    from home.lines import Row, read  # noqa: PLC0415

    rows = [row for row in map(read, raws) if isinstance(row, Row)]
    return [(*row[:5], row.time, row.time_ok, 0, *row[7:]) for row in rows]


class Spoken:
    """A cursor that hears the common subset; `execute` gives itself, as DuckDB's does."""

    def __init__(self, cursor: Any) -> None:  # noqa: ANN401  no types of the driver
        """Take the driver's."""
        self._cursor = cursor

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  likewise
        """Be the driver's cursor in all else."""
        return getattr(self._cursor, name)

    def execute(self, text: str) -> Spoken:
        """Run a text."""
        kinds = {"VARCHAR,": "VARCHAR(80),", "VARCHAR)": "VARCHAR(80))"}
        if text.startswith("CREATE TABLE heard"):
            for short, long in kinds.items():
                text = text.replace(short, long)
        self._cursor.execute(upsert.spoken(text))
        return self


def test_golden_table_on_mariadb(place: settings.Server) -> None:
    """Every cell of the old batch's table comes out, by the same file of SQL."""
    with connect(place) as base, base.cursor() as cursor:
        names, rows = traffic.answered(cursor, traffic.read(INPUT), mark="%s")

    assert tuple(names[: len(OLD)]) == OLD
    for row, wanted in zip(rows, golden(), strict=True):
        found = [None if value is None else float(value) for value in row[: len(OLD)]]
        assert known(found) == pytest.approx(known(wanted), rel=1e-14)


def test_server_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    """Without a server, and with every mistake of `mariadb:`, one message and no traceback."""
    filled.built(tmp_path / "data", over_midnight(10))
    config = tmp_path / "home.yaml"
    config.write_text("folder: data\nmariadb: {socket: nowhere, user: me}\n")
    words = [sys.executable, "-m", "home", "--config", str(config), "mariadb"]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: MariaDB at ")
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr

    config.write_text("folder: data\nmariadb: {host: db.example.org, prot: 1}\n")
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    for said in ("perhaps you meant port", "mariadb.user", "mariadb.ca"):
        assert said in done.stderr
