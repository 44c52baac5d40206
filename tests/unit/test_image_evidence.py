"""What a failed test of a running board leaves, by boards that say what a test here wants."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from glovebox.emulator.emulator import EmulatorError
from glovebox.host.run import PATH, run
from tests.image import evidence


@dataclass
class Host:
    """Answers every question with the question; a board that is gone answers none."""

    gone: bool = False
    asked: list[str] = field(default_factory=list)

    def run(self, text: str) -> SimpleNamespace:
        """Note the question."""
        self.asked.append(text)
        if self.gone:
            raise EmulatorError("QEMU ended with status 1")
        uptime = "100.0\n" if "/proc/uptime'" in text else f"asked {text}"
        return SimpleNamespace(stdout=uptime, stderr="")


def _machine(folder: Path, **more: Any) -> Any:  # noqa: ANN401  stands in for a Machine
    serial = folder / "serial.log"
    serial.write_text("".join(f"line {number}\n" for number in range(1000)))
    told = {"serial_log": serial, "speed": 0.5, "powered_s": 200.0, "off": False, "answers": False}
    return SimpleNamespace(**{**told, **more})


def _keep(folder: Path, host: Any, machine: Any) -> Path:  # noqa: ANN401  likewise
    return evidence.keep(
        folder, "test_a::test_b[c d]", host=host, machine=machine, seconds=30.4, why="assert False"
    )


def test_it_holds_the_board_as_it_was(tmp_path: Path) -> None:
    """Failure, console, state, units, journal and the emulator's speed are each in a file."""
    host = Host()

    place = _keep(tmp_path, host, _machine(tmp_path))

    assert place == tmp_path / "failed/test_a.test_b.c.d"
    assert (place / "failure.txt").read_text() == "assert False"
    assert (place / "console.txt").read_text().splitlines()[-1] == "line 999"
    assert "/run/telematics/state" in (place / "state.txt").read_text()
    assert "systemctl status" in (place / "units.txt").read_text()
    # From a minute before the test began.
    assert re.search(r"\$1 - 90\b", (place / "journal.txt").read_text())
    speed = json.loads((place / "speed.json").read_text())
    assert (speed["start"], speed["run"]) == (0.5, 0.5)
    assert all(text.startswith("timeout ") for text in host.asked), "a board may be stuck"


@pytest.mark.parametrize(
    ("host", "more", "said"),
    [
        (Host(), {"off": True}, "the board is off"),
        (Host(gone=True), {}, "the board did not answer: QEMU ended with status 1"),
        (None, {}, "nobody was logged in"),
    ],
)
def test_a_board_that_says_nothing_has_a_console(
    tmp_path: Path, host: Host | None, more: dict[str, bool], said: str
) -> None:
    """What it said last is kept even when nobody can ask any more, and why is told."""
    place = _keep(tmp_path, host, _machine(tmp_path, **more))

    assert "line 999" in (place / "console.txt").read_text()
    assert said in (place / "journal.txt").read_text()
    assert json.loads((place / "speed.json").read_text())["start"] == 0.5


def test_a_real_board_has_no_emulator(tmp_path: Path) -> None:
    """Its journal, state and units are kept likewise; there is no console and no speed."""
    place = _keep(tmp_path, Host(), None)

    assert "journalctl" in (place / "journal.txt").read_text()
    assert not (place / "console.txt").exists()
    assert json.loads((place / "speed.json").read_text()) is None


def test_the_journal_is_cut_by_the_time_since_the_start(tmp_path: Path) -> None:
    """The board's own tools leave the lines from a minute before the test, whatever its clock."""
    now = float(Path("/proc/uptime").read_text().split()[0])
    lines = {"before": now - 500, "begin": now - 80, "end": now - 0.5}
    told = "".join(f"[{at:>12.6f}] board unit[1]: {word}\n" for word, at in lines.items())
    (tmp_path / "lines").write_text(told)
    program = tmp_path / "journalctl"
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/lines\n")
    program.chmod(0o755)

    command = evidence._JOURNAL.format(seconds=30 + evidence.BEFORE_S)
    done = run(["sh", "-c", command], env={"PATH": f"{tmp_path}:{PATH}"})

    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["begin", "end"]
