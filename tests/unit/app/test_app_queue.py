"""The writer of the queue: in order, complete and once, whatever the queue does."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from telematics.epoch import Epoch
from telematics.queue import BATCH_MAX, QueueError, Writer

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass
class FakeStream:
    """A queue in a list, which fails before or after it wrote, as ``faults`` says."""

    entries: list[tuple[int, bytes]] = field(default_factory=list)
    last: int = 0
    faults: list[str] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)

    def last_seq(self) -> int:
        """Answer, unless it is the turn of a fault."""
        if self.faults and self.faults[0] == "away":
            raise QueueError(self.faults.pop(0))
        return self.last

    def append(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Append all or nothing; ids must grow, as in a Stream."""
        fault = self.faults.pop(0) if self.faults else ""
        if fault in {"refused", "away"}:
            raise QueueError(fault)
        for seq, _ in records:
            if seq <= self.last:
                message = "id not greater"
                raise QueueError(message)
            self.last = seq
        self.entries += records
        self.batches.append(len(records))
        if fault == "reply lost":
            raise QueueError(fault)

    def length(self) -> int:
        """Count."""
        return len(self.entries)


def epoch(number: int) -> Epoch:
    """Make an epoch whose latitude tells its number."""
    return Epoch(
        device="a", mono=number, time=None, mode=3, time_ok=False, lat=float(number), lon=0.0,
        alt_msl=None, speed=None, track=None, climb=None, eph=None, eps=None,
    )  # fmt: skip


def writer(stream: FakeStream, *, pending_max: int = 10_000) -> Writer:
    """Make a writer whose payload is the epoch's number."""
    return Writer(
        stream,
        encode=lambda made, _: str(int(made.mono)).encode(),
        batch_ms=1000,
        pending_max=pending_max,
    )


def contents(stream: FakeStream) -> list[int]:
    """Give the numbers of the epochs in the queue."""
    return [int(raw) for _, raw in stream.entries]


def test_numbers_continue_from_the_queue() -> None:
    """A new run goes on after the last id, even of a queue that was trimmed to nothing."""
    stream = FakeStream(last=41)
    made = writer(stream)
    made.put(epoch(0))

    made.step(5000)

    assert stream.entries == [(42, b"0")]


def test_batch_waits_no_longer_than_allowed() -> None:
    """Nothing is written before the batch is due, all of it then."""
    stream = FakeStream()
    made = writer(stream)
    made.put(epoch(100))
    made.put(epoch(900))

    made.step(1099)
    before = len(stream.entries)
    made.step(1100)

    assert (before, len(stream.entries), stream.batches) == (0, 2, [2])


def test_batches_are_bounded() -> None:
    """A backlog goes out in batches of at most 500, at once, in order."""
    stream = FakeStream()
    made = writer(stream)
    for number in range(1234):
        made.put(epoch(number))

    made.step(10_000)

    assert stream.batches == [BATCH_MAX, BATCH_MAX, 234]
    assert contents(stream) == list(range(1234))


@pytest.mark.parametrize("fault", ["reply lost", "refused", "away"])
def test_one_fault_neither_loses_nor_repeats(fault: str) -> None:
    """A batch that failed before or after it was written stands in the queue once."""
    stream = FakeStream(faults=[])
    made = writer(stream)
    made.put(epoch(0))
    made.step(2000)
    stream.faults = [fault]
    made.put(epoch(1))
    made.put(epoch(2))

    for now in range(2000, 9000, 100):
        made.step(now)

    assert stream.entries == [(1, b"0"), (2, b"1"), (3, b"2")]
    assert (made.recorded, made.waiting) == (3, 0)


@pytest.mark.parametrize("seed", range(200))
def test_any_order_of_faults_keeps_the_contract(seed: int) -> None:
    """Random faults between random epochs: each epoch once, in order, numbered without a gap."""
    chance = random.Random(seed)  # noqa: S311  # a reproducible test, no secret
    stream = FakeStream(last=chance.choice([0, 7]))
    first = stream.last + 1
    made = writer(stream)
    number = 0
    for now in range(0, 60_000, 50):
        for _ in range(chance.choice([0, 0, 1, 3])):
            made.put(epoch(number))
            number += 1
        if chance.random() < 0.1:
            stream.faults.append(chance.choice(["reply lost", "refused", "away"]))
        made.step(now)
    stream.faults = []
    for now in range(60_000, 70_000, 500):
        made.step(now, final=True)

    assert contents(stream) == list(range(number))
    assert [seq for seq, _ in stream.entries] == list(range(first, first + number))


def test_full_memory_keeps_the_oldest_and_counts() -> None:
    """With the queue away for too long the oldest epochs stay, the rest is counted."""
    stream = FakeStream(faults=["away"] * 1000)
    made = writer(stream, pending_max=10)
    for number in range(15):
        made.put(epoch(number))
    made.step(20_000)
    stream.faults = []

    made.step(30_000)

    assert contents(stream) == list(range(10))
    assert made.dropped == 5


def test_queue_that_forgot_is_reported() -> None:
    """A queue that comes back with an older end is told, and the numbers do not go back."""
    stream = FakeStream()
    made = writer(stream)
    for number in range(5):
        made.put(epoch(number))
    made.step(9000)
    stream.entries, stream.last, stream.faults = [], 0, ["refused"]
    made.put(epoch(5))
    made.step(9001)
    made.step(20_000)

    assert (made.vanished, stream.entries) == (5, [(6, b"5")])


def test_failures_are_not_retried_in_a_rush() -> None:
    """A queue that is away is asked a few times in a second, not in a loop."""
    stream = FakeStream(faults=["away"] * 1000)
    made = writer(stream)
    for now in range(10_000):
        made.step(now)

    assert 5 <= 1000 - len(stream.faults) <= 12
