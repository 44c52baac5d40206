"""The one JSON document that the page draws, made from the views points, trips, stops and gaps.

::

    {"version": 1, "made": ms, "time_zone": "Europe/Berlin", "streets": false,
     "vehicles": [{"name", "last": {"lat", "lon", "time", "speed"} or null}, …],
     "trips": [{"id", "v": place in vehicles, "day": "2026-05-04", "start": ms, "end": ms,
                "m": distance, "moving": s, "top": km/h, "carried": m from the trip before,
                "parts": [text, …]}, …],           lines of `home.map.line`, seconds since start
     "stops": [{"v", "day", "start": ms, "end": ms, "lat", "lon", "trip": place in trips}, …],
     "gaps": [{"v", "day", "kind", "numbers", "start": ms, "end": ms, "from": [lat, lon],
               "to": [lat, lon]}, …]}

Between two parts of a trip no position is known. Positions are taken in the order of their
numbers: when they arrived does not matter.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol

from home.map.line import FINEST_M, KMH, Drawn, Fix, Vertex, drawn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

VERSION = 1
# With this many vertices page and document stay below 2 MB.
VERTICES = 170_000
FINE_DAYS = 31
COARSER = (8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
# A hole of numbers is drawn where the vehicle moved meanwhile; others are only counted.
SHOWN_GAPS = 5_000

TRIPS = """
SELECT trip_id, device, installation, first_seq, last_seq, start_ms, end_ms,
       CAST(local_day AS VARCHAR), distance_m, moving_s, top_speed, carried_m, positions
FROM trips
ORDER BY device, start_ms, installation, first_seq
"""
# Of two receivers of one vehicle the trip's own is drawn, see the legs of the days.
POINTS = """
SELECT trip_parts.trip_id, points.lat, points.lon, points.speed, points.time_ms
FROM points
JOIN trip_parts
  ON trip_parts.device = points.device AND trip_parts.installation = points.installation
 AND trip_parts.trip = points.trip AND trip_parts.utc_day = points.utc_day
 AND trip_parts.receiver IS NOT DISTINCT FROM points.receiver
WHERE trip_parts.trip_id IN (SELECT unnest(?)) AND points.time_ms IS NOT NULL
ORDER BY trip_parts.trip_id, trip_parts.start_ms, trip_parts.first_seq, points.seq
"""
STOPS = """
SELECT trip_id, start_ms, end_ms, lat, lon FROM stops ORDER BY trip_id, start_ms
"""
GAPS = """
SELECT device, CAST(utc_day AS VARCHAR), kind, numbers, before_ms, after_ms,
       before_lat, before_lon, after_lat, after_lon
FROM gaps
WHERE kind <> 'closed'
ORDER BY after_ms DESC, device, first_seq
LIMIT ?
"""
LAST = """
SELECT device, arg_max(lat, time_ms), arg_max(lon, time_ms), max(time_ms),
       arg_max(speed, time_ms)
FROM points
WHERE time_ms IS NOT NULL
GROUP BY device
ORDER BY device
"""


class Connection(Protocol):
    """As much of DuckDB as is needed; `home.engine` gives one with the views in it."""

    def execute(self, query: str, parameters: Sequence[object] = ..., /) -> Any:  # noqa: ANN401  DuckDB's result has no type of its own
        """Run a query."""


@dataclass(frozen=True, kw_only=True)
class Trip:
    """A row of the view."""

    id: str
    device: str
    installation: str
    first_seq: int
    last_seq: int
    start_ms: int
    end_ms: int
    day: str
    distance_m: float
    moving_s: float
    top_speed: float | None
    carried_m: float | None
    positions: int

    @property
    def mark(self) -> str:
        """Tell two states of a trip apart: a late record changes what is drawn."""
        return f"{self.last_seq}:{self.positions}:{self.end_ms}:{round(self.distance_m * 1000)}"


@dataclass(kw_only=True)
class Drawer:
    """Keeps what was drawn, so that only changed trips are drawn again, also after a restart."""

    path: Path | None = None
    known: dict[str, tuple[str, Drawn]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read what an earlier process drew; a damaged line is drawn again."""
        if self.path is None or not self.path.is_file():
            return
        for line in self.path.read_bytes().split(b"\n"):
            try:
                trip, mark, parts = json.loads(line)
                lines = tuple(tuple(Vertex(*vertex) for vertex in part) for part in parts)
            except (ValueError, TypeError):
                continue
            self.known[trip] = (mark, Drawn(lines))

    def lines(self, connection: Connection, trips: Sequence[Trip]) -> dict[str, Drawn]:
        """Give the line of every trip."""
        known = {trip.id: self.known.get(trip.id, ("", Drawn(()))) for trip in trips}
        wanted = {trip.id: trip for trip in trips if known[trip.id][0] != trip.mark}
        if wanted or known.keys() != self.known.keys():
            for trip_id, line in _drawn(connection, wanted):
                known[trip_id] = (wanted[trip_id].mark, line)
            self.known = known
            self._write()
        return {trip_id: line for trip_id, (_, line) in known.items()}

    def _write(self) -> None:
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        half = self.path.with_name(f".{self.path.name}.half")
        with half.open("w", encoding="ascii") as file:
            for trip_id, (mark, line) in self.known.items():
                text = json.dumps([trip_id, mark, line.parts], separators=(",", ":"))
                file.write(f"{text}\n")
        half.replace(self.path)  # only saves time, so it need not be durable


