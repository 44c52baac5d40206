"""What a vehicle asks of an image is read out of what boards of two versions tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from glovebox.emulator.writes import Write
from glovebox.errors import VerifyError
from glovebox.trials import bench_car, bench_idle
from glovebox.trials.bench_idle import Minute
from glovebox.trials.measures import TIMES

if TYPE_CHECKING:
    from glovebox.emulator.writes import Log

NOW = '1-0\nr\n[1,"HKt6Vw","truck","fnvnbb","a1f0c5",1,0,1795528820000,86740,52.5,13.3,3,0]\n'
FIRST = '1-0\nr\n[1,"truck","dcwq53","f5a6c7",1,1795529119000,120476,52.5,13.3,3,0,{"a":34.5},"x"]'
NO_TIME = '1-0\nr\n[1,"HKt6Vw","truck","fnvnbb","a1f0c5",1,0,null,4711,52.5,13.3,3,0]'


@pytest.mark.parametrize(("told", "mono"), [(NOW, 86740), (FIRST, 120476), (NO_TIME, 4711)])
def test_when_the_board_had_its_first_position(told: str, mono: int) -> None:
    """Records of the compared version lack a place, and are read all the same."""
    assert bench_car.mono_of(told) == mono


@pytest.mark.parametrize("told", ["", "(empty array)", "[1,2,3]"])
def test_no_record_is_told(told: str) -> None:
    """Nothing is taken for a time that is none."""
    with pytest.raises(VerifyError, match="record"):
        bench_car.mono_of(told)


def test_an_hour_is_extrapolated_and_says_so() -> None:
    """Bytes of five minutes count twelve times; what was written to the system is named."""
    drive = bench_car.Drive(seconds=300, written=3_000_000, system=512, used=90.0)
    system, hour, memory = bench_car._drive_rows(drive)

    assert (system.median, system.met) == (512, False)
    assert (hour.median, hour.met) == (36.0, True)
    assert "5 minutes" in hour.note
    assert (memory.median, memory.met) == (90.0, True)


def test_starts_are_compared() -> None:
    """Each row is a ratio with both figures beside it."""
    one = bench_car.FirstRecord(host_s=30, board_s=40)
    other = bench_car.FirstRecord(host_s=60, board_s=50)
    rows = bench_car._start_rows("3", one, other)

    assert [row.median for row in rows] == [0.8, 0.5]
    assert {row.unit for row in rows} == {TIMES}
    assert rows[0].note == "40.0 s / 50.0 s"
    assert [row.met for row in rows] == [False, True]


def test_idle_minutes_are_compared() -> None:
    """By instructions where they are counted, and else by time; each against the earlier image."""
    one = Minute(cpu_s=6, instructions=40_000_000)
    other = Minute(cpu_s=8, instructions=80_000_000)
    counted = bench_idle.rows_of("zero-w", one, other)
    timed = bench_idle.rows_of(
        "3", Minute(cpu_s=6, instructions=None), Minute(cpu_s=8, instructions=None)
    )

    assert [(row.median, row.met) for row in counted] == [(0.5, True), (0.75, None)]
    assert counted[0].note == "40.0 M / 80.0 M"
    assert [(row.median, row.met) for row in timed] == [(0.75, False)]


def test_the_median_of_each_measure_counts() -> None:
    """A timer that falls into one minute is not what a board does in each."""
    minutes = [Minute(cpu_s=n, instructions=m) for n, m in ((3, 10), (1, 90), (2, 20))]

    assert bench_idle.median_of(minutes) == Minute(cpu_s=2, instructions=20)
    assert bench_idle.median_of([Minute(cpu_s=1, instructions=None)]).instructions is None


def test_a_board_is_calm_once_its_card_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few the writes are: it is their bytes that count."""
    counts = [0, 2_000_000, 70_000, 60_000]
    monkeypatch.setattr("glovebox.trials.bench_idle.time.sleep", lambda _: None)

    class Played:
        def more(self) -> list[Write]:
            return [Write(start=0, data=bytes(counts.pop(0)))]

    bench_idle._calm(cast("Log", Played()))

    assert counts == []


def test_a_card_that_never_rests_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever."""
    clock = iter(range(0, 100_000, 100))
    monkeypatch.setattr("glovebox.trials.bench_idle.time.sleep", lambda _: None)
    monkeypatch.setattr("glovebox.trials.bench_idle.time.monotonic", lambda: next(clock))

    class Played:
        def more(self) -> list[Write]:
            return [Write(start=0, data=bytes(500_000))]

    with pytest.raises(VerifyError, match="writes to its card"):
        bench_idle._calm(cast("Log", Played()))
