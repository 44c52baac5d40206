"""Receivers of every kind, through the real gpsd: what they say is recorded, whatever they say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import ubx
from parts import START, Dongle, sent, times, until

from glovebox.emulator.nmea import drive

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Truck

YEAR = timedelta(days=365)
ROLL_OVER = timedelta(weeks=1024)
OVERFLOW = datetime(2038, 1, 19, 3, 14, tzinfo=UTC)  # 2**31 seconds after 1970 come within it


def test_binary_receiver_is_recorded(make_truck: Callable[..., Truck]) -> None:
    """A u-blox receiver that speaks its own protocol is recorded like one that speaks NMEA."""
    truck = make_truck(speaks=ubx.encode)
    truck.start()
    epochs = truck.drive(30, per_s=20)
    truck.recorded(len(epochs))

    records = truck.redis.records()
    assert times(records) == sent(epochs)
    for record, epoch in zip(records, epochs, strict=True):
        assert (record.lat, record.lon) == pytest.approx((epoch.lat, epoch.lon), abs=1e-6)
        assert record.alt == pytest.approx(epoch.altitude, abs=1.5)  # gpsd has a geoid of its own
        assert (record.speed, record.eph) == (pytest.approx(epoch.speed, abs=0.01), 4.2)


def test_two_receivers_are_both_recorded(make_truck: Callable[..., Truck]) -> None:
    """Each of two receivers has all its epochs, in its order, under its name."""
    other = Dongle(ubx.encode)
    truck = make_truck(beside=[other])
    truck.start()
    here = list(drive(START, 20))
    there = list(drive(START, 20, origin=(48.1, 11.5)))
    for one, two in zip(here, there, strict=True):
        truck.dongle.replay([one], per_s=40)
        other.replay([two], per_s=40)
    truck.recorded(40)
    other.close()

    records = truck.redis.records()
    north = [each for each in records if each.lat > 50]
    south = [each for each in records if each.lat < 50]
    assert [times(north), times(south)] == [sent(here), sent(there)]
    assert {each.receiver for each in north} != {each.receiver for each in south}
    assert {each.receiver for each in records} <= {None, *map(_name, (truck.dongle, other))}


def test_frozen_receiver_is_told_and_recorded(truck: Truck) -> None:
    """A position that stands still at 20 m/s is told as trouble, and recorded all the same."""
    epochs = list(drive(START, 30))
    stuck = [replace(each, lat=epochs[0].lat, lon=epochs[0].lon, speed=20.0) for each in epochs]
    truck.dongle.replay(stuck, per_s=20)
    truck.recorded(len(stuck))
    until(lambda: "is frozen" in str(truck.service.facts().get("problems")), what="it to be told")

    assert times(truck.redis.records()) == sent(stuck)


@pytest.mark.parametrize(
    ("begin", "then", "believed"),
    [
        (START, START + YEAR, True),
        (START, START - YEAR, True),
        (START - ROLL_OVER, START - ROLL_OVER + timedelta(minutes=1), False),
        (datetime(2006, 1, 1, tzinfo=UTC), START, True),
        (OVERFLOW, OVERFLOW + timedelta(seconds=15), True),
        (START, datetime(2038, 11, 21, tzinfo=UTC), True),
    ],
    ids=["a-year-on", "a-year-back", "rolled-over", "from-2006", "over-2038", "weeks-end-in-2038"],
)
def test_no_clock_drops_a_record(
    make_truck: Callable[..., Truck],
    begin: datetime,
    then: datetime,
    believed: bool,  # noqa: FBT001  a case
) -> None:
    """Whatever time a receiver tells, each epoch is a record, in order; only `time_ok` may say no.

    By a binary receiver: NMEA has years of two digits, so gpsd would have to guess the century.
    """
    truck = make_truck(speaks=ubx.encode)
    truck.start()
    epochs = [*drive(begin, 15), *drive(then, 15)]
    truck.dongle.replay(epochs, per_s=20)
    truck.recorded(len(epochs))

    records = truck.redis.records()
    assert [each.seq for each in records] == list(range(1, len(epochs) + 1))
    assert times(records) == sent(epochs)
    assert records[-1].time_ok is believed
    assert records[15].time_ok is (begin is OVERFLOW)  # a step is not believed at once


def _name(dongle: Dongle) -> str:
    return Path(dongle.path).name
