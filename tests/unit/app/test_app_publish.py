"""The publisher: in order, nothing removed before it is acknowledged, every hole announced."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from telematics import publish, publishing
from telematics.cli import _with_publisher, main
from telematics.publish import Interruptible, Publisher, Stop, sink_of
from telematics.queue import QueueError
from telematics.record import Gap, Identity, Record, decode
from telematics.settings import Settings
from telematics.sink import Sent, SinkError
from tests.contract_model import ModelQueue, ModelSink, epoch, maker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

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
    stream.faults = ["", "", "", "refused"]

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


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.now = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def publish_for(
    publisher: Publisher, stream: ModelQueue, clock: Clock, seconds: float, *, every_s: float = 10
) -> list[str]:
    """Let the publisher try now and then, until the queue is empty or the time is over."""
    end = clock.now + seconds
    said = []
    while clock.now < end and stream.entries:
        try:
            publisher.step()
        except SinkError as error:
            said.append(str(error))
        clock.now += every_s
    return said


def test_refusal_halves_down_to_one_record() -> None:
    """One bad record among many: all before it arrive at once, by fewer tries than records."""
    stream, sink = queue(*(record(seq) for seq in range(1, 1001))), ModelSink(unwanted={700})

    with pytest.raises(SinkError, match=r"unwanted \(699 of 1000 were acknowledged\)"):
        Publisher(stream, sink).step()

    assert [line["seq"] for line in sink.received()] == list(range(1, 700))
    assert stream.records()[0].seq == 700
    assert sink.sizes[-1] == 1
    assert len(sink.sizes) < 60
    assert sink.closed >= 10, "what the old client still held could overtake"


def test_refused_record_is_kept_and_those_behind_it_go_on_after_a_minute() -> None:
    """It is tried at least three times, for a minute; then it is put aside, and the rest arrives.

    The receiver sees a hole that nobody announces as lost, since the record is not.
    """
    clock = Clock()
    stream, sink = queue(*(record(seq) for seq in range(1, 11))), ModelSink(unwanted={4})
    publisher = Publisher(stream, sink, clock=clock)

    said = publish_for(publisher, stream, clock, 59)
    waiting = [each.seq for each in stream.records()]
    publish_for(publisher, stream, clock, 100)

    assert len(said) == 6
    assert waiting == [4, 5, 6, 7, 8, 9, 10]
    assert [line["seq"] for line in sink.received()] == [1, 2, 3, 5, 6, 7, 8, 9, 10]
    assert [(gap["kind"], gap["from"], gap["to"]) for gap in sink.gaps()] == [("unexplained", 4, 4)]
    assert publisher.aside == 1
    assert [decode(raw).seq for raw in stream.aside] == [4]


def test_refused_record_is_tried_again_and_taken_at_last() -> None:
    """Once the receiver wants it, it gets it, within an hour, and it is no longer kept."""
    clock = Clock()
    stream, sink = queue(record(1), record(2), record(3)), ModelSink(unwanted={2})
    publisher = Publisher(stream, sink, clock=clock)
    publish_for(publisher, stream, clock, 1000)
    publisher.again()
    early = publisher.aside
    clock.now += publish.AGAIN_S
    publisher.again()
    still = publisher.aside
    sink.unwanted.clear()
    clock.now += publish.AGAIN_S
    publisher.again()

    assert (early, still, publisher.aside) == (1, 1, 0)
    assert sorted(line["seq"] for line in sink.received()) == [1, 2, 3]  # type: ignore[type-var]  # numbers


def test_next_run_tries_the_refused_at_once() -> None:
    """A start of the publisher is a reason to try: whoever mended the receiver may have made it."""
    clock = Clock()
    stream, sink = queue(record(1), record(2)), ModelSink(unwanted={1})
    publish_for(Publisher(stream, sink, clock=clock), stream, clock, 1000)
    sink.unwanted.clear()
    stream.append([(3, record(3).encode())])

    again = Publisher(stream, sink, clock=clock)
    again.step()
    again.again()

    assert sorted(line["seq"] for line in sink.received()) == [1, 2, 3]  # type: ignore[type-var]  # numbers
    assert again.aside == 0


@pytest.mark.thorough
def test_receiver_that_refuses_everything_gets_ever_more_time() -> None:
    """Who refuses all means something else: in a day few records lose their place."""
    clock = Clock()
    stream = queue(*(record(seq) for seq in range(1, 101)))
    sink = ModelSink(unwanted=set(range(1, 101)))
    publisher = Publisher(stream, sink, clock=clock)

    publish_for(publisher, stream, clock, 24 * 3600)

    assert publisher.aside < 30
    assert publisher.aside + len(stream.entries) == 100


def test_number_of_the_refused_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """With so many aside the queue waits instead: nothing fills the card, nothing is lost."""
    monkeypatch.setattr(publish, "ASIDE_MAX", 2)
    clock = Clock()
    stream, sink = queue(*(record(seq) for seq in range(1, 6))), ModelSink(unwanted={1, 2, 3})
    publisher = Publisher(stream, sink, clock=clock)

    publish_for(publisher, stream, clock, 24 * 3600, every_s=600)

    assert publisher.aside == 2
    assert [each.seq for each in stream.records()] == [3, 4, 5]


def test_trouble_is_no_refusal() -> None:
    """A receiver that fails, for hours, moves no record from its place."""
    clock = Clock()
    stream, sink = queue(record(1), record(2)), ModelSink(faults=["refused"] * 10_000)

    publish_for(Publisher(stream, sink, clock=clock), stream, clock, 24 * 3600)

    assert [each.seq for each in stream.records()] == [1, 2]
    assert stream.aside == []


def test_signal_ends_a_long_delivery_and_waits_for_nothing_else() -> None:
    """Asked to stop while the sink waits, the wait ends at once; at any other time it is noted."""
    stop = Stop()
    ended = []

    class Waiting(ModelSink):
        def send(self, records: Sequence[tuple[str, bytes]]) -> Sent:
            ended.append(len(records))
            signal.raise_signal(signal.SIGUSR1)
            raise AssertionError

    before = signal.signal(signal.SIGUSR1, stop)
    try:
        stream = queue(record(1))
        with pytest.raises(SinkError, match="asked to stop"):
            Publisher(stream, Interruptible(Waiting(), stop)).step()
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert stop.is_set()
    assert stop.wait(60)
    assert ended == [1]
    assert len(stream.entries) == 1


class Silence:
    """The part of the queue that counts silent starts, in memory."""

    def __init__(self) -> None:
        """Begin with a card that was just flashed."""
        self.count, self.waiting = -1, 1

    def length(self) -> int:
        """See Silence."""
        return self.waiting

    def begin_start(self) -> int:
        """See Silence."""
        self.count += 1
        return self.count

    def silent_starts(self) -> int:
        """See Silence."""
        return max(self.count, 0)

    def heard(self) -> None:
        """See Silence."""
        self.count = -1


def started(folder: Path, silence: Silence) -> publishing.Board:
    """Start the board once more: what was in RAM is gone."""
    for path in folder.iterdir():
        path.unlink()
    board = publishing.Board(folder, silence)
    board.begin()
    return board


def state(folder: Path) -> str:
    """Give the word for the LED."""
    return (folder / publishing.STATE).read_text().strip()


def test_three_starts_without_an_acknowledgement_are_told(tmp_path: Path) -> None:
    """From the fourth silent start on the LED has a word for it, until something is taken."""
    silence, words = Silence(), list[str]()
    for _ in range(5):
        board = started(tmp_path, silence)
        words.append(state(tmp_path))
    board.tell(1, 0, "")
    words.append(state(tmp_path))
    started(tmp_path, silence)
    words.append(state(tmp_path))

    assert words == ["fine", "fine", "fine", "unheard", "unheard", "fine", "fine"]


def test_silence_with_nothing_to_say_is_fine(tmp_path: Path) -> None:
    """An empty queue waits for nobody, however many starts there were."""
    silence = Silence()
    silence.waiting = 0
    for _ in range(9):
        started(tmp_path, silence)

    assert state(tmp_path) == "fine"


def test_publisher_that_starts_again_is_no_start_of_the_board(tmp_path: Path) -> None:
    """What RAM remembers is counted once."""
    silence = Silence()
    started(tmp_path, silence)
    for _ in range(9):
        publishing.Board(tmp_path, silence).begin()

    assert silence.count == 0
    assert state(tmp_path) == "fine"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ((0, 0, ""), "nothing published since the start"),
        ((7, 2, ""), "publishing; 2 refused and kept"),
        ((0, 0, "h is in trouble: 503\x1b[31m"), "h is in trouble: 503?[31m"),
    ],
)
def test_status_tells_of_the_publisher(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    told: tuple[int, int, str],
    said: str,
) -> None:
    """Its own words stand in a line of `telematics status`, and anybody may read them."""
    board = started(tmp_path, Silence())
    board.tell(*told)
    monkeypatch.setattr(publishing, "RUNTIME_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))

    assert main(["status"]) == 3
    assert f"publisher   {said}\n" in capsys.readouterr().out
    assert (tmp_path / publishing.NAME).stat().st_mode & 0o777 == 0o644
    facts = publishing.read(tmp_path / publishing.NAME)
    assert json.loads(_with_publisher('{"pid": 1}', facts))["publisher"] == facts


def test_queue_that_fails_meanwhile_is_asked_again(tmp_path: Path) -> None:
    """That something was heard is noted as soon as the queue answers; a full RAM stops nothing."""
    silence = Silence()
    board = started(tmp_path, silence)

    def fails() -> None:
        raise QueueError("away")

    silence.heard, works = fails, silence.heard  # type: ignore[method-assign]  # for a moment
    with pytest.raises(QueueError):
        board.tell(1, 0, "")
    silence.heard = works  # type: ignore[method-assign]  # it is back
    board.tell(1, 0, "")
    (tmp_path / f".{publishing.NAME}.new").mkdir()
    board.tell(1, 1, "")

    assert silence.count == -1


ODD = b'{"published": "x", "refused": 0, "trouble": "", "silent_starts": 0}'


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\xff", b"{}", b"[" * 9999, b'{"published": 1}', ODD]
)
def test_odd_word_of_the_publisher_is_none(tmp_path: Path, content: bytes) -> None:
    """Whatever stands in its file, the status of the recorder is told."""
    (tmp_path / publishing.NAME).write_bytes(content)

    assert publishing.read(tmp_path / publishing.NAME) is None
