"""The queue itself: a Redis Stream whose ids are the records' numbers.

A batch is one transaction, and the append-only file is flushed before it is answered: all of it is
on the medium, or none. Trimming is by identity, never by count, and nothing reads the whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from telematics.resp import Client, RespError, encoded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FIELD = b"r"
MULTI, EXEC = encoded("MULTI"), encoded("EXEC")
# A batch is due 1.15 s after its first epoch; with this and the journal it is safe within W = 2 s.
TIMEOUT_S = 0.6


class QueueError(Exception):
    """The queue did not take what it was given, or did not answer."""


class Queue(Protocol):
    """What the writer asks of the queue; each call raises QueueError if there is no answer."""

    def newest(self) -> bytes:
        """Give the newest record that ever entered, also if it was published; empty if none."""

    def append(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Write all the records and have them on the medium, or write none and raise."""

    def length(self) -> int:
        """Count the records that wait in the queue."""


class RedisQueue:
    """The queue in a Redis behind a unix socket, for the writer and for the publisher."""

    def __init__(
        self,
        *,
        socket: str,
        key: str,
        timeout_s: float = TIMEOUT_S,
        until: Callable[[int, int], bool] | None = None,
    ) -> None:
        """Prepare; the first call connects. ``until``: see Client."""
        self._client = Client(socket, timeout_s=timeout_s, until=until)
        self._key = key
        self._sent = f"{key}:sent"
        # XADD with five words; its id, the field's name and the record are still to come.
        self._adding = encoded("XADD", key).replace(b"*2", b"*5", 1)
        self._top = (0, 0)

    def newest(self) -> bytes:
        """Ask for the last entry, or what was published last; learns the last id on the way."""
        self._top = (0, 0)
        try:
            info = cast("list[object]", self._client.ask("XINFO", "STREAM", self._key))
        except RespError as error:
            if "no such key" in str(error):
                return self.sent()
            raise self._lost(error) from error
        except OSError as error:
            raise self._lost(error) from error
        facts = dict(zip(cast("list[bytes]", info[::2]), info[1::2], strict=True))
        self._top = _id(cast("bytes", facts[b"last-generated-id"]))
        entry = cast("list[object] | None", facts[b"last-entry"])
        return self.sent() if entry is None else cast("list[bytes]", entry[1])[1]

    def sent(self) -> bytes:
        """Ask for the last record that was published and trimmed; empty if none."""
        return cast("bytes | None", self._ask("GET", self._sent)) or b""

    def append(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Write a batch as one transaction, so that a full memory or a cut takes all or nothing."""
        commands: list[bytes] = []
        top = self._top
        for seq, raw in records:
            # An id must grow, also where an installation that came before was further.
            top = (seq, 0) if seq > top[0] else (top[0], top[1] + 1)
            commands.append(self._add(b"%d-%d" % top, raw))
        if len(commands) > 1:  # a single one is all or nothing by itself
            commands = [MULTI, *commands, EXEC]
        try:
            replies = self._client.send(b"".join(commands), len(commands))
        except OSError as error:
            raise self._lost(error) from error
        done = replies if len(commands) == 1 else replies[-1]
        answers = [*replies, *done] if isinstance(done, list) else replies
        refused = [each for each in answers if isinstance(each, RespError)]
        if refused or not isinstance(done, list):
            raise self._lost(refused[0] if refused else RespError("transaction refused"))
        self._top = top

    def length(self) -> int:
        """Ask for the number of entries."""
        return cast("int", self._ask("XLEN", self._key))

    def read(self, after: str, count: int) -> list[tuple[str, bytes]]:
        """Give up to ``count`` of the oldest entries after an id: each its id and record."""
        try:
            found = self._client.entries("XRANGE", self._key, f"({after}", "+", "COUNT", count)
        except (RespError, OSError) as error:
            raise self._lost(error) from error
        return [(ident.decode(), raw) for ident, raw in found]

    def drop(self, ident: str, raw: bytes) -> None:
        """Trim up to and with an id, by identity and not by count; keep what was published last."""
        ms, sub = _id(ident.encode())
        commands: list[tuple[bytes | str | int, ...]] = [
            ("MULTI",),
            ("SET", self._sent, raw),
            ("XTRIM", self._key, "MINID", f"{ms}-{sub + 1}"),
            ("EXEC",),
        ]
        try:
            replies = self._client.ask_all(commands)
        except OSError as error:
            raise self._lost(error) from error
        for each in replies:
            if isinstance(each, RespError):
                raise self._lost(each)

    def _add(self, ident: bytes, raw: bytes) -> bytes:
        return b"%b$%d\r\n%b\r\n$1\r\n%b\r\n$%d\r\n%b\r\n" % (
            self._adding, len(ident), ident, FIELD, len(raw), raw,
        )  # fmt: skip

    def _ask(self, *words: bytes | str | int) -> object:
        try:
            return self._client.ask(*words)
        except (RespError, OSError) as error:
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> QueueError:
        self._client.close()
        return QueueError(str(error) or type(error).__name__)


def _id(text: bytes) -> tuple[int, int]:
    ms, _, sub = text.partition(b"-")
    return int(ms), int(sub)
