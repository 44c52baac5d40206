"""Measure what the home base takes: one JSON row per line, each with its target.

``./invoke bench --only home``, or ``python -m tests.bench.home [kafka] [http] [days] [history]
[mariadb]``, after ``./invoke setup --tests``, with ``app`` on PYTHONPATH. Every part is real:
Apache Kafka over TLS, MariaDB, the home's own process, its files on this machine's disk.
"""

from __future__ import annotations

import http.client
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from home import days, engine
from home.config import Config
from home.landing import Landing
from home.mariadb import settings, upsert
from tests.home import filled, made
from tests.home.parts import KEY, HomeProcess, command, until
from tests.home.test_kills import produce, reached
from tests.kafka_broker import Broker
from tests.mariadb_server import MariaDb

if TYPE_CHECKING:
    from collections.abc import Iterator

MB = 1_000_000
RECORDS = 200_000
DAY = 86_400
HISTORY = 10_000_000
BATCH = 500
RATE = 20_000
Row = dict[str, object]


def rows(*names: str) -> Iterator[Row]:
    """Give every row, or those of the named groups."""
    groups = {
        "kafka": kafka,
        "http": by_http,
        "days": built,
        "history": history,
        "mariadb": database,
    }
    for name in names or groups:
        with tempfile.TemporaryDirectory(prefix="bench-home-") as folder:
            yield from groups[name](Path(folder))


def row(name: str, value: float, unit: str, target: str = "") -> Row:
    """Make a row; a target is `>= 5`, `<= 40` or nothing."""
    return {"row": name, "value": value, "unit": unit, "target": target or "once"}


def kafka(folder: Path) -> Iterator[Row]:
    """Read a topic over TLS into the landing, checksum checked."""
    (folder / "broker").mkdir()
    broker = Broker(folder / "broker")
    broker.start()
    try:
        fleet = made.fleet(1, RECORDS)
        produce(broker, "bench", fleet)
        home = HomeProcess(
            folder,
            "listen: 127.0.0.1:0\n"
            f"kafka: {{servers: '{broker.tls}', topics: [bench], secrets: {broker.secrets}}}\n",
        )
        landing = folder / "data/landing"
        home.start()
        until(lambda: reached(landing) > 0, what="the first segment")
        assert home.child is not None
        first, began, busy = reached(landing), time.monotonic(), cpu_s(home.child.pid)
        until(lambda: reached(landing) == len(fleet.messages), what="all messages")
        seconds = time.monotonic() - began
        busy = cpu_s(home.child.pid) - busy
        peak = peak_mb(home.child.pid)
        home.end()
    finally:
        broker.end()
    rate = (len(fleet.messages) - first) / max(seconds, 0.001)
    yield row("Kafka to landing, checksum checked", rate, "records/s", f">= {RATE}")
    cost = busy * RATE / max(len(fleet.messages) - first, 1)
    yield row(f"its processor's time for {RATE} of them", cost, "s", "<= 1")
    yield row("its memory at most", peak, "MB", "<= 250")


def cpu_s(pid: int) -> float:
    """Give the processor's time that a process has taken, its threads' too, its children's not."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb(pid: int) -> float:
    """Give the most memory that a process had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / MB
    raise ProcessLookupError(pid)


def by_http(folder: Path) -> Iterator[Row]:
    """Post arrays one after the other, each durable before its answer."""
    home = HomeProcess(folder, "listen: 127.0.0.1:0\nvehicles: {truck-7: {key_file: key}}\n")
    raws = drive(100 * BATCH)
    home.start()
    link = http.client.HTTPConnection(*home.address, timeout=60)
    began = time.monotonic()
    for at in range(0, len(raws), BATCH):
        body = b"[" + b",".join(raws[at : at + BATCH]) + b"]"
        link.request("POST", "/", body=body, headers={"X-API-Key": KEY})
        assert link.getresponse().read().startswith(b"500 records")
    seconds = time.monotonic() - began
    home.end()
    name = f"HTTP, {BATCH} records a request, durable before the answer"
    yield row(name, len(raws) / seconds, "records/s", ">= 5000")


def drive(count: int, *, device: str = "truck-7") -> list[bytes]:
    """Make a drive at 1 Hz with a stop now and then, from a UTC midnight on."""
    start = made.START_MS - made.START_MS % 86_400_000
    raws = []
    lat = 48.0
    for at in range(count):
        speed = 0.1 if at % 1000 > 850 else 15.0
        lat = 48.0 + (lat - 48.0 + (speed > 1) * 0.000135) % 10
        raws.append(
            made.record(
                device, at + 1, at_ms=start + at * 1000, mono=at * 1000, lat=round(lat, 6),
                speed=speed,
            )
        )  # fmt: skip
    return raws


