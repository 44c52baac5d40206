"""The writer: in order, complete and once, whatever queue and journal do."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from telematics.journal import Journal
from telematics.numbers import BLOCK, Numbers
from telematics.record import Gap, Identity
from telematics.writer import BATCH_MAX, Writer
from tests.contract_model import ModelDisk, ModelQueue, epoch, maker

STATE = Path("/state")


@dataclass
class Rig:
    """A writer among models; ``restart`` makes another on the same disk and queue."""

    queue: ModelQueue = field(default_factory=ModelQueue)
    disk: ModelDisk = field(default_factory=ModelDisk)
    pending_max: int = 10_000
    now: int = 0

    def __post_init__(self) -> None:
        """Start."""
        self.restart()

    def restart(self) -> None:
        """Start anew, as after a kill."""
        self.numbers = Numbers(self.disk, STATE / "numbers", make=lambda: "k3x9w2")
        identity = Identity(device="t", installation="k3x9w2", boot="1f0c9a")
        self.writer = Writer(
            self.queue, journal=Journal(self.disk, STATE), numbers=self.numbers,
            make=maker(identity), boot="1f0c9a", clock=lambda: self.now,
            pending_max=self.pending_max,
        )  # fmt: skip

    def put(self, *numbers: int) -> None:
        """Give epochs."""
        for number in numbers:
            self.writer.put(epoch(number))

    def step(self, now: int, *, final: bool = False) -> None:
        """Let the writer work."""
        self.now = now
        self.writer.step(now, final=final)

    def contents(self) -> list[int]:
        """Give the epochs in the queue, by the numbers they were made with."""
        return [int(each.alt or 0) for each in self.queue.records()]

    def seqs(self) -> list[int]:
        """Give the records' numbers."""
        return [each.seq for each in self.queue.records()]


def test_what_waits_is_one_batch() -> None:
    """All that came since the last step is written at once, as one transaction."""
    rig = Rig()
    rig.put(100, 900)

    rig.step(1000)

    assert (rig.contents(), rig.queue.batches) == ([100, 900], [2])


def test_batches_are_bounded() -> None:
    """A backlog goes out in batches of at most 500, at once, in order."""
    rig = Rig()
    rig.put(*range(1234))

    rig.step(10_000)

    assert rig.queue.batches == [BATCH_MAX, BATCH_MAX, 234]
    assert rig.contents() == list(range(1234))


@pytest.mark.parametrize("fault", ["reply lost", "refused"])
def test_one_fault_neither_loses_nor_repeats(fault: str) -> None:
    """A batch that failed before or after it was written stands in the queue once."""
    rig = Rig()
    rig.put(0)
    rig.step(2000)
    rig.queue.faults = [fault]
    rig.put(1, 2)
    for now in range(2001, 9000, 100):
        rig.step(now)

    assert rig.contents() == [0, 1, 2]
    assert rig.seqs() == [1, 2, 3]
    assert (rig.writer.recorded, rig.writer.waiting, rig.writer.spilling) == (3, 0, False)


@pytest.mark.parametrize("how", ["away", "full"])
def test_dead_or_full_queue_spills_and_is_drained_in_order(how: str) -> None:
    """Without the queue records are safe in the journal, and enter before all later ones."""
    rig = Rig()
    setattr(rig.queue, how, True)
    rig.put(*range(700))
    rig.step(1700)
    safe = (rig.writer.recorded, rig.writer.waiting, rig.writer.spilling)
    setattr(rig.queue, how, False)
    rig.put(700)
    for now in range(5000, 9000, 100):
        rig.step(now)

    assert safe == (700, 0, True)
    assert rig.contents() == list(range(701))
    assert rig.seqs() == list(range(1, 702))
    assert rig.disk.size(STATE / "spill.journal") == 0


