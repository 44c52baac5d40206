"""A client of Redis that knows requests and replies and nothing else, see the RESP2 protocol.

The library redis-py is the usual choice and costs 18 MB of memory and a second of an ARMv6's start
before its first question; the service asks ten different ones, over one unix socket.
"""

from __future__ import annotations

import socket
from time import monotonic
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

CHUNK = 256 << 10
# Most answers are a few bytes, and room for a backlog would be mapped and unmapped for each.
SMALL = 4 << 10
# *2 $n id *2 $1 r $n value
ENTRY_LINES = 8
# What the service asks for is nested three deep, and a record is small: more is no Redis speaking.
DEPTH_MAX = 8
COUNT_MAX = 1 << 16
ANSWER_MAX = 4 << 20
LINE_MAX = 64 << 10
DIGITS_MAX = 20
# However it drips, an answer is waited for so many times the timeout altogether, and no longer.
PATIENCE = 10


class RespError(Exception):
    """The server refused; the message is its own."""


class NonsenseError(OSError):
    """What answered does not speak as a Redis does."""


class Client:
    """One connection, made when it is needed; any failure closes it.

    OSError if it fails, whatever the other end says: a socket may belong to anybody.
    """

    def __init__(
        self, path: str, *, timeout_s: float, until: Callable[[int, int], bool] | None = None
    ) -> None:
        """Prepare. ``until(file, ms)`` waits for an answer, if there is better to do meanwhile."""
        self._path = path
        self._until = until
        self._timeout_s = timeout_s
        self._link: socket.socket | None = None
        self._buffer = b""
        self._at = 0
        self._until_s, self._taken = 0.0, 0

    def ask(self, *words: bytes | str | int) -> object:
        """Give the reply to one command; raises RespError if the server refuses it."""
        (reply,) = self.ask_all([words])
        if isinstance(reply, RespError):
            raise reply
        return reply

    def ask_all(self, commands: Iterable[Sequence[bytes | str | int]]) -> list[object]:
        """Send all commands at once and give all replies; a refusal is one of the replies."""
        asked = [encoded(*words) for words in commands]
        return self.send(b"".join(asked), len(asked))

    def send(self, asked: bytes, count: int) -> list[object]:
        """Send ``count`` commands as they go over the wire, and give their replies."""
        try:
            link = self._asked(asked)
            return [self._reply(link) for _ in range(count)]
        except BaseException:
            # A late answer on the same connection would be taken for the next question's.
            self.close()
            raise

    def entries(self, *words: bytes | str | int) -> list[tuple[bytes, bytes]]:
        """Give the reply to XRANGE where each entry has one field: (id, value) of each.

        It is cut at all line ends at once, which is ten times as quick as reply by reply; where
        lengths then do not fit (a value that holds a line end) it is read the slow way.
        """
        try:
            link = self._asked(encoded(*words))
            first = self._line(link)
            if first[:1] == b"-":
                raise RespError(first[1:].decode(errors="replace"))  # noqa: TRY301  it is one line
            count = _count(first[1:], first, COUNT_MAX) if first[:1] == b"*" else _nonsense(first)
            while self._buffer.count(b"\r\n", self._at) < count * ENTRY_LINES:
                self._more(link, CHUNK)
            *lines, rest = self._buffer[self._at :].split(b"\r\n", count * ENTRY_LINES)
            values = lines[7::ENTRY_LINES]
            pairs = [b"*2"] * count
            if lines[::ENTRY_LINES] == lines[3::ENTRY_LINES] == pairs and all(
                b"$%d" % len(v) == size
                for v, size in zip(values, lines[6::ENTRY_LINES], strict=True)
            ):
                self._buffer, self._at = rest, 0
                return list(zip(lines[2::ENTRY_LINES], values, strict=True))
            return [_entry(self._reply(link)) for _ in range(count)]
        except RespError:
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Hang up."""
        if self._link is not None:
            self._link.close()
        self._link, self._buffer, self._at = None, b"", 0

    def _asked(self, request: bytes) -> socket.socket:
        """Send a request, and let the time for its answer begin."""
        link = self._connected()
        self._until_s, self._taken = monotonic() + PATIENCE * self._timeout_s, 0
        link.sendall(request)
        return link

    def _connected(self) -> socket.socket:
        if self._link is None:
            link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            link.settimeout(self._timeout_s)
            try:
                link.connect(self._path)
            except OSError:
                link.close()
                raise
            self._link = link
        return self._link

    def _reply(self, link: socket.socket, depth: int = 0) -> object:
        line = self._line(link)
        kind, rest = line[:1], line[1:]
        match kind:
            case b"+":
                return rest
            case b"-":
                return RespError(rest.decode(errors="replace"))
            case b":":
                return _integer(rest, line)
            case b"$":
                return self._bulk(link, line)
            case b"*" if depth < DEPTH_MAX:
                return self._array(link, line, depth + 1)
        return _nonsense(line)

    def _bulk(self, link: socket.socket, line: bytes) -> bytes | None:
        if line == b"$-1":
            return None
        return self._exactly(link, _count(line[1:], line, ANSWER_MAX))

    def _array(self, link: socket.socket, line: bytes, depth: int) -> list[object] | None:
        if line == b"*-1":
            return None
        return [self._reply(link, depth) for _ in range(_count(line[1:], line, COUNT_MAX))]

    def _line(self, link: socket.socket) -> bytes:
        while (end := self._buffer.find(b"\r\n", self._at)) < 0:
            if len(self._buffer) - self._at > LINE_MAX:
                _nonsense(self._buffer[self._at :])
            self._more(link)
        line, self._at = self._buffer[self._at : end], end + 2
        return line

    def _exactly(self, link: socket.socket, size: int) -> bytes:
        while len(self._buffer) - self._at < size + 2:
            self._more(link)
        content = self._buffer[self._at : self._at + size]
        self._at += size + 2
        return content

    def _more(self, link: socket.socket, size: int = SMALL) -> None:
        if self._until and not self._until(link.fileno(), int(self._timeout_s * 1000)):
            raise TimeoutError("timed out")
        if monotonic() > self._until_s or self._taken > ANSWER_MAX:
            raise TimeoutError("its answer does not end")
        chunk = link.recv(size)
        self._taken += len(chunk)
        if not chunk:
            message = "it closed the connection"
            raise ConnectionError(message)
        self._buffer, self._at = self._buffer[self._at :] + chunk, 0


def _entry(reply: object) -> tuple[bytes, bytes]:
    """Read one entry of a Stream that has one field."""
    match reply:
        case [bytes(ident), [bytes(), bytes(value)]]:
            return ident, value
    return _nonsense(repr(reply).encode())


def _integer(digits: bytes, line: bytes) -> int:
    # int() alone takes "1_0", " 1" and as many digits as there are.
    if len(digits) <= DIGITS_MAX and digits.removeprefix(b"-").isdigit():
        return int(digits)
    return _nonsense(line)


def _count(digits: bytes, line: bytes, most: int) -> int:
    """Read how much is to come; what nobody asked for is not waited for."""
    count = _integer(digits, line)
    return count if 0 <= count <= most else _nonsense(line)


def _nonsense(line: bytes) -> NoReturn:
    raise NonsenseError(f"no reply of a Redis: {line[:40]!r}")


def encoded(*words: bytes | str | int) -> bytes:
    """Give a command as it goes over the wire."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(
        b"$%d\r\n%s\r\n" % (len(part), part) for part in parts
    )
