"""The connection to gpsd, read by the same thread that writes: a second one wakes up for nothing.

The one thing to know: nothing here sleeps between two reads. Whoever reads slower than gpsd sends
walks through an ever older socket buffer, until gpsd drops him. So whatever else that thread has
to wait for, it waits for here: ``until`` a slow queue answers, ``aside`` of a slow card. What gpsd
says meanwhile is read at once, and has the time at which it came.
"""

from __future__ import annotations

import logging
import math
import os
import select
import socket
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar, cast

from telematics.gpsd import Lines, Tpv, monotonic_ms, object_of, paths, satellites, tpv_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

CHUNK = 64 * 1024
CONNECT_TIMEOUT_S = 5.0
# With no receiver gpsd is silent by right, so after this long it is asked for a sign of life …
PROBE_AFTER_S = 10.0
# … and without one the connection is half dead: the other end went away without a word.
ANSWER_WITHIN_S = 10.0
BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 2.0
# The reports outrun the writer only while queue or card hang; this is eight minutes of 10 Hz.
REPORTS_MAX = 5000
# SKY is by far the longest report and only the status shows it; parsing costs an ARMv6 dearly.
SKY_EVERY_S = 30.0
SKY_PREFIX = b'{"class":"SKY"'
WATCH = b'?WATCH={"enable":true,"json":true}\n'
PROBE = b"?VERSION;\n"
LOOK_MS = 1000

log = logging.getLogger(__name__)


