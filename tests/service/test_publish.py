"""Publishing among real parts: Redis, the publisher's process, Apache Kafka, a receiver."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from parts import APP, KEY, Process, Redis, free_port, until

from telematics import sink_kafka
from telematics.publish import Publisher
from telematics.queue import RedisQueue
from telematics.record import Identity, decode
from telematics.settings import Settings, TogetherError
from telematics.sink import SinkError
from telematics.sink_http import HttpSink
from telematics.sink_kafka import KafkaSink
from tests import judge
from tests.contract_model import epoch, maker
from tests.kafka_broker import Broker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IDENTITY = Identity(device="truck-7", installation="k3x9w2", boot="1f0c9a")


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Give a broker that answers."""
    made = Broker(tmp_path_factory.mktemp("kafka"))
    made.start()
    yield made
    made.end()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """Give a queue of its own."""
    folder = tmp_path / "redis"
    folder.mkdir()
    made = Redis(folder)
    made.start()
    yield made
    made.end(signal.SIGKILL)


@pytest.fixture
def topic(broker: Broker, request: pytest.FixtureRequest) -> str:
    """Give a topic of the test's own."""
    from confluent_kafka.admin import AdminClient, NewTopic  # noqa: PLC0415

    name = "".join(each if each.isalnum() else "-" for each in request.node.name)[:80]
    client = AdminClient({"bootstrap.servers": broker.plain})
    client.create_topics([NewTopic(name, 1, 1)])[name].result(30)
    return name


class PublisherProcess(Process):
    """`telematics publish` as systemd starts it."""

    def __init__(self, folder: Path, queue: Redis, broker: Broker, topic: str) -> None:
        """Prepare."""
        values = {
            "device": "truck-7", "queue_socket": str(queue.socket), "publish_to": "kafka",
            "publish_servers": broker.tls, "publish_secrets": str(broker.secrets),
            "publish_topic": topic,
        }  # fmt: skip
        config = folder / "publish.json"
        config.write_text(json.dumps(values))
        env = os.environ | {"PYTHONPATH": str(APP)}
        super().__init__(
            sys.executable, "-m", "telematics", "publish", "--config", str(config), env=env
        )


def fill(queue: Redis, first: int, last: int) -> None:
    """Put records into the queue, as the recorder does."""
    stream = RedisQueue(socket=str(queue.socket), key=KEY, timeout_s=30)
    stream.newest()
    make = maker(IDENTITY)
    for start in range(first, last + 1, 500):
        seqs = range(start, min(start + 500, last + 1))
        stream.append([(seq, make(epoch(seq), seq, 1, None).encode()) for seq in seqs])


def read_topic(broker: Broker, topic: str, path: Path, *, count: int) -> list[dict[str, object]]:
    """Have the judge read a topic until so many records are there."""
    book, stopping = judge.Book(path), threading.Event()
    config = {
        "bootstrap.servers": broker.tls,
        "security.protocol": "ssl",
        "ssl.ca.location": str(broker.secrets / "ca.pem"),
        "ssl.certificate.location": str(broker.secrets / "client.pem"),
        "ssl.key.location": str(broker.secrets / "client.key"),
        "group.id": f"test-{topic}",
    }
    options = {"topic": topic, "stopping": stopping}
    reader = threading.Thread(target=judge.from_kafka, args=(book, config), kwargs=options)
    reader.start()
    try:
        until(lambda: len(_lines(path)) >= count, what=f"{count} lines off Kafka", within_s=60)
    finally:
        stopping.set()
        reader.join()
        book.close()
    return _lines(path)


def _lines(path: Path) -> list[dict[str, object]]:
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def test_backlog_reaches_the_broker_and_leaves_the_queue(
    broker: Broker, redis: Redis, topic: str, tmp_path: Path
) -> None:
    """Over TLS with a client certificate: every record, in order, once, then the queue is empty."""
    fill(redis, 1, 5000)
    process = PublisherProcess(tmp_path, redis, broker, topic)
    process.start()
    until(lambda: not redis.client().xlen(KEY), what="the queue to be empty", within_s=60)
    code = process.end(signal.SIGTERM)

    lines = read_topic(broker, topic, tmp_path / "out", count=5000)
    assert [line.get("seq") for line in lines] == list(range(1, 5001))
    assert code == 0


