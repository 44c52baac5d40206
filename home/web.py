"""An HTTP server that strangers cannot exhaust: a thread for each of a bounded number of callers.

The standard library's server, with what it lacks: as many connections as there is room for, the
one that has been silent longest goes first; a time for the whole of a request's head and of its
body, not for each byte; a limit on the head; and no body is read for whom it is not wanted.
"""

from __future__ import annotations

import io
import logging
import socket
import ssl
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONNECTIONS_MAX = 64
HEAD_MAX = 32 << 10
HEAD_S = 10.0
IDLE_S = 60.0
BODY_S = 30.0
ANSWER_S = 30.0

log = logging.getLogger(__name__)


@dataclass
class Connections:
    """Who is connected; a caller is silent until it asks for something that it has a right to."""

    most: int = CONNECTIONS_MAX
    _since: dict[socket.socket, float] = field(default_factory=dict)
    _busy: set[socket.socket] = field(default_factory=set)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, caller: socket.socket) -> bool:
        """Take a caller in; if there is no room, in place of the one that was silent longest."""
        with self._guard:
            if len(self._since) >= self.most:
                silent = [each for each in self._since if each not in self._busy]
                if not silent:
                    return False
                self._drop(min(silent, key=self._since.__getitem__))
            self._since[caller] = time.monotonic()
            return True

    def busy(self, caller: socket.socket, *, now: bool) -> None:
        """Say that a caller is being served, or silent again."""
        with self._guard:
            if now:
                self._busy.add(caller)
            else:
                self._busy.discard(caller)
                if caller in self._since:
                    self._since[caller] = time.monotonic()

    def leave(self, caller: socket.socket) -> None:
        """Forget a caller."""
        with self._guard:
            self._since.pop(caller, None)
            self._busy.discard(caller)

    def end(self) -> None:
        """Drop everybody."""
        with self._guard:
            for each in list(self._since):
                self._drop(each)

    def __len__(self) -> int:
        """Count those that are connected."""
        return len(self._since)

    def _drop(self, caller: socket.socket) -> None:
        self._since.pop(caller, None)
        self._busy.discard(caller)
        # Its thread wakes up with nothing to read, and ends.
        with suppress(OSError):
            caller.shutdown(socket.SHUT_RDWR)


class _Timed(io.RawIOBase):
    """What a caller sends, up to a moment and a number of bytes."""

    def __init__(self, caller: socket.socket) -> None:
        self.caller = caller
        self.until = 0.0
        self.budget = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  any buffer
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("too slow")
        if self.budget <= 0:
            return 0
        self.caller.settimeout(left)
        count = self.caller.recv_into(memoryview(buffer)[: self.budget])
        self.budget -= count
        return count


class Handler(BaseHTTPRequestHandler):
    """One caller; a subclass answers by `do_GET` and `do_POST`."""

    protocol_version = "HTTP/1.1"
    server_version = "glovebox-home"
    sys_version = ""
    server: Server

    def setup(self) -> None:
        """Take the caller, and shake hands if it is TLS, in a bounded time."""
        self._plain = self.request
        self.request.settimeout(HEAD_S)
        if self.server.tls is not None:
            # Of a copy: the caller in the table stays one that can be shut down.
            self.request = self.server.tls.wrap_socket(self.request.dup(), server_side=True)
        self.connection = self.request
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._timed = _Timed(self.request)
        self.rfile = io.BufferedReader(self._timed, 8192)
        self.wfile = _Answers(self.request)
        self._first = True

    def finish(self) -> None:
        """Close what was opened here."""
        self.rfile.close()
        if self.request is not self._plain:
            self.request.close()

    def handle_one_request(self) -> None:
        """Wait for a request no longer than allowed, and answer it."""
        self._timed.until = time.monotonic() + (HEAD_S if self._first else IDLE_S)
        self._timed.budget = HEAD_MAX
        self._first = False
        try:
            super().handle_one_request()
        finally:
            self.server.connections.busy(self._plain, now=False)

    def handle_expect_100(self) -> bool:
        """Wait with "go on" until it is known whether the body is wanted."""
        self._asks_first = True
        return True

    _asks_first = False

    def serving(self) -> None:
        """Say that this caller has a right to what it asks for."""
        self.server.connections.busy(self._plain, now=True)

    def body(self, most: int) -> bytes | None:
        """Read the body; None if it was answered that it is not one to read."""
        length = self.headers.get("Content-Length", "")
        if self.headers.get("Transfer-Encoding") or not length:
            self.answer(HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing", close=True)
            return None
        if not length.isascii() or not length.isdecimal() or len(length) > 18:  # noqa: PLR2004  no length has more digits
            self.answer(HTTPStatus.BAD_REQUEST, "Content-Length is no length", close=True)
            return None
        size = int(length)
        if size > most:
            said = f"{size} bytes; {most} at once"
            self.answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, said, close=True)
            return None
        if self._asks_first:
            self.send_response_only(HTTPStatus.CONTINUE)
            self.end_headers()
        self._timed.until = time.monotonic() + BODY_S
        self._timed.budget = size  # what is in the buffer already is a part of it
        body = self.rfile.read(size)
        if len(body) < size:
            self.close_connection = True
            return None
        return body

    def answer(
        self,
        status: HTTPStatus,
        text: str | bytes,
        kind: str = "text/plain; charset=utf-8",
        *,
        close: bool = False,
        **headers: str,
    ) -> None:
        """Send a whole answer."""
        content = text.encode() if isinstance(text, str) else text
        if close:
            self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Content-Type-Options", "nosniff")
        if close:
            self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing: who calls is nobody's business but the status page's."""


class _Answers(io.BufferedIOBase):
    """What a caller is sent; one that does not take it is left."""

    def __init__(self, caller: socket.socket) -> None:
        self._caller = caller

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:  # noqa: ANN401  any buffer
        self._caller.settimeout(ANSWER_S)
        self._caller.sendall(content)
        return len(content)


class Server(ThreadingHTTPServer):
    """Serves one kind of handler to a bounded number of callers."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        handler: Callable[..., Handler],
        *,
        tls: ssl.SSLContext | None = None,
        most: int = CONNECTIONS_MAX,
    ) -> None:
        """Listen; OSError if that is not possible."""
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.tls = tls
        self.connections = Connections(most)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  as the parent
        """Serve a caller if there is room."""
        if self.connections.enter(request):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401  likewise
        """End with a caller."""
        self.connections.leave(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002  likewise
        """Tell of what nobody foresaw; a caller that went or was too slow is none of it."""
        error = sys.exc_info()[1]
        if not isinstance(error, (OSError, ValueError)):
            log.error("a request from %s", client_address[0], exc_info=error)


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Give what a server proves itself with; OSError (ssl.SSLError) if these are no such files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
