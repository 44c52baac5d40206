"""What another process says, whatever it is, ends in an answer or in the one error of its caller.

Fixed seeds: each run says the same. What is said is made of pieces of true answers, cut, repeated
and mixed with nonsense, which goes deeper than noise does.
"""

from __future__ import annotations

import json
import random
import socket
import threading
from collections import deque
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from telematics import resp
from telematics.gpsd import Tpv
from telematics.journal import Journal
from telematics.listener import Listener
from telematics.numbers import Numbers
from telematics.queue import QueueError, RedisQueue
from telematics.record import Identity, RecordError, _crc, decode, whole
from telematics.writer import Writer
from tests.contract_model import ModelDisk, epoch, maker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STATE = Path("/state")
IDENTITY = Identity(device="t", installation="k3x9w2", boot="1f0c9a")
RAW = maker(IDENTITY)(epoch(7), 7, 1, None).encode()
ENTRY = b"*2\r\n$3\r\n7-0\r\n*2\r\n$1\r\nr\r\n$%d\r\n%b\r\n" % (len(RAW), RAW)
INFO = b"*4\r\n$17\r\nlast-generated-id\r\n$3\r\n7-0\r\n$10\r\nlast-entry\r\n" + ENTRY
DEEP = b"*1\r\n" * 1000
NONSENSE = (
    b":x\r\n", b"+OK\r\n", b":7\r\n", b"$-1\r\n", b"*-1\r\n", b"*0\r\n", b"$5\r\nhello\r\n",
    b"*-2\r\n", b"$-7\r\nabc\r\n", b"$99999999999999\r\n", b"*99999999999\r\n", b"?\r\n", b"\r\n",
    b"*4\r\n$17\r\nlast-generated-id\r\n:7\r\n$10\r\nlast-entry\r\n*-1\r\n", b"*1\r\n$1\r\nx\r\n",
    b"*4\r\n$17\r\nlast-generated-id\r\n$3\r\nx-y\r\n$10\r\nlast-entry\r\n*-1\r\n",
    b"*4\r\n$17\r\nlast-generated-id\r\n$3\r\n7-0\r\n$10\r\nlast-entry\r\n:1\r\n",
    b"*1\r\n+OK\r\n", DEEP, b"x" * 70_000,
    b"-ERR no\x1b[2J\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b":" + b"9" * 5000 + b"\r\n",
)  # fmt: skip


class Impostor:
    """A socket where a Redis is expected; it answers each request with the next of its answers."""

    def __init__(self, path: Path) -> None:
        """Listen."""
        self.answers: deque[bytes] = deque()
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(str(path))
        self._server.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                link, _ = self._server.accept()
                with link, suppress(OSError):
                    while link.recv(1 << 16):
                        answer = self.answers.popleft() if self.answers else b"+OK\r\n"
                        link.sendall(answer)
                        if not answer.endswith(b"\r\n"):
                            break  # it would be waited for

    def close(self) -> None:
        """Go away."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


@pytest.fixture
def impostor(tmp_path: Path) -> Iterator[Impostor]:
    """Give what plays a Redis on ``tmp_path / 's'``."""
    made = Impostor(tmp_path / "s")
    yield made
    made.close()


def hostile(chance: random.Random) -> bytes:
    """Make an answer: true ones, cut, mixed and with bytes changed."""
    pieces = [chance.choice([*NONSENSE, INFO, ENTRY, RAW]) for _ in range(chance.randint(1, 3))]
    said = bytearray(b"".join(pieces))
    for _ in range(chance.choice([0, 0, 1, 3])):
        said[chance.randrange(len(said))] = chance.choice(b"*$:+-\r\n0129 \xff")
    return bytes(said[: chance.randint(1, len(said))] if chance.random() < 0.5 else said)


NOTHING = type(None)
KINDS = (
    bytes, bytes, int, list, NOTHING, NOTHING, NOTHING, NOTHING, list, int, int, int, NOTHING,
    NOTHING,
)  # fmt: skip


def asks(queue: RedisQueue) -> tuple[Callable[[], object], ...]:
    """Give everything that is ever asked of a queue."""
    return (
        queue.newest, queue.sent, queue.length, lambda: queue.read("0-0", 10),
        lambda: queue.append([(8, RAW)]), lambda: queue.append([(8, RAW), (9, RAW)]),
        lambda: queue.drop("7-0", RAW), lambda: queue.put_aside("7-0", RAW),
        lambda: queue.refused("0-0", 10), queue.refused_length, queue.silent_starts,
        queue.begin_start, queue.heard, lambda: queue.taken_at_last("7-0"),
    )  # fmt: skip


@pytest.mark.thorough
def test_whatever_answers_for_the_queue_is_an_answer_or_a_queue_error(
    impostor: Impostor, tmp_path: Path
) -> None:
    """Each of the questions, 3,000 hostile answers: a value of its kind, or QueueError."""
    chance = random.Random(18)  # noqa: S311  the same in each run
    queue = RedisQueue(socket=str(tmp_path / "s"), key="q", timeout_s=0.005)
    refused = 0
    for number in range(3000):
        impostor.answers = deque(hostile(chance) for _ in range(4))
        try:
            answer = asks(queue)[number % len(KINDS)]()
        except QueueError:
            refused += 1
        else:
            assert isinstance(answer, KINDS[number % len(KINDS)])

    assert refused > 1000


@pytest.mark.parametrize("answer", [*NONSENSE[:-3], NONSENSE[-2]])
def test_nonsense_is_never_an_acknowledgement(
    impostor: Impostor, tmp_path: Path, answer: bytes
) -> None:
    """Only the ids of the batch say that it stands on the medium."""
    queue = RedisQueue(socket=str(tmp_path / "s"), key="q", timeout_s=0.05)
    impostor.answers = deque([answer] * 8)

    with pytest.raises(QueueError):
        queue.append([(8, RAW)])
    with pytest.raises(QueueError):
        queue.append([(8, RAW), (9, RAW)])


@pytest.mark.parametrize("answer", NONSENSE)
def test_nonsense_for_a_queue_spills_as_a_missing_one_does(
    impostor: Impostor, tmp_path: Path, answer: bytes
) -> None:
    """Whatever the socket belongs to, records are on the medium, and the reason is told."""
    disk = ModelDisk()
    numbers = Numbers(disk, STATE / "numbers")
    writer = Writer(
        RedisQueue(socket=str(tmp_path / "s"), key="q", timeout_s=0.05),
        journal=Journal(disk, STATE), numbers=numbers, make=maker(IDENTITY), boot="1f0c9a",
        clock=lambda: 0,
    )  # fmt: skip
    impostor.answers = deque([answer] * 50)
    for number in range(1, 21):
        writer.put(epoch(number))
        writer.step(number * 1000)

    assert (writer.waiting, writer.spilled, writer.dropped) == (0, 20, 0)
    assert writer.problem.startswith("the queue does not take records")


def test_dripping_answer_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte now and then keeps nobody: there is a time for the whole answer."""
    now = [0.0]
    monkeypatch.setattr(resp, "monotonic", lambda: now[0])
    path, stop = tmp_path / "s", threading.Event()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
        server.listen()

        def drip() -> None:
            link, _ = server.accept()
            with link, suppress(OSError):
                while not stop.is_set():
                    link.send(b"+")
                    now[0] += 0.5

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(QueueError, match=r"does not end|no reply"):
            RedisQueue(socket=str(path), key="q", timeout_s=5).length()
        stop.set()
        thread.join()


