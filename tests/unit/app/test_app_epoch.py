"""Epochs: one per instant and receiver, whatever the clocks and places say."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from telematics.epoch import Epoch, Merger
from telematics.gpsd import Tpv

if TYPE_CHECKING:
    from collections.abc import Callable

START = int(datetime(2026, 5, 4, tzinfo=UTC).timestamp() * 1000)


def tpv(  # a report has this many facts that matter here
    second: float | None,
    *,
    mono: int,
    device: str = "/dev/gps0",
    mode: int = 3,
    lat: float | None = 52.5,
    speed: float | None = None,
    alt_msl: float | None = None,
    start: int = START,
) -> Tpv:
    """Make a report of a second of the test."""
    time = None if second is None else start + int(second * 1000)
    lon = None if lat is None else 13.4
    return Tpv(
        device=device, mono=mono, time=time, mode=mode, lat=lat, lon=lon, speed=speed,
        alt_msl=alt_msl,
    )  # fmt: skip


def merged(*reports: Tpv, quiet_ms: int = 500) -> list[Epoch]:
    """Give the epochs of reports and then silence."""
    merger = Merger(quiet_ms=quiet_ms)
    return [epoch for each in reports for epoch in merger.feed(each)] + merger.flush()


def test_reports_of_one_time_are_one_epoch() -> None:
    """Several TPVs of one time make one epoch with all their fields; later values win."""
    epochs = merged(
        tpv(0, mono=0, mode=2, speed=1.0),
        tpv(0, mono=100, mode=3, alt_msl=34.0, lat=52.6),
        tpv(0, mono=200, mode=2, speed=2.0, lat=None),
        tpv(1, mono=1000),
    )

    assert [(e.mono, e.mode, e.lat, e.speed, e.alt_msl) for e in epochs] == [
        (0, 3, 52.6, 2.0, 34.0),
        (1000, 3, 52.5, None, None),
    ]


def test_standing_still_records_every_epoch() -> None:
    """The same position again is a new epoch: nothing is compared by place."""
    assert len(merged(*(tpv(n, mono=n * 1000) for n in range(100)))) == 100


def test_ten_per_second_are_ten_epochs() -> None:
    """Times that differ by a tenth of a second are different epochs."""
    assert len(merged(*(tpv(n / 10, mono=n * 100) for n in range(100)))) == 100


def test_quiet_completes_an_epoch() -> None:
    """After the quiet period the epoch comes without waiting for the next time."""
    merger = Merger(quiet_ms=500)
    merger.feed(tpv(0, mono=1000))

    assert merger.deadline() == 1500
    assert merger.tick(1499) == []
    assert len(merger.tick(1500)) == 1
    assert merger.deadline() is None


def test_late_report_is_counted_not_repeated() -> None:
    """A report of an epoch that was already given makes no second one."""
    merger = Merger(quiet_ms=300)

    epochs = merger.feed(tpv(0, mono=0)) + merger.tick(300) + merger.feed(tpv(0, mono=700))

    assert len(epochs + merger.flush()) == 1
    assert merger.late == 1


def test_stuck_clock_of_a_receiver_still_gives_epochs() -> None:
    """A receiver that repeats one time for ever is recorded all the same."""
    assert len(merged(*(tpv(0, mono=n * 1000) for n in range(10)))) == 10
    assert len(merged(*(tpv(0, mono=n * 990) for n in range(10)))) == 10


def test_report_read_very_late_makes_no_second_epoch() -> None:
    """A computer that was too busy to read for a second does not record an instant twice."""
    merger = Merger(quiet_ms=300)
    epochs = merger.feed(tpv(0, mono=0)) + merger.tick(300)

    epochs += merger.feed(tpv(0, mono=950)) + merger.tick(1400)
    epochs += merger.feed(tpv(1, mono=1500)) + merger.flush()

    assert [each.time for each in epochs] == [START, START + 1000]
    assert merger.late == 1


def test_same_time_elsewhere_is_another_epoch() -> None:
    """A receiver whose clock stands still while it moves loses no position."""
    epochs = merged(tpv(0, mono=0), tpv(0, mono=1000, lat=52.6), tpv(1, mono=2000))

    assert [each.lat for each in epochs] == [52.5, 52.6, 52.5]


def test_stuck_clock_is_not_held_back_for_long() -> None:
    """What may be a repetition waits a second for the receiver's clock to move, and no longer."""
    merger = Merger(quiet_ms=300)
    merger.feed(tpv(0, mono=0))
    merger.tick(300)
    merger.feed(tpv(0, mono=1000))

    assert merger.deadline() == 2000
    assert len(merger.tick(2000)) == 1


def test_what_waits_is_given_within_a_second() -> None:
    """Reports of one time without a pause hold nothing back for ever: then the beat has decided."""
    merger = Merger(quiet_ms=500)

    given = [len(merger.feed(tpv(0, mono=n * 100))) for n in range(13)]

    assert given == [0] * 10 + [10, 1, 1]
    assert merger.deadline() == 1200 + 500


