"""Honest models of what the contract stands on: a disk, a queue and a receiver that fail.

Each keeps apart what was promised (flushed, answered) and what was only asked for, and loses the
latter when the power goes. The real ones are used by tests/service; these are for thousands of
faults in a second.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from telematics.epoch import Epoch
from telematics.queue import QueueError, RedisQueue
from telematics.record import Record, decode
from telematics.sink import Sent, SinkError
from tests.judge import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from telematics.record import Gap, Identity
    from telematics.resp import Client


class PowerLostError(Exception):
    """The power went in the middle of a write; nobody catches this but the test."""


@dataclass
class ModelDisk:
    """Files in memory; ``full`` and ``failing`` refuse; ``cut_at``: power goes there in a write."""

    files: dict[Path, bytes] = field(default_factory=dict)
    full: bool = False
    failing: bool = False
    cut_at: int | None = None
    writes: int = 0

    def read(self, path: Path) -> bytes | None:
        """See Disk."""
        if self.failing:
            raise OSError(errno.EIO, "input/output error")
        return self.files.get(path)

    def read_at(self, path: Path, offset: int, size: int) -> bytes:
        """See Disk."""
        if self.failing:
            raise OSError(errno.EIO, "input/output error")
        return self.files.get(path, b"")[offset : offset + size]

    def size(self, path: Path) -> int:
        """See Disk."""
        return len(self.files.get(path, b""))

    def write(self, path: Path, content: bytes) -> None:
        """See Disk: it is renamed into place, so a cut leaves the old content."""
        self._ready()
        if self.cut_at is not None:
            self.cut_at = None
            raise PowerLostError
        self.files[path] = content

    def append(self, path: Path, content: bytes) -> None:
        """See Disk; a refusal leaves a part of the content behind, as the kernel may."""
        before = self.files.get(path, b"")
        if self.full:
            self.files[path] = before + content[: len(content) // 2]
        self._ready()
        if self.cut_at is not None:
            kept = content[: self.cut_at]
            # A torn end may be zeros: the size was written, the data was not.
            self.files[path] = before + kept + b"\0" * (self.cut_at % 7)
            self.cut_at = None
            raise PowerLostError
        self.files[path] = before + content

    def truncate(self, path: Path, size: int) -> None:
        """See Disk."""
        self._ready(needs_room=False)
        self.files[path] = self.files.get(path, b"")[:size]

    def remove(self, path: Path) -> None:
        """See Disk."""
        self._ready(needs_room=False)
        self.files.pop(path, None)

    def _ready(self, *, needs_room: bool = True) -> None:
        self.writes += 1
        if self.failing:
            raise OSError(errno.EIO, "input/output error")
        if self.full and needs_room:
            raise OSError(errno.ENOSPC, "no space left on device")


@dataclass
class ModelQueue:
    """A queue in a list, for the writer and the publisher; each fault is used up by one call.

    ``refused``: nothing happened. ``reply lost``: it happened and nobody was told.
    """

    entries: list[tuple[tuple[int, int], bytes]] = field(default_factory=list)
    top: tuple[int, int] = (0, 0)
    last_sent: bytes = b""
    aside: list[bytes] = field(default_factory=list)  # the place stays, empty, once it is taken
    ever_aside: list[bytes] = field(default_factory=list)
    away: bool = False
    full: bool = False
    faults: list[str] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    asked: int = 0
    generation: int = 0

    def newest(self) -> bytes:
        """See Queue."""
        self._answer()
        return self.entries[-1][1] if self.entries else self.last_sent

    def append(self, records: Sequence[tuple[int, bytes]]) -> None:
        """See Queue; ids must grow, as in Redis."""
        fault = self._answer()
        if self.full:
            raise QueueError("OOM command not allowed when used memory > 'maxmemory'")
        self.take(records)
        if fault:
            raise QueueError(fault)

    def take(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Have records, whose ids grow as in Redis."""
        for seq, raw in records:
            ident = (seq, 0) if seq > self.top[0] else (self.top[0], self.top[1] + 1)
            self.top = ident
            self.entries.append((ident, raw))
        self.batches.append(len(records))

    def length(self) -> int:
        """See Queue."""
        self._answer()
        return len(self.entries)

    def sent(self) -> bytes:
        """See Backlog."""
        self._answer()
        return self.last_sent

    def read(self, after: str, count: int) -> list[tuple[str, bytes]]:
        """See Backlog."""
        self._answer()
        low = tuple(int(part) for part in after.split("-"))
        found = [(ident, raw) for ident, raw in self.entries if ident > low][:count]
        return [(f"{ms}-{sub}", raw) for (ms, sub), raw in found]

    def drop(self, ident: str, raw: bytes) -> None:
        """See Backlog."""
        fault = self._answer()
        high = tuple(int(part) for part in ident.split("-"))
        self.entries = [each for each in self.entries if each[0] > high]
        self.last_sent = raw
        if fault:
            raise QueueError(fault)

    def put_aside(self, ident: str, raw: bytes) -> None:
        """See Backlog: kept first, then dropped."""
        self._answer()
        self.aside.append(raw)
        self.ever_aside.append(raw)
        self.drop(ident, raw)

    def refused(self, after: str, count: int) -> list[tuple[str, bytes]]:
        """See Backlog."""
        self._answer()
        first = int(after.partition("-")[0])
        found = [(f"{n}-0", raw) for n, raw in enumerate(self.aside, start=1) if raw and n > first]
        return found[:count]

    def refused_length(self) -> int:
        """See Backlog."""
        self._answer()
        return sum(map(bool, self.aside))

    def taken_at_last(self, ident: str) -> None:
        """See Backlog."""
        self._answer()
        self.aside[int(ident.partition("-")[0]) - 1] = b""

    def restart(self, *, losing: int = 0, everything: bool = False) -> list[bytes]:
        """Start anew, without the last records or without all; give what the medium destroyed."""
        self.generation += 1
        keep = 0 if everything else max(0, len(self.entries) - losing)
        gone = [raw for _, raw in self.entries[keep:]]
        self.entries = self.entries[:keep]
        if everything:
            self.last_sent = b""
            gone += [raw for raw in self.aside if raw]
            self.aside.clear()
        sent = (decode(self.last_sent).seq, 0) if self.last_sent else (0, 0)
        if gone or everything:
            self.top = self.entries[-1][0] if self.entries else sent
        return gone

    def records(self) -> list[Record]:
        """Give what stands there, for a test."""
        return [decode(raw) for _, raw in self.entries]

    def _answer(self) -> str:
        self.asked += 1
        if self.away:
            raise QueueError("connection refused")
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "refused":
            raise QueueError(fault)
        return fault