def test_journal_outlives_the_service() -> None:
    """What was spilled by a run that was killed is drained first by the next one."""
    rig = Rig()
    rig.queue.away = True
    rig.put(0, 1)
    rig.step(2000)
    rig.restart()
    rig.queue.away = False
    rig.put(2)
    for now in range(2000, 9000, 100):
        rig.step(now)

    assert rig.contents() == [0, 1, 2]
    assert rig.seqs() == sorted(set(rig.seqs()))


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(40))
def test_any_order_of_faults_keeps_the_contract(seed: int) -> None:
    """Random faults between random epochs: each epoch once, in order, numbered without a gap."""
    chance = random.Random(seed)  # noqa: S311  # a reproducible test, no secret
    rig = Rig()
    number = 0
    for now in range(0, 60_000, 50):
        for _ in range(chance.choice([0, 0, 1, 3])):
            rig.put(number)
            number += 1
        if chance.random() < 0.1:
            rig.queue.faults.append(chance.choice(["reply lost", "refused"]))
        rig.step(now)
    rig.queue.faults = []
    for now in range(60_000, 70_000, 500):
        rig.step(now, final=True)

    assert rig.contents() == list(range(number))
    assert rig.seqs() == list(range(1, number + 1))


def test_nothing_takes_records_the_oldest_are_kept() -> None:
    """With queue and disk gone the oldest epochs stay in memory; the rest is told as lost."""
    rig = Rig(pending_max=10)
    rig.queue.away = rig.disk.full = True
    for number in range(15):
        rig.put(number)
    rig.step(20_000)
    rig.queue.away = rig.disk.full = False
    rig.step(30_000)
    rig.put(15)
    rig.step(40_000)

    assert rig.contents() == [*range(10), 15]
    assert rig.writer.dropped == 5
    assert rig.queue.records()[-1].gap == Gap(lost=5)
    assert rig.seqs()[-2:] == [10, 16]


def test_number_that_is_not_reserved_is_not_given() -> None:
    """If no block can be reserved the epochs wait, say so, and nothing could be given twice."""
    rig = Rig()
    rig.put(0)
    rig.step(1000)
    rig.disk.full = True
    rig.put(*range(1, BLOCK + 5))
    rig.step(9000)
    before = len(rig.queue.entries)
    problem = rig.numbers.problem
    rig.disk.full = False
    rig.step(20_000)

    assert (before, rig.contents()) == (BLOCK, list(range(BLOCK + 5)))
    assert "cannot be reserved" in problem
    assert rig.seqs() == list(range(1, BLOCK + 6))


def test_queue_that_forgot_is_reported() -> None:
    """A queue that comes back with an older end is told, and the numbers do not go back."""
    rig = Rig()
    rig.put(*range(5))
    rig.step(9000)
    rig.queue.entries, rig.queue.top, rig.queue.faults = [], (0, 0), ["refused"]
    rig.put(5)
    rig.step(9001)
    for now in range(10_000, 20_000, 100):
        rig.step(now)

    assert (rig.writer.vanished, rig.contents(), rig.seqs()) == (5, [5], [6])


def test_empty_queue_is_told_from_a_lost_one() -> None:
    """A mark outside the queue knows how far it was: a lost queue is told, a drained one not."""
    drained, lost = Rig(), Rig()
    for rig in (drained, lost):
        rig.put(*range(5))
        rig.step(9000, final=True)
    drained.queue.drop("5-0", drained.queue.entries[-1][1])
    lost.queue.entries, lost.queue.top = [], (0, 0)
    for rig in (drained, lost):
        rig.restart()
        rig.put(5)
        rig.step(9000)

    assert [(each.seq, each.gap) for each in drained.queue.records()] == [(6, None)]
    assert [(each.seq, each.gap) for each in lost.queue.records()] == [(6, Gap(lost=5))]


def test_failures_are_not_retried_in_a_rush() -> None:
    """A queue that is away is asked a few times in a second, not in a loop."""
    rig = Rig()
    rig.queue.away = True
    for now in range(10_000):
        rig.step(now)

    assert 5 <= rig.queue.asked <= 12


def test_numbers_of_a_lost_installation_do_not_collide() -> None:
    """If the numbers' file is gone, a new installation enters a queue that was further already."""
    rig = Rig()
    rig.put(*range(5))
    rig.step(9000)
    rig.disk.files.clear()
    rig.restart()
    rig.numbers._mark = rig.numbers.mark.__class__(installation="z9z9z9")
    identity = Identity(device="t", installation="z9z9z9", boot="1f0c9a")
    rig.writer._make = maker(identity)
    rig.put(5, 6)
    rig.step(9000)

    assert rig.contents() == list(range(7))
    assert [each[0] for each in rig.queue.entries] == sorted({e[0] for e in rig.queue.entries})
    assert [each.seq for each in rig.queue.records()[-2:]] == [1, 2]
