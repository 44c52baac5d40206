"""The home as a process, and what stands in its landing, read without any of its code."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.judge import read

CHECKOUT = Path(__file__).resolve().parents[2]
KEY = "a-key-of-enough-letters-for-a-test"
PATIENCE_S = 180.0


def environment() -> dict[str, str]:
    """Give what a process of the home is started with."""
    return os.environ | {"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'app'}", "LANG": "C.UTF-8"}


@dataclass
class HomeProcess:
    """`python -m home serve`, which may be killed and started again."""

    folder: Path
    config: str
    address: tuple[str, int] = ("", 0)
    child: subprocess.Popen[str] | None = None
    scratch: list[str] = field(default_factory=list)

    @property
    def data(self) -> Path:
        """Give the folder of the home."""
        return self.folder / "data"

    def start(self) -> None:
        """Start, and wait until it says that it is ready."""
        (self.folder / "key").write_text(KEY + "\n")
        path = self.folder / "home.yaml"
        path.write_text(f"folder: data\n{self.config}")
        self.child = subprocess.Popen(
            [sys.executable, "-m", "home", "--config", str(path), "serve"],
            stdout=subprocess.PIPE, text=True, env=environment(), cwd=self.folder,
            start_new_session=True,
        )  # fmt: skip
        assert self.child.stdout is not None
        ready, _, _ = select.select([self.child.stdout], [], [], PATIENCE_S)
        assert ready, "the home says nothing"
        line = self.child.stdout.readline()
        assert line.startswith("ready: "), line
        host, _, port = line.split("/")[2].rpartition(":")
        self.address = host, int(port)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, to what it started too, and wait for its end."""
        assert self.child is not None
        if number == signal.SIGKILL:
            os.killpg(self.child.pid, number)
        else:
            self.child.send_signal(number)
        code = self.child.wait(PATIENCE_S)
        assert self.child.stdout is not None
        self.child.stdout.close()
        return code


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the home on a folder."""
    return subprocess.run(
        [sys.executable, "-m", "home", "--folder", str(folder), *words],
        capture_output=True, text=True, check=False, env=environment(), cwd=folder.parent,
    )  # fmt: skip


def landed(data: Path) -> tuple[set[bytes], list[bytes], int]:
    """Read every segment: whole records, what dead letters hold, and the number of lines."""
    records: set[bytes] = set()
    dead: list[bytes] = []
    lines = 0
    for path in sorted((data / "landing").rglob("[!.]*.lines")):
        for line in path.read_bytes().split(b"\n")[:-1]:
            lines += 1
            if line.startswith(b'{"dead":'):
                dead.append(json.loads(line)["dead"].encode("utf-8", "surrogateescape"))
            else:
                assert read(line) is not None, line
                records.add(line)
    return records, dead, lines


def until(done: object, *, what: str, within_s: float = PATIENCE_S) -> None:
    """Wait for something, a generous time."""
    assert callable(done)
    end = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < end, f"{what}: not within {within_s:.0f} s"
        time.sleep(0.05)