@dataclass
class Connection:
    """One process's connection to a queue: a restart of the queue breaks it once."""

    queue: ModelQueue
    _generation: int = -1

    def newest(self) -> bytes:
        """See Queue."""
        return self._whole().newest()

    def append(self, records: Sequence[tuple[int, bytes]]) -> None:
        """See Queue."""
        self._whole().append(records)

    def length(self) -> int:
        """See Queue."""
        return self._whole().length()

    def sent(self) -> bytes:
        """See Backlog."""
        return self._whole().sent()

    def read(self, after: str, count: int) -> list[tuple[str, bytes]]:
        """See Backlog."""
        return self._whole().read(after, count)

    def drop(self, ident: str, raw: bytes) -> None:
        """See Backlog."""
        self._whole().drop(ident, raw)

    def put_aside(self, ident: str, raw: bytes) -> None:
        """See Backlog."""
        self._whole().put_aside(ident, raw)

    def refused(self, after: str, count: int) -> list[tuple[str, bytes]]:
        """See Backlog."""
        return self._whole().refused(after, count)

    def refused_length(self) -> int:
        """See Backlog."""
        return self._whole().refused_length()

    def taken_at_last(self, ident: str) -> None:
        """See Backlog."""
        self._whole().taken_at_last(ident)

    def _whole(self) -> ModelQueue:
        known, self._generation = self._generation, self.queue.generation
        if known not in (-1, self.queue.generation):
            raise QueueError("connection lost")
        return self.queue