def test_any_number_of_reports_of_one_time_takes_no_memory() -> None:
    """What a clock that stands told while nobody read is one instant, and soon forgotten."""
    merger = Merger(quiet_ms=500)

    epochs = [epoch for _ in range(10_000) for epoch in merger.feed(tpv(0, mono=0))]

    assert len(epochs + merger.flush()) == 1
    assert merger.late > 9000


def shaken(seed: int, most_ms: int = 20) -> Callable[[], int]:
    """Give how late gpsd is with each report; the same in each run."""
    chance = random.Random(seed)  # noqa: S311
    return lambda: chance.randint(0, most_ms)


SEEDS = pytest.mark.parametrize("seed", range(20))


@SEEDS
@pytest.mark.parametrize("hz", [2, 4, 5, 10, 20])
def test_whole_seconds_at_many_hertz_lose_nothing(seed: int, hz: int) -> None:
    """A receiver that tells whole seconds many times a second is recorded each time, also parked.

    It begins anywhere within a second.
    """
    late = shaken(seed, 100 // hz)
    epochs = merged(
        *(tpv((n + seed % hz) // hz, mono=n * 1000 // hz + late()) for n in range(10 * hz)),
        quiet_ms=300,
    )

    assert len(epochs) == 10 * hz


@SEEDS
def test_whole_seconds_of_a_moving_receiver_lose_nothing(seed: int) -> None:
    """Values that come and go, as a course near standstill does, make no parts of one instant."""
    late, chance = shaken(seed), random.Random(seed)  # noqa: S311
    epochs = merged(
        *(
            tpv(n // 10, mono=n * 100 + late(), lat=52 + n / 1e5, speed=chance.choice([None, 0.4]))
            for n in range(100)
        ),
        quiet_ms=300,
    )

    assert [each.lat for each in epochs] == [52 + n / 1e5 for n in range(100)]


@SEEDS
def test_instant_told_late_is_recorded_once(seed: int) -> None:
    """A SiRFstarV tells each instant twice, 0.89 s apart and at another place: it is one record."""
    late = shaken(seed)
    epochs = merged(
        *(
            tpv(n, mono=n * 1000 + after + late(), lat=52.5 + after / 1e9)
            for n in range(25)
            for after in (0, 890)
        ),
        quiet_ms=300,
    )

    assert [each.time for each in epochs] == [START + n * 1000 for n in range(25)]


def sentences(second: int, *mono: int) -> list[Tpv]:
    """Make the reports of one instant, sentence by sentence: GGA first, each knows more."""
    place = tpv(second, mono=0, mode=2)
    height: dict[str, Any] = {"alt_msl": 34.0, "mode": 3}
    told = (place, place._replace(**height), place._replace(**height, speed=1.0))
    return [told[min(n, 2)]._replace(mono=at) for n, at in enumerate(mono)]


@SEEDS
def test_sentences_of_one_instant_are_one_record(seed: int) -> None:
    """At a start gpsd reports after each sentence, later after the last one."""
    late = shaken(seed)
    epochs = merged(
        *sentences(0, *(n * 110 + late() for n in range(4))),
        *(sentences(n, 0, 0, n * 1000 + late())[2] for n in range(1, 10)),
        quiet_ms=300,
    )

    assert [each.time for each in epochs] == [START + n * 1000 for n in range(10)]
    assert all(each.speed for each in epochs)


@SEEDS
def test_sentences_that_fill_a_second_are_one_record(seed: int) -> None:
    """At 4800 baud the sentences of one instant take as long as a second has."""
    late = shaken(seed)
    epochs = merged(
        *(
            report
            for n in range(10)
            for report in sentences(n, *(n * 1000 + k * 240 + late() for k in range(4)))
        ),
        quiet_ms=300,
    )

    assert [each.time for each in epochs] == [START + n * 1000 for n in range(10)]


@SEEDS
@pytest.mark.parametrize("back", [100, 400, 900, 1000])
def test_clock_that_is_set_back_loses_nothing(seed: int, back: int) -> None:
    """At 10 Hz each report is a record, also those whose time was told before."""
    late = shaken(seed)
    seconds = [n / 10 - (back / 1000 if n >= 30 else 0) for n in range(64)]
    epochs = merged(*(tpv(s, mono=n * 100 + late()) for n, s in enumerate(seconds)), quiet_ms=300)

    assert len(epochs) == 64


@SEEDS
@pytest.mark.parametrize("after", [880, 1000, 1100])
def test_leap_second_is_recorded_twice(seed: int, after: int) -> None:
    """A receiver that repeats a second at a leap second, or whose clock was set back by one."""
    late = shaken(seed)
    first = [tpv(n, mono=n * 1000 + late()) for n in range(10)]
    rest = [tpv(n, mono=n * 1000 + after + late()) for n in range(9, 20)]

    assert len(merged(*first, *rest, quiet_ms=300)) == 21


@SEEDS
def test_instant_of_several_reports_is_one_on_an_overloaded_board(seed: int) -> None:
    """A receiver that tells an instant by three reports at once is known to, also read late."""
    late = shaken(seed)
    calm = [tpv(n, mono=n * 1000 + part * 20 + late()) for n in range(10) for part in range(3)]
    # Held up for seconds, the board reads some of them half a second and more apart.
    held = [
        tpv(n, mono=n * 1000 + part * apart)
        for n, apart in ((10, 450), (11, 330), (13, 480), (14, 400))
        for part in range(3)
    ]
    leap = [tpv(15, mono=n * 1000 + part * 20 + late()) for n in (15, 16) for part in range(3)]
    rest = [tpv(n, mono=(n + 1) * 1000 + part * 20) for n in range(16, 20) for part in range(3)]

    epochs = merged(*calm, *held, *leap, *rest, quiet_ms=300)

    times = [each.time for each in epochs]
    assert times.count(START + 15_000) == 2  # six reports: the leap second is still two
    assert len(times) - 1 == len(set(times)) == 19


def test_position_after_a_report_without_one_counts() -> None:
    """An instant that came first without a fix is a record once its position comes."""
    epochs = merged(
        *(
            tpv(n, mono=n * 1000 + after, mode=mode, lat=lat)
            for n in range(20)
            for after, mode, lat in ((0, 0, None), (600, 3, 52.5))
        ),
        quiet_ms=300,
    )

    assert [each.time for each in epochs if each.positioned] == [
        START + n * 1000 for n in range(20)
    ]


@SEEDS
def test_habit_ends_when_the_receiver_changes(seed: int) -> None:
    """A receiver set from 10 Hz of whole seconds to 1 Hz in sentences is recorded once a second."""
    late = shaken(seed)
    before = [tpv(n // 10, mono=n * 100 + late()) for n in range(100)]
    after = [
        tpv(n, mono=n * 1000 + k * 30 + late(), speed=float(k))
        for n in range(10, 40)
        for k in (0, 3)
    ]
    epochs = merged(*before, *after, quiet_ms=300)

    assert len(epochs) <= 100 + 30 + 6
    assert [each.time for each in epochs[-20:]] == [START + n * 1000 for n in range(20, 40)]


def test_receivers_do_not_mix() -> None:
    """Two receivers with the same times make two epochs each, of their own places."""
    epochs = merged(
        tpv(0, mono=0, device="a", lat=1.0),
        tpv(0, mono=10, device="b", lat=2.0),
        tpv(1, mono=1000, device="a", lat=1.5),
        tpv(1, mono=1010, device="b", lat=2.5),
    )

    assert sorted((e.device, e.lat) for e in epochs) == [
        ("a", 1.0),
        ("a", 1.5),
        ("b", 2.0),
        ("b", 2.5),
    ]


def test_clock_steps_drop_nothing() -> None:
    """1980, a year forward, 2038 and back: every epoch comes, in the order of arrival."""
    year = 365 * 86400
    seconds = [0, 1, year, year + 1, -46 * year, 12 * year, 2, 3]

    epochs = merged(*(tpv(s, mono=n * 1000) for n, s in enumerate(seconds)))

    assert [START + s * 1000 for s in seconds] == [e.time for e in epochs]


def test_time_is_believed_after_three_3d_fixes() -> None:
    """Only the third 3D fix in a row confirms the time; 2D in between starts anew."""
    modes = [3, 3, 2, 3, 3, 3, 3, 2]

    epochs = merged(*(tpv(n, mono=n * 1000, mode=mode) for n, mode in enumerate(modes)))

    assert [e.time_ok for e in epochs] == [False] * 5 + [True] * 3


def test_step_of_time_is_not_believed_at_once() -> None:
    """After a jump the receiver must confirm its time again."""
    seconds = [0, 1, 2, 3, 100_000, 100_001, 100_002]

    epochs = merged(*(tpv(s, mono=n * 1000) for n, s in enumerate(seconds)))

    assert [e.time_ok for e in epochs] == [False, False, True, True, False, False, True]


def test_year_out_of_range_is_never_believed() -> None:
    """A receiver after its week roll-over is recorded, and its time marked as not to believe."""
    long_ago = START - 1024 * 7 * 86400 * 1000

    epochs = merged(*(tpv(n, mono=n * 1000, start=long_ago) for n in range(9)))

    assert [e.time_ok for e in epochs] == [False] * 9


def test_position_without_time_is_kept() -> None:
    """A receiver that knows where but not when is recorded, once per report."""
    epochs = merged(tpv(None, mono=0), tpv(None, mono=100), tpv(0, mono=1000))

    assert [(e.time, e.positioned) for e in epochs] == [(None, True)] * 2 + [(START, True)]


def test_no_fix_is_no_position() -> None:
    """Mode 1 makes no position, even with the last place in it."""
    epochs = merged(tpv(0, mono=0, mode=1), tpv(1, mono=1000, mode=3, lat=None))

    assert [e.positioned for e in epochs] == [False, False]
