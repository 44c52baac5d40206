"""What ``telematics status`` says, and the code it leaves with."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from telematics import status
from telematics.cli import main
from telematics.gpsd import monotonic_ms
from telematics.problem import Code, Problem
from telematics.status import Exit, Position, Status

if TYPE_CHECKING:
    from pathlib import Path

WELL = Status(
    version="0.1.0", pid=os.getpid(), mono=100_000, started=0, ready=True, device="truck-7",
    installation="k3x9w2", boot="1f0c9a", gpsd=True, connections=1,
    receivers=("/dev/gps0",), satellites=(8, 11),
    mode=3, position=Position(
        lat=52.5, lon=13.4, time=1_777_852_800_000, time_ok=True, mono=99_000
    ), queue=True, queue_length=12, last_seq=40, waiting=1, recorded=12, dropped=0, vanished=0,
    spilled=0, slowest_ms=900, late=0, no_position=0, garbled=0, flooded=0, problems=(),
)  # fmt: skip

WELL_TEXT = """\
telematics  recording
device      truck-7, installation k3x9w2, boot 1f0c9a
receiver    /dev/gps0, uses 8 of 11 satellites
fix         3D
position    52.500000 13.400000, 2026-05-04T00:00:00Z, 1.5 s ago
queue       12 records, last number 40, 1 waiting to enter
recorded    12 since the start
dropped     0"""


def test_recording_is_told_in_words() -> None:
    """A person sees receiver, fix, age of the position, queue and counts."""
    assert status.describe(WELL, now=100_500) == WELL_TEXT


@pytest.mark.parametrize(
    ("current", "now", "expected"),
    [
        (WELL, 100_500, Exit.RECORDING),
        (replace(WELL, problems=(Problem(Code.NO_FIX, "no fix"),)), 100_500, Exit.TROUBLE),
        (replace(WELL, ready=False), 100_500, Exit.TROUBLE),
        (WELL, 200_000, Exit.TROUBLE),
        (None, 0, Exit.NOT_RUNNING),
    ],
)
def test_exit_code_tells(current: Status | None, now: int, expected: Exit) -> None:
    """0 it records, 1 there is trouble (also if it hangs), 3 it does not run."""
    assert status.verdict(current, now=now)[0] is expected


def test_command_reads_what_the_service_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file of the service makes the same status again, as text and as JSON."""
    current = replace(WELL, mono=monotonic_ms())
    (tmp_path / status.NAME).write_text(status.text_of(current))
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))

    codes = main(["status"]), main(["status", "--json"])

    assert codes == (0, 0)
    assert capsys.readouterr().out.endswith(status.text_of(current))


@pytest.mark.parametrize("content", [None, "dead process"])
def test_no_service_is_told(
    content: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without a file, or with one of a process that is gone, the answer is: not running."""
    if content:
        (tmp_path / status.NAME).write_text(status.text_of(replace(WELL, pid=2**22 + 1)))
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))

    assert main(["status"]) == 3
    assert "not running" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"position": 7}'])
def test_unreadable_status_is_no_traceback(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of another version is trouble, said in words."""
    (tmp_path / status.NAME).write_text(content)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))

    assert main(["status"]) == 1


ODD: tuple[object, ...] = (
    None, True, -1, 0, 1 << 40, 1 << 70, -(1 << 70), 1e308, float("nan"), float("inf"), "", "x",
    "\x1b[2J\x1b]0;owned\x07", "a\nproblem     none", "\ud800", [], [[]], {}, {"a": 1}, [1, 2],
    ["\x1b"], [{"code": "no-fix", "text": "\x1b[31m"}],
    {"lat": 1, "lon": 2, "time": 253402300800000, "time_ok": True, "mono": 0},
    {"lat": 1, "lon": 2, "time": -62135596800001, "time_ok": 1, "mono": 0},
)  # fmt: skip


@pytest.mark.thorough
def test_odd_status_is_no_traceback_and_no_command_to_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """600 files with values that nobody writes: an exit code, and lines that move no cursor."""
    chance = random.Random(18)  # noqa: S311  the same in each run
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    codes = set()
    for number in range(600):
        values = json.loads(status.text_of(replace(WELL, mono=monotonic_ms())))
        for _ in range(chance.randint(1, 3)):
            values[chance.choice(list(values))] = chance.choice(ODD)
        content = bytearray(
            json.dumps(values, ensure_ascii=number % 2 == 0).encode(errors="replace")
        )
        if number % 5 == 0:
            content[chance.randrange(len(content))] = chance.choice(b'\x1b"}]\xff')
        (tmp_path / status.NAME).write_bytes(content)
        codes.add(main(["status"] if number % 3 else ["status", "--json"]))

    told = "".join(capsys.readouterr())
    assert codes >= {0, 1}
    assert codes <= {0, 1, 3}
    assert all(letter.isprintable() or letter == "\n" for letter in told)


@pytest.mark.parametrize(
    ("time", "told"),
    [
        (-62_135_596_800_000, "0001-01-01T00:00:00Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59Z"),
        (253_402_300_800_000, "253402300800000 ms from 1970 on"),
        (-62_135_596_800_001, "-62135596800001 ms from 1970 on"),
    ],
)
def test_any_time_of_a_receiver_is_told(time: int, told: str) -> None:
    """A receiver may say that it is the year 1, or one that no calendar here knows."""
    assert WELL.position is not None
    odd = replace(WELL, position=replace(WELL.position, time=time))

    assert f"52.500000 13.400000, {told}, 1.5 s ago" in status.describe(odd, now=100_500)


def test_a_nested_status_is_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However deep a file is nested, it is no status and said to be none."""
    (tmp_path / status.NAME).write_text("[" * 50_000)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))

    assert main(["status"]) == 1


def test_mistake_in_settings_is_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong file ends the start with code 2 and the place of the mistake."""
    file = tmp_path / "t.json"
    file.write_text('{"gpsd_port": 0}')

    assert main(["run", "--config", str(file)]) == 2
    assert f"{file}: gpsd_port: 0 is out of range" in capsys.readouterr().err