# What no Redis says, each in place of an answer.
NONSENSE = (
    b":x\r\n", b"+OK\r\n", b"$-1\r\n", b"*0\r\n", b"*1\r\n" * 1000, b"*2\r\n+OK\r\n:1\r\n",
    b"?\r\n", b"*4\r\n$17\r\nlast-generated-id\r\n:7\r\n$10\r\nlast-entry\r\n*-1\r\n",
    b"$9\r\nshort\r\n",
)  # fmt: skip


@dataclass
class Wire:
    """A socket with a ModelQueue behind it that speaks as a Redis does, as far as a writer asks.

    Its fault ``nonsense`` says something else once, after it did what it was asked for;
    ``deaf`` does nothing and says something else.
    """

    queue: ModelQueue
    said: bytes = b""
    _generation: int = -1
    _batch: list[tuple[int, bytes]] | None = None
    _oom: bool = False

    def sendall(self, request: bytes) -> None:
        """Take one or more commands, and have their answers ready."""
        known, self._generation = self._generation, self.queue.generation
        if known not in (-1, self.queue.generation):
            raise ConnectionResetError
        if self.queue.away:
            raise ConnectionRefusedError
        fault = self.queue.faults.pop(0) if self.queue.faults else ""
        nonsense = NONSENSE[self.queue.asked % len(NONSENSE)]
        self.queue.asked += 1
        if fault == "deaf":
            self.said = nonsense
            return
        if fault == "refused":
            self.said = b"-ERR refused\r\n" * request.count(b"*")
            return
        self.said = b"".join(self._does(words) for words in _commands(request))
        if fault:
            self.said = nonsense if fault == "nonsense" else b""

    def recv(self, size: int) -> bytes:
        """Give what was answered; a lost answer is not waited for."""
        if not self.said:
            raise TimeoutError
        chunk, self.said = self.said[:size], self.said[size:]
        return chunk

    def close(self) -> None:
        """Hang up."""
        self._batch, self._oom, self.said = None, False, b""

    def _does(self, words: list[bytes]) -> bytes:
        match words[0]:
            case b"XINFO":
                return self._facts()
            case b"GET":
                return _bulk(self.queue.last_sent) if self.queue.last_sent else b"$-1\r\n"
            case b"XLEN":
                return b":%d\r\n" % len(self.queue.entries)
            case b"MULTI":
                self._batch = []
                return b"+OK\r\n"
            case b"EXEC":
                return self._ends()
        assert words[0] == b"XADD"
        return self._add(int(words[2].partition(b"-")[0]), words[4])

    def _facts(self) -> bytes:
        if self.queue.top == (0, 0):
            return b"-ERR no such key\r\n"
        last = b"*-1\r\n"
        if self.queue.entries:
            ident, raw = self.queue.entries[-1]
            fields = b"*2\r\n" + _bulk(b"r") + _bulk(raw)
            last = b"*2\r\n" + _bulk(b"%d-%d" % ident) + fields
        top = _bulk(b"last-generated-id") + _bulk(b"%d-%d" % self.queue.top)
        return b"*4\r\n" + top + _bulk(b"last-entry") + last

    def _ends(self) -> bytes:
        batch, self._batch = self._batch or [], None
        if self._oom:
            self._oom = False
            return b"-EXECABORT Transaction discarded\r\n"
        return b"*%d\r\n" % len(batch) + b"".join(self._adds([each]) for each in batch)

    def _add(self, seq: int, raw: bytes) -> bytes:
        if self.queue.full:
            self._oom = self._batch is not None
            return b"-OOM command not allowed when used memory > 'maxmemory'\r\n"
        if self._batch is None:
            return self._adds([(seq, raw)])
        self._batch.append((seq, raw))
        return b"+QUEUED\r\n"

    def _adds(self, records: list[tuple[int, bytes]]) -> bytes:
        self.queue.take(records)
        return _bulk(b"%d-%d" % self.queue.top)