VALUES: tuple[object, ...] = (
    None, True, 0, -1, 1 << 70, 1e308, -0.0, float("nan"), float("inf"), "", "x",
    "\ud800", "\x1b[2J", [], [[]], {}, {"a": 1}, "2026-05-04T00:00:00Z", 3, 52.5,
    "0001-01-01T00:00:00+23:59", "9999-12-31",
)  # fmt: skip
NAMES = (
    "class",
    "device",
    "mode",
    "time",
    "lat",
    "lon",
    "altMSL",
    "speed",
    "track",
    "climb",
    "eph",
    "eps",
    "devices",
    "path",
    "activated",
    "satellites",
    "used",
    "enable",
    "message",
)
CLASSES = ("TPV", "SKY", "WATCH", "DEVICES", "DEVICE", "ERROR", "VERSION", "GST", "NEW")


@contextmanager
def unconnected() -> Iterator[Listener]:
    """Give a listener whose lines come from the test."""
    listener = Listener("", 0, clock=lambda: 0)
    yield listener
    listener.close()


def spoken(chance: random.Random) -> bytes:
    """Make a line as gpsd might, with a value or two that nobody would."""
    report = {name: chance.choice(VALUES) for name in chance.sample(NAMES, chance.randint(0, 9))}
    if chance.random() < 0.8:
        report["class"] = chance.choice(CLASSES)
    if chance.random() < 0.2:
        report["devices"] = report["satellites"] = [report.copy(), chance.choice(VALUES), [[]]]
    line = bytearray(json.dumps(report).encode())
    for _ in range(chance.choice([0, 0, 0, 1, 5])):
        line[chance.randrange(len(line))] = chance.choice(b'{}[]",:\\0\xff')
    return bytes(line)


@pytest.mark.thorough
def test_whatever_gpsd_says_is_a_report_or_nothing() -> None:
    """20,000 lines of odd values, broken and nested ones: each report has values of its kinds."""
    chance = random.Random(18)  # noqa: S311
    with unconnected() as listener:
        for _ in range(20_000):
            listener._take(spoken(chance), 5)
        for opening in (b"[", b'{"class":', b'{"a":[{'):
            listener._take(opening * 20_000, 5)
        reports = list(listener.reports)

    assert len(reports) > 1000
    assert listener.garbled > 1000
    for report in reports:
        assert isinstance(report.device, str)
        assert report.mode in range(4)
        assert report.time is None or type(report.time) is int
        assert all(value is None or type(value) is float for value in report[4:])
        assert isinstance(report, Tpv)
    assert all(isinstance(path, str) for path in listener.devices)


def test_record_of_a_stranger_is_none() -> None:
    """Anybody can make a checksum fit: values of another kind, or nested ones, are no record."""
    chance = random.Random(18)  # noqa: S311
    for _ in range(3000):
        values: list[object] = json.loads(RAW)
        for _ in range(chance.randint(1, 4)):
            values[chance.randrange(2, len(values))] = chance.choice(VALUES)
        body = json.dumps(values[2:], separators=(",", ":")).encode()[1:]
        raw = b'[1,"' + _crc(body) + b'",' + body
        assert whole(raw)
        with suppress(RecordError):
            assert type(decode(raw).seq) is int
    deep = b"[" * 5000 + b"]" * 5001
    with pytest.raises(RecordError):
        decode(b'[1,"' + _crc(deep) + b'",' + deep)
