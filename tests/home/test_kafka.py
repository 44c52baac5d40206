"""What befalls a topic and a disk, with a real broker and a real file system."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.home import made
from tests.home.parts import HomeProcess, landed, until
from tests.home.test_http import CONFIG, RAWS, post

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.kafka_broker import Broker


def send(broker: Broker, topic: str, raws: Sequence[bytes | None], *, fresh: bool = False) -> None:
    """Put messages on a topic; ``fresh``: it is removed and made anew before."""
    from confluent_kafka import Producer  # noqa: PLC0415
    from confluent_kafka.admin import AdminClient, NewTopic  # noqa: PLC0415

    client = AdminClient({"bootstrap.servers": broker.plain})
    if fresh:
        client.delete_topics([topic])[topic].result(30)
        until(lambda: topic not in client.list_topics(timeout=10).topics, what="the topic to go")
    if topic not in client.list_topics(timeout=10).topics:
        client.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": broker.plain})
    for raw in raws:
        producer.produce(topic, key="truck-7", value=raw)
    assert producer.flush(60) == 0


def config(broker: Broker, topic: str, *, way: str = "tls") -> str:
    """Give a home.yaml for a topic."""
    servers = {"tls": broker.tls, "sasl": broker.sasl, "plaintext": broker.plain}[way]
    return (
        f"listen: 127.0.0.1:0\nkafka: {{servers: '{servers}', topics: [{topic}], security: {way},"
        f" user: truck, secrets: {broker.secrets}}}\n"
    )


@pytest.mark.parametrize("way", ["tls", "sasl", "plaintext"])
def test_every_way_to_prove_who_one_is(broker: Broker, tmp_path: Path, way: str) -> None:
    """Client certificate, password over TLS, or plain text by name; also without a value."""
    send(broker, f"way-{way}", [*RAWS[:50], None, b"odd"])
    home = HomeProcess(tmp_path, config(broker, f"way-{way}", way=way))
    home.start()
    until(lambda: list((home.data / "landing").rglob("*-52.lines")), what="the records")
    home.end()

    records, dead, _ = landed(home.data)
    assert records == set(RAWS[:50])
    assert sorted(dead) == [b"", b"odd"]


def test_nothing_is_committed_to_the_broker(broker: Broker, tmp_path: Path) -> None:
    """No group of ours exists there, so none of others can be disturbed."""
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415

    send(broker, "groups", RAWS[:10])
    home = HomeProcess(tmp_path, config(broker, "groups"))
    home.start()
    until(lambda: list((home.data / "landing").rglob("*-10.lines")), what="the records")

    client = AdminClient({"bootstrap.servers": broker.plain})
    groups = client.list_consumer_groups(request_timeout=30).result(30).valid
    home.end()
    assert [group.group_id for group in groups] == []


def test_topic_made_anew_is_read_from_its_beginning(broker: Broker, tmp_path: Path) -> None:
    """A topic of the same name with other messages is another one: nothing of it is passed over."""
    send(broker, "anew", RAWS[:100])
    home = HomeProcess(tmp_path, config(broker, "anew"))
    home.start()
    until(lambda: list((home.data / "landing").rglob("*-100.lines")), what="the first topic")
    home.end()
    send(broker, "anew", RAWS[100:400], fresh=True)
    home.start()
    until(lambda: list((home.data / "landing").rglob("*-300.lines")), what="the second topic")
    home.end(signal.SIGKILL)

    assert landed(home.data)[0] == set(RAWS[:400])


def test_broker_that_goes_and_comes(broker: Broker, tmp_path: Path) -> None:
    """While it is away the home says so and serves on; when it is back nothing is missing."""
    send(broker, "away", RAWS[:100])
    home = HomeProcess(tmp_path, CONFIG + config(broker, "away").partition("\n")[2])
    home.start()
    until(lambda: list((home.data / "landing").rglob("*-100.lines")), what="the first records")
    broker.end(signal.SIGKILL)
    assert post(home)[0] == 200
    broker.start()
    send(broker, "away", RAWS[100:])
    until(lambda: list((home.data / "landing").rglob("*-500.lines")), what="the rest")
    home.end()

    assert landed(home.data)[0] == set(RAWS)


def fill(filler: Path) -> None:
    """Write until there is no room for one more byte."""
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)


@pytest.mark.root
@pytest.mark.parametrize("way", ["kafka", "http"])
def test_full_disk_acknowledges_nothing(broker: Broker, tmp_path: Path, way: str) -> None:
    """On a disk without room nothing is acknowledged and nothing half there; then all is taken."""
    data = tmp_path / "data"
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(data)], check=True)
    home = HomeProcess(tmp_path, CONFIG)
    try:
        filler = data / "filler"
        home.start()
        fill(filler)
        if way == "http":
            assert post(home)[0] == 507
            assert post(home)[0] == 507
        else:
            home.end()
            send(broker, "full", RAWS)
            home.config = config(broker, "full")
            home.start()
            assert landed(data)[0] == set()
        assert not list(data.rglob("*.lines"))
        filler.unlink()
        if way == "http":
            assert post(home)[0] == 200
        else:
            until(lambda: list(data.rglob("*-500.lines")), what="the records")
        home.end()
        assert landed(data)[0] == set(RAWS)
        assert not list((data / "landing").rglob(".*lines*"))
    finally:
        if home.child is not None and home.child.poll() is None:
            home.end(signal.SIGKILL)
        subprocess.run(["umount", str(data)], check=True)


def test_silent_flood_of_one_number_takes_no_memory(tmp_path: Path) -> None:
    """A jump of ten million numbers is one hole, not ten million of them."""
    far = made.record("truck-7", 10_000_000, at_ms=made.START_MS, mono=1)
    home = HomeProcess(tmp_path, CONFIG)
    home.start()
    assert post(home, b"[" + RAWS[0] + b"," + far + b"]")[0] == 200
    assert home.child is not None
    with open(f"/proc/{home.child.pid}/status") as status:  # noqa: PTH123  /proc
        resident_kb = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    home.end()

    assert resident_kb < 100_000