def spoken_to(queue: ModelQueue) -> RedisQueue:
    """Give the real client of a queue, and behind it a model that speaks Redis's protocol."""
    client = RedisQueue(socket="", key="q")
    wire = Wire(queue)
    client._client._connected = lambda: wire  # type: ignore[method-assign,assignment,return-value]  # the socket alone is a model
    client._client.close = lambda: _hang_up(client._client, wire)  # type: ignore[method-assign]
    return client


def _hang_up(client: Client, wire: Wire) -> None:
    client._buffer, client._at = b"", 0
    wire.close()


def _bulk(content: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(content), content)


def _commands(request: bytes) -> Iterator[list[bytes]]:
    while request:
        head, _, request = request.partition(b"\r\n")
        words = []
        for _ in range(int(head[1:])):
            size, _, request = request.partition(b"\r\n")
            words.append(request[: int(size[1:])])
            request = request[int(size[1:]) + 2 :]
        yield words


@dataclass
class ModelSink:
    """A receiver behind a broker: the judge's ledger and its lines.

    ``faults``: ``lost ack`` takes all and says nothing; ``partial`` takes half and says so;
    ``half told`` takes all and acknowledges half; ``refused`` takes nothing, for no reason that a
    record has. ``unwanted``: what has one of these numbers in it is refused as a whole.
    """

    largest = 2000

    ledger: Ledger = field(default_factory=Ledger)
    lines: list[dict[str, object]] = field(default_factory=list)
    away: bool = False
    faults: list[str] = field(default_factory=list)
    closed: int = 0
    unwanted: set[int] = field(default_factory=set)
    sizes: list[int] = field(default_factory=list)

    def open(self) -> None:
        """See Sink."""
        if self.away:
            raise SinkError("no broker")

    def send(self, records: Sequence[tuple[str, bytes]]) -> Sent:
        """See Sink."""
        self.sizes.append(len(records))
        if self.unwanted and {decode(raw).seq for _, raw in records} & self.unwanted:
            return Sent(0, "unwanted", refused=True)
        fault = self.faults.pop(0) if self.faults else ""
        half = len(records) // 2
        taken, told = {
            "lost ack": (len(records), 0),
            "partial": (half, half),
            "half told": (len(records), half),
            "refused": (0, 0),
        }.get(fault, (len(records), len(records)))
        for _, raw in records[:taken]:
            self.lines += self.ledger.take(raw)
        return Sent(told, "" if told == len(records) else "no answer")

    def live(self, device: str, raw: bytes) -> None:
        """See Sink."""

    def close(self) -> None:
        """See Sink."""
        self.closed += 1

    def received(self) -> list[dict[str, object]]:
        """Give the records, without the gaps."""
        return [line for line in self.lines if "seq" in line]

    def gaps(self) -> list[dict[str, object]]:
        """Give the gaps."""
        return [line["gap"] for line in self.lines if "from" in str(line.get("gap"))]  # type: ignore[misc]  # a gap line holds an object


def epoch(number: int, *, mono: int | None = None, time: int | None = None) -> Epoch:
    """Make an epoch whose altitude tells its number."""
    return Epoch(
        device="a", mono=number if mono is None else mono, time=time, mode=3, time_ok=False,
        lat=1.0, lon=2.0, alt_msl=float(number), speed=None, track=None, climb=None, eph=None,
        eps=None,
    )  # fmt: skip


def maker(identity: Identity) -> Callable[[Epoch, int, int, Gap | None], Record]:
    """Give what makes records of an identity."""

    def make(made: Epoch, seq: int, trip: int, gap: Gap | None) -> Record:
        return Record(
            identity=identity, seq=seq, trip=trip, gap=gap, time=made.time, mono=made.mono,
            lat=made.lat or 0.0, lon=made.lon or 0.0, mode=made.mode, time_ok=made.time_ok,
            alt=made.alt_msl,
        )  # fmt: skip

    return make
