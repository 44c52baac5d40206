"""A made country: towns, the roads between them, and how a vehicle moves on them.

Pure and seeded: the same seed gives the same country and the same drives on every machine. No
data of the real world is in it; the roads are drawn so that routes meet and part as real ones do.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

M_PER_DEGREE = 111_320.0
ORIGIN = (52.2, 13.2)
COUNTRY_M = 90_000.0  # one side of the square that the towns lie in
TOWNS = 26
TOWNS_APART_M = 9_000.0
NEIGHBOURS = 3
STEP_M = 20.0  # between two points of a road
FASTER_M_S2, SLOWER_M_S2, SIDEWAYS_M_S2 = 1.6, 2.0, 2.2
CRAWL_M_S = 1.5
KMH = 1 / 3.6
TOWN_KMH, ROAD_KMH, MOTORWAY_KMH = 50.0, 90.0, 125.0
TOWN_RADIUS_M = 1_500.0
MOTORWAY_FROM_M = 24_000.0
STREET_M = 220.0
LIGHT_CHANCE, LIGHT_MAX_S = 0.3, 55
JUNCTION_KMH = 18.0


class Spot(NamedTuple):
    """A place on the made country's plane, in metres east and north of its middle."""

    x: float
    y: float


class Moment(NamedTuple):
    """Where a vehicle is one second after the last."""

    lat: float
    lon: float
    alt: float
    speed: float
    track: float


@dataclass(frozen=True)
class Point:
    """A point of a route: where, how fast one may be there, and how long one has to stand."""

    spot: Spot
    limit: float
    stand_s: int = 0


class Country:
    """Towns and roads; ``drive`` takes a vehicle from one town to another."""

    def __init__(self, random: Random, *, origin: tuple[float, float] = ORIGIN) -> None:
        """Found the towns and build the roads."""
        self._origin = origin
        self.towns = _found(random)
        self._roads: dict[tuple[int, int], list[Point]] = {}
        self._next: dict[int, list[tuple[int, float]]] = {at: [] for at in range(len(self.towns))}
        for start, end in sorted(_pairs(self.towns)):
            road = _road(random, self.towns[start], self.towns[end])
            self._roads[start, end] = road
            self._roads[end, start] = road[::-1]
            # A motorway is worth a detour: time decides, not distance.
            length = len(road) * STEP_M / max(point.limit for point in road)
            self._next[start].append((end, length))
            self._next[end].append((start, length))

    @cached_property
    def _east(self) -> float:
        return M_PER_DEGREE * math.cos(math.radians(self._origin[0]))

    def drive(self, random: Random, start: int, end: int) -> Iterator[Moment]:
        """Give every second of a drive between two towns, with streets at both of its ends."""
        route = list(self._streets(random, start))[::-1]
        for before, after in zip(way := self.way(start, end), way[1:], strict=False):
            route += self._roads[before, after]
            if after != end:
                route += self._streets(random, after, blocks=2, there_and_back=True)
        route += self._streets(random, end)
        yield from self._moments(random, _rounded(route))

    def way(self, start: int, end: int) -> list[int]:
        """Give the towns on the quickest way, both ends included."""
        seen: dict[int, int] = {}
        queue: list[tuple[float, int, int]] = [(0.0, start, start)]
        while queue:
            cost, at, came_from = heapq.heappop(queue)
            if at in seen:
                continue
            seen[at] = came_from
            if at == end:
                break
            for there, length in self._next[at]:
                heapq.heappush(queue, (cost + length, there, at))
        way = [end]
        while way[-1] != start:
            way.append(seen[way[-1]])
        return way[::-1]

    def _streets(
        self, random: Random, town: int, *, blocks: int = 5, there_and_back: bool = False
    ) -> list[Point]:
        """Give a walk on the town's grid of streets, beginning at its middle."""
        grid = 0.3 * town  # each town's streets lie in a direction of their own
        at, heading = self.towns[town], random.randrange(4)
        points: list[Point] = []
        for _ in range(random.randint(1, blocks)):
            # Straight on, or left or right; never back.
            heading = (heading + random.choice((0, 0, 1, 3))) % 4
            angle = grid + heading * math.pi / 2
            for step in range(1, int(STREET_M / STEP_M) + 1):
                spot = Spot(
                    at.x + step * STEP_M * math.cos(angle), at.y + step * STEP_M * math.sin(angle)
                )
                points.append(Point(spot, TOWN_KMH * KMH))
            at = points[-1].spot
            stand = random.randint(5, LIGHT_MAX_S) if random.random() < LIGHT_CHANCE else 0
            points[-1] = Point(at, JUNCTION_KMH * KMH, stand)
        return points + points[::-1] if there_and_back else points

    def _moments(self, random: Random, route: Sequence[Point]) -> Iterator[Moment]:
        speeds = _speeds(route)
        mood = random.uniform(0.9, 1.04)  # nobody drives exactly as fast as allowed
        place, at, track = 0.0, 0.0, _track(route[0].spot, route[1].spot)
        for after in range(1, len(route)):
            here, there = route[after - 1].spot, route[after].spot
            length = math.dist(here, there)
            while at < place + length:
                part = (at - place) / length
                square = speeds[after - 1] ** 2 * (1 - part) + speeds[after] ** 2 * part
                speed = max(math.sqrt(square) * mood, CRAWL_M_S)
                track = _turned(track, _track(here, there), share=0.6)
                x = here.x + (there.x - here.x) * part
                y = here.y + (there.y - here.y) * part
                yield self._moment(x, y, speed=speed, track=track)
                at += speed
            place += length
            if route[after].stand_s:
                at = place  # stopped at the line, not a crawl behind it
            for _ in range(route[after].stand_s):
                yield self._moment(*there, speed=0.0, track=track)

    def _moment(self, x: float, y: float, *, speed: float, track: float) -> Moment:
        hills = 60 + 25 * math.sin(x / 7_000) + 18 * math.cos(y / 5_300)
        return Moment(
            self._origin[0] + y / M_PER_DEGREE, self._origin[1] + x / self._east,
            hills, speed, track,
        )  # fmt: skip


