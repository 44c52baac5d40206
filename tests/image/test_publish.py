"""The way home: what the queue held while nobody was there reaches a real broker, each record once.

The broker is Apache Kafka on the machine that emulates the board. The board reaches it through its
own ssh connection, so its network stays as closed as in every other test.
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shutil
import threading
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from glovebox.host.run import run
from glovebox.verify.verify import MEASURE
from tests import judge
from tests.home.parts import HomeProcess, command, landed, until as until_landed
from tests.image.drives import DRIVE_S, LONG_DRIVE_S, epochs
from tests.image.test_drive import (
    BETWEEN_S,
    EXACT_DEGREES,
    KEY,
    QUEUE_BACK_S,
    SOCKET,
    await_last,
    epoch_of,
    on_the_road,
    times,
)
from tests.image.waiting import until
from tests.kafka_broker import Broker
from tests.needs import missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from testinfra.host import Host

    from glovebox.emulator.dongle import Dongle
    from glovebox.emulator.emulator import Machine
    from glovebox.verify.verify import Facts

pytestmark = [
    pytest.mark.stage("telematics"),
    pytest.mark.level("emulated", highest="emulated"),  # a real board is nobody's to reconfigure
    pytest.mark.driven,
]

PORT = 9093  # on the board
SETTINGS = "/etc/glovebox/telematics.json"
MANIFEST = "/var/lib/queue/appendonlydir/appendonly.aof.manifest"
UNIT = "telematics-publish.service"
SECRETS = ("ca.pem", "client.pem", "client.key")
# An emulated ARMv6 needs 20 s to load the client of Kafka.
HOME_S = 600
DRAIN, DRAIN_KEY, DRAIN_FILE = 5000, "drain", "drain.json"
FILL = f"""python3 -I -c '
from telematics.epoch import Epoch
from telematics.record import Identity, of_epoch
from telematics.queue import RedisQueue

def raw(seq):
    at = Epoch("/dev/gps0", seq * 1000, 1790000000000 + seq * 1000, 3, 52 + seq / 1e6, 13.0, 34.5,
               13.89, 182.4, 0.1, 4.2, 0.52, True)
    whose = Identity(device="drain", installation="k3x9w2", boot="1f0c9a")
    return of_epoch(at, identity=whose, seq=seq, trip=1).encode()

queue = RedisQueue(socket="{SOCKET}", key="{DRAIN_KEY}", timeout_s=60)
queue.newest()
for first in range(1, {DRAIN}, 500):
    queue.append([(seq, raw(seq)) for seq in range(first, first + 500)])
'"""
BROWSER = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=60000")
EMPTY_PICTURE = 10_000
# A line leaves out where the board stood, and what lies on the way between two of its places.
ASIDE_M = 10
METRES_A_DEGREE = 111_320
# From the first batch that is gone to the last: loading the client is not draining.
DRAINING = """
telematics publish --config /run/drain.json & publisher=$!
for try in $(seq 3000); do
  now=$({client} XLEN {key}); [ "$now" -ge 5000 ] || break; sleep 0.1
done
begin=$(date +%s.%N); first=$now
while [ "$now" -gt 0 ]; do now=$({client} XLEN {key}); done
end=$(date +%s.%N); kill $publisher; wait
awk "BEGIN {{ print ($end - $begin) * 5000 / $first }}"
"""


class Home:
    """The broker at home, and what the judge wrote down of it."""

    def __init__(self, folder: Path) -> None:
        """Start the broker; ``reachable`` opens the way to it."""
        self.broker = Broker(folder / "kafka", told=f"localhost:{PORT}")
        self.path = folder / "received.jsonl"
        self.broker.start()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let the judge read."""
        book, stopping = judge.Book(self.path), threading.Event()
        config = {"bootstrap.servers": self.broker.plain}
        options = {"topic": "telematics", "stopping": stopping}
        reader = threading.Thread(target=judge.from_kafka, args=(book, config), kwargs=options)
        reader.start()
        try:
            yield
        finally:
            stopping.set()
            reader.join()
            book.close()

    def received(self) -> list[dict[str, object]]:
        """Give every line that is written whole."""
        lines = self.path.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Give a broker that nobody reaches yet."""
    try:
        import confluent_kafka  # noqa: F401, PLC0415  is it there?
    except ImportError:
        missing("the Python package confluent-kafka; ./invoke setup --tests brings it")
    made = Home(tmp_path_factory.mktemp("home"))
    yield made
    made.broker.end()


