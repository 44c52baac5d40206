"""Whether the receiver's time may set the clock: not back, years slowly, 1,024 weeks never."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from telematics import clock
from telematics.clock import DAY_MS, PROBATION_MS, ROLL_OVER_MS, USUAL_MS, Told, Verdict, judge
from telematics.floor import floor_ms, lift
from telematics.status import Position

if TYPE_CHECKING:
    from pathlib import Path

FLOOR = 1_777_852_800_000  # 4 May 2026
YEAR = 365 * DAY_MS


@pytest.mark.parametrize(
    ("ahead", "believed_for", "network", "verdict"),
    [
        (0, 0, None, Verdict.SET),
        (-1, PROBATION_MS, None, Verdict.WAIT),
        (-ROLL_OVER_MS, PROBATION_MS, None, Verdict.WAIT),
        (USUAL_MS, 0, None, Verdict.SET),
        (USUAL_MS + 1, 0, None, Verdict.WAIT),
        (USUAL_MS + 1, PROBATION_MS - 1, None, Verdict.WAIT),
        (USUAL_MS + 1, PROBATION_MS, None, Verdict.SET),
        (ROLL_OVER_MS - 1, PROBATION_MS, None, Verdict.SET),
        (ROLL_OVER_MS, PROBATION_MS, None, Verdict.WAIT),
        (ROLL_OVER_MS + YEAR, 10 * PROBATION_MS, None, Verdict.WAIT),
        # A second source: what it agrees with is right, what it does not is not.
        (5 * YEAR, 0, 5 * YEAR, Verdict.SET),
        (ROLL_OVER_MS + YEAR, 0, ROLL_OVER_MS + YEAR, Verdict.SET),
        (5 * YEAR, PROBATION_MS, 0, Verdict.WAIT),
        (0, 0, 5 * YEAR, Verdict.WAIT),
    ],
)
def test_receivers_time_is_judged(
    ahead: int, believed_for: int, network: int | None, verdict: Verdict
) -> None:
    """By the floor and the receiver alone, or by the network where there is one."""
    wide = None if network is None else FLOOR + network

    assert judge(Told(FLOOR + ahead, FLOOR, believed_for, wide))[0] is verdict


class Drive:
    """What the recorder tells, look by look; a look takes five seconds."""

    def __init__(self, *looks: tuple[str, int | None, bool]) -> None:
        """Take a word, the time ahead of the floor, and whether the recorder believes it."""
        self.now = 1_000_000
        self._looks = list(looks)
        self.slept = 0

    def word(self) -> str:
        """Give the recorder's word."""
        return self._looks[0][0] if self._looks else "no-fix"

    def status(self) -> object:
        """Give what of the status is looked at."""
        _, ahead, believed = self._looks[0]
        if ahead is None:
            return type("Status", (), {"position": None})()
        time = FLOOR + ahead + self.slept * 5000
        position = Position(lat=1.0, lon=2.0, time=time, time_ok=believed, mono=self.now)
        return type("Status", (), {"position": position})()

    def sleep(self, seconds: float) -> None:
        """Go on to the next look."""
        self.slept += 1
        self.now += int(seconds * 1000)
        self._looks.pop(0)

    def believed(self) -> bool:
        """Wait as the command does."""
        return clock.wait_for_belief(
            status=self.status,  # type: ignore[arg-type]  # of it only the position is looked at
            word=self.word, floor=FLOOR, network=lambda: None, mono=lambda: self.now,
            sleep=self.sleep,
        )  # fmt: skip


def test_fix_of_today_sets_the_clock_at_once() -> None:
    """As soon as the recorder believes the time, which takes it three fixes."""
    drive = Drive(("standing", 0, False), ("standing", 5000, True))

    assert drive.believed()
    assert drive.slept == 1


def test_without_a_fix_nobody_waits() -> None:
    """The next fix asks again; until then no program runs."""
    assert not Drive().believed()
    assert not Drive(("driving", None, False), ("no-fix", None, False)).believed()


def test_years_ahead_take_ten_minutes_without_a_break() -> None:
    """A vehicle that stood for five years gets its time, a moment of doubt begins anew."""
    far = ("driving", 5 * YEAR, True)
    steady, broken = (
        Drive(*[far] * 200),
        Drive(*[far] * 100, ("driving", 5 * YEAR, False), *[far] * 200),
    )

    assert (steady.believed(), steady.slept) == (True, 120)
    assert (broken.believed(), broken.slept) == (True, 221)


def test_roll_over_sets_no_clock() -> None:
    """Told for an hour: 1,024 weeks ahead is never believed, nor is what is over already."""
    for ahead in (ROLL_OVER_MS, -ROLL_OVER_MS, -YEAR):
        assert not Drive(*[("driving", ahead, True)] * 720).believed()


@pytest.mark.parametrize(
    ("sources", "by_network"),
    [
        ("#,*,GNSS,0,2,377,5,0.001,0.001,0.1\n^,?,10.0.0.1,0,6,0,,0,0,0\n", False),
        ("#,?,GNSS,0,2,377,5,0.001,0.001,0.1\n^,*,10.0.0.1,2,6,377,5,0.1,0.1,0.1\n", True),
        ("^,-,10.0.0.1,2,6,377,5,0.1,0.1,0.1\n", False),
        ("506 Cannot talk to daemon\n", False),
    ],
)
def test_second_source_is_one_that_chrony_goes_by(sources: str, *, by_network: bool) -> None:
    """A server that is only named, or not selected, contradicts nobody."""
    assert clock._goes_by_network(sources) == by_network


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Give the queue's folder, the recorder's, and one in RAM."""
    made = [tmp_path / name for name in ("queue", "state", "run")]
    for each in made:
        each.mkdir()
    return made[0], made[1], made[2]


def test_floor_of_a_start_is_remembered(folders: tuple[Path, Path, Path]) -> None:
    """What is recorded in this start, by whatever time, does not move what it is compared with."""
    queue, state, ram = folders
    (state / "numbers").write_text("")
    lift(queue, state, remember=ram / "floor")
    first = clock.remembered(ram / "floor", otherwise=0)
    (state / "numbers").write_text("later")
    lift(queue, state, remember=ram / "floor")

    assert first >= floor_ms(queue, state) - DAY_MS > 0
    assert clock.remembered(ram / "floor", otherwise=0) == first


@pytest.mark.parametrize("text", ["", "-5", "x", "9" * 40, "\u0663"])
def test_odd_floor_is_none(tmp_path: Path, text: str) -> None:
    """Whatever stands there, it ends in a number."""
    (tmp_path / "floor").write_text(text)

    assert clock.remembered(tmp_path / "floor", otherwise=7) == 7