def built(folder: Path) -> Iterator[Row]:
    """Build days, and ask the views."""
    filled.land(folder / "day", drive(DAY), size=20_000)
    began = time.monotonic()
    days.build(folder / "day")
    yield row("a truck-day of 86,400 records built", time.monotonic() - began, "s", "<= 2")
    big = folder / "big"
    for vehicle in range(12):
        device = f"truck-{vehicle}"
        lines = drive(DAY, device=device)
        landing = Landing(big / "landing").open()
        landing.close()
        filled.land(big, lines, size=20_000)
    cpu, began = time.process_time(), time.monotonic()
    days.build(big)
    took = time.process_time() - cpu
    yield row("12 truck-days, 1,036,800 records, built: CPU", took, "s")
    yield row("the same: clock", time.monotonic() - began, "s")
    size = sum(path.stat().st_size for path in big.glob("days/*/*.parquet"))
    yield row("its files", size / MB, "MB")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB
    yield row("the build's memory at most", peak, "MB")
    queries = {
        "windows over 1 M records": ("SELECT * FROM windows", "<= 5"),
        "trips over 1 M records": ("SELECT * FROM trips", ""),
        "gaps over 1 M records": ("SELECT * FROM gaps", ""),
        "route of 50,000 points": (
            "SELECT lat, lon FROM points WHERE device = 'truck-3' ORDER BY seq LIMIT 50000",
            "<= 0.5",
        ),
    }
    for name, (query, target) in queries.items():
        began = time.monotonic()
        with engine.connect(Config(folder=big)) as base:
            base.execute(query).fetchall()
        yield row(name, time.monotonic() - began, "s", target)


def history(folder: Path) -> Iterator[Row]:
    """Start again with a long history; its segments are alike, since only names and index count."""
    raws = drive(20_000)
    name = filled.land(folder / "data", raws, size=len(raws))[0]
    root = folder / "data/landing"
    first = root / name
    (text,) = (root / "index.jsonl").read_text().splitlines()
    with (root / "index.jsonl").open("a") as notes:
        for number in range(1, HISTORY // len(raws)):
            at = number * len(raws)
            path = first.with_name(f"0-{at}-{at + len(raws)}.lines")
            path.hardlink_to(first)
            notes.write(text.replace(first.name, path.name) + "\n")
    began = time.monotonic()
    landing = Landing(root).open()
    seconds = time.monotonic() - began
    assert landing.total.lines == HISTORY
    landing.close()
    yield row("landing of 10 M records opened", seconds, "s")
    began = time.monotonic()
    home = HomeProcess(folder, "listen: 127.0.0.1:0\n")
    home.start()
    seconds = time.monotonic() - began
    assert command(folder / "data", "status").returncode == 0
    home.end()
    yield row("restart with 10 M records of history, until ready", seconds, "s", "<= 2")


def database(folder: Path) -> Iterator[Row]:
    """Bring days to a MariaDB as Debian configures none: new ones, and the same once more."""
    vehicles = 4
    for vehicle in range(vehicles):
        filled.land(folder / "home", drive(DAY, device=f"truck-{vehicle}"), size=20_000)
    days.build(folder / "home")
    (folder / "server").mkdir()
    server = MariaDb(folder / "server")
    server.start()
    try:
        server.ask("CREATE DATABASE telematics")
        place = settings.Server(user="root", socket=server.socket)
        for name in ("new", "once more"):
            busy, began = server.cpu_s() + time.process_time(), time.monotonic()
            brought = upsert.bring(Config(folder=folder / "home"), place)
            rate = brought.positions / (time.monotonic() - began)
            busy = server.cpu_s() + time.process_time() - busy
            what = f"MariaDB, days of {vehicles} vehicles, {name}"
            yield row(what, rate, "records/s", f">= {RATE}")
            cost = busy * RATE / brought.positions
            yield row(f"its and ours processor's time for {RATE} of them", cost, "s", "<= 1")
            server.ask("UPDATE home_days SET built = ''", database=place.database)
    finally:
        server.end()


if __name__ == "__main__":
    for each in rows(*sys.argv[1:]):
        sys.stdout.write(json.dumps(each) + "\n")
        sys.stdout.flush()
