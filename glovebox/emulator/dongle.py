"""The USB receiver of an emulated board: what stands at the other end of QEMU's serial socket.

It behaves as a real one: it speaks from power-on, without a fix until told to drive, and it never
waits for a reader. What nobody takes is lost, as in a dongle whose few bytes of memory are full.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from glovebox.emulator.nmea import MODE_NONE, Burst, Epoch, encode, sentences
from glovebox.errors import GloveboxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PACE_S = 1.0
CONNECT_TIMEOUT_S = 30.0
CONNECT_PAUSE_S = 0.05
CLOSE_TIMEOUT_S = 5.0
# The kernel doubles it and never goes below its minimum: room for a handful of epochs.
SEND_BUFFER = 1


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One epoch that was due: when (time.monotonic), and whether the board's end took it."""

    epoch: Epoch | Burst
    at: float
    taken: bool


class Dongle:
    """A receiver that is plugged in; ``sent`` tells of each epoch since power-on, in order."""

    def __init__(self, path: Path, *, pace_s: float = PACE_S) -> None:
        """Prepare; ``plugged`` runs it."""
        self.sent: list[Sent] = []
        self.unplugged = threading.Event()  # the other end closed
        self._path = path
        self._pace_s = pace_s
        self._road: deque[Epoch | Burst] = deque()
        self._turn = threading.Lock()  # road and arrival change together
        self._arrived = threading.Event()
        self._arrived.set()
        self._off = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dongle", daemon=True)

    def drive(self, epochs: Iterable[Epoch | Burst]) -> None:
        """Send these next, one each pace; a drive under way goes on first."""
        with self._turn:
            self._arrived.clear()
            self._road.extend(epochs)

    def stop(self) -> None:
        """End the drive here: what was not sent yet is not sent; `wait` waits for what is."""
        with self._turn:
            self._road.clear()

    def wait(self, timeout_s: float) -> None:
        """Wait until the drive is over."""
        if not self._arrived.wait(timeout_s) or self.unplugged.is_set():
            left = len(self._road)
            why = "was unplugged" if self.unplugged.is_set() else f"took over {timeout_s:.0f} s"
            raise GloveboxError(f"the dongle {why} with {left} epochs of the drive unsent")

    def start(self) -> None:
        """Power on: connect as soon as there is a socket, then speak."""
        self._thread.start()

    def close(self) -> None:
        """Power off."""
        self._off.set()
        self._thread.join(CLOSE_TIMEOUT_S)  # it may hang in a board that takes nothing

    def _run(self) -> None:
        try:
            with self._connect() as link:
                self._speak(link)
        except OSError:
            pass  # the board is gone, and says itself why
        finally:
            self.unplugged.set()
            self._arrived.set()  # nobody waits for what never comes; `wait` tells

    def _connect(self) -> socket.socket:
        until = time.monotonic() + CONNECT_TIMEOUT_S
        while True:
            link = socket.socket(socket.AF_UNIX)
            try:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
                link.connect(str(self._path))
            except OSError:
                link.close()
                if time.monotonic() > until or self._off.wait(CONNECT_PAUSE_S):
                    raise
            else:
                return link

    def _speak(self, link: socket.socket) -> None:
        due = time.monotonic()
        while not self._off.wait(max(0.0, due - time.monotonic())):
            with self._turn:
                epoch = self._road.popleft() if self._road else _void()
            data = epoch.encode() if isinstance(epoch, Burst) else encode(sentences(epoch))
            self.sent.append(Sent(epoch=epoch, at=time.monotonic(), taken=_send(link, data)))
            with self._turn:
                if not self._road:
                    self._arrived.set()
            due += self._pace_s


@contextmanager
def plugged(path: Path, *, pace_s: float = PACE_S) -> Iterator[Dongle]:
    """Run a receiver at a socket, which may appear later, until the block ends."""
    dongle = Dongle(path, pace_s=pace_s)
    dongle.start()
    try:
        yield dongle
    finally:
        dongle.close()


def _void() -> Epoch:
    """Give what a receiver without a fix knows: the time, by its own battery."""
    return Epoch(time=datetime.now(UTC).replace(microsecond=0), mode=MODE_NONE, hdop=99.99)


def _send(link: socket.socket, data: bytes) -> bool:
    """Send all of it or nothing; False when the other end takes nothing at present."""
    try:
        done = link.send(data, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    link.sendall(data[done:])  # half a sentence would be another fault than a full memory
    return True
