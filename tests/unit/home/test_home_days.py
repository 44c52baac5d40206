"""Days: a pure function of the landing, whatever the order, and no day touches another."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from home import days, index
from home.errors import HomeError
from home.landing import look
from home.lines import point_line
from tests.home import filled, made
from tests.home.made import record, signed

if TYPE_CHECKING:
    from pathlib import Path

# 2026-09-21 23:00 UTC
EVENING = 1_790_031_600_000
M = 1 / 111_195  # a metre to the north, in degrees


def drive(
    first: int, count: int, *, start: int = EVENING, speed: float = 15.0, lat: float = 52.0,
    trip: int = 1, boot: str = "1f0c9a", mono: int | None = None, **more: object,
) -> list[bytes]:  # fmt: skip
    """Make records of going north, one a second."""
    return [
        record(
            "truck-7", first + at, at_ms=start + at * 1000,
            mono=(start - EVENING + 1_000_000 if mono is None else mono) + at * 1000,
            lat=round(lat + at * speed * M, 6), speed=speed, trip=trip, boot=boot, **more,  # type: ignore[arg-type]  # the rest of a record
        )
        for at in range(count)
    ]  # fmt: skip


@pytest.mark.thorough
def test_any_order_of_arrival_gives_equal_bytes(tmp_path: Path) -> None:
    """Shuffled, with duplicates and damage, in other segments: the same Parquet to the byte."""
    fleet = made.fleet(3, 4000, vehicles=4)
    sent = [raw for _, raw in fleet.messages]
    found = []
    for number, size in enumerate((1000, 137, 4001)):
        folder = filled.built(tmp_path / str(number), sent, size=size)
        found.append(filled.digests(folder))
        random.Random(number).shuffle(sent)  # noqa: S311  repeatable

    assert found[0]
    assert found[0] == found[1] == found[2]


@pytest.mark.thorough
def test_two_ways_of_reading_give_equal_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records as the service writes them are read quicker, and any others by the same rules."""
    odd = [
        signed('"truck-7", "k3x9w2","1f0c9a",9001,9000,1790031600000,9,52.1,13.1,3,1]'),
        signed('"\\u0074ruck-7","k3x9w2","1f0c9a",9002,9001,1790031601000,9,52.1,13.1,3,1]'),
        signed('"truck-7","k3x9w2","1f0c9a",9003,9002,1790031602000,9,52,13,2,1,null,1,null,3]'),
        signed('"truck-7","k3x9w2","1f0c9a",9004,9003,null,9,5e1,-1.3e1,3,0,1,2,3,4,5,6,"a,b",[1,2]]'),
    ]  # fmt: skip
    folder = filled.built(tmp_path, [*drive(1, 3700), *odd])
    quickly = filled.digests(folder)
    monkeypatch.setattr(days, "_quickly", days._slowly)

    days.build(folder, again=True)

    assert filled.digests(folder) == quickly
    query = "SELECT seq, speed, receiver, lost FROM points WHERE seq > 9000 ORDER BY 1"
    told = filled.rows(folder, query)
    assert told == [
        (9001, None, None, 0), (9002, None, None, 0), (9003, 1, None, 0), (9004, 2, "a,b", 1),
    ]  # fmt: skip


@pytest.mark.thorough
def test_building_again_gives_equal_bytes(tmp_path: Path) -> None:
    """Backfill, running again and repair are one thing, and change nothing."""
    folder = filled.built(tmp_path, drive(1, 7200))
    before = filled.digests(folder)

    assert days.build(folder).days == ()
    assert len(days.build(folder, again=True).days) == 2
    assert filled.digests(folder) == before


@pytest.mark.thorough
def test_build_of_a_range_touches_no_other_day(tmp_path: Path) -> None:
    """What is named is built anew, whatever stands there; another day is not looked at."""
    folder = filled.built(tmp_path, drive(1, 7200))
    before = filled.digests(folder)
    for path in folder.glob("days/*/points.parquet"):
        path.write_bytes(b"damage")

    days.build(folder, first="2026-09-22", last="2026-09-22", again=True)

    after = filled.digests(folder)
    other = "days/2026-09-21/points.parquet"
    assert after[other] != before.pop(other)
    assert {name: each for name, each in after.items() if name != other} == before


