"""The writer that fills the queue: every epoch on the medium within two seconds, in order, once.

A batch goes to the queue as one transaction, or to the spill journal where Redis is dead or full,
which is drained before anything else enters the queue. Either way a record has its number before
it is written anywhere, so writing it again is noticed.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from telematics.journal import JournalError, seq_of
from telematics.numbers import NumbersError
from telematics.queue import Queue, QueueError
from telematics.record import RecordError, decode
from telematics.trip import continues

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from telematics.epoch import Epoch
    from telematics.journal import Journal
    from telematics.numbers import Numbers
    from telematics.record import Gap, Record

BATCH_MAX = 500
# 5 h at 1 Hz, about 6 MB: with neither queue nor journal they wait here, the oldest are kept.
PENDING_MAX = 18_000
NEVER = 1 << 62
BACKOFF_FIRST_MS = 100
BACKOFF_MAX_MS = 2000

log = logging.getLogger(__name__)


class _Made(NamedTuple):
    """A record of the batch under way; it keeps its number and bytes through every retry."""

    seq: int
    raw: bytes
    epoch: Epoch


class Writer:
    """Appends epochs in batches, to the queue or the journal.

    Not for threads: one loop calls ``put`` and ``step``.
    """

    def __init__(
        self,
        queue: Queue,
        *,
        journal: Journal,
        numbers: Numbers,
        make: Callable[[Epoch, int, int, Gap | None], Record],
        boot: str,
        clock: Callable[[], int],
        pending_max: int = PENDING_MAX,
    ) -> None:
        """Prepare; ``step`` learns where the numbers continue."""
        self.recorded = 0
        self.spilled = 0
        self.dropped = 0
        self.vanished = 0
        self.slowest_ms = 0
        self.last_seq = 0
        self.last_epoch: Epoch | None = None
        self.problem = "not connected yet"
        self.journal_problem = ""
        self._queue = queue
        self._journal = journal
        self._numbers = numbers
        self._make = make
        self._boot = boot
        self._clock = clock
        self._pending_max = pending_max
        # A number stands for that many epochs, dropped where it stands.
        self._pending: deque[Epoch | int] = deque()
        self._batch: list[_Made] = []
        self._before: Record | None = None
        self._last = b""
        self._in_queue = 0
        self._in_step = False
        self._retry_at = 0
        self._journal_retry_at = 0
        self._drain_at = 0
        self._backoff = BACKOFF_FIRST_MS

    @property
    def connected(self) -> bool:
        """Tell whether the queue answers and takes what it is given."""
        return self._in_step and not self.problem

    @property
    def waiting(self) -> int:
        """Count the epochs that are not yet on the medium."""
        return len(self._batch) + len(self._pending)

    @property
    def spilling(self) -> bool:
        """Tell whether records wait in the journal."""
        return not self._journal.empty

    def put(self, epoch: Epoch) -> None:
        """Take an epoch with a position; once too many wait, drop and count it."""
        if self.waiting < self._pending_max:
            self._pending.append(epoch)
            return
        if not self.dropped:
            log.error("neither queue nor journal take records: dropping new ones")
        self.dropped += 1
        before = self._pending.pop() if self._pending else 0
        if isinstance(before, int):
            self._pending.append(before + 1)
        else:
            self._pending.extend((before, 1))

    def open(self, now: int) -> bool:
        """Reach the queue if it is time to try, and learn what it holds; True if it answers."""
        if self._in_step:
            return True
        if now < self._retry_at:
            return False
        try:
            self._synchronise()
        except QueueError as error:
            self._failed(error, now)
            return False
        # A full Redis answers as well: with records on their way only its writing tells.
        if not self._batch and self._journal.empty:
            self._well()
        return True

    def deadline(self, batch_ms: int) -> int:
        """Give the time of the next step that does something, if epochs may wait ``batch_ms``."""
        if self._in_step:
            due = NEVER if self._journal.empty else self._drain_at
        else:
            due = self._retry_at
        if self._batch:
            due = min(due, self._journal_retry_at)
        elif self._pending:
            oldest = self._pending[0]
            ripe = 0 if isinstance(oldest, int) else oldest.mono + batch_ms
            due = min(due, max(ripe, self._journal_retry_at))
        return due

    def step(self, now: int, *, final: bool = False) -> None:
        """Write all that waits in batches, unless it is too early to try again; ``final`` tries.

        Then drain the journal a bit. How often this is called makes the batches.
        """
        self.open(now)
        while self._due(now) or (final and self.waiting):
            if not self._batch and not self._fill(now):
                break
            if self._batch and not self._keep(now):
                break
        self._drain(now)
        if final and not self.waiting:
            self._numbers.close(acked=self.last_seq, last=self._last.decode())

    def length(self) -> int | None:
        """Count the records in the queue; None if it does not answer."""
        if not self._in_step:
            return None
        try:
            return self._queue.length()
        except QueueError as error:
            self._failed(error, 0)
            return None

    def _due(self, now: int) -> bool:
        if self._batch:
            return self._in_step or now >= self._journal_retry_at
        return bool(self._pending) and not (self._numbers.problem and now < self._journal_retry_at)

    def _fill(self, now: int) -> bool:
        """Make a batch of what waits; False if there is no number for it."""
        if not self._numbers.begun:
            saved = seq_of(self._journal.newest, installation=self._numbers.installation)
            self._begin(max(self._numbers.mark.acked, saved))
        while self._pending and len(self._batch) < BATCH_MAX:
            epoch = self._pending[0]
            if isinstance(epoch, int):
                self._numbers.lose(epoch)
                self._pending.popleft()
                continue
            try:
                seq, gap = self._numbers.take(acked=self.last_seq, last=self._last.decode())
            except NumbersError:
                self._journal_retry_at = now + BACKOFF_MAX_MS
                return bool(self._batch)
            self._pending.popleft()
            goes_on = continues(self._before, boot=self._boot, mono=epoch.mono, time=epoch.time)
            trip = self._before.trip if goes_on and self._before else seq
            made = self._make(epoch, seq, trip, gap)
            self._before = made
            self._batch.append(_Made(seq=seq, raw=made.encode(), epoch=epoch))
        return True

    def _keep(self, now: int) -> bool:
        """Have the batch on the medium, in the queue or else in the journal."""
        if self._in_step and self._journal.empty:
            try:
                self._queue.append([(made.seq, made.raw) for made in self._batch])
            except QueueError as error:
                self._failed(error, now)
            else:
                self._in_queue = self._batch[-1].seq
                self._acknowledged(self._batch)
                self._batch = []
                self._well()
                return True
        try:
            self._journal.append([made.raw for made in self._batch])
        except JournalError as error:
            if str(error) != self.journal_problem:
                log.warning("%s", error)
            self.journal_problem = str(error)
            self._journal_retry_at = now + BACKOFF_MAX_MS
            return False
        self.journal_problem = ""
        self.spilled += len(self._batch)
        self._acknowledged(self._batch)
        self._batch = []
        return True

    def _drain(self, now: int) -> None:
        """Bring one batch from the journal into the queue, in order, each record once."""
        if not self._in_step or self._journal.empty or now < self._drain_at:
            return
        try:
            records, end = self._journal.peek(BATCH_MAX)
            numbered = [(seq, raw) for raw in records if (seq := self._to_drain(raw))]
            if numbered:
                self._queue.append(numbered)
                self._in_queue = max(self._in_queue, numbered[-1][0])
            self._journal.drained(end)
        except QueueError as error:
            self._failed(error, now)
        except JournalError as error:
            self.journal_problem = str(error)
            self._drain_at = now + BACKOFF_MAX_MS
        else:
            if self._journal.empty:
                self._well()

    def _to_drain(self, raw: bytes) -> int:
        """Give the number of a record of the journal that the queue never had, else 0."""
        try:
            record = decode(raw)
        except RecordError:
            return 0
        ours = record.identity.installation == self._numbers.installation
        return 0 if ours and record.seq <= self._in_queue else record.seq

    def _synchronise(self) -> None:
        """Learn what the queue holds, of the batch under way and of all before."""
        newest = self._queue.newest()
        self._journal.reopen()
        last = seq_of(newest, installation=self._numbers.installation)
        saved = seq_of(self._journal.newest, installation=self._numbers.installation)
        salvaged = seq_of(self._journal.salvaged, installation=self._numbers.installation)
        lost = self._in_queue - max(last, salvaged)
        if lost > 0:
            self.vanished += lost
            log.error("the queue came back without its last %d records", lost)
        self._in_queue = last
        # The batch whose answer was lost is in the queue, or it is not: its last record tells.
        written = [made for made in self._batch if made.seq <= last]
        self._batch = [made for made in self._batch if made.seq > last]
        self._acknowledged(written)
        if not self._numbers.begun:
            self._begin(max(last, saved), newest)
        self._in_step = True

    def _begin(self, known: int, newest: bytes = b"") -> None:
        """Settle the first number, and what the record before it was."""
        self._numbers.begin(known)
        candidates = (newest, self._journal.newest, self._numbers.mark.last.encode())
        own = [raw for raw in candidates if seq_of(raw, installation=self._numbers.installation)]
        try:
            self._before = max(
                (decode(raw) for raw in own), key=lambda record: record.seq, default=None
            )
        except RecordError:  # pragma: no cover  seq_of has read them
            self._before = None
        self.last_seq = self._before.seq if self._before else 0
        self._last = self._before.encode() if self._before else b""

    def _acknowledged(self, written: Sequence[_Made]) -> None:
        if not written:
            return
        self.recorded += len(written)
        self.last_seq, self._last = written[-1].seq, written[-1].raw
        self.last_epoch = written[-1].epoch
        self.slowest_ms = max(self.slowest_ms, self._clock() - written[0].epoch.mono)

    def _well(self) -> None:
        if self.problem:
            log.info("the queue takes records, its last one is %d", self.last_seq)
        self.problem = ""
        self._backoff = BACKOFF_FIRST_MS

    def _failed(self, error: QueueError, now: int) -> None:
        problem = f"the queue does not take records: {error}"
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem
        self._in_step = False
        self._retry_at = now + self._backoff
        self._backoff = min(self._backoff * 2, BACKOFF_MAX_MS)
