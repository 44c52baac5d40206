"""Lines of the map: packed and unpacked, simplified, and small enough for a year."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from functools import lru_cache
from random import Random
from typing import Any

import pytest

from home.map.document import COARSER, VERTICES, Trip, _tolerances
from home.map.line import FINEST_M, Drawn, Fix, Vertex, drawn, pack, unpack
from home.map.page import packed
from home.simulate.roads import Country

BEGIN = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
# The page without a document, npm's packages in it: test_the_page_leaves_room_for_a_year.
PAGE_BYTES = 700_000
YEAR_MAX = 2_000_000


def test_what_is_packed_reads_the_same() -> None:
    """Any place, speed and second comes back to the last digit that is kept."""
    random = Random(1)  # noqa: S311  no secret
    vertices = [
        Vertex(random.uniform(-90, 90), random.uniform(-180, 180), random.randrange(300),
               random.randrange(10**6), 9.0)
        for _ in range(500)
    ]  # fmt: skip

    for vertex, (lat, lon, kmh, second) in zip(vertices, unpack(pack(vertices)), strict=True):
        assert (lat, lon) == (round(vertex.lat, 5), round(vertex.lon, 5))
        assert (kmh, second) == (vertex.kmh, vertex.second)


def test_packed_text_may_stand_in_json_as_it_is() -> None:
    """Letters of packed lines are printable ASCII."""
    text = pack([Vertex(52.1, 13.2, 50, 7, 9.0), Vertex(-52.1, -13.2, 0, 9, 9.0)])

    assert text.isascii()
    assert text.isprintable()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_short_trips_keep_both_ends(count: int) -> None:
    """One position, or a few at one place, are drawn as what they are."""
    fixes = [Fix(52.0, 13.0, None, BEGIN + at * 1000) for at in range(count)]

    (part,) = drawn(fixes, begin=BEGIN).parts

    assert len(part) == min(count, 2)


def test_standing_is_one_spot() -> None:
    """An hour of a receiver's noise is no scribble."""
    random = Random(2)  # noqa: S311  no secret
    fixes = [
        Fix(52 + random.gauss(0, 1e-5), 13 + random.gauss(0, 1e-5), 0.0, BEGIN + at * 1000)
        for at in range(3600)
    ]

    assert drawn(fixes, begin=BEGIN).size(FINEST_M) < 10


def test_a_change_of_speed_on_a_straight_road_is_kept() -> None:
    """A line that is straight still has a vertex where the vehicle braked."""
    speeds = [30.0] * 100 + [5.0] * 100
    lat, fixes = 52.0, []
    for at, speed in enumerate(speeds):
        lat += speed / 111_320
        fixes.append(Fix(lat, 13.0, speed, BEGIN + at * 1000))

    (part,) = drawn(fixes, begin=BEGIN).parts

    assert [vertex.kmh for vertex in part] == [108, 108, 18, 18]


@lru_cache
def _year() -> tuple[list[Trip], dict[str, Drawn]]:
    """Give a truck's year: three drives a day on the made roads, 2 hours on average."""
    country, random = Country(Random(1)), Random(2)  # noqa: S311  no secret
    pool = []
    for _ in range(40):
        start, end = random.sample(range(len(country.towns)), 2)
        fixes = [
            Fix(each.lat, each.lon, each.speed, BEGIN + at * 1000)
            for at, each in enumerate(country.drive(random, start, end))
        ]
        pool.append((drawn(fixes, begin=BEGIN), len(fixes)))
    trips, lines = [], {}
    for number in range(3 * 365):
        line, seconds = pool[number % len(pool)]
        start_ms = BEGIN + number * 28_800_000
        trip = Trip(
            id=f"truck-7/abcdef/{number}", device="truck-7", installation="abcdef",
            first_seq=number, last_seq=number, start_ms=start_ms, end_ms=start_ms + seconds * 1000,
            day="2026-01-01", distance_m=1.0, moving_s=1.0, top_speed=30.0, carried_m=0.0,
            positions=seconds,
        )  # fmt: skip
        trips.append(trip)
        lines[trip.id] = line
    return trips, lines


@pytest.mark.thorough
def test_a_year_fits() -> None:
    """The lines of a truck's year, packed as the page has them, leave it below 2 MB."""
    trips, lines = _year()
    seconds = sum(trip.positions for trip in trips)

    tolerances = _tolerances(trips, lines)

    text: list[Any] = [
        [trip.id, trip.start_ms, trip.end_ms, trip.day, *lines[trip.id].packed(tolerances[trip.id])]
        for trip in trips
    ]
    assert seconds > 365 * 2 * 3600
    assert PAGE_BYTES + len(packed(json.dumps(text))) < YEAR_MAX


def test_what_is_old_becomes_coarser_first() -> None:
    """With too many vertices the last month stays as fine as it can."""
    part = tuple(Vertex(52.0, 13.0, 50, at, FINEST_M * 2 ** (at % 7)) for at in range(3000))
    trips, lines = _year()
    lines = {trip.id: Drawn((part,)) for trip in trips}

    tolerances = _tolerances(trips, lines)

    kept = sum(lines[trip.id].size(tolerances[trip.id]) for trip in trips)
    assert tolerances[trips[-1].id] < tolerances[trips[0].id]
    assert tolerances[trips[0].id] in COARSER
    assert kept <= VERTICES or math.isclose(tolerances[trips[0].id], COARSER[-1])