def document(
    connection: Connection,
    *,
    made_ms: int,
    time_zone: str,
    streets: bool = False,
    drawer: Drawer | None = None,
) -> dict[str, Any]:
    """Make the document out of the views."""
    rows = connection.execute(TRIPS).fetchall()
    names = ("id", "device", "installation", "first_seq", "last_seq", "start_ms", "end_ms", "day",
             "distance_m", "moving_s", "top_speed", "carried_m", "positions")  # fmt: skip
    trips = [Trip(**dict(zip(names, row, strict=True))) for row in rows]
    lines = (drawer or Drawer()).lines(connection, trips)
    last = {
        device: {"lat": lat, "lon": lon, "time": when, "speed": speed}
        for device, lat, lon, when, speed in connection.execute(LAST).fetchall()
    }
    devices = sorted({trip.device for trip in trips} | last.keys())
    places = {trip.id: place for place, trip in enumerate(trips)}
    return {
        "version": VERSION,
        "made": made_ms,
        "time_zone": time_zone,
        "streets": streets,
        "vehicles": [{"name": device, "last": last.get(device)} for device in devices],
        "trips": list(_trips(trips, lines, devices)),
        "stops": list(_stops(connection, trips, places, devices)),
        "gaps": list(_gaps(connection, devices)),
    }


def write(path: Path, text: str) -> None:
    """Write a page or document whole: readers never see half of it."""
    half = path.with_name(f".{path.name}.half")
    with half.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)


def _drawn(connection: Connection, wanted: dict[str, Trip]) -> Iterator[tuple[str, Drawn]]:
    if not wanted:
        return
    rows = _rows(connection.execute(POINTS, [sorted(wanted)]))
    for trip_id, points in groupby(rows, key=lambda row: row[0]):
        fixes = [Fix(lat, lon, speed, when) for _, lat, lon, speed, when in points]
        yield trip_id, drawn(fixes, begin=wanted[trip_id].start_ms)


def _rows(result: Any, size: int = 20_000) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401  as above
    """Fetch row by row: a year of tuples would not fit into a small machine."""
    while rows := result.fetchmany(size):
        yield from rows


def _trips(
    trips: Sequence[Trip], lines: dict[str, Drawn], devices: Sequence[str]
) -> Iterator[dict[str, Any]]:
    tolerances = _tolerances(trips, lines)
    for trip in trips:
        yield {
            "id": trip.id,
            "v": devices.index(trip.device),
            "day": trip.day,
            "start": trip.start_ms,
            "end": trip.end_ms,
            "m": round(trip.distance_m),
            "moving": round(trip.moving_s),
            "top": round((trip.top_speed or 0.0) * KMH),
            "carried": round(trip.carried_m or 0.0),
            "parts": lines[trip.id].packed(tolerances[trip.id]),
        }


def _tolerances(trips: Sequence[Trip], lines: dict[str, Drawn]) -> dict[str, float]:
    """Give each trip's tolerance: the finest, and for older trips as coarse as it must be."""
    newest = max((trip.end_ms for trip in trips), default=0)
    old = {trip.id for trip in trips if trip.end_ms < newest - FINE_DAYS * 86_400_000}
    tolerances = {trip.id: FINEST_M for trip in trips}
    for coarser in COARSER:
        if sum(lines[trip_id].size(tolerance) for trip_id, tolerance in tolerances.items()) <= (
            VERTICES
        ):
            break
        # What is new becomes coarser too once the old has become very coarse.
        tolerances |= {
            trip_id: coarser if trip_id in old else coarser / COARSER[2]
            for trip_id in tolerances
            if trip_id in old or coarser / COARSER[2] > FINEST_M
        }
    return tolerances


def _stops(
    connection: Connection, trips: Sequence[Trip], places: dict[str, int], devices: Sequence[str]
) -> Iterator[dict[str, Any]]:
    for trip_id, start, end, lat, lon in connection.execute(STOPS).fetchall():
        if trip_id in places:
            trip = trips[places[trip_id]]
            yield {
                "v": devices.index(trip.device), "day": trip.day, "trip": places[trip_id],
                "start": start, "end": end, "lat": round(lat, 5), "lon": round(lon, 5),
            }  # fmt: skip


def _gaps(connection: Connection, devices: Sequence[str]) -> Iterator[dict[str, Any]]:
    for row in connection.execute(GAPS, [SHOWN_GAPS]).fetchall():
        device, day, kind, numbers, before, after, *where = row
        if device in devices:
            yield {
                "v": devices.index(device), "day": day, "kind": kind, "numbers": numbers,
                "start": before, "end": after,
                "from": _place(where[:2]), "to": _place(where[2:]),
            }  # fmt: skip


def _place(values: Iterable[float | None]) -> list[float] | None:
    place = [None if value is None else round(value, 5) for value in values]
    return None if None in place else place  # type: ignore[return-value]  # none is None here