def test_backlog_arrives_at_the_broker(
    host: Host, machine: Machine, facts: Facts, home: Home
) -> None:
    """Parked at home after days without a broker: all arrives, in order, whatever is killed.

    Every record of the drives before, and every epoch of the drive that goes on meanwhile, is read
    from the broker, in order; publisher and queue are killed while it comes, and before that the
    queue's files lost their manifest, with which the server alone would begin empty.
    """
    assert machine.dongle is not None
    dongle: Dongle = machine.dongle
    dongle.wait(DRIVE_S * 2)
    before = await_last(host, facts, on_the_road(dongle)[-1])
    point_publisher_home(host, machine, home.broker)
    first = len(dongle.sent)
    dongle.drive(epochs(LONG_DRIVE_S))
    host.check_output(f"systemctl stop queue.service && rm {MANIFEST}")
    host.check_output("systemctl start queue.service")
    until(host, lambda: (length(host, facts) or 0) > len(before), "the queue, whole", QUEUE_BACK_S)

    with ExitStack() as stack:
        stack.enter_context(home.reading())
        stack.enter_context(reachable(machine, home.broker))
        # In the middle: what was sent is perhaps not yet removed, what is removed was sent.
        until(host, home.received, "the first record at the broker", HOME_S)
        host.check_output(f"systemctl kill --signal=KILL {UNIT}")
        come = len(home.received())
        until(host, lambda: len(home.received()) > come, "a publisher that is back", HOME_S)
        host.check_output("systemctl kill --signal=KILL queue.service")
        until(host, lambda: length(host, facts) is not None, "a queue that is back", QUEUE_BACK_S)
        dongle.stop()
        dongle.wait(BETWEEN_S)
        sent = times(on_the_road(dongle, first))
        until(host, lambda: told_times(home)[-1:] == sent[-1:], "the last record", HOME_S)
        until(host, lambda: length(host, facts) == 0, "an empty queue", HOME_S)

    lines = home.received()
    assert [line for line in lines if "gap" in line] == [], "numbers are missing"
    seqs = [line["seq"] for line in lines]
    assert seqs == list(range(before[0].seq, before[0].seq + len(seqs)))
    assert lines[: len(before)] == [each.named() for each in before]
    assert told_times(home)[len(before) :] == sent


def test_drives_become_routes_on_a_map(
    machine: Machine, facts: Facts, home: Home, tmp_path: Path, artifacts: Path
) -> None:
    """The home reads the same broker; what it draws goes where the receiver said it was."""
    received = [line for line in home.received() if "gap" not in line]
    assert received, "nothing came to the broker"
    process = HomeProcess(
        tmp_path,
        "listen: 127.0.0.1:0\n"
        f"kafka: {{servers: '{home.broker.plain}', security: plaintext, topics: [telematics]}}\n",
    )
    process.start()
    until_landed(lambda: len(landed(process.data)[0]) == len(received), what="all to be landed")
    assert process.end() == 0
    for words in (("build",), ("export", "points", "points.csv"), ("export", "trips", "t.geojson")):
        done = command(process.data, *words)
        assert done.returncode == 0, done.stderr

    assert machine.dongle is not None
    sent = on_the_road(machine.dongle)
    place = {time: epoch_of(each) for time, each in zip(times(sent), sent, strict=True)}
    with (tmp_path / "points.csv").open(newline="") as file:
        points = {int(row["seq"]): row for row in csv.DictReader(file)}
    told = {int(str(line["seq"])): line for line in received}
    assert sorted(points) == sorted(told)
    for seq, row in points.items():
        time = int(str(told[seq]["time"]))
        assert float(row["lat"]) == pytest.approx(place[time].lat, abs=EXACT_DEGREES)
        assert float(row["lon"]) == pytest.approx(place[time].lon, abs=EXACT_DEGREES)
        # The first ones come before their time is believed: the home reckons theirs.
        assert int(row["time_ms"]) == time or not told[seq]["time_ok"]
    trips = json.loads((tmp_path / "t.geojson").read_text())["features"]
    lines = [trip["geometry"]["coordinates"] for trip in trips]
    assert lines, "no trip came of it"
    been = {(float(row["lon"]), float(row["lat"])) for row in points.values()}
    assert {tuple(at) for line in lines for at in line} <= been
    assert max(min(metres_to(at, line) for line in lines) for at in been) < ASIDE_M
    picture = artifacts / f"map-{facts.board}.png"
    assert drawn_trips(process.data, picture) == len(trips)
    assert picture.stat().st_size > EMPTY_PICTURE


