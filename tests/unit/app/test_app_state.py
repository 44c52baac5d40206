"""The word for what the vehicle does: what a receiver says, second by second, and what it is."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from telematics.epoch import Epoch
from telematics.problem import Code, Problem
from telematics.state import METRE_PER_DEGREE, Motion, StateFile, Word, distance, word_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

HOME = (52.5, 13.4)
Trace = Iterator[tuple[int, float, float, float | None]]  # ms, metres north and east, speed
NOISE_M = 1.5


def epoch(
    mono: int, north: float, east: float, speed: float | None, *, eph: float | None = 5.0,
    eps: float | None = 0.3,
) -> Epoch:  # fmt: skip
    """Give an epoch at so many metres from home."""
    lat = HOME[0] + north / METRE_PER_DEGREE
    lon = HOME[1] + east / METRE_PER_DEGREE / math.cos(math.radians(lat))
    return Epoch(
        device="/dev/ttyUSB0", mono=mono, time=None, mode=3, time_ok=False, lat=lat, lon=lon,
        alt_msl=None, speed=speed, track=None, climb=None, eph=eph, eps=eps,
    )  # fmt: skip


def standing(begin_s: int, seconds: int, *, at: float = 0.0, speed: float | None = 0.1) -> Trace:
    """Stand, with the noise of a receiver."""
    noise = random.Random(begin_s)  # noqa: S311  a receiver's noise is no secret
    for second in range(begin_s, begin_s + seconds):
        yield second * 1000, at + noise.gauss(0, NOISE_M), noise.gauss(0, NOISE_M), speed


def driving(begin_s: int, seconds: int, *, begin_m: float = 0.0, speed: float = 14.0) -> Trace:
    """Drive to the north."""
    for second in range(seconds):
        yield (begin_s + second) * 1000, begin_m + speed * second, 0.0, speed


def ends(traces: Iterable[Trace], *, known_speed: bool = True) -> list[bool]:
    """Give for each part of a trace whether the vehicle is said to drive at its end."""
    motion, found = Motion(), []
    for trace in traces:
        for mono, north, east, speed in trace:
            motion.feed(epoch(mono, north, east, speed if known_speed else None))
        found.append(motion.driving)
    return found


CASES: dict[str, tuple[Callable[[], list[Trace]], list[bool]]] = {
    "standing for an hour": (lambda: [standing(0, 3600)], [False]),
    "a cold start, then a drive": (lambda: [standing(0, 30), driving(30, 5)], [False, True]),
    "a red light": (
        lambda: [driving(0, 60), standing(60, 45, at=840), driving(105, 5, begin_m=840)],
        [True, True, True],
    ),
    "a stop": (lambda: [driving(0, 60), standing(60, 120, at=840)], [True, False]),
    "a jam that creeps slower than a speed can be told": (
        lambda: [driving(0, 60), driving(60, 300, begin_m=840, speed=0.9)],
        [True, True],
    ),
    "a tow or a ferry: it moves, whoever moves it": (
        lambda: [standing(0, 100), driving(100, 60, speed=4.0)],
        [False, True],
    ),
    "a tunnel of three minutes": (
        lambda: [driving(0, 60), driving(240, 2, begin_m=3360)],
        [True, True],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_driving_is_told_from_standing(name: str) -> None:
    """Speed and an anchor tell it; noise is no drive, and a short stop no end of one."""
    traces, expected = CASES[name]

    assert ends(traces()) == expected


def test_without_speeds_the_anchor_tells() -> None:
    """A receiver that gives no speed still tells a drive by leaving, within a quarter of a minute.

    Its noise while it stands is none.
    """
    assert ends([standing(0, 600), driving(600, 16)], known_speed=False) == [False, True]


def test_a_receiver_that_doubts_itself_is_not_believed() -> None:
    """A speed or a place within three times the error it admits moves nothing."""
    motion = Motion()
    for second in range(60):
        motion.feed(epoch(second * 1000, 0, 40 * (second % 2), 2.0, eph=20, eps=1.0))

    assert not motion.driving


def test_a_single_jump_is_no_drive() -> None:
    """One wild epoch is forgotten when the next one is back."""
    motion = Motion()
    for second in range(60):
        motion.feed(epoch(second * 1000, 5000 if second == 30 else 0, 0, 0.0))

    assert not motion.driving


def test_distance_across_the_date_line() -> None:
    """The shorter way counts: a ship at 180° is not 40 000 km away from itself."""
    assert distance((0.0, 179.9999), (0.0, -179.9999)) == pytest.approx(22.2, abs=0.1)


NO_FIX = Problem(Code.NO_FIX, "no fix: the receiver has no position yet, or sees no sky")
NO_QUEUE = Problem(Code.QUEUE, "the queue does not answer")


@pytest.mark.parametrize(
    ("problems", "driving_", "word"),
    [
        ((), True, Word.DRIVING),
        ((), False, Word.STANDING),
        ((NO_FIX,), True, Word.NO_FIX),
        ((NO_FIX, NO_QUEUE), True, Word.TROUBLE),
        ((Problem(Code.SILENT, "no fix"),), False, Word.TROUBLE),
        ((Problem(Code.NO_FIX, "in whatever words"),), False, Word.NO_FIX),
    ],
)
def test_the_word(problems: tuple[Problem, ...], driving_: bool, word: Word) -> None:  # noqa: FBT001
    """Not knowing is not standing, and whatever else is wrong is trouble, by its code."""
    assert word_of(problems, driving=driving_) is word


def test_the_file_is_written_when_the_word_changes(tmp_path: Path) -> None:
    """Nothing is written while it stays the same: whoever waits for the file is not woken."""
    state = StateFile(tmp_path, started=0)
    path = tmp_path / "state"

    state.tell((), ready=True, now=1000)
    first = path.stat().st_ino, path.read_text()
    state.tell((), ready=True, now=6000)
    again = path.stat().st_ino, path.read_text()
    state.tell((NO_FIX,), ready=True, now=11_000)

    assert first == again
    assert first[1] == "standing\n"
    assert path.read_text() == "no-fix\n"


def test_a_start_says_nothing_but_lasting_trouble(tmp_path: Path) -> None:
    """A service that is not ready has no state, unless it is still in trouble after a minute."""
    state = StateFile(tmp_path, started=0)

    state.tell((NO_QUEUE,), ready=False, now=59_000)
    state.tell((NO_FIX,), ready=False, now=61_000)
    early = (tmp_path / "state").exists()
    state.tell((NO_QUEUE,), ready=False, now=66_000)

    assert not early
    assert (tmp_path / "state").read_text() == "trouble\n"


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """Recording goes on without the word, and it is written when that can be done again."""
    folder = tmp_path / "telematics"
    state = StateFile(folder, started=0)
    state.tell((), ready=True, now=1000)
    folder.mkdir()

    state.tell((), ready=True, now=6000)

    assert (folder / "state").read_text() == "standing\n"
