"""Serve images on the local network for as long as somebody takes them, and no longer.

Only the files that are offered have an address; nothing is looked up on the disk. The standard
library's server is enough for one person's cards.
"""

from __future__ import annotations

import ipaddress
import shutil
import socket
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from glovebox.errors import HostError
from glovebox.project import offer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import IO

    from glovebox.host.monitor import Monitor
    from glovebox.project.offer import Offer

PORT = 8642
_KINDS = {
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".html": "text/html; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
_STALLED_S = 60  # who takes nothing for so long has gone
_LOOK_S = 0.2


class Server(ThreadingHTTPServer):
    """Serves what it was given, and knows when somebody last took something."""

    daemon_threads = True
    request_queue_size = 16

    def __init__(self, address: tuple[str, int], monitor: Monitor) -> None:
        """Listen; what is offered is set once the port is known."""
        self.texts: dict[str, bytes] = {}
        self.files: dict[str, Path] = {}
        self.monitor = monitor
        self._guard = threading.Lock()
        self._busy = 0
        self._last = time.monotonic()
        super().__init__(address, _Handler)

    @contextmanager
    def taking(self) -> Iterator[None]:
        """Count a request as long as it lasts."""
        with self._guard:
            self._busy += 1
        try:
            yield
        finally:
            with self._guard:
                self._busy -= 1
                self._last = time.monotonic()

    def idle_s(self) -> float:
        """Give for how long nobody has taken anything."""
        with self._guard:
            return 0.0 if self._busy else time.monotonic() - self._last

    def handle_error(self, request: object, client_address: object) -> None:
        """Note who went away; a traceback helps nobody."""
        self.monitor.note(f"serve: {client_address}: the connection ended ({request})")


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = _STALLED_S
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Send a file."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Tell of a file."""
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        with self.server.taking():
            if ipaddress.ip_address(self.client_address[0]).is_global:
                self.send_error(HTTPStatus.FORBIDDEN, "for the local network only")
                return
            name = unquote(urlsplit(self.path).path).removeprefix("/") or offer.PAGE
            found = self._open(name)
            if found is None:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            source, size = found
            with source:
                self.send_response(HTTPStatus.OK)
                ending = name[name.rfind(".") :]
                self.send_header("Content-Type", _KINDS.get(ending, "application/octet-stream"))
                self.send_header("Content-Length", str(size))
                self.send_header("Cache-Control", "no-cache")
                self.end_headers()
                if body:
                    shutil.copyfileobj(source, self.wfile, 1 << 20)
            if body and name in self.server.files:
                self.server.monitor.say(f"  {self.client_address[0]} has taken {name}")

    def _open(self, name: str) -> tuple[IO[bytes], int] | None:
        text = self.server.texts.get(name)
        if text is not None:
            return BytesIO(text), len(text)
        path = self.server.files.get(name)
        with suppress(OSError):  # built anew meanwhile: gone for a moment
            if path is not None:
                return path.open("rb"), path.stat().st_size
        return None

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
        """Note a request in the log."""
        self.server.monitor.note(f"serve: {self.client_address[0]}: {format % args}")


def own_address() -> str:
    """Give this machine's address in its network; raises HostError where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing: the kernel only says by which address it would.
            probe.connect(("192.0.2.1", 9))
        except OSError as error:
            raise HostError(
                "this machine is in no network", hint="name its address: --address 192.168.1.2"
            ) from error
        return str(probe.getsockname()[0])


@contextmanager
def serving(
    offers: Sequence[Offer], monitor: Monitor, *, address: str, port: int = PORT
) -> Iterator[tuple[Server, str]]:
    """Serve in the background while the block runs; give the server and its address."""
    try:
        server = Server((address, port), monitor)
    except (OSError, OverflowError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise HostError(
            f"cannot listen on {address}:{port}: {said.lower()}",
            hint="an address of this machine, and a port that is free: --address, --port",
        ) from error
    with server:
        base = f"http://{address}:{server.server_address[1]}"
        server.texts = offer.texts(offers, base)
        server.files = {path.name: path for one in offers for path in one.shared}
        thread = threading.Thread(target=partial(server.serve_forever, _LOOK_S), daemon=True)
        thread.start()
        try:
            yield server, base
        finally:
            server.shutdown()
            thread.join()


def until_idle(server: Server, seconds: float) -> None:
    """Wait until nobody has taken anything for so long."""
    while (idle := server.idle_s()) < seconds:
        time.sleep(min(_LOOK_S, seconds - idle) or _LOOK_S)


def qr(text: str) -> str:
    """Draw a QR code for a terminal, two of its rows a line; its margin is part of it."""
    import segno  # noqa: PLC0415  only who serves waits for it

    code = segno.make(text, error="l", micro=False)
    rows = [bytes(row) for row in code.matrix_iter(border=2)]
    if len(rows) % 2:
        rows.append(bytes(len(rows[0])))
    # Light is drawn and dark left out, as terminals are mostly dark.
    shapes = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}
    return "\n".join(
        "".join(shapes[pair] for pair in zip(above, below, strict=True))
        for above, below in zip(rows[::2], rows[1::2], strict=True)
    )