@pytest.mark.thorough
def test_late_record_rebuilds_its_day_only(tmp_path: Path) -> None:
    """A record that comes a week later changes the files of its own day."""
    raws = drive(1, 7200)
    late = raws.pop(100)
    folder = filled.built(tmp_path, raws)
    other = filled.digests(folder, ["2026-09-22"])
    marks = {path: path.stat().st_mtime_ns for path in folder.glob("days/2026-09-22/*")}
    assert filled.rows(folder, "SELECT kind, first_seq, last_seq FROM gaps") == [
        ("unexplained", 101, 101)
    ]

    filled.land(folder, [late])

    assert days.build(folder).days == ("2026-09-21",)
    assert filled.digests(folder, ["2026-09-22"]) == other
    assert {path: path.stat().st_mtime_ns for path in folder.glob("days/2026-09-22/*")} == marks
    assert filled.rows(folder, "SELECT * FROM gaps") == []


@pytest.mark.thorough
def test_trip_over_midnight_is_one(tmp_path: Path) -> None:
    """An overnight trip has one name, one distance and one line, by the owner's day."""
    folder = filled.built(tmp_path, drive(1, 7200))

    query = (
        "SELECT trip_id, positions, distance_m, moving_s, local_day, start_local, top_speed,"
        " len(line) > 1000 FROM trips"
    )
    (found,) = filled.rows(folder, query, time_zone="Europe/Berlin")
    assert found[:2] == ("truck-7/k3x9w2/1", 7200)
    assert found[2] == pytest.approx(7199 * 15, rel=0.001)
    assert found[3] == pytest.approx(7199, abs=2)
    assert found[4:] == ("2026-09-22", "2026-09-22 01:00:00", 15.0, True)


@pytest.mark.thorough
def test_trip_keeps_its_name_when_its_beginning_comes_late(tmp_path: Path) -> None:
    """The name is in the data: it does not change with what arrived first."""
    raws = drive(1, 7200)
    folder = filled.built(tmp_path, raws[4000:])
    first = filled.rows(folder, "SELECT trip_id FROM trips")
    filled.land(folder, raws[:4000])
    days.build(folder)

    assert filled.rows(folder, "SELECT trip_id FROM trips") == first


def test_tunnel_is_within_a_trip(tmp_path: Path) -> None:
    """Ten minutes without sky, out again further on with the same board: one trip goes on."""
    behind = 600 * 20 * M
    raws = [
        *drive(1, 600),
        *drive(601, 600, start=EVENING + 1_199_000, lat=52.0 + 9000 * M + behind, trip=601),
    ]
    folder = filled.built(tmp_path, raws)

    (found,) = filled.rows(folder, "SELECT trip_id, distance_m FROM trips")
    assert found[0] == "truck-7/k3x9w2/1"
    assert found[1] == pytest.approx(2 * 599 * 15 + 12_000, rel=0.01)


def test_ferry_and_tow_are_no_driving(tmp_path: Path) -> None:
    """Carried with the board off: another trip, which says how far it was carried."""
    raws = [
        *drive(1, 600),
        *drive(601, 600, start=EVENING + 3_600_000, lat=52.5, trip=601, boot="2f0c9a", mono=9000),
    ]
    folder = filled.built(tmp_path, raws)

    found = filled.rows(folder, "SELECT distance_m, carried_m FROM trips ORDER BY start_ms")
    assert [each[0] for each in found] == [pytest.approx(599 * 15, rel=0.01)] * 2
    assert found[0][1] is None
    assert found[1][1] == pytest.approx(0.5 * 111_195 - 599 * 15, rel=0.001)