def test_drain_is_reported(
    request: pytest.FixtureRequest, host: Host, machine: Machine, facts: Facts, artifacts: Path
) -> None:
    """A backlog of thousands leaves the board whole; how quickly is written down for the report.

    It lies under a key of its own and is published by a process of its own, so it meets no record
    of a drive.
    """
    if MEASURE not in os.environ:
        pytest.skip("only measures: ./invoke bench --only drain")
    settings = json.loads(host.check_output(f"cat {SETTINGS}"))
    settings |= {
        "publish_to": "kafka", "publish_servers": f"localhost:{PORT}", "queue_key": DRAIN_KEY,
    }  # fmt: skip
    home: Home = request.getfixturevalue("home")
    put(machine, "/run/drain.json", json.dumps(settings))
    for name in SECRETS:
        put(machine, f"/etc/glovebox/publish/{name}", (home.broker.secrets / name).read_text())
    client = f"{facts.server}-cli -s {SOCKET}"
    host.check_output(FILL)
    assert host.check_output(f"{client} XLEN {DRAIN_KEY}") == str(DRAIN)

    with reachable(machine, home.broker):
        # In one command: a shell by ssh takes longer than a batch.
        seconds = float(host.check_output(DRAINING.format(client=client, key=DRAIN_KEY)))

    told = {"board": facts.board, "records": DRAIN, "per_s": round(DRAIN / seconds, 1)}
    (artifacts / DRAIN_FILE).write_text(json.dumps(told) + "\n")
    assert host.check_output(f"{client} XLEN {DRAIN_KEY}") == "0"


def metres_to(at: tuple[float, float], line: Sequence[Sequence[float]]) -> float:
    """Give how far a place (lon, lat) is from a line: a plane will do for so short a way."""
    east = METRES_A_DEGREE * math.cos(math.radians(at[1]))
    flat = [((lon - at[0]) * east, (lat - at[1]) * METRES_A_DEGREE) for lon, lat in line]
    found = [math.hypot(*flat[0])]
    for (x, y), (to_x, to_y) in pairwise(flat):
        way_x, way_y = to_x - x, to_y - y
        length = way_x**2 + way_y**2
        along = min(1.0, max(0.0, -(x * way_x + y * way_y) / length)) if length else 0.0
        found.append(math.hypot(x + along * way_x, y + along * way_y))
    return min(found)


def drawn_trips(data: Path, picture: Path) -> int:
    """Draw the map in a browser, keep the picture, and give the number of trips on it."""
    chromium = shutil.which("chromium")
    if chromium is None:
        missing("Chromium; ./invoke setup --tests brings it")
    written = command(data, "map", "map.html")
    assert written.returncode == 0, written.stderr
    page = (data.parent / "map.html").as_uri()
    words = [chromium, *BROWSER, f"--user-data-dir={data.parent / 'chromium'}"]
    shown = run([*words, "--dump-dom", page]).stdout
    run([*words, f"--screenshot={picture}", page])
    assert 'data-ready="yes"' in shown
    told = re.search(r'data-trips="(\d+)"', shown)
    assert told, shown[:2000]
    return int(told[1])


def point_publisher_home(host: Host, machine: Machine, broker: Broker) -> None:
    """Give the board keys and the broker's name; nothing of it outlives its power."""
    settings = json.loads(host.check_output(f"cat {SETTINGS}"))
    settings |= {"publish_to": "kafka", "publish_servers": f"localhost:{PORT}"}
    put(machine, SETTINGS, json.dumps(settings))
    put(machine, "/etc/glovebox/publish-to", "kafka")
    for name in SECRETS:
        put(machine, f"/etc/glovebox/publish/{name}", (broker.secrets / name).read_text())
    host.check_output(f"systemctl restart {UNIT}")


def put(machine: Machine, path: str, text: str) -> None:
    """Write a file of the board, as root; its owner and mode stay."""
    machine.ssh(f"sudo -n tee {path} >/dev/null <<'END'\n{text}\nEND")


@contextmanager
def reachable(machine: Machine, broker: Broker) -> Iterator[None]:
    """Let the board reach the broker, under its own name for it, until the block ends."""
    way = f"127.0.0.1:{PORT}:127.0.0.1:{broker.ports['TLS']}"
    asked = ["ssh", "-F", machine.ssh_config, "-O", "forward", "-R", way, "board"]
    run(asked)
    try:
        yield
    finally:
        run([each if each != "forward" else "cancel" for each in asked], check=False)


def told_times(home: Home) -> list[object]:
    """Give the event times of all records that arrived."""
    return [line.get("time") for line in home.received() if "gap" not in line]


def length(host: Host, facts: Facts) -> int | None:
    """Ask how many records wait; None while the queue starts."""
    asked = host.run(f"{facts.server}-cli -s {SOCKET} XLEN {KEY}")
    return int(asked.stdout) if asked.succeeded and asked.stdout.strip().isdigit() else None
