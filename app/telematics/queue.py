"""The queue itself: a Redis Stream whose ids are the records' numbers.

A batch is one transaction, and the append-only file is flushed before it is answered: all of it is
on the medium, or none. Trimming is by identity, never by count, and nothing reads the whole.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from telematics.resp import Client, RespError, encoded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FIELD = b"r"
_COUNT = re.compile(rb"-?\d{1,9}")
_IDS = re.compile(rb"\d{1,20}-\d{1,20}")
# One less than none: the start that noted it is not one of the silent.
HEARD = -1
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
        self._refused = f"{key}:refused"
        self._silent = f"{key}:silent"
        # XADD with five words; its id, the field's name and the record are still to come.
        self._adding = encoded("XADD", key).replace(b"*2", b"*5", 1)
        self._top = (0, 0)

    def newest(self) -> bytes:
        """Ask for the last entry, or what was published last; learns the last id on the way."""
        self._top = (0, 0)
        try:
            facts = self._client.ask("XINFO", "STREAM", self._key)
        except RespError as error:
            if "no such key" in str(error):
                return self.sent()
            raise self._lost(error) from error
        except OSError as error:
            raise self._lost(error) from error
        match _fact(facts, b"last-generated-id"):
            case bytes(ident) if _IDS.fullmatch(ident):
                self._top = _id(ident)
            case _:
                raise self._nonsense(facts)
        match _fact(facts, b"last-entry"):
            case [bytes(), [bytes(), bytes(raw)]]:
                return raw
            case None:
                return self.sent()
        raise self._nonsense(facts)

    def sent(self) -> bytes:
        """Ask for the last record that was published and trimmed; empty if none."""
        match reply := self._ask("GET", self._sent):
            case None:
                return b""
            case bytes():
                return reply
        raise self._nonsense(reply)

    def append(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Write a batch as one transaction, so that a full memory or a cut takes all or nothing."""
        commands: list[bytes] = []
        idents: list[object] = []
        top = self._top
        for seq, raw in records:
            # An id must grow, also where an installation that came before was further.
            top = (seq, 0) if seq > top[0] else (top[0], top[1] + 1)
            ident = b"%d-%d" % top
            idents.append(ident)
            commands.append(self._add(ident, raw))
        if len(commands) > 1:  # a single one is all or nothing by itself
            commands = [MULTI, *commands, EXEC]
        try:
            replies = self._client.send(b"".join(commands), len(commands))
        except OSError as error:
            raise self._lost(error) from error
        done = replies if len(commands) == 1 else replies[-1]
        answers = [*replies, *done] if isinstance(done, list) else replies
        refused = [answer for answer in answers if isinstance(answer, RespError)]
        if refused:
            raise self._lost(refused[0])
        # Each answer is the id that was asked for: nothing else says that a record stands there.
        if done != idents:
            raise self._nonsense(done)
        self._top = top

    def length(self) -> int:
        """Ask for the number of entries."""
        return self._count(self._key)

    def _count(self, key: str) -> int:
        match reply := self._ask("XLEN", key):
            case int():
                return reply
        raise self._nonsense(reply)

    def read(self, after: str, count: int) -> list[tuple[str, bytes]]:
        """Give up to ``count`` of the oldest entries after an id: each its id and record."""
        return self._range(self._key, after, count)

    def _range(self, key: str, after: str, count: int) -> list[tuple[str, bytes]]:
        try:
            entries = self._client.entries("XRANGE", key, f"({after}", "+", "COUNT", count)
        except (RespError, OSError) as error:
            raise self._lost(error) from error
        if len(entries) > count or not all(_IDS.fullmatch(ident) for ident, _ in entries):
            raise self._nonsense(entries)
        return [(ident.decode(), raw) for ident, raw in entries]

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
        done = replies[-1]
        answers = [*replies, *done] if isinstance(done, list) else replies
        for answer in answers:
            if isinstance(answer, RespError):
                raise self._lost(answer)
        match done:
            case [bytes(), int()]:
                return
        raise self._nonsense(done)

    def put_aside(self, ident: str, raw: bytes) -> None:
        """Trim as ``drop`` does, once the record stands among those that the receiver refused.

        A cut between the two leaves it in both: twice is better than not at all.
        """
        reply = self._ask("XADD", self._refused, "*", FIELD, raw)
        if not isinstance(reply, bytes) or not _IDS.fullmatch(reply):
            raise self._nonsense(reply)
        self.drop(ident, raw)

    def refused(self, after: str, count: int) -> list[tuple[str, bytes]]:
        """Give up to ``count`` of the oldest that were refused, after an id."""
        return self._range(self._refused, after, count)

    def refused_length(self) -> int:
        """Count those that were refused."""
        return self._count(self._refused)

    def begin_start(self) -> int:
        """Note another start of the board, and give how many before it were never acknowledged."""
        count = _number(self._ask("GET", self._silent)) + 1
        self._ask("SET", self._silent, count)
        return count

    def silent_starts(self) -> int:
        """Give how many starts in a row before this one saw nothing acknowledged."""
        return max(_number(self._ask("GET", self._silent)), 0)

    def heard(self) -> None:
        """Note that something was acknowledged in this start."""
        self._ask("SET", self._silent, HEARD)

    def taken_at_last(self, ident: str) -> None:
        """Forget one that was refused, and taken later."""
        self._ask("XDEL", self._refused, ident)

    def _add(self, ident: bytes, raw: bytes) -> bytes:
        return b"%b$%d\r\n%b\r\n$1\r\n%b\r\n$%d\r\n%b\r\n" % (
            self._adding, len(ident), ident, FIELD, len(raw), raw,
        )  # fmt: skip

    def _ask(self, *words: bytes | str | int) -> object:
        try:
            return self._client.ask(*words)
        except (RespError, OSError) as error:
            raise self._lost(error) from error

    def _nonsense(self, reply: object) -> QueueError:
        """Hang up on whatever this is: what it says next would not be an answer either."""
        return self._lost(RespError(f"no answer of a Redis: {reply!r:.80}"))

    def _lost(self, error: Exception) -> QueueError:
        self._client.close()
        return QueueError(str(error) or type(error).__name__)


def _fact(reply: object, name: bytes) -> object:
    """Find a value behind its name in a list of both; False if it is not there."""
    if not isinstance(reply, list) or name not in reply[::2]:
        return False
    place = 2 * reply[::2].index(name) + 1
    return reply[place] if place < len(reply) else False


def _number(reply: object) -> int:
    """Read a count; whatever else stands there counts as none."""
    return int(reply) if isinstance(reply, bytes) and _COUNT.fullmatch(reply) else HEARD


def _id(text: bytes) -> tuple[int, int]:
    ms, _, sub = text.partition(b"-")
    return int(ms), int(sub)
