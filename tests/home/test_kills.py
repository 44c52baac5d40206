"""Killed at any moment, on whatever way the records come: each is there once, and nothing else."""

from __future__ import annotations

import http.client
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.home import made
from tests.home.parts import KEY, HomeProcess, command, landed, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.home.made import Made
    from tests.kafka_broker import Broker

KILLS = 20
# The acceptance is a million; CI has minutes.
RECORDS = pytest.mark.parametrize(
    "records", [60_000, pytest.param(1_000_000, marks=pytest.mark.long)]
)


def produce(broker: Broker, topic: str, fleet: Made) -> None:
    """Send everything, over TLS, as vehicles do: the key is the device."""
    from confluent_kafka import Producer  # noqa: PLC0415
    from confluent_kafka.admin import AdminClient, NewTopic  # noqa: PLC0415

    client = AdminClient({"bootstrap.servers": broker.plain})
    client.create_topics([NewTopic(topic, 3, 1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": broker.plain, "linger.ms": 50})
    for device, raw in fleet.messages:
        while True:
            try:
                producer.produce(topic, key=device, value=raw)
            except BufferError:
                producer.poll(0.1)
            else:
                break
    assert producer.flush(120) == 0


def compare(data: Path, fleet: Made) -> None:
    """See that landing, dead letters and points are what was made, to the byte."""
    records, dead, _ = landed(data)

    assert records == fleet.records
    assert sorted(dead) == sorted(fleet.damaged)
    built = command(data, "build")
    assert built.returncode == 0, built.stderr
    query = "SELECT COUNT(*), COUNT(DISTINCT (device, installation, seq)) FROM points"
    counted = command(data, "sql", "--csv", query).stdout.splitlines()[-1]
    assert counted == f"{len(fleet.records)},{len(fleet.records)}"
    told = command(data, "sql", "--csv", "SELECT COUNT(*) FROM gaps").stdout.splitlines()[-1]
    assert told == "0"
    again = command(data, "build")
    assert again.stdout.startswith("0 positions"), "a second build had something to do"


@RECORDS
def test_kafka_receiver_killed_at_random_moments(
    broker: Broker, records: int, tmp_path: Path
) -> None:
    """With duplicates, disorder and damage, 20 kills: no difference, dead letters exactly so."""
    fleet = made.fleet(20, records)
    topic = f"kills-{records}"
    produce(broker, topic, fleet)
    home = HomeProcess(
        tmp_path,
        "listen: 127.0.0.1:0\n"
        f"kafka: {{servers: '{broker.tls}', topics: [{topic}], secrets: {broker.secrets}}}\n",
    )
    chance = random.Random(7)  # noqa: S311  repeatable, nothing is secret
    landing = home.data / "landing"
    moments = []
    for _ in range(KILLS):
        before = reached(landing)
        home.start()
        if chance.random() < 0.5:
            until(
                lambda far=before: reached(landing) > far or far == len(fleet.messages),
                what="the next segment",
            )
        time.sleep(chance.uniform(0.0, 1.0))  # the moment is what is tried, no event is waited for
        home.end(signal.SIGKILL)
        moments.append(reached(landing))
    home.start()
    until(
        lambda: reached(landing) == len(fleet.messages), what="all messages to be landed",
        within_s=600,
    )  # fmt: skip
    assert home.end() == 0

    assert len(set(moments)) > 2, "all kills fell on one moment"
    compare(home.data, fleet)


def reached(landing: Path) -> int:
    """Add up how far each partition is, from the segments' names."""
    far: dict[str, int] = {}
    for path in landing.rglob("[!.]*.lines"):
        partition, _, after = path.stem.split("-")
        far[partition] = max(far.get(partition, 0), int(after))
    return sum(far.values())


@RECORDS
def test_http_receiver_killed_at_random_moments(records: int, tmp_path: Path) -> None:
    """Whoever repeats what was not answered loses nothing by 20 kills, and has nothing twice."""
    fleet = made.fleet(21, records // 4, vehicles=1)
    home = HomeProcess(tmp_path, "listen: 127.0.0.1:0\nvehicles: {truck-0: {key_file: key}}\n")
    sendable = [raw for _, raw in fleet.messages if _parses(raw)]
    fleet.damaged = [raw for raw in fleet.damaged if _parses(raw)]
    chance = random.Random(8)  # noqa: S311  as above
    home.start()
    batches = [sendable[at : at + 200] for at in range(0, len(sendable), 200)]
    kill_at = set(chance.sample(range(len(batches)), min(KILLS, len(batches) // 2)))
    for number, batch in enumerate(batches):
        if number in kill_at:
            # In the middle of the request: sent, and perhaps landed, but not answered.
            half = post(home, batch, wait=False)
            time.sleep(chance.uniform(0.0, 0.02))
            home.end(signal.SIGKILL)
            half.close()
            home.start()
        connection = post(home, batch, wait=True)
        connection.close()
    assert home.end() == 0

    compare(home.data, fleet)


def _parses(raw: bytes) -> bool:
    """Tell whether bytes can stand in a JSON array at all."""
    import json  # noqa: PLC0415

    try:
        json.loads(raw)
    except ValueError:
        return False
    return True


def post(home: HomeProcess, batch: list[bytes], *, wait: bool) -> http.client.HTTPConnection:
    """Send a batch; wait for the answer that it is safe, or not."""
    connection = http.client.HTTPConnection(*home.address, timeout=60)
    body = b"[" + b",".join(batch) + b"]"
    connection.request("POST", "/records", body=body, headers={"X-API-Key": KEY})
    if wait:
        assert connection.getresponse().status == 200
    return connection