def test_standing_is_no_distance_but_a_stop(tmp_path: Path) -> None:
    """A receiver's noise at rest adds no way; three minutes of it are a stop with a place."""
    chance = random.Random(1)  # noqa: S311  repeatable
    rest = [
        record(
            "truck-7", 301 + at, at_ms=EVENING + (300 + at) * 1000, mono=1_300_000 + at * 1000,
            lat=round(52.0 + 4500 * M + chance.gauss(0, 2) * M, 6), speed=abs(chance.gauss(0, 0.3)),
        )
        for at in range(180)
    ]  # fmt: skip
    raws = [
        *drive(1, 300),
        *rest,
        *drive(481, 300, start=EVENING + 480_000, lat=52.0 + 4500 * M),
    ]
    folder = filled.built(tmp_path, raws)

    (trip,) = filled.rows(folder, "SELECT stops, distance_m, moving_s FROM trips")
    ((lat, lasted),) = filled.rows(folder, "SELECT lat, (end_ms - start_ms) / 1000 FROM stops")
    assert trip[0] == 1
    assert trip[1] == pytest.approx(9000, rel=0.01)
    assert trip[2] == pytest.approx(600, abs=10)
    assert lat == pytest.approx(52.0 + 4500 * M, abs=2 * M)
    assert lasted == pytest.approx(178, abs=6)


def test_wrong_clock_is_repaired_by_boot_and_mono(tmp_path: Path) -> None:
    """Records before the time was believed get it from a good one of their boot, once it lands."""
    early = [
        record("truck-7", seq, at_ms=at, mono=seq * 1000, ok=0)
        for seq, at in ((1, None), (2, 1000), (3, EVENING + 86_400_000))
    ]
    folder = filled.built(tmp_path, early)
    assert filled.rows(folder, "SELECT utc_day, seq, time_ms FROM points ORDER BY seq") == [
        ("no-time", 1, None), ("no-time", 2, None), ("no-time", 3, None),
    ]  # fmt: skip

    filled.land(folder, [record("truck-7", 4, at_ms=EVENING + 4000, mono=4000)])
    days.build(folder)

    query = "SELECT utc_day, seq, time_ms, repaired FROM points ORDER BY seq"
    assert filled.rows(folder, query) == [
        ("2026-09-21", seq, EVENING + seq * 1000, int(seq < 4)) for seq in range(1, 5)
    ]  # fmt: skip
    assert not (folder / "days/no-time").exists()


def test_gaps_are_told_by_kind(tmp_path: Path) -> None:
    """Lost, skipped and unexplained are apart; what was announced and came is closed."""
    raws = [
        record("truck-7", seq, at_ms=EVENING + seq * 1000, mono=seq * 1000, gap=gap)
        for seq, gap in (
            (1, None), (9, (2, 3)), (10, None), (12, (0, 1)), (14, None), (15, (0, 1)),
            (25, (0, 5)), (22, None),
        )
    ]  # fmt: skip
    folder = filled.built(tmp_path, raws)

    told = filled.rows(
        folder, "SELECT kind, first_seq, last_seq, numbers FROM gaps ORDER BY first_seq, kind"
    )
    assert told == [
        ("unexplained", 2, 3, 2), ("lost", 4, 5, 2), ("skipped", 6, 8, 3), ("skipped", 11, 11, 1),
        ("unexplained", 13, 13, 1), ("closed", 14, 14, 1), ("unexplained", 16, 19, 4),
        ("closed", 20, 24, 1), ("skipped", 20, 21, 2), ("skipped", 23, 24, 2),
    ]  # fmt: skip


def test_first_number_of_an_installation_is_no_gap(tmp_path: Path) -> None:
    """What came before is not ours unless it is announced; a new card begins anew."""
    raws = [
        record("truck-7", 70, at_ms=EVENING, mono=1),
        record("truck-7", 5, at_ms=EVENING, mono=1, installation="zzzzzz", gap=(1, 2)),
    ]
    folder = filled.built(tmp_path, raws)

    told = filled.rows(
        folder, "SELECT installation, kind, first_seq, last_seq FROM gaps ORDER BY 3"
    )
    assert told == [("zzzzzz", "lost", 2, 2), ("zzzzzz", "skipped", 3, 4)]


