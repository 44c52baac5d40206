"""From the queue to whoever receives: in order, and nothing is removed before it is acknowledged.

It runs as a process of its own, `telematics publish`: capture never waits for it, a fault in the C
code of a Kafka client does not stop a recording, and on the road, with nobody to publish to, it
takes 11 MB. The queue is read from its oldest record, a batch at a time, and trimmed up to the
last record before the first one that was not acknowledged.
"""

from __future__ import annotations

import logging
import signal
import threading
from typing import TYPE_CHECKING

from telematics.notify import notify
from telematics.queue import QueueError, RedisQueue
from telematics.record import Gap, Head, decode, head
from telematics.sink import SinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from telematics.settings import Settings
    from telematics.sink import Backlog, Sink

BATCH = 2000
QUEUE_TIMEOUT_S = 10.0
IDLE_S = 1.0
BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 30.0
HEAD_ID = "0-0"

log = logging.getLogger(__name__)


class Publisher:
    """Moves records from the backlog to a sink; ``step`` is one batch."""

    def __init__(
        self, backlog: Backlog, sink: Sink, *, keep: Callable[[bytes], None] | None = None
    ) -> None:
        """Prepare; ``keep`` is given the bytes of each damaged record."""
        self.published = 0
        self.damaged = 0
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
        self._sink.open()
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
        acked = self._sink.send([(each.device, each.raw) for _, each in ready])
        if acked < len(ready):
            self._sink.close()
        self._trim(batch, ready, acked)
        if acked < len(ready):
            message = f"only {acked} of {len(ready)} records were acknowledged"
            raise SinkError(message)
        return len(batch)

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


def run(settings: Settings, _environ: Mapping[str, str]) -> None:
    """Publish until SIGTERM or SIGINT; at once back if there is nobody to publish to."""
    sink = sink_of(settings)
    if sink is None:
        log.info("service.publish_to is not set: the records stay in the queue")
        notify("READY=1", "STATUS=nobody to publish to")
        return
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    queue = RedisQueue(
        socket=settings.queue_socket, key=settings.queue_key, timeout_s=QUEUE_TIMEOUT_S
    )
    publisher = Publisher(queue, sink, keep=_report_damaged)
    notify("READY=1")
    try:
        _loop(publisher, queue, sink, stopping, live=bool(settings.publish_live_topic))
    finally:
        sink.close()
    log.info("stopped after %d records", publisher.published)


def _loop(
    publisher: Publisher,
    queue: RedisQueue,
    sink: Sink,
    stopping: threading.Event,
    *,
    live: bool,
) -> None:
    backoff, told, shown = BACKOFF_FIRST_S, "", b""
    while not stopping.is_set():
        try:
            moved = publisher.step()
            if live and moved:
                newest = queue.newest()
                if newest != shown and (found := head(newest)):
                    sink.live(found.device, newest)
                    shown = newest
        except (SinkError, QueueError) as error:
            if str(error) != told:
                log.warning("%s", error)
                notify(f"STATUS={error}")
            told = str(error)
            stopping.wait(backoff)
            backoff = min(backoff * 2, BACKOFF_MAX_S)
            continue
        if told or (moved and not publisher.published - moved):
            log.info("publishing, %d so far", publisher.published)
        backoff, told = BACKOFF_FIRST_S, ""
        if moved < BATCH:
            notify(f"STATUS=published {publisher.published}")
            stopping.wait(IDLE_S)


def _report_damaged(raw: bytes) -> None:
    # Its place in the order is announced by the next record; where the vehicle was, by nobody.
    log.error("a record in the queue is damaged (%d bytes) and left out", len(raw))
