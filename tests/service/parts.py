"""The real parts around the service: a receiver on a pty, gpsd, Redis, and systemd's socket."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import tty
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
import redis

from glovebox.emulator.nmea import Epoch, encode, sentences
from telematics.record import Record, decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

APP = Path(__file__).parents[2] / "app"
KEY = "telematics:queue"
WAIT_S = 30.0
# Long before any drive of a test, so that a cold receiver's times never meet a drive's.
COLD = datetime(2026, 1, 1, tzinfo=UTC)
START = datetime(2026, 5, 4, 6, 30, tzinfo=UTC)


def need(program: str) -> str:
    """Give the path of a program; without it skip, and in CI fail."""
    found = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(f"CI lacks {program}; apt-get install gpsd redis-server")
    if found is None:
        pytest.skip(f"this host has no {program}; apt-get install gpsd redis-server")
    return found


def until(true: Callable[[], object], *, what: str, within_s: float = WAIT_S) -> None:
    """Wait for a condition, and fail by its name if it does not come."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"waited {within_s} s in vain for {what}"
        time.sleep(0.02)


class Process:
    """A child that a test starts, kills and starts again."""

    def __init__(self, *command: str, env: dict[str, str] | None = None) -> None:
        """Prepare; ``start`` starts."""
        self._command = command
        self._env = env
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Give the process id of the running child."""
        assert self._child is not None
        return self._child.pid

    @property
    def ended(self) -> bool:
        """Tell whether the child has ended by itself."""
        return self._child is not None and self._child.poll() is not None

    def start(self) -> None:
        """Start, once the one before is gone."""
        self._child = subprocess.Popen(self._command, env=self._env, stdin=subprocess.DEVNULL)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._child is not None
        self._child.send_signal(number)

    def resident_mb(self) -> float:
        """Give the memory that it holds now."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and give the exit code."""
        if self._child is None:
            return 0
        self._child.send_signal(number)
        self._child.send_signal(signal.SIGCONT)
        return self._child.wait(WAIT_S)


class Dongle:
    """A receiver on a pseudo terminal."""

    def __init__(self, speaks: Callable[[Epoch], bytes] | None = None) -> None:
        """Open both ends; gpsd gets the other one by its path. It speaks NMEA or what is given."""
        self._speaks = speaks or (lambda epoch: encode(sentences(epoch)))
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        # gpsd gives up root after it opened the device once, and opens it again later.
        Path(self.path).chmod(0o666)
        self._drain = threading.Thread(target=self._swallow, daemon=True)
        self._drain.start()

    def send(self, epoch: Epoch) -> None:
        """Send what a receiver says of an epoch."""
        self.send_bytes(self._speaks(epoch))

    def send_bytes(self, data: bytes) -> None:
        """Send anything."""
        os.write(self._master, data)

    def replay(self, epochs: Iterable[Epoch], *, per_s: float) -> None:
        """Send epochs at a rate of the test's own."""
        due = time.monotonic()
        for epoch in epochs:
            self.send(epoch)
            due += 1 / per_s
            time.sleep(max(0.0, due - time.monotonic()))

    def close(self) -> None:
        """Pull it out."""
        os.close(self._slave)
        os.close(self._master)

    def _swallow(self) -> None:
        # gpsd probes a receiver by writing to it; a full pty would block it.
        with suppress(OSError):
            while os.read(self._master, 4096):
                pass


class Gpsd(Process):
    """The real gpsd on a port of its own."""

    def __init__(self, *devices: str, port: int) -> None:
        """Prepare one that does not wait for a client, as on the board."""
        super().__init__(need("gpsd"), "-N", "-n", "-S", str(port), *devices)
        self.port = port


