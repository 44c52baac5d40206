"""Lines for the map: simplified so that a year fits into a page, and packed into text.

A vertex has place, speed and time. A year of 1 Hz is some million positions; what is left out lies
nearer to the line than its tolerance, in metres, where 3 m/s of speed count as `SPEED_M` metres: a
change of speed on a straight road is seen, too. Own code: shapely would bring 10 MB for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

M_PER_DEGREE = 111_320.0
FINEST_M = 4.0
SPEED_M = 4.0
SPEED_M_S = 3.0
# What is nearer than this to the last vertex is noise of a receiver at rest.
NOISE_M = 6.0
# A hole of so many seconds is drawn as one, unless the vehicle stood where it stands after it.
GAP_S, GAP_M = 12, 60.0
DEGREE = 100_000  # packed places are whole steps of 1.1 m
KMH = 3.6
OFFSET, CHUNK_BITS, CHUNK, MORE = 63, 5, 31, 32


class Fix(NamedTuple):
    """One position: degrees, m/s (None: unknown), ms since 1970 (None: unknown)."""

    lat: float
    lon: float
    speed: float | None
    time: int | None


class Vertex(NamedTuple):
    """A position that is kept, and the tolerance up to which it is, in metres."""

    lat: float
    lon: float
    kmh: int
    second: int
    worth: float


@dataclass(frozen=True)
class Drawn:
    """A trip's line: parts with a gap between each two of them."""

    parts: tuple[tuple[Vertex, ...], ...]

    def packed(self, tolerance: float) -> list[str]:
        """Give each part as text, without what is worth less than the tolerance."""
        return [pack(vertex for vertex in part if vertex.worth >= tolerance) for part in self.parts]

    def size(self, tolerance: float) -> int:
        """Count the vertices that are left at a tolerance."""
        return sum(vertex.worth >= tolerance for part in self.parts for vertex in part)


def drawn(fixes: Sequence[Fix], *, begin: int) -> Drawn:
    """Simplify a trip, its positions in the order of their numbers; ``begin`` is second 0."""
    return Drawn(tuple(tuple(_simplified(part, begin)) for part in parts(fixes)))


def parts(fixes: Sequence[Fix]) -> list[list[Fix]]:
    """Cut a trip where positions are missing for so long that a line would be a guess."""
    out: list[list[Fix]] = []
    for fix in fixes:
        if out and not _gap(out[-1][-1], fix):
            out[-1].append(fix)
        else:
            out.append([fix])
    return out


def metres(one: Fix | Vertex, other: Fix | Vertex) -> float:
    """Give the distance between two places that are near each other."""
    east = M_PER_DEGREE * math.cos(math.radians(one.lat))
    return math.hypot((other.lat - one.lat) * M_PER_DEGREE, (other.lon - one.lon) * east)


def pack(vertices: Iterable[Vertex]) -> str:
    """Write vertices as text: differences of lat, lon, km/h and second, as in encoded polylines."""
    letters: list[str] = []
    before = (0, 0, 0, 0)
    for vertex in vertices:
        now = (round(vertex.lat * DEGREE), round(vertex.lon * DEGREE), vertex.kmh, vertex.second)
        for old, new in zip(before, now, strict=True):
            value = (new - old) << 1 if new >= old else ~((new - old) << 1)
            while value >= MORE:
                letters.append(chr((MORE | value & CHUNK) + OFFSET))
                value >>= CHUNK_BITS
            letters.append(chr(value + OFFSET))
        before = now
    return "".join(letters)


def unpack(text: str) -> list[tuple[float, float, int, int]]:
    """Read packed vertices: lat, lon, km/h, second."""
    values: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - OFFSET
        value |= (bits & CHUNK) << shift
        shift += CHUNK_BITS
        if not bits & MORE:
            values.append(~(value >> 1) if value & 1 else value >> 1)
            value = shift = 0
    out: list[tuple[float, float, int, int]] = []
    now = [0, 0, 0, 0]
    for at in range(0, len(values), 4):
        now = [old + step for old, step in zip(now, values[at : at + 4], strict=True)]
        out.append((now[0] / DEGREE, now[1] / DEGREE, now[2], now[3]))
    return out


def _gap(before: Fix, after: Fix) -> bool:
    if before.time is None or after.time is None:
        return metres(before, after) > 10 * GAP_M
    return after.time - before.time > GAP_S * 1000 and metres(before, after) > GAP_M


def _simplified(fixes: Sequence[Fix], begin: int) -> list[Vertex]:
    """Give the vertices that are worth `FINEST_M`, with their worth (Douglas, Peucker)."""
    fixes = _moving(fixes)
    east = M_PER_DEGREE * math.cos(math.radians(fixes[0].lat))
    space = [
        (
            fix.lat * M_PER_DEGREE,
            fix.lon * east,
            (fix.speed or 0.0) * SPEED_M / SPEED_M_S,
        )
        for fix in fixes
    ]
    worth = [0.0] * len(fixes)
    worth[0] = worth[-1] = math.inf
    todo = [(0, len(fixes) - 1, math.inf)]
    while todo:
        first, last, above = todo.pop()
        at, far = _farthest(space, first, last)
        if far < FINEST_M:
            continue
        worth[at] = min(far, above)
        todo += [(first, at, worth[at]), (at, last, worth[at])]
    time = begin
    vertices = []
    for fix, value in zip(fixes, worth, strict=True):
        time = fix.time if fix.time is not None else time
        if value >= FINEST_M:
            kmh = min(round((fix.speed or 0.0) * KMH), 999)
            second = max(round((time - begin) / 1000), 0)
            vertices.append(Vertex(round(fix.lat, 6), round(fix.lon, 6), kmh, second, value))
    return vertices


def _moving(fixes: Sequence[Fix]) -> list[Fix]:
    """Leave out what a receiver at rest says; the first and the last position stay."""
    kept = [fixes[0]]
    kept += (fix for fix in fixes[1:-1] if metres(kept[-1], fix) >= NOISE_M)
    return [*kept, fixes[-1]] if len(fixes) > 1 else kept


def _farthest(
    space: Sequence[tuple[float, float, float]], first: int, last: int
) -> tuple[int, float]:
    """Give which point between two is farthest from the line between them, and how far."""
    ax, ay, az = space[first]
    bx, by, bz = space[last]
    ux, uy, uz = bx - ax, by - ay, bz - az
    length = ux * ux + uy * uy + uz * uz
    found, farthest = first, -1.0
    for at in range(first + 1, last):
        x, y, z = space[at]
        x -= ax
        y -= ay
        z -= az
        share = (x * ux + y * uy + z * uz) / length if length else 0.0
        share = 0.0 if share < 0 else min(share, 1.0)
        x -= share * ux
        y -= share * uy
        z -= share * uz
        far = x * x + y * y + z * z
        if far > farthest:
            found, farthest = at, far
    return found, math.sqrt(farthest) if farthest > 0 else 0.0