def test_killed_publisher_loses_and_reorders_nothing(
    broker: Broker, redis: Redis, topic: str, tmp_path: Path
) -> None:
    """Killed again and again in the middle: the receiver has all, once, in order."""
    fill(redis, 1, 20_000)
    for delay_s in (0.4, 0.6, 0.8, 1.0):
        process = PublisherProcess(tmp_path, redis, broker, topic)
        process.start()
        time.sleep(delay_s)
        process.end(signal.SIGKILL)
    process.start()
    until(lambda: not redis.client().xlen(KEY), what="the queue to be empty", within_s=60)
    process.end()

    lines = read_topic(broker, topic, tmp_path / "out", count=20_000)
    assert [line.get("seq") for line in lines] == list(range(1, 20_001))


def test_broker_killed_and_back(redis: Redis, tmp_path: Path) -> None:
    """The broker dies under load and comes back: nothing is lost, the order stays."""
    folder = tmp_path / "kafka"
    folder.mkdir()
    broker = Broker(folder)
    try:
        broker.start()
        fill(redis, 1, 3000)
        process = PublisherProcess(tmp_path, redis, broker, "telematics")
        process.start()
        until(lambda: redis.client().xlen(KEY) < 3000, what="the first batch", within_s=60)
        fill(redis, 3001, 9000)
        broker.end(signal.SIGKILL)
        broker.start()
        until(lambda: not redis.client().xlen(KEY), what="the queue to be empty", within_s=90)
        process.end()

        lines = read_topic(broker, "telematics", tmp_path / "out", count=9000)
        assert [line.get("seq") for line in lines] == list(range(1, 9001))
    finally:
        process.end(signal.SIGKILL)
        broker.end()


def settings(broker: Broker, topic: str, **more: str) -> Settings:
    """Give settings for a broker over TLS."""
    values = {
        "publish_to": "kafka", "publish_servers": broker.tls, "publish_topic": topic,
        "publish_secrets": str(broker.secrets),
    }  # fmt: skip
    return Settings(**(values | more))  # type: ignore[arg-type]  # all are texts


def test_password_over_tls(broker: Broker, redis: Redis, topic: str) -> None:
    """SASL is another way to prove who one is."""
    fill(redis, 1, 10)
    sink = KafkaSink(
        settings(
            broker, topic, publish_security="sasl", publish_servers=broker.sasl,
            publish_user="truck",
        )
    )  # fmt: skip
    source = RedisQueue(socket=str(redis.socket), key=KEY, timeout_s=10)

    assert Publisher(source, sink).step() == 10
    sink.close()