class Redis(Process):
    """The real Redis on a unix socket, with the queue's durability."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        """Prepare one whose every write is fsynced before it is answered, or a plain one."""
        self.socket = folder / "queue.sock"
        on_the_medium = (
            "--appendonly", "yes", "--appendfsync", "always",
            "--rdbcompression", "no", "--save", "", "--maxmemory-policy", "noeviction",
        )  # fmt: skip
        super().__init__(
            need("redis-server"), "--port", "0", "--unixsocket", str(self.socket),
            "--dir", str(folder), "--logfile", str(folder / "log"),
            *(on_the_medium if durable else ()),
        )  # fmt: skip

    def start(self) -> None:
        """Start, and wait until it answers this test; the service finds it by itself."""
        assert self.starts(), "Redis ended at its start"

    def starts(self) -> bool:
        """Start; tell whether it answers in the end, or ends."""
        super().start()
        until(lambda: self._answers() or self.ended, what="Redis to answer or to end")
        return not self.ended

    def _answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except redis.ConnectionError:
            return False

    def client(self) -> redis.Redis:
        """Give a client of the test's own."""
        return redis.Redis(unix_socket_path=str(self.socket), socket_timeout=10)

    def records(self) -> list[Record]:
        """Read the whole queue, and see that the ids are the records' numbers."""
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", self.client().xrange(KEY))
        records = [decode(fields[b"r"]) for _, fields in entries]
        assert [f"{each.seq}-0".encode() for each in records] == [ident for ident, _ in entries]
        return records


class Service(Process):
    """The service as systemd would start it."""

    def __init__(
        self, folder: Path, *, gpsd_port: int, queue: Path, watchdog_s: int = 2, **settings: object
    ) -> None:
        """Prepare folders, settings and the socket for READY."""
        for name in ("run", "state"):
            (folder / name).mkdir()
        self._folder = folder
        config = folder / "telematics.json"
        values = {"device": "truck-7", "gpsd_port": gpsd_port, "queue_socket": str(queue)}
        config.write_text(json.dumps(values | settings))
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(str(folder / "notify"))
        self._manager.setblocking(False)  # the socket's own interface
        self.told: list[str] = []
        self.environ = os.environ | {
            "PYTHONPATH": str(APP),
            "NOTIFY_SOCKET": str(folder / "notify"),
            "WATCHDOG_USEC": str(watchdog_s * 1_000_000),
            "RUNTIME_DIRECTORY": str(folder / "run"),
            "STATE_DIRECTORY": str(folder / "state"),
        }
        super().__init__(
            sys.executable, "-m", "telematics", "run", "--config", str(config), env=self.environ
        )

    def listen(self) -> list[str]:
        """Give every line that the service sent to its manager so far."""
        with suppress(BlockingIOError):
            while True:
                self.told += self._manager.recv(4096).decode().splitlines()
        return self.told

    def ready(self) -> bool:
        """Tell whether READY was said."""
        return "READY=1" in self.listen()

    def status(self, *options: str) -> tuple[int, str]:
        """Ask ``telematics status``: exit code and text."""
        asked = subprocess.run(
            [sys.executable, "-m", "telematics", "status", *options],
            env=self.environ, stdout=subprocess.PIPE, check=False, text=True, timeout=WAIT_S,
        )  # fmt: skip
        return asked.returncode, asked.stdout

    def facts(self) -> dict[str, object]:
        """Give the status file; empty while there is none."""
        try:
            facts: dict[str, object] = json.loads((self._folder / "run/status.json").read_text())
        except FileNotFoundError:
            return {}
        return facts

    def close(self) -> None:
        """Close the manager's end."""
        self._manager.close()


def times(records: Iterable[Record]) -> list[int | None]:
    """Give the event times of records."""
    return [each.time for each in records]


def sent(epochs: Iterable[Epoch]) -> list[int]:
    """Give the event times of what a dongle sent."""
    zero = datetime.fromtimestamp(0, UTC)
    return [(each.time - zero) // timedelta(milliseconds=1) for each in epochs]


def free_port() -> int:
    """Give a port of the loopback that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
