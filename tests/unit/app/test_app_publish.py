"""The publisher: in order, nothing removed before it is acknowledged, every hole announced."""

from __future__ import annotations

import pytest

from telematics.publish import Publisher, sink_of
from telematics.queue import QueueError
from telematics.record import Gap, Identity, Record
from telematics.settings import Settings
from telematics.sink import SinkError
from tests.contract_model import ModelQueue, ModelSink, epoch, maker

IDENTITY = Identity(device="t", installation="k3x9w2", boot="1f0c9a")


def record(seq: int, **more: object) -> Record:
    """Make a record of a number."""
    made = maker(IDENTITY)(epoch(seq), seq, 1, None)
    return made._replace(**more)  # type: ignore[arg-type]  # the fields a test names


def queue(*records: Record) -> ModelQueue:
    """Make a queue that holds records."""
    stream = ModelQueue()
    stream.append([(each.seq, each.encode()) for each in records])
    return stream


def publish_all(publisher: Publisher, stream: ModelQueue) -> int:
    """Publish until the queue is empty, whatever fails; give the number of failures."""
    failures = 0
    for _ in range(100):
        if not stream.entries:
            return failures
        try:
            publisher.step()
        except (SinkError, QueueError):
            failures += 1
    raise AssertionError


@pytest.mark.parametrize("fault", ["lost ack", "partial", "half told", "refused"])
def test_broker_fault_loses_nothing(fault: str) -> None:
    """Whatever is not acknowledged stays in the queue and is sent again, from the first one on."""
    stream = queue(*(record(seq) for seq in range(1, 11)))
    sink = ModelSink(faults=[fault])

    failures = publish_all(Publisher(stream, sink), stream)

    assert failures == 1
    assert [line["seq"] for line in sink.received()] == list(range(1, 11))
    assert sink.gaps() == []
    assert sink.closed == 1, "what the old client still held could overtake"


def test_only_the_acknowledged_beginning_is_removed() -> None:
    """After half was acknowledged the queue begins with the first that was not."""
    stream = queue(*(record(seq) for seq in range(1, 11)))

    with pytest.raises(SinkError, match="5 of 10"):
        Publisher(stream, ModelSink(faults=["half told"])).step()

    assert [each.seq for each in stream.records()] == [6, 7, 8, 9, 10]


def test_lost_answer_of_the_queue_repeats_and_the_receiver_notices() -> None:
    """If the trim is not answered the records are sent twice, and received once."""
    stream = queue(record(1), record(2))
    sink = ModelSink()
    stream.faults = ["", "", "refused"]

    publish_all(Publisher(stream, sink), stream)

    assert [line["seq"] for line in sink.received()] == [1, 2]
    assert sink.ledger.duplicates == 2


def test_queue_is_read_in_batches() -> None:
    """A backlog is never read whole."""
    stream = queue(*(record(seq) for seq in range(1, 4502)))
    publisher = Publisher(stream, ModelSink())

    assert [publisher.step() for _ in range(4)] == [2000, 2000, 501, 0]


def test_damaged_record_is_left_out_and_announced() -> None:
    """A flipped bit in the queue does not stop the others; the next one says what is missing."""
    stream = queue(*(record(seq) for seq in range(1, 6)))
    ident, raw = stream.entries[2]
    stream.entries[2] = (ident, raw.replace(b"1.0", b"1.1", 1))
    sink, kept = ModelSink(), list[bytes]()

    publish_all(Publisher(stream, sink, keep=kept.append), stream)

    assert [line["seq"] for line in sink.received()] == [1, 2, 4, 5]
    assert [(gap["kind"], gap["from"], gap["to"]) for gap in sink.gaps()] == [("lost", 3, 3)]
    assert len(kept) == 1


def test_all_damaged_does_not_block() -> None:
    """A queue of nothing but damage is emptied."""
    stream = queue(record(1))
    stream.entries = [(ident, b"\0" * 99) for ident, _ in stream.entries]

    assert publish_all(Publisher(stream, ModelSink()), stream) == 0


def test_hole_in_the_queue_is_announced_after_a_restart_too() -> None:
    """What was published last stands in the queue, so the next run sees a hole behind it."""
    stream = queue(record(1), record(2))
    sink = ModelSink()
    publish_all(Publisher(stream, sink), stream)
    stream.append([(9, record(9, gap=Gap(skipped=2)).encode())])

    publish_all(Publisher(stream, sink), stream)

    assert [(gap["kind"], gap["from"], gap["to"]) for gap in sink.gaps()] == [
        ("lost", 3, 6),
        ("skipped", 7, 8),
    ]


def test_nobody_to_publish_to() -> None:
    """Without a receiver there is no sink, and so nothing is loaded or removed."""
    assert sink_of(Settings()) is None


def test_without_a_fix_the_backlog_is_sent() -> None:
    """The publisher asks the queue alone: no receiver, no fix, no clock keeps it from sending."""
    stream, sink = queue(record(1)), ModelSink()

    publish_all(Publisher(stream, sink), stream)

    assert len(sink.received()) == 1