def _found(random: Random) -> list[Spot]:
    towns: list[Spot] = []
    while len(towns) < TOWNS:
        half = COUNTRY_M / 2
        spot = Spot(random.uniform(-half, half), random.uniform(-half, half))
        if all(math.dist(spot, other) > TOWNS_APART_M for other in towns):
            towns.append(spot)
    return towns


def _pairs(towns: Sequence[Spot]) -> set[tuple[int, int]]:
    """Choose which towns a road joins: each with its nearest ones, and none left alone."""
    pairs: set[tuple[int, int]] = set()
    for at, town in enumerate(towns):
        near = sorted(range(len(towns)), key=lambda other: math.dist(town, towns[other]))
        pairs |= {(min(at, other), max(at, other)) for other in near[1 : NEIGHBOURS + 1]}
    while True:
        group = _reached(pairs)
        rest = [at for at in range(len(towns)) if at not in group]
        if not rest:
            return pairs
        near_by, far = min(
            ((one, other) for one in group for other in rest),
            key=lambda pair: math.dist(towns[pair[0]], towns[pair[1]]),
        )
        pairs.add((min(near_by, far), max(near_by, far)))


def _reached(pairs: set[tuple[int, int]]) -> set[int]:
    group, before = {0}, 0
    while len(group) != before:
        before = len(group)
        group |= {at for pair in pairs if group & set(pair) for at in pair}
    return group


def _road(random: Random, start: Spot, end: Spot) -> list[Point]:
    """Draw a road that winds a little: a straight line moved sideways by slow waves."""
    length = math.dist(start, end)
    fast = length > MOTORWAY_FROM_M
    along = ((end.x - start.x) / length, (end.y - start.y) / length)
    bend = 0.5 if fast else 1.0
    waves = [
        (random.uniform(-1, 1) * bend * length * 0.09 / number**1.7, number)
        for number in range(1, max(4, int(length / 1_600)))
    ]
    points = []
    steps = int(length / STEP_M)
    for step in range(steps + 1):
        share = step / steps
        side = sum(size * math.sin(math.pi * number * share) for size, number in waves)
        spot = Spot(
            start.x + along[0] * length * share - along[1] * side,
            start.y + along[1] * length * share + along[0] * side,
        )
        from_town = min(share, 1 - share) * length
        kmh = TOWN_KMH if from_town < TOWN_RADIUS_M else MOTORWAY_KMH if fast else ROAD_KMH
        points.append(Point(spot, kmh * KMH))
    return points


def _rounded(route: Sequence[Point]) -> list[Point]:
    """Leave out points that lie on the one before: where two parts of a route meet."""
    kept = [route[0]]
    for point in route[1:]:
        if math.dist(kept[-1].spot, point.spot) > 1.0:
            kept.append(point)
        elif point.stand_s:
            kept[-1] = point
    return kept


def _speeds(route: Sequence[Point]) -> list[float]:
    """Give the speed at each point: as allowed, slow enough for the bend, and reachable."""
    speeds = [min(point.limit, _bend(route, at)) for at, point in enumerate(route)]
    for at, point in enumerate(route):
        if point.stand_s:
            speeds[at] = 0.0
    speeds[0] = speeds[-1] = 0.0
    lengths = [math.dist(one.spot, two.spot) for one, two in pairwise(route)]
    for at, length in enumerate(lengths):
        speeds[at + 1] = min(speeds[at + 1], math.sqrt(speeds[at] ** 2 + 2 * FASTER_M_S2 * length))
    for at in range(len(lengths) - 1, -1, -1):
        reach = math.sqrt(speeds[at + 1] ** 2 + 2 * SLOWER_M_S2 * lengths[at])
        speeds[at] = min(speeds[at], reach)
    return speeds


def _bend(route: Sequence[Point], at: int) -> float:
    """Give the speed at which the push sideways is still pleasant."""
    if not 0 < at < len(route) - 1:
        return math.inf
    before, here, after = (route[at + step].spot for step in (-1, 0, 1))
    turn = abs(_difference(_track(before, here), _track(here, after)))
    if turn < 0.01:  # noqa: PLR2004  degrees: straight
        return math.inf
    radius = math.dist(before, here) / math.radians(turn)
    return max(math.sqrt(SIDEWAYS_M_S2 * radius), 4.0)


def _track(here: Spot, there: Spot) -> float:
    return math.degrees(math.atan2(there.x - here.x, there.y - here.y)) % 360


def _difference(one: float, other: float) -> float:
    return (other - one + 180) % 360 - 180


def _turned(track: float, wanted: float, *, share: float) -> float:
    return (track + share * _difference(track, wanted)) % 360