def test_windows_are_of_true_time_over_midnight(tmp_path: Path) -> None:
    """2 and 10 minutes are minutes, also where records are missing, and midnight cuts nothing."""
    raws = [
        *drive(1, 3600, speed=20.0),
        *drive(3601, 60, start=EVENING + 3_600_000, speed=5.0, lat=53.0),
        *drive(3661, 60, start=EVENING + 3_900_000, speed=5.0, lat=53.1),
    ]
    folder = filled.built(tmp_path, raws)

    told = filled.rows(
        folder,
        "SELECT speed_kmh, avg2_kmh, avg10_kmh, change_kmh, speed_diff, jam FROM windows"
        " ORDER BY minute_ms DESC LIMIT 3",
    )
    assert told == [
        (18.0, 18.0, 54.0, None, 0, 1),
        (18.0, 45.0, 66.6, -54.0, -1, 0),
        (72.0, 72.0, 72.0, 0.0, 0, 0),
    ]


def test_two_receivers_do_not_mix(tmp_path: Path) -> None:
    """Side by side with another receiver a trip is as long as by one of them."""
    one = drive(1, 600)
    raws = [
        record(
            "truck-7", 601 + at, at_ms=EVENING + at * 1000, mono=1_000_000 + at * 1000,
            lat=round(52.0 + 20 * M + at * 15 * M, 6), speed=15.0, receiver="roof",
        )
        for at in range(300)
    ]  # fmt: skip
    folder = filled.built(tmp_path, [*one, *raws])

    ((way,),) = filled.rows(folder, "SELECT distance_m FROM trips")
    assert way == pytest.approx(599 * 15, rel=0.01)


@pytest.mark.thorough
def test_polled_positions_become_trips(tmp_path: Path) -> None:
    """A vehicle feed's positions are trips by time, once each, and no gap of numbers."""
    lines = [
        point_line(
            {
                "source": "feed", "device": "tesla", "time": EVENING + at * 20_000,
                "lat": round(52 + at * 300 * M, 6), "lon": 13.0,
            }
        )
        for at in [*range(200), *range(260, 300)]
    ]  # fmt: skip
    filled.land_lines(tmp_path, "polled/feed/1.lines", lines)
    filled.land_lines(tmp_path, "polled/feed/2.lines", lines[:50])
    days.build(tmp_path)

    told = filled.rows(
        tmp_path, "SELECT positions, round(distance_m / 100) FROM trips ORDER BY start_ms"
    )
    assert told == [(200, 597.0), (40, 117.0)]
    assert filled.rows(tmp_path, "SELECT * FROM gaps") == []


def test_a_day_that_is_not_one_is_refused() -> None:
    """--from and --to are days, in their order."""
    for first, last in (("21.9.", ""), ("", "2026-13-01"), ("2026-09-22", "2026-09-21")):
        with pytest.raises(HomeError):
            days.check_range(first, last)


def test_build_killed_in_the_middle_is_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a kill leaves is not taken for built, and the next build leaves no trace of it."""
    raws = drive(1, 100)
    good = filled.digests(filled.built(tmp_path / "good", raws))
    folder = tmp_path / "killed"
    filled.land(folder, raws)
    for step in range(6):
        with monkeypatch.context() as killed:
            left = [step]

            def end(_path: object, left: list[int] = left) -> None:
                if not left[0]:
                    raise KeyboardInterrupt
                left[0] -= 1

            killed.setattr(days.files, "flush", end)
            with pytest.raises(KeyboardInterrupt):
                days.build(folder)
        total = index.summary(look(folder / "landing")[0].values())
        assert days.pending(folder, total) == ["2026-09-21"]
    days.build(folder)

    assert filled.digests(folder) == good
    assert sorted(path.name for path in (folder / "days").iterdir()) == ["2026-09-21", "lock"]
