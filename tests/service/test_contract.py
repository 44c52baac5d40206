"""The contract against random histories: whatever fails and when, nothing acknowledged is lost.

The recorder, the journal, the numbers, the publisher and the receiver are the real ones; disk,
queue and broker are honest models (tests/contract_model.py), so that thousands of faults fit into
a minute. A failing history is shrunk by hypothesis to the few steps that matter, and printed with
what it takes to run it again.
"""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from telematics import numbers, publish, writer
from telematics.journal import NAME, Journal
from telematics.numbers import Numbers
from telematics.publish import Publisher
from telematics.queue import QueueError
from telematics.record import Identity, decode, records_in, whole
from telematics.sink import SinkError
from telematics.writer import Writer
from tests.contract_model import (
    Connection,
    ModelDisk,
    ModelQueue,
    ModelSink,
    PowerLostError,
    epoch,
    maker,
    spoken_to,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from telematics.writer import _Made

STATE = Path("/state")
W_MS = 2000
# After a disk refused, the journal is tried again at most this much later.
RETRY_MS = 2000
YEAR_MS = 365 * 86_400_000
FAULT_POINTS = 1000

counted: Counter[str] = Counter()


class Recorder(Writer):
    """The real writer; it tells the test what it acknowledges, and when."""

    acknowledged: dict[int, tuple[str, int]]

    def _acknowledged(self, written: Sequence[_Made]) -> None:
        super()._acknowledged(written)
        for each in written:
            found = decode(each.raw)
            self.acknowledged[int(found.alt or 0)] = (found.identity.installation, found.seq)


class Histories(RuleBasedStateMachine):
    """A vehicle, and everything that can happen to it."""

    def __init__(self) -> None:
        """Begin with a card that was just flashed."""
        super().__init__()
        self.now = 1_000
        self.boot = 0
        self.number = 0
        self.clock_error = 0
        self.disk, self.queue, self.sink = ModelDisk(), ModelQueue(), ModelSink()
        self.acknowledged: dict[int, tuple[str, int]] = {}
        self.destroyed: set[int] = set()
        self.disk_bad_at = -10_000
        self.queue_was_lost = False
        self.first_sent: int | None = None
        self.recorder: Recorder | None = None
        self.publisher: Publisher | None = None
        self.start_recorder()
        self.publisher = Publisher(Connection(self.queue), self.sink)

    # What goes on

    @rule(seconds=st.integers(1, 8), hz=st.sampled_from([1, 10]))
    def drive(self, seconds: int, hz: int) -> None:
        """Tell positions, whether anybody listens or not."""
        for _ in range(seconds * hz):
            self.now += 1000 // hz
            self.number += 1
            if self.recorder is not None:
                time = 1_777_000_000_000 + self.now + self.clock_error
                self.recorder.put(epoch(self.number, mono=self.now, time=time))
            self.step()
        self.in_time()

    @rule(pace_ms=st.integers(30, 900))
    def stand(self, pace_ms: int) -> None:
        """Tell nothing for a while; time goes on at an odd pace, so deadlines meet by chance."""
        for _ in range(4):
            self.now += pace_ms
            self.step()
        self.in_time()

    @rule()
    def publish(self) -> None:
        """Let the publisher do what it can."""
        if self.publisher is None:
            clock = lambda: self.now / 1000  # noqa: E731  a word for the time of the history
            self.publisher = Publisher(Connection(self.queue), self.sink, clock=clock)
        try:
            self.publisher.again()
            while self.publisher.step():
                if self.first_sent is None and self.queue.last_sent:
                    self.first_sent = decode(self.queue.last_sent).seq
        except (SinkError, QueueError):
            pass

    @rule()
    def start_recorder(self) -> None:
        """Start the recorder if it does not run, as the service manager does."""
        if self.recorder is not None:
            return
        try:
            given = Numbers(self.disk, STATE / "numbers")
            journal = Journal(self.disk, STATE)
        except OSError:
            return  # it is started again and again
        except PowerLostError:
            self.power_goes()
            return
        boot = f"{self.boot:06x}"
        identity = Identity(device="t", installation=given.installation, boot=boot)
        self.recorder = Recorder(
            spoken_to(self.queue), journal=journal, numbers=given, make=maker(identity),
            boot=boot, clock=lambda: self.now, pending_max=200,
        )  # fmt: skip
        self.recorder.acknowledged = self.acknowledged

    @rule()
    def stop_recorder(self) -> None:
        """Stop the recorder, which writes what it has."""
        self.step(final=True)
        self.recorder = None

    # What fails

    @rule()
    def kill_recorder(self) -> None:
        """SIGKILL."""
        self.fault("recorder killed")
        self.recorder = None

    @rule()
    def kill_publisher(self) -> None:
        """SIGKILL."""
        self.fault("publisher killed")
        self.publisher = None

    @rule(cut_at=st.integers(0, 400))
    def power_cut(self, cut_at: int) -> None:
        """Cut the power in the middle of the next write, or after it."""
        self.fault("power cut")
        self.disk.cut_at = cut_at
        self.drive(2, 1)
        if self.disk.cut_at is not None:
            self.disk.cut_at = None
            self.power_goes()

    @rule()
    def queue_away(self) -> None:
        """Redis dies and does not come back soon."""
        self.fault("queue away")
        self.queue.away = True

    @rule()
    def queue_full(self) -> None:
        """Redis is at its memory limit."""
        self.fault("queue full")
        self.queue.full = True

    @rule()
    def queue_killed(self) -> None:
        """Redis dies and starts again with all it had."""
        self.fault("queue killed")
        self.queue.restart()

    @rule(what=st.sampled_from(["refused", "reply lost", "nonsense", "nonsense", "deaf", "deaf"]))
    def queue_stumbles(self, what: str) -> None:
        """One call fails, before or after it did its work, or says what no Redis says."""
        self.fault(f"queue: {what}")
        self.queue.faults.append(what)

    @rule()
    def queue_back(self) -> None:
        """Redis answers and has room."""
        self.queue.away = self.queue.full = False

    @rule()
    def disk_full(self) -> None:
        """No room on the card."""
        self.fault("disk full")
        self.disk.full = True

    @rule()
    def disk_fails(self) -> None:
        """Let the card answer with errors."""
        self.fault("disk fails")
        self.disk.failing = True

    @rule()
    def disk_well(self) -> None:
        """Let the card work again."""
        self.disk.full = self.disk.failing = False

    @rule()
    def receiver_away(self) -> None:
        """No network, or no broker."""
        self.fault("broker away")
        self.sink.away = True

    @rule()
    def receiver_back(self) -> None:
        """Home."""
        self.sink.away = False

    @rule(what=st.sampled_from(["lost ack", "partial", "half told", "refused"]))
    def receiver_stumbles(self, what: str) -> None:
        """One batch goes wrong."""
        self.fault(f"broker: {what}")
        self.sink.faults.append(what)

    @rule(every=st.sampled_from([0, 1, 3, 50]))
    def receiver_refuses(self, every: int) -> None:
        """Let some records be such as the receiver does not want, whatever they are sent with."""
        self.fault("broker refuses records")
        self.sink.unwanted = {seq for seq in range(1, 5000) if every and not seq % every}

    @rule()
    def wait_at_home(self) -> None:
        """Stand for as long as a refused record holds up the others."""
        for _ in range(4):
            self.now += 20_000
            self.step()
            self.publish()

    @rule(error=st.sampled_from([-YEAR_MS, YEAR_MS, -56 * YEAR_MS, 12 * YEAR_MS, 0]))
    def clock_steps(self, error: int) -> None:
        """Let the receiver's clock jump: 1970, 2038, a year."""
        self.fault("clock steps")
        self.clock_error = error

    @rule(before=st.integers(0, 4), during=st.integers(1, 4), after=st.integers(0, 4))
    def outage(self, before: int, during: int, after: int) -> None:
        """Take the queue away, and then the disk for a moment, while the drive goes on."""
        self.fault("outage of queue and disk")
        self.queue.away = True
        for seconds, full in ((before, False), (during, True), (after, False)):
            self.disk.full = full
            if seconds:
                self.drive(seconds, 1)
        self.queue.away = False

    # What the medium destroys: these records may be missing, but not without a word

    @rule(count=st.integers(1, 5))
    def queue_loses_its_end(self, count: int) -> None:
        """Redis starts anew without its last records."""
        self.fault("queue loses its end")
        self.destroy(self.queue.restart(losing=count))

    @rule()
    def queue_lost(self) -> None:
        """Redis starts anew with nothing."""
        self.fault("queue lost")
        self.queue_was_lost = True
        self.destroy(self.queue.restart(everything=True))

    @rule(place=st.integers(0, 10_000))
    @precondition(lambda self: self.queue.entries)
    def bit_flips_in_the_queue(self, place: int) -> None:
        """One bit of one record changes."""
        self.fault("bit flips in the queue")
        index = place % len(self.queue.entries)
        ident, raw = self.queue.entries[index]
        if not whole(raw):
            return  # a second flip could mend it
        self.destroy([raw])
        self.queue.entries[index] = (ident, flipped(raw, place))

    @rule(place=st.integers(0, 10_000))
    @precondition(lambda self: self.disk.size(STATE / NAME))
    def bit_flips_in_the_journal(self, place: int) -> None:
        """One bit of the journal changes while nobody runs; it costs what it hits."""
        self.fault("bit flips in the journal")
        self.recorder = None
        before = self.disk.files[STATE / NAME]
        after = flipped(before, place)
        self.destroy(sorted(set(lines(before)) - set(lines(after))))
        self.disk.files[STATE / NAME] = after

    @rule(seconds=st.integers(20, 40), place=st.integers(0, 20_000), size=st.integers(1, 512))
    def long_journal_is_damaged(self, seconds: int, place: int, size: int) -> None:
        """Spill for long, and then lose a piece of it while nobody runs."""
        self.fault("a piece of a long journal is lost")
        away, self.queue.away = self.queue.away, True
        self.drive(seconds, 10)
        self.queue.away = away
        self.recorder = None
        before = self.disk.files.get(STATE / NAME, b"")
        if before:
            at = place % len(before)
            after = before[:at] + bytes(len(before[at : at + size])) + before[at + size :]
            self.destroy(sorted(set(lines(before)) - set(lines(after))))
            self.disk.files[STATE / NAME] = after

    @rule(name=st.sampled_from(["numbers", "numbers.copy"]), cut=st.integers(0, 60))
    def numbers_are_damaged(self, name: str, cut: int) -> None:
        """One of the two copies is cut short while nobody runs."""
        self.fault("numbers damaged")
        self.recorder = None
        path, other = (STATE / "numbers", STATE / "numbers.copy")
        if name == other.name:
            path, other = other, path
        if self.disk.files.get(other) == self.disk.files.get(path) and path in self.disk.files:
            self.disk.files[path] = self.disk.files[path][:cut]

    # What must hold

    def teardown(self) -> None:
        """Heal everything, drive home, publish: then everything has to be told."""
        self.queue_back()
        self.disk_well()
        self.receiver_back()
        self.sink.faults.clear()
        self.queue.faults.clear()
        self.sink.unwanted.clear()
        self.start_recorder()
        self.drive(3, 1)
        for _ in range(2000):
            self.now += 500
            self.step(final=True)
            if self.recorder is not None and not self.recorder.spilling:
                break
        for _ in range(20):
            self.publish()
            self.now += int(publish.AGAIN_S * 1000)
        assert self.recorder is not None
        assert not self.recorder.waiting
        assert not self.queue.entries
        assert not self.queue.refused_length()

        received = [int(str(line["alt"]).partition(".")[0]) for line in self.sink.received()]
        late = {int(decode(raw).alt or 0) for raw in self.queue.ever_aside}
        in_order = [number for number in received if number not in late]
        assert in_order == sorted(set(in_order)), "not in order"
        assert len(received) == len(set(received)), "twice"
        missing = {
            number: whose
            for number, whose in self.acknowledged.items()
            if number not in set(received)
        }
        assert set(missing) <= self.destroyed, "acknowledged and lost"
        told = {
            (str(gap["installation"]), seq)
            for gap in self.sink.gaps()
            # Who knows of no record sent before cannot announce; the receiver sees it by itself.
            if gap["kind"] != "unexplained"
            or self.queue_was_lost
            or int(str(gap["from"])) <= (self.first_sent or 1)
            for seq in range(int(str(gap["from"])), int(str(gap["to"])) + 1)
        }
        first = min(int(str(line["seq"])) for line in self.sink.received())
        for whose, seq in missing.values():
            assert (whose, seq) in told or seq < first, "lost without a word"

    def in_time(self) -> None:
        """See that no epoch waits longer than W for the medium, if there was one to wait for."""
        if self.recorder is None or self.now - self.disk_bad_at <= W_MS + RETRY_MS:
            return
        waiting = [each for each in self.recorder._pending if not isinstance(each, int)]
        waiting += [each.epoch for each in self.recorder._batch]
        assert all(self.now - each.mono <= W_MS for each in waiting)

    # How it is done

    def step(self, *, final: bool = False) -> None:
        """Let the recorder work; the power may go while it does."""
        if self.disk.full or self.disk.failing:
            self.disk_bad_at = self.now
        if self.recorder is None:
            return
        try:
            self.recorder.step(self.now, final=final)
        except PowerLostError:
            self.power_goes()

    def power_goes(self) -> None:
        """Everything stops at once; what was flushed stands."""
        self.recorder = self.publisher = None
        self.queue.generation += 1
        self.boot += 1
        self.now += 30_000

    def destroy(self, records: Sequence[bytes]) -> None:
        """Note what the medium destroyed."""
        self.destroyed |= {int(decode(raw).alt or 0) for raw in records if whole(raw)}

    def fault(self, name: str) -> None:
        """Count a fault point."""
        counted[name] += 1


def flipped(content: bytes, place: int) -> bytes:
    """Change one bit."""
    changed = bytearray(content)
    changed[place % len(content)] ^= 1 << place % 8
    return bytes(changed)


def lines(content: bytes) -> list[bytes]:
    """Give the whole records of a journal."""
    return [raw for _, raw in records_in(content)]


def test_nothing_acknowledged_is_ever_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """At least once, in order, within W, and what the medium destroyed is told: 1,000 faults."""
    # Small batches and blocks meet their ends, and each other, far more often.
    monkeypatch.setattr(writer, "BATCH_MAX", 3)
    monkeypatch.setattr(publish, "BATCH", 7)
    monkeypatch.setattr(numbers, "BLOCK", 10)
    counted.clear()
    logging.disable(logging.CRITICAL)  # a million lines of faults, all of them wanted
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Histories,
        settings=settings(
            max_examples=300,
            stateful_step_count=40,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )

    print(f"{counted.total()} fault points: {dict(counted)}")  # noqa: T201
    assert counted.total() >= FAULT_POINTS