class Listener:
    """Keeps a connection to gpsd; ``reports`` are what came, the attributes tell how it goes."""

    def __init__(self, host: str, port: int, *, clock: Callable[[], int] = monotonic_ms) -> None:
        """Prepare; the first ``wait`` connects."""
        self.reports: deque[Tpv] = deque()
        self.watching = False
        self.receiver_spoke = False
        self.connections = 0
        self.garbled = 0
        self.flooded = 0
        self.devices: tuple[str, ...] = ()
        self.satellites: tuple[int, int] | None = None
        self.problem = "not connected yet"
        self._address = (host, port)
        self._clock = clock
        self._link: socket.socket | None = None
        self._lines = Lines()
        self._dialling: threading.Thread | None = None
        self._answers: deque[socket.socket | Exception] = deque()
        self._dial_at = 0
        self._backoff_s = BACKOFF_FIRST_S
        self._heard = 0
        self._asked: int | None = None  # when, while there is no answer
        self._sky_at = -math.inf
        # A pipe, since signals ring it as well, and write one byte: see signal.set_wakeup_fd().
        self._bell, self.bell = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._rung = False
        self._poll = select.poll()
        self._poll.register(self._bell, select.POLLIN)

    @property
    def connected(self) -> bool:
        """Tell whether there is a connection at all."""
        return self._link is not None

    def ring(self) -> None:
        """Let ``wait`` come back at once; safe in a signal handler and from any thread."""
        with suppress(BlockingIOError):  # then it rings already
            os.write(self.bell, b"\0")

    def wait(self, timeout_ms: int, now: int) -> None:
        """Wait until gpsd said something, somebody rings or the time is over."""
        self._tend(now)
        if self._rung:
            timeout_ms, self._rung = 0, False
        for file, _ in self._poll.poll(timeout_ms):
            self._came(file)
        self._rung = False

    def until(self, ready: int, timeout_ms: int) -> bool:
        """Wait until a file can be read, and read gpsd meanwhile; False if it took too long."""
        end = self._clock() + timeout_ms
        self._poll.register(ready, select.POLLIN)
        try:
            while True:
                came = self._poll.poll(timeout_ms)
                if not came:
                    return False
                there = False
                for file, _ in came:
                    if file == ready:
                        there = True
                    else:
                        self._came(file)
                if there:
                    return True
                timeout_ms = max(0, end - self._clock())
        finally:
            self._poll.unregister(ready)

    def aside(self, work: Callable[[], T]) -> T:
        """Do what may take long in a thread of its own, and read gpsd meanwhile."""
        done = os.eventfd(0, os.EFD_CLOEXEC)
        outcome: list[tuple[T | None, BaseException | None]] = []

        def run() -> None:
            try:
                outcome.append((work(), None))
            except BaseException as error:  # noqa: BLE001  it is raised where it was asked for
                outcome.append((None, error))
            os.eventfd_write(done, 1)

        thread = threading.Thread(target=run, name="aside", daemon=True)
        thread.start()
        try:
            while not self.until(done, LOOK_MS):
                pass
            thread.join()
        finally:
            os.close(done)
        ((result, error),) = outcome
        if error is not None:
            raise error
        return cast("T", result)

    def close(self) -> None:
        """Hang up; there is no other connection after it."""
        self._dial_at = 1 << 62
        self._hang_up()

    def _came(self, file: int) -> None:
        if file == self._bell:
            os.read(self._bell, CHUNK)
            self._rung = True
        elif self._link is not None and file == self._link.fileno():
            self._read(self._link)

    def _tend(self, now: int) -> None:
        """Connect where there is no connection; where there is one, see that it lives."""
        if self._link is None:
            if self._answers:
                self._answered(self._answers.popleft(), now)
            elif self._dialling is None and now >= self._dial_at:
                # In a thread of its own: a name or a host that does not answer takes seconds.
                self._dialling = threading.Thread(target=self._dial, name="dial", daemon=True)
                self._dialling.start()
            return
        silence_s = (now - self._heard) / 1000
        if self._asked is None:
            if silence_s >= PROBE_AFTER_S:
                self._asked = now
                self._say(self._link, PROBE)
        elif now - self._asked >= ANSWER_WITHIN_S * 1000:
            self._lost(f"no sign of life for {silence_s:.0f} s")

    def _dial(self) -> None:
        answer: socket.socket | Exception
        try:
            answer = socket.create_connection(self._address, timeout=CONNECT_TIMEOUT_S)
        except (OSError, UnicodeError) as error:  # the latter: no name for a host
            answer = error
        self._answers.append(answer)
        self.ring()

    def _answered(self, answer: socket.socket | Exception, now: int) -> None:
        self._dialling = None
        if isinstance(answer, Exception):
            self._lost(str(answer))
            return
        answer.setblocking(False)  # the socket's own interface
        self._link, self._lines = answer, Lines()
        self._heard, self._asked = now, None
        self.connections += 1
        self._poll.register(answer, select.POLLIN)
        self._say(answer, WATCH)

    def _say(self, link: socket.socket, what: bytes) -> None:
        try:
            link.sendall(what)
        except OSError as error:
            self._lost(str(error))

    def _lost(self, why: str) -> None:
        """Hang up, and try again a little later; between two connections nothing can be read."""
        problem = f"gpsd at {self._address[0]} port {self._address[1]}: {why}"
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem
        if self.watching:
            self._backoff_s = BACKOFF_FIRST_S
        self._hang_up()
        self._dial_at = self._clock() + int(self._backoff_s * 1000)
        self._backoff_s = min(self._backoff_s * 2, BACKOFF_MAX_S)

    def _hang_up(self) -> None:
        if self._link is not None:
            self._poll.unregister(self._link)
            self._link.close()
        self._link = None
        self.watching = False
        self.devices, self.satellites = (), None

    def _read(self, link: socket.socket) -> None:
        try:
            chunk = link.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(str(error))
            return
        if not chunk:
            self._lost("it closed the connection")
            return
        self._heard = now = self._clock()
        self._asked = None
        for line in self._lines.feed(chunk):
            self._take(line, now)
        if self._lines.too_long:
            self.garbled += self._lines.too_long
            self._lines.too_long = 0

    def _take(self, line: bytes, mono: int) -> None:
        if line.startswith(SKY_PREFIX):
            self.receiver_spoke = True
            if mono - self._sky_at < SKY_EVERY_S * 1000:
                return
            self._sky_at = mono
        report = object_of(line) if line.strip() else {}
        if report is None:
            self.garbled += 1
            return
        match report.get("class"):
            case "TPV":
                self._keep(tpv_of(report, mono=mono))
            case "SKY":
                self.satellites = satellites(report)
            case "WATCH":
                self._watched(accepted=report.get("enable") is True)
            case "DEVICES":
                self.devices = paths(report.get("devices"))
            case "DEVICE":
                self._device(report)
            case "ERROR":
                log.warning("gpsd says: %s", report.get("message"))
            case _:
                pass  # VERSION, GST, ATT and whatever a later gpsd invents

    def _keep(self, tpv: Tpv) -> None:
        self.receiver_spoke = True
        if len(self.reports) < REPORTS_MAX:
            self.reports.append(tpv)
        else:
            self.flooded += 1

    def _watched(self, *, accepted: bool) -> None:
        if accepted and not self.watching:
            log.info("gpsd at %s port %d reports to us", *self._address)
            self.problem = ""
        self.watching = accepted

    def _device(self, report: Mapping[str, object]) -> None:
        path = report.get("path")
        if not isinstance(path, str):
            return
        others = tuple(known for known in self.devices if known != path)
        # activated 0 (or missing) is how gpsd says that a receiver was pulled out.
        gone = report.get("activated") in (None, 0)
        self.devices = others if gone else (*others, path)
        log.info("receiver %s %s", path, "went away" if gone else "is there")
