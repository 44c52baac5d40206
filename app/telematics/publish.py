"""From the queue to whoever receives: in order, and nothing is removed before it is acknowledged.

It runs as a process of its own, `telematics publish`: capture never waits for it, a fault in the C
code of a Kafka client does not stop a recording, and on the road, with nobody to publish to, it
takes 11 MB. The queue is read from its oldest record, a batch at a time, and trimmed up to the
last record before the first one that was not acknowledged.

A receiver that answers and does not want what it is given is asked for less and less, down to one
record. That one holds up those behind it for a while, then it is put aside, and tried again now and
then for as long as the card lasts.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from telematics import publishing
from telematics.notify import notify
from telematics.queue import QueueError, RedisQueue
from telematics.record import Gap, Head, decode, head
from telematics.sink import Sent, SinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from telematics.settings import Settings
    from telematics.sink import Backlog, Sink

BATCH = 2000
QUEUE_TIMEOUT_S = 10.0
IDLE_S = 1.0
BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 30.0
HEAD_ID = "0-0"
# How long one refused record holds up those behind it: so many tries, and so long. With each one
# in a row without a record that was taken in between it is twice as long: whoever refuses all of
# them means something else than this record.
REFUSED_TRIES = 3
REFUSED_S = 60.0
REFUSED_MAX_S = 3600.0
# More are not put aside: then the queue waits, and loses nothing either.
ASIDE_MAX = 10_000
# The refused are tried again so often, so many at a time.
AGAIN_S = 3600.0
AGAIN_COUNT = 100

log = logging.getLogger(__name__)


class Publisher:
    """Moves records from the backlog to a sink; ``step`` is one batch."""

    def __init__(
        self,
        backlog: Backlog,
        sink: Sink,
        *,
        keep: Callable[[bytes], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; ``keep`` is given the bytes of each damaged record."""
        self.published = 0
        self.damaged = 0
        self.aside = 0
        self._clock = clock
        # How many records go at once: less where the receiver refuses, see `_send`.
        self._part = BATCH
        self._patience = Patience(clock)
        self._again_at, self._again_after = clock(), HEAD_ID
        self._backlog = backlog
        self._sink = sink
        self._keep = keep or (lambda _: None)
        self._before: Head | None = None
        self._asked = False
        # The first number that is known to be damaged, while nothing is known from before it.
        self._lost_from = 0

    def step(self) -> int:
        """Publish a batch and give the number of records that left the queue.

        Raises SinkError or QueueError; what was acknowledged until then is removed if possible.
        """
        batch = self._backlog.read(HEAD_ID, BATCH)
        if not batch:
            return 0
        if not self._asked:
            self._before, self._asked = head(self._backlog.sent()), True
            self.aside = self._backlog.refused_length()
        ready: list[tuple[str, Head]] = []
        before = self._before
        for ident, raw in batch:
            found = head(raw)
            if found is None:
                self._keep(raw)
                # Its number stands in the id as well.
                self._lost_from = self._lost_from or int(ident.partition("-")[0])
                continue
            made = with_gap(found, before, lost_from=self._lost_from)
            before = made if _follows(made, before) else before
            ready.append((ident, made))
        sent = self._send([(each.device, each.raw) for _, each in ready])
        self._trim(batch, ready, sent.acked)
        if sent.acked:
            self._patience.taken()
        if sent.acked == len(ready):
            return len(batch)
        if sent.refused and self._patience.ends(ready[sent.acked][0]) and self.aside < ASIDE_MAX:
            return self._put_aside(*ready[sent.acked], sent)
        some = f" ({sent.acked} of {len(ready)} were acknowledged)" if sent.acked else ""
        raise SinkError(f"{sent.why}{some}", wait_s=sent.wait_s)

    def again(self) -> None:
        """Try some of the refused again, if it is time to; raises SinkError or QueueError."""
        if not self.aside or self._clock() < self._again_at:
            return
        self._again_at = self._clock() + AGAIN_S
        entries = self._backlog.refused(self._again_after, AGAIN_COUNT)
        self._again_after = entries[-1][0] if len(entries) == AGAIN_COUNT else HEAD_ID
        for ident, raw in entries:
            found = head(raw)
            if found is not None:
                self._sink.open()
                sent = self._sink.send([(found.device, raw)])
                if not sent.acked:
                    self._sink.close()
                    if sent.refused:
                        continue
                    raise SinkError(sent.why, wait_s=sent.wait_s)
                self.published += 1
            self._backlog.taken_at_last(ident)
        self.aside = self._backlog.refused_length()

    def _send(self, records: Sequence[tuple[str, bytes]]) -> Sent:
        """Send all, in smaller and smaller parts where the receiver refuses one."""
        done = 0
        while done < len(records):
            part = records[done : done + min(self._part, self._sink.largest)]
            try:
                self._sink.open()
                sent = self._sink.send(part)
            except SinkError as error:
                sent = Sent(0, str(error), wait_s=error.wait_s)
            done += sent.acked
            if sent.acked == len(part):
                self._part = min(2 * self._part, BATCH)
                continue
            # What a client still holds could overtake what is sent again.
            self._sink.close()
            if not sent.refused or len(part) == 1:
                return sent._replace(acked=done)
            self._part = len(part) // 2
        return Sent(done)

    def _put_aside(self, ident: str, record: Head, sent: Sent) -> int:
        """Let those behind a refused record go on."""
        self._backlog.put_aside(ident, record.raw)
        self._before = record if _follows(record, self._before) else self._before
        self._patience.ended()
        self.aside += 1
        self._again_at = self._clock() + AGAIN_S
        log.warning("record %d is refused, it is kept and tried again: %s", record.seq, sent.why)
        return sent.acked + 1

    def _trim(
        self, batch: Sequence[tuple[str, bytes]], ready: Sequence[tuple[str, Head]], acked: int
    ) -> None:
        """Remove what was acknowledged, and the damaged ones among it."""
        last = self._before
        for _, each in ready[:acked]:
            last = each if _follows(each, last) else last
        # Damaged ones go along with the record before them, or the end of the batch.
        gone = [ident for ident, _ in batch]
        if acked < len(ready):
            gone = gone[: gone.index(ready[acked][0])]
        if not gone:
            return
        self.damaged += len(gone) - acked
        self.published += acked
        self._before = last
        if last is not None:
            self._lost_from = 0
        self._backlog.drop(gone[-1], b"" if last is None else last.raw)


