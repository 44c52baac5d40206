"""The queue: a Redis Stream whose ids are the records' sequence numbers.

Records get their number when they enter a batch, and a batch is one transaction: all of it stands
in the append-only file, or none. If the answer is lost, the Stream's last id tells which.
"""

from __future__ import annotations

import itertools
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from telematics.epoch import Epoch

BATCH_MAX = 500
# 5 h at 1 Hz, about 6 MB: enough for any restart, and the service stays below its 40 MB.
PENDING_MAX = 18_000
FIELD = b"r"
TIMEOUT_S = 5.0
BACKOFF_FIRST_MS = 100
BACKOFF_MAX_MS = 2000

log = logging.getLogger(__name__)


class QueueError(Exception):
    """The queue did not take what it was given, or did not answer."""


class Stream(Protocol):
    """What the writer asks of the queue; each call raises QueueError if there is no answer."""

    def last_seq(self) -> int:
        """Give the highest sequence number ever written, 0 if none; trimming does not lower it."""

    def append(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Write all the records and have them on the medium, or write none and raise."""

    def length(self) -> int:
        """Count the records that wait in the queue."""


class RedisStream:
    """The Stream in a Redis behind a unix socket."""

    def __init__(self, *, socket: str, key: str) -> None:
        """Prepare; the first call connects."""
        # Late: the command `status` and the builder never pay for this import.
        import redis  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.retry import Retry  # noqa: PLC0415

        self._key = key
        self._error = redis.RedisError
        self._no_such_key = redis.ResponseError
        self._client = redis.Redis(
            unix_socket_path=socket,
            socket_timeout=TIMEOUT_S,
            # redis-py retries by itself since 6.0, and so would send a batch twice.
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )

    def last_seq(self) -> int:
        """Ask for the last generated id; it outlives trimming, unlike the last entry."""
        try:
            self._client.ping()
            info = cast("Mapping[str, object]", self._client.xinfo_stream(self._key))
        except self._no_such_key as error:
            if "no such key" in str(error):
                return 0
            raise self._lost(error) from error
        except (self._error, OSError) as error:
            raise self._lost(error) from error
        last = info["last-generated-id"]
        text = last.decode("ascii") if isinstance(last, bytes) else str(last)
        return int(text.partition("-")[0])

    def append(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Write a batch as one transaction, so that a full memory or a cut takes all or nothing."""
        try:
            with self._client.pipeline(transaction=True) as batch:
                for seq, raw in records:
                    batch.xadd(self._key, {FIELD: raw}, id=f"{seq}-0")
                batch.execute()
        except (self._error, OSError) as error:
            raise self._lost(error) from error

    def length(self) -> int:
        """Ask for the number of entries."""
        try:
            return self._client.xlen(self._key)
        except (self._error, OSError) as error:
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> QueueError:
        # A late answer on the same connection would be taken for the next question's.
        self._client.connection_pool.disconnect()
        # A pipeline's error quotes the command: where the vehicle is does not belong in a log.
        return QueueError(str(error).rpartition("caused error: ")[2])


@dataclass(frozen=True, kw_only=True, slots=True)
class _Numbered:
    """An epoch of the batch under way, with the number it keeps through every retry."""

    seq: int
    epoch: Epoch


class Writer:
    """Appends epochs in batches; while the queue is away they wait, the oldest are kept.

    Not for threads: one loop calls ``put`` and ``step``.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        encode: Callable[[Epoch, int], bytes],
        batch_ms: int,
        pending_max: int = PENDING_MAX,
    ) -> None:
        """Prepare; ``open`` learns where the numbers continue."""
        self.recorded = 0
        self.dropped = 0
        self.vanished = 0
        self.last_seq = 0
        self.last_epoch: Epoch | None = None
        self.problem = "not connected yet"
        self._stream = stream
        self._encode = encode
        self._batch_ms = batch_ms
        self._pending_max = pending_max
        self._pending: deque[Epoch] = deque()
        self._batch: list[_Numbered] = []
        self._in_step = False
        self._retry_at = 0
        self._backoff = BACKOFF_FIRST_MS

    @property
    def connected(self) -> bool:
        """Tell whether the queue answers and takes what it is given."""
        return self._in_step and not self.problem

    @property
    def waiting(self) -> int:
        """Count the epochs that are not yet in the queue."""
        return len(self._batch) + len(self._pending)

    def put(self, epoch: Epoch) -> None:
        """Take an epoch with a position; once too many wait, drop and count it."""
        if self.waiting < self._pending_max:
            self._pending.append(epoch)
            return
        if not self.dropped:
            log.error("the queue is away and %d records wait: dropping new ones", self.waiting)
        self.dropped += 1

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
        # A full Redis answers as well: with a batch under way only its writing tells.
        if not self._batch:
            self._well()
        return True

    def deadline(self) -> int | None:
        """Give the time of the next step that will do something; None while nothing waits."""
        if not self._in_step:
            return self._retry_at
        if self._batch:
            return 0
        return self._pending[0].mono + self._batch_ms if self._pending else None

    def step(self, now: int, *, final: bool = False) -> None:
        """Write every batch that is due; ``final`` writes all that waits."""
        while self.open(now) and (self._due(now) or (final and self.waiting)):
            if not self._batch:
                self._fill()
            records = [(each.seq, self._encode(each.epoch, each.seq)) for each in self._batch]
            try:
                self._stream.append(records)
            except QueueError as error:
                self._failed(error, now)
                return
            self._acknowledged(self._batch)
            self._batch = []
            self._well()

    def length(self) -> int | None:
        """Count the records in the queue; None if it does not answer."""
        if not self._in_step:
            return None
        try:
            return self._stream.length()
        except QueueError as error:
            self._failed(error, 0)
            return None

    def _due(self, now: int) -> bool:
        deadline = self.deadline()
        full = len(self._pending) >= BATCH_MAX
        return self._in_step and (full or (deadline is not None and deadline <= now))

    def _fill(self) -> None:
        count = min(BATCH_MAX, len(self._pending))
        numbers = itertools.count(self.last_seq + 1)
        self._batch = [
            _Numbered(seq=next(numbers), epoch=self._pending.popleft()) for _ in range(count)
        ]

    def _synchronise(self) -> None:
        """Learn what the queue holds, of the batch under way and of all before."""
        last = self._stream.last_seq()
        if last < self.last_seq:
            lost = self.last_seq - last
            self.vanished += lost
            log.error("the queue came back without its last %d records", lost)
        # The batch whose answer was lost is in the Stream, or it is not: its last id tells.
        written = [each for each in self._batch if each.seq <= last]
        self._batch = [each for each in self._batch if each.seq > last]
        self._acknowledged(written)
        self.last_seq = max(self.last_seq, last)
        self._in_step = True

    def _acknowledged(self, written: Sequence[_Numbered]) -> None:
        if written:
            self.recorded += len(written)
            self.last_seq = written[-1].seq
            self.last_epoch = written[-1].epoch

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
