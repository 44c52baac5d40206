"""Reports of gpsd, read as fast as it sends them, in a thread that does nothing else.

No library is used: PyPI's ``gps`` breaks on Python 3.9 and later (``json`` lost ``encoding=``),
and Debian's ``python3-gps`` gives the previous report again when a read ends within a line, so a
position would be recorded twice. The protocol is one JSON object per line, see gpsd_json(5).

The one thing to know: nothing here sleeps between two reads. Whoever reads slower than gpsd sends
walks through an ever older socket buffer, until gpsd drops him.
"""

from __future__ import annotations

import json
import logging
import math
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LINE_MAX = 64 * 1024
CHUNK = 16 * 1024
CONNECT_TIMEOUT_S = 5.0
RECV_TIMEOUT_S = 1.0
# With no receiver gpsd is silent by right, so after this long it is asked for a sign of life …
PROBE_AFTER_S = 10.0
# … and without one the connection is half dead: the other end went away without a word.
DEAD_AFTER_S = 20.0
BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 2.0
# SKY is by far the longest report and only the status shows it; parsing costs an ARMv6 dearly.
SKY_EVERY_S = 10.0
SKY_PREFIX = b'{"class":"SKY"'
WATCH = b'?WATCH={"enable":true,"json":true}\n'
PROBE = b"?VERSION;\n"
MODE_MAX = 3
EPOCH_ZERO = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)
# What json.loads does in the end, without the four functions before it.
_scan = json.JSONDecoder().scan_once

log = logging.getLogger(__name__)


class Tpv(NamedTuple):
    """One time-position-velocity report; None is what gpsd did not say or could not mean.

    A tuple, as all that is made for each epoch: a frozen dataclass takes five times as long.
    """

    device: str
    mono: int
    time: int | None = None
    mode: int = 0
    lat: float | None = None
    lon: float | None = None
    alt_msl: float | None = None
    speed: float | None = None
    track: float | None = None
    climb: float | None = None
    eph: float | None = None
    eps: float | None = None


class Lines:
    """Cuts a stream of bytes into lines; holds at most one line of 64 KiB."""

    def __init__(self) -> None:
        """Begin at the start of a line."""
        self.too_long = 0
        self._rest = b""
        self._skipping = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Give each line that is complete now, without its end."""
        *complete, rest = (self._rest + chunk).split(b"\n")
        if self._skipping and complete:
            self._skipping = False
            del complete[0]
        if len(rest) > LINE_MAX:
            self.too_long += not self._skipping
            self._skipping = True
        self._rest = b"" if self._skipping else rest
        return complete


def monotonic_ms() -> int:
    """Give the time since boot, which no step of the wall clock moves and suspend does not stop."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def tpv_of(report: Mapping[str, object], *, mono: int) -> Tpv:
    """Read a TPV object, taking each value that cannot be meant as unknown."""
    said = report.get
    mode, device = said("mode"), said("device")
    return Tpv(
        device if isinstance(device, str) else "",
        mono,
        _time_ms(said("time")),
        mode if type(mode) is int and 0 <= mode <= MODE_MAX else 0,
        _number(said("lat"), 90.0),
        _number(said("lon"), 180.0),
        _number(said("altMSL"), 1e6),
        _number(said("speed"), 1e5),
        _number(said("track"), 360.0),
        _number(said("climb"), 1e5),
        _number(said("eph"), 1e9),
        _number(said("eps"), 1e9),
    )