class Patience:
    """How long one refused record holds up those behind it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with no record refused."""
        self._clock = clock
        self._ident, self._tries, self._since = "", 0, 0.0
        self._in_a_row = 0

    def ends(self, ident: str) -> bool:
        """Count a try of a record that was refused alone, and tell whether it was the last."""
        if ident != self._ident:
            self._ident, self._tries, self._since = ident, 0, self._clock()
        self._tries += 1
        longest = min(REFUSED_S * 2.0 ** min(self._in_a_row, 16), REFUSED_MAX_S)
        return self._tries >= REFUSED_TRIES and self._clock() - self._since >= longest

    def ended(self) -> None:
        """Count one that was put aside."""
        self._in_a_row += 1

    def taken(self) -> None:
        """Hear that the receiver took a record."""
        self._in_a_row = 0


def with_gap(found: Head, before: Head | None, *, lost_from: int = 0) -> Head:
    """Give the record, with every hole between it and the one before announced in it.

    Holes come from what the medium destroyed in the queue itself: nobody could say so earlier.
    Where nothing is known from before, they begin at ``lost_from``, if that is known.
    """
    if before is not None and before.installation == found.installation:
        hole = found.seq - before.seq - 1
    else:
        hole = found.seq - lost_from if lost_from else 0
    if hole <= 0:
        return found
    record = decode(found.raw)
    said = record.gap or Gap()
    if hole <= said.size:
        return found
    gap = Gap(lost=hole - said.skipped, skipped=said.skipped)
    return found._replace(raw=record._replace(gap=gap).encode())


def _follows(record: Head, before: Head | None) -> bool:
    other = before is None or record.installation != before.installation
    return other or (before is not None and record.seq > before.seq)


