"""Faults of a cluster that one healthy broker never shows: librdkafka's own mock cluster has them.

It speaks the real protocol to the publisher's real client; only the disks behind it are missing.
"""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import confluent_kafka
import pytest
from parts import until

from telematics import sink_kafka
from telematics.publish import Publisher
from telematics.record import Identity
from telematics.settings import Settings
from telematics.sink import SinkError
from telematics.sink_kafka import KafkaSink
from tests import judge
from tests.contract_model import ModelQueue, epoch, maker

if TYPE_CHECKING:
    from collections.abc import Iterator

IDENTITY = Identity(device="truck-7", installation="k3x9w2", boot="1f0c9a")
TOPIC = "telematics"
PRODUCE = 0  # the request's number in the protocol
PRODUCER = 0  # RD_KAFKA_PRODUCER
RECORDS = 300
# Numbers of the protocol's errors, in the order in which the next requests get them.
FAULTS = {
    "not leader": [6],
    "request timed out": [7],
    "not enough replicas": [19],
    "written, but not by enough replicas": [20],
    "connection lost": [-195],
    "one after the other": [6, 7, -195, 19, 20, -195, 6],
}


class Cluster:
    """Three brokers of librdkafka's mock cluster."""

    def __init__(self) -> None:
        """Start them on ports of the loopback."""
        self._library = library()
        config = self._library.rd_kafka_conf_new()
        said = ctypes.create_string_buffer(500)
        self._client = self._library.rd_kafka_new(PRODUCER, ctypes.c_void_p(config), said, 500)
        assert self._client, said.value
        self._cluster = self._library.rd_kafka_mock_cluster_new(ctypes.c_void_p(self._client), 3)
        self._ask("topic_create", TOPIC.encode(), 1, 3)
        name = self._library.rd_kafka_mock_cluster_bootstraps(ctypes.c_void_p(self._cluster))
        self.servers = ctypes.cast(name, ctypes.c_char_p).value or b""

    def fail(self, errors: list[int]) -> None:
        """Answer the next produce requests with errors, one each."""
        array = (ctypes.c_int * len(errors))(*errors)
        self._ask("push_request_errors_array", PRODUCE, ctypes.c_size_t(len(errors)), array)

    def lead(self, broker: int) -> None:
        """Make a broker the leader of the topic."""
        self._ask("partition_set_leader", TOPIC.encode(), 0, broker)

    def down(self, broker: int) -> None:
        """Take a broker away."""
        self._ask("broker_set_down", broker)

    def up(self, broker: int) -> None:
        """Bring it back."""
        self._ask("broker_set_up", broker)

    def end(self) -> None:
        """Stop them."""
        self._library.rd_kafka_mock_cluster_destroy(ctypes.c_void_p(self._cluster))
        self._library.rd_kafka_destroy(ctypes.c_void_p(self._client))

    def _ask(self, what: str, *words: Any) -> None:  # noqa: ANN401  as C takes them
        getattr(self._library, f"rd_kafka_mock_{what}")(ctypes.c_void_p(self._cluster), *words)


def library() -> ctypes.CDLL:
    """Load the librdkafka that the client library of the tests uses."""
    beside = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    found = sorted(beside.glob("librdkafka*.so*"))
    loaded = ctypes.CDLL(str(found[0]) if found else "librdkafka.so.1")
    for name in ("conf_new", "new", "mock_cluster_new", "mock_cluster_bootstraps"):
        getattr(loaded, f"rd_kafka_{name}").restype = ctypes.c_void_p
    return loaded


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Give three brokers."""
    made = Cluster()
    yield made
    made.end()


@pytest.fixture
def source() -> ModelQueue:
    """Give a queue with records."""
    made = ModelQueue()
    make = maker(IDENTITY)
    made.append([(seq, make(epoch(seq), seq, 1, None).encode()) for seq in range(1, RECORDS + 1)])
    return made


def sink(cluster: Cluster) -> KafkaSink:
    """Give the publisher's sink to these brokers."""
    return KafkaSink(
        Settings(
            publish_to="kafka", publish_servers=cluster.servers.decode(), publish_topic=TOPIC,
            publish_security="plaintext",
        )
    )  # fmt: skip


def received(cluster: Cluster, path: Path) -> tuple[list[object], judge.Ledger]:
    """Read the topic as a receiver does, until the last record is there."""
    book, stopping = judge.Book(path), threading.Event()
    config = {"bootstrap.servers": cluster.servers.decode()}
    options = {"topic": TOPIC, "stopping": stopping}
    reader = threading.Thread(target=judge.from_kafka, args=(book, config), kwargs=options)
    reader.start()
    try:
        until(lambda: f'"seq":{RECORDS},' in path.read_text(), what="the last record")
    finally:
        stopping.set()
        reader.join()
        book.close()
    again = judge.Book(path)
    again.close()
    lines = [line for line in path.read_text().splitlines() if '"seq"' in line]
    return [int(line.split('"seq":')[1].split(",")[0]) for line in lines], book.ledger


def publish_all(source: ModelQueue, sink: KafkaSink) -> int:
    """Publish until the queue is empty; give the number of tries that failed."""
    publisher, failures = Publisher(source, sink), 0
    while source.entries:
        try:
            publisher.step()
        except SinkError:
            failures += 1
            assert failures < 20
    sink.close()
    return failures


@pytest.mark.parametrize("fault", FAULTS)
def test_every_record_arrives_in_order(
    cluster: Cluster, source: ModelQueue, tmp_path: Path, fault: str
) -> None:
    """Whatever the brokers answer: all records, in order, and the queue is trimmed only then."""
    cluster.fail(FAULTS[fault])

    publish_all(source, sink(cluster))

    assert received(cluster, tmp_path / "out")[0] == list(range(1, RECORDS + 1))


def test_leader_changes(cluster: Cluster, source: ModelQueue, tmp_path: Path) -> None:
    """A leader that goes away while records are under way costs time and no record."""
    cluster.lead(1)
    used = sink(cluster)
    used.open()
    cluster.down(1)
    cluster.lead(2)

    publish_all(source, used)

    assert received(cluster, tmp_path / "out")[0] == list(range(1, RECORDS + 1))


def test_nothing_is_removed_while_no_broker_answers(
    cluster: Cluster, source: ModelQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All brokers gone after the client was made: the queue stays whole, and is sent later."""
    monkeypatch.setattr(sink_kafka, "DELIVERY_TIMEOUT_MS", 1500)
    monkeypatch.setattr(sink_kafka, "ANSWER_TIMEOUT_S", 1.0)
    used = sink(cluster)
    used.open()
    for broker in (1, 2, 3):
        cluster.down(broker)
    with pytest.raises(SinkError):
        Publisher(source, used).step()
    left = len(source.entries)
    for broker in (1, 2, 3):
        cluster.up(broker)

    publish_all(source, used)

    assert left == RECORDS
    assert received(cluster, tmp_path / "out")[0] == list(range(1, RECORDS + 1))