@pytest.mark.parametrize("wrong", ["ca.pem", "client.pem", "password"])
def test_strangers_are_neither_believed_nor_served(
    broker: Broker, redis: Redis, topic: str, tmp_path: Path, wrong: str
) -> None:
    """Another authority, a certificate or password the broker does not know: nothing is sent."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for each in broker.secrets.iterdir():
        (secrets / each.name).write_bytes(each.read_bytes())
    if wrong == "ca.pem":
        (secrets / wrong).write_bytes((secrets / "other-ca.pem").read_bytes())
    elif wrong == "client.pem":
        for end in ("pem", "key"):
            (secrets / f"client.{end}").write_bytes((secrets / f"stranger.{end}").read_bytes())
    else:
        (secrets / wrong).write_text("wrong\n")
    more = {"publish_secrets": str(secrets)}
    if wrong == "password":
        more |= {"publish_security": "sasl", "publish_servers": broker.sasl, "publish_user": "x"}
    fill(redis, 1, 3)
    sink = KafkaSink(settings(broker, topic, **more))

    with pytest.raises(SinkError):
        Publisher(RedisQueue(socket=str(redis.socket), key=KEY), sink).step()
    assert redis.client().xlen(KEY) == 3


def test_plain_text_only_if_asked_for_by_name(broker: Broker, tmp_path: Path) -> None:
    """A forgotten certificate is an error that names it, never a silent step down."""
    with pytest.raises(SinkError, match=r"ca\.pem is missing"):
        KafkaSink(settings(broker, "x", publish_secrets=str(tmp_path))).open()
    with pytest.raises(TogetherError, match="not https"):
        Settings(publish_to="http", publish_servers="http://127.0.0.1:1/")


def test_live_lane_is_outside_the_contract(broker: Broker, redis: Redis, topic: str) -> None:
    """The newest position can be shown on another topic; the queue is not touched by it."""
    fill(redis, 1, 3)
    sink = KafkaSink(settings(broker, topic, publish_live_topic="live"))
    sink.live("truck-7", b"newest")
    assert sink._live.flush(10) == 0

    assert redis.client().xlen(KEY) == 3


def test_http_receiver(redis: Redis, tmp_path: Path) -> None:
    """By POST with an API key: all records once, also when an answer was lost; no key, nothing."""
    (tmp_path / "api-key").write_text("secret\n")
    fill(redis, 1, 1200)
    book = judge.Book(tmp_path / "out")
    server = judge.http_server(book, port=free_port(), key="secret")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    wanted = Settings(
        publish_to="http", publish_servers=f"http://127.0.0.1:{server.server_port}/records",
        publish_security="plaintext", publish_secrets=str(tmp_path),
    )  # fmt: skip
    source = RedisQueue(socket=str(redis.socket), key=KEY, timeout_s=10)
    first = HttpSink(wanted)
    first.open()
    first.send([("truck-7", raw) for _, raw in source.read("0-0", 700)])  # and then the power went
    (tmp_path / "api-key").write_text("wrong\n")
    with pytest.raises(SinkError):
        Publisher(source, HttpSink(wanted)).step()
    (tmp_path / "api-key").write_text("secret\n")

    assert Publisher(source, HttpSink(wanted)).step() == 1200
    server.shutdown()
    assert [line["seq"] for line in _lines(tmp_path / "out")] == list(range(1, 1201))
    assert book.ledger.duplicates == 700


class Picky:
    """A receiver by HTTP that refuses a batch with one of some numbers in it."""

    def __init__(self, book: judge.Book, unwanted: set[int]) -> None:
        """Begin to serve on the loopback."""
        self.unwanted = unwanted
        self.sizes: list[int] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                records = judge.split(body)
                outer.sizes.append(len(records))
                refused = {decode(raw).seq for raw in records} & outer.unwanted
                if not refused:
                    book.take(records)
                self.send_response(413 if refused else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def settings(self, secrets: Path) -> Settings:
        """Give what publishes to it."""
        (secrets / "api-key").write_text("secret\n")
        return Settings(
            publish_to="http", publish_servers=f"http://127.0.0.1:{self.server.server_port}/?v=7",
            publish_security="plaintext", publish_secrets=str(secrets),
        )  # fmt: skip


def test_refused_record_is_kept_in_the_queue_and_taken_at_last(
    redis: Redis, tmp_path: Path
) -> None:
    """A real server answers 413: the batch is halved to the one record, which is kept in Redis.

    Those behind it arrive after a minute, it arrives when it is wanted, and a queue that was killed
    meanwhile has it still.
    """
    fill(redis, 1, 600)
    book = judge.Book(tmp_path / "out")
    server = Picky(book, {300})
    now = [0.0]
    source = RedisQueue(socket=str(redis.socket), key=KEY, timeout_s=10)
    options = {"clock": lambda: now[0]}
    publisher = Publisher(source, HttpSink(server.settings(tmp_path)), **options)
    refusals = 0
    while redis.client().xlen(KEY):
        try:
            publisher.step()
        except SinkError as error:
            refusals += "refuses what it is sent: 413" in str(error)
            now[0] += 25
    redis.end(signal.SIGKILL)
    redis.start()
    source = RedisQueue(socket=str(redis.socket), key=KEY, timeout_s=10)
    kept = source.refused_length()
    before = [line["seq"] for line in _lines(tmp_path / "out") if "seq" in line]
    server.unwanted.clear()
    fill(redis, 601, 601)
    again = Publisher(source, HttpSink(server.settings(tmp_path)), **options)
    again.step()
    again.again()
    server.server.shutdown()

    assert refusals == 3
    assert 1 in server.sizes
    assert before == [*range(1, 300), *range(301, 601)]
    assert kept == 1
    assert source.refused_length() == 0
    seqs = [line["seq"] for line in _lines(tmp_path / "out") if "seq" in line]
    assert seqs == [*range(1, 300), *range(301, 602), 300]


def test_sigterm_is_followed_while_a_receiver_drips(redis: Redis, tmp_path: Path) -> None:
    """A receiver that answers a byte at a time holds nobody: SIGTERM ends the publisher at once."""
    fill(redis, 1, 3)
    asked = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        link, _ = listening.accept()
        link.recv(65536)
        asked.set()
        with contextlib.suppress(OSError):
            for _ in range(600):
                link.sendall(b"H")
                time.sleep(0.1)

    threading.Thread(target=drip, daemon=True).start()
    (tmp_path / "api-key").write_text("secret\n")
    values = {
        "queue_socket": str(redis.socket), "publish_to": "http", "publish_security": "plaintext",
        "publish_servers": f"http://127.0.0.1:{listening.getsockname()[1]}/",
        "publish_secrets": str(tmp_path),
    }  # fmt: skip
    (tmp_path / "publish.json").write_text(json.dumps(values))
    process = Process(
        sys.executable, "-m", "telematics", "publish", "--config", str(tmp_path / "publish.json"),
        env=os.environ | {"PYTHONPATH": str(APP)},
    )  # fmt: skip
    process.start()
    assert asked.wait(60)
    started = time.monotonic()
    code = process.end(signal.SIGTERM)

    assert code == 0
    # Not after the 30 s that an answer may take; how soon is the machine's affair.
    assert time.monotonic() - started < 25
    assert redis.client().xlen(KEY) == 3
    listening.close()


def test_record_that_the_broker_refuses_is_kept(
    broker: Broker, redis: Redis, tmp_path: Path
) -> None:
    """A real broker takes no message above a size: the one that is larger waits aside."""
    from confluent_kafka.admin import AdminClient, NewTopic  # noqa: PLC0415

    client = AdminClient({"bootstrap.servers": broker.plain})
    limits = {"max.message.bytes": "170"}
    client.create_topics([NewTopic("small", 1, 1, config=limits)])["small"].result(30)
    source = RedisQueue(socket=str(redis.socket), key=KEY, timeout_s=10)
    source.newest()
    make = maker(IDENTITY)
    long = {"speed": 33.21, "track": 123.4, "eph": 12.3, "eps": 12.3, "time": 1_777_852_800_123}
    records = [make(epoch(seq), seq, 1, None) for seq in range(1, 6)]
    records[2] = records[2]._replace(lat=-52.1234567, lon=-113.7654321, **long)
    source.append([(each.seq, each.encode()) for each in records])
    now = [0.0]
    sink = KafkaSink(settings(broker, "small"))
    publisher = Publisher(source, sink, clock=lambda: now[0])
    said = set()
    while redis.client().xlen(KEY):
        try:
            publisher.step()
        except SinkError as error:
            said.add(str(error).partition(" (")[0])
            now[0] += 25
    sink.close()

    lines = read_topic(broker, "small", tmp_path / "out", count=5)
    assert [line["seq"] for line in lines if "seq" in line] == [1, 2, 4, 5]
    assert said == {"the broker refuses what it is sent: MSG_SIZE_TOO_LARGE"}
    assert [decode(raw).seq for _, raw in source.refused("0-0", 9)] == [3]


def test_topic_that_is_not_there_is_told(
    broker: Broker, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown topic is nobody's record: nothing is put aside, and the words say what helps."""
    monkeypatch.setattr(sink_kafka, "ANSWER_TIMEOUT_S", 2.0)
    fill(redis, 1, 3)
    source = RedisQueue(socket=str(redis.socket), key=KEY, timeout_s=10)

    with pytest.raises(SinkError, match="the broker knows no topic nobody-made-it; hint: create"):
        Publisher(source, KafkaSink(settings(broker, "nobody-made-it"))).step()
    assert (source.length(), source.refused_length()) == (3, 0)


def test_offline_publisher_is_small_and_quiet(tmp_path: Path, redis: Redis, broker: Broker) -> None:
    """With nobody to reach, no client is made: it takes little memory and says so once."""
    fill(redis, 1, 10)
    process = PublisherProcess(tmp_path, redis, broker, "telematics")
    config = tmp_path / "publish.json"
    values = json.loads(config.read_text()) | {"publish_servers": f"127.0.0.1:{free_port()}"}
    config.write_text(json.dumps(values))
    process.start()
    time.sleep(4)
    resident_mb = process.resident_mb()
    process.end()

    assert resident_mb < 20
    assert redis.client().xlen(KEY) == 10