class Reader:
    """Keeps a connection to gpsd and hands every TPV on; its attributes tell how it goes."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        sink: Callable[[Tpv], None],
        clock: Callable[[], int] = monotonic_ms,
    ) -> None:
        """Prepare; ``start`` begins."""
        self.connected = False
        self.watching = False
        self.receiver_spoke = False
        self.connections = 0
        self.garbled = 0
        self.devices: tuple[str, ...] = ()
        self.satellites: tuple[int, int] | None = None
        self.problem = "not connected yet"
        self.progress = clock()
        self._address = (host, port)
        self._sink = sink
        self._clock = clock
        self._stopping = threading.Event()
        self._sky_at = -math.inf
        self._thread = threading.Thread(target=self._run, name="gpsd", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """End, at the latest after one timeout of the socket."""
        self._stopping.set()
        self._thread.join(CONNECT_TIMEOUT_S + RECV_TIMEOUT_S)

    def alive(self) -> bool:
        """Tell whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        backoff = BACKOFF_FIRST_S
        while not self._stopping.is_set():
            self.progress = self._clock()
            try:
                with socket.create_connection(self._address, timeout=CONNECT_TIMEOUT_S) as link:
                    self._read(link)
            except (OSError, UnicodeError) as error:  # the latter: no name for a host
                problem = f"gpsd at {self._address[0]} port {self._address[1]}: {error}"
                if problem != self.problem:
                    log.warning("%s", problem)
                self.problem = problem
            if self.watching:
                backoff = BACKOFF_FIRST_S
            self.connected = self.watching = False
            self.devices, self.satellites = (), None
            # Between two connections there is nothing to read, so here a pause loses nothing.
            self._stopping.wait(backoff)
            backoff = min(backoff * 2, BACKOFF_MAX_S)

    def _read(self, link: socket.socket) -> None:
        """Read until gpsd goes away; never pause."""
        link.sendall(WATCH)
        link.settimeout(RECV_TIMEOUT_S)
        self.connected = True
        self.connections += 1
        lines = Lines()
        heard = self._clock()
        probed = False
        while not self._stopping.is_set():
            try:
                chunk = link.recv(CHUNK)
            except TimeoutError:
                self.progress = now = self._clock()
                silence_s = (now - heard) / 1000
                if silence_s >= DEAD_AFTER_S:
                    message = f"no sign of life for {silence_s:.0f} s"
                    raise ConnectionError(message) from None
                if silence_s >= PROBE_AFTER_S and not probed:
                    link.sendall(PROBE)
                    probed = True
                continue
            if not chunk:
                message = "it closed the connection"
                raise ConnectionError(message)
            self.progress = heard = self._clock()
            probed = False
            for line in lines.feed(chunk):
                self._take(line, heard)
            if lines.too_long:
                self.garbled += lines.too_long
                lines.too_long = 0

    def _take(self, line: bytes, mono: int) -> None:
        if line.startswith(SKY_PREFIX):
            self.receiver_spoke = True
            if mono - self._sky_at < SKY_EVERY_S * 1000:
                return
            self._sky_at = mono
        report = _object(line)
        if report is None:
            self.garbled += bool(line.strip())
            return
        match report.get("class"):
            case "TPV":
                self.receiver_spoke = True
                self._sink(tpv_of(report, mono=mono))
            case "SKY":
                self.satellites = _satellites(report)
            case "WATCH":
                self._watched(accepted=report.get("enable") is True)
            case "DEVICES":
                self.devices = _paths(report.get("devices"))
            case "DEVICE":
                self._device(report)
            case "ERROR":
                log.warning("gpsd says: %s", report.get("message"))
            case _:
                pass  # VERSION, GST, ATT and whatever a later gpsd invents

    def _watched(self, *, accepted: bool) -> None:
        if accepted and not self.watching:
            log.info("gpsd at %s port %d reports to us", *self._address)
            self.problem = ""
        self.watching = accepted

    def _device(self, report: Mapping[str, object]) -> None:
        path = report.get("path")
        if not isinstance(path, str):
            return
        others = tuple(each for each in self.devices if each != path)
        # activated 0 (or missing) is how gpsd says that a receiver was pulled out.
        gone = report.get("activated") in (None, 0)
        self.devices = others if gone else (*others, path)
        log.info("receiver %s %s", path, "went away" if gone else "is there")


def _object(line: bytes) -> dict[str, object] | None:
    try:
        text = line.decode()
        report, end = _scan(text, 0)
    except (ValueError, StopIteration, RecursionError):
        return None
    return report if isinstance(report, dict) and not text[end:].strip() else None


def _number(value: object, limit: float) -> float | None:
    # type() and not isinstance(): True is an int for Python, and no latitude.
    if type(value) is float or type(value) is int:
        # json reads NaN and Infinity, and a comparison with NaN is false.
        return float(value) if -limit <= value <= limit else None
    return None


def _time_ms(value: object) -> int | None:
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
        aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        return (aware - EPOCH_ZERO) // MS
    except (ValueError, OverflowError):
        return None


def _satellites(report: Mapping[str, object]) -> tuple[int, int] | None:
    """Count the satellites used and seen; a SKY without the list says nothing about them."""
    seen = report.get("satellites")
    if not isinstance(seen, list):
        return None
    return sum(isinstance(each, dict) and each.get("used") is True for each in seen), len(seen)


def _paths(devices: object) -> tuple[str, ...]:
    if not isinstance(devices, list):
        return ()
    paths = [each.get("path") for each in devices if isinstance(each, dict)]
    return tuple(path for path in paths if isinstance(path, str))