def sink_of(settings: Settings) -> Sink | None:
    """Give the sink that the settings name, None if they name none."""
    match settings.publish_to:
        case "kafka":
            from telematics.sink_kafka import KafkaSink  # noqa: PLC0415  only who needs it pays

            return KafkaSink(settings)
        case "http":
            from telematics.sink_http import HttpSink  # noqa: PLC0415

            return HttpSink(settings)
        case _:
            return None


class Stop:
    """Asked to stop, by a signal: also in the middle of a delivery, which may take long."""

    def __init__(self) -> None:
        """Begin with nobody asking."""
        self._event = threading.Event()
        self._waiting = False

    def __call__(self, *_: object) -> None:
        """Be the handler of a signal; ends what `breaks` surrounds with a SinkError."""
        self._event.set()
        if self._waiting:
            self._waiting = False
            raise SinkError("asked to stop")

    @contextmanager
    def breaks(self) -> Iterator[None]:
        """Let a signal end what is done here."""
        self._waiting = True
        try:
            yield
        finally:
            self._waiting = False

    def is_set(self) -> bool:
        """Tell whether somebody asked."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait until somebody asks, or so long."""
        return self._event.wait(seconds)


class Interruptible:
    """A sink whose long waits a signal ends; see Sink."""

    def __init__(self, sink: Sink, stop: Stop) -> None:
        """Take the sink and what tells of the signal."""
        self._sink, self._stop = sink, stop
        self.live, self.close = sink.live, sink.close

    @property
    def largest(self) -> int:
        """See Sink."""
        return self._sink.largest

    def open(self) -> None:
        """See Sink."""
        with self._stop.breaks():
            self._sink.open()

    def send(self, records: Sequence[tuple[str, bytes]]) -> Sent:
        """See Sink."""
        with self._stop.breaks():
            return self._sink.send(records)


def run(settings: Settings, environ: Mapping[str, str]) -> None:
    """Publish until SIGTERM or SIGINT; at once back if there is nobody to publish to."""
    sink = sink_of(settings)
    if sink is None:
        log.info("service.publish_to is not set: the records stay in the queue")
        notify("READY=1", "STATUS=nobody to publish to")
        return
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    queue = RedisQueue(
        socket=settings.queue_socket, key=settings.queue_key, timeout_s=QUEUE_TIMEOUT_S
    )
    publisher = Publisher(queue, Interruptible(sink, stop), keep=_report_damaged)
    board = publishing.Board(publishing.folder(environ), queue)
    notify("READY=1")
    try:
        _loop(publisher, queue, sink, stop, board, live=bool(settings.publish_live_topic))
    finally:
        sink.close()
    log.info("stopped after %d records", publisher.published)


def _loop(
    publisher: Publisher,
    queue: RedisQueue,
    sink: Sink,
    stop: Stop,
    board: publishing.Board,
    *,
    live: bool,
) -> None:
    backoff, told, shown = BACKOFF_FIRST_S, "", b""
    while not stop.is_set():
        try:
            board.begin()
            moved = publisher.step()
            if live and moved:
                newest = queue.newest()
                if newest != shown and (found := head(newest)):
                    sink.live(found.device, newest)
                    shown = newest
            if moved < BATCH:
                publisher.again()
            board.tell(publisher.published, publisher.aside, "")
        except (SinkError, QueueError) as error:
            if stop.is_set():
                return
            if str(error) != told:
                log.warning("%s", error)
                notify(f"STATUS={error}")
            told = str(error)
            with suppress(QueueError):
                board.tell(publisher.published, publisher.aside, told)
            asked = error.wait_s if isinstance(error, SinkError) else 0.0
            stop.wait(max(backoff, asked))
            backoff = min(backoff * 2, BACKOFF_MAX_S)
            continue
        if told or (moved and not publisher.published - moved):
            log.info("publishing, %d so far", publisher.published)
        backoff, told = BACKOFF_FIRST_S, ""
        if moved < BATCH:
            kept = f", {publisher.aside} refused and kept" if publisher.aside else ""
            notify(f"STATUS=published {publisher.published}{kept}")
            stop.wait(IDLE_S)


def _report_damaged(raw: bytes) -> None:
    # Its place in the order is announced by the next record; where the vehicle was, by nobody.
    log.error("a record in the queue is damaged (%d bytes) and left out", len(raw))
