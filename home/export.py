"""Points, trips and the other views as files that other programs read."""

from __future__ import annotations

import json
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from home import engine, files
from home.errors import HomeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from home.config import Config

FETCH = 10_000
# A track is not drawn through a hole that is longer than this.
HOLE_MS = 60_000
# By view: its time, and where it lies on the map.
TIMES = {
    "points": "time_ms", "trips": "start_ms", "stops": "start_ms", "gaps": "after_ms",
    "windows": "minute_ms",
}  # fmt: skip
PLACES = {
    "points": ("lon", "lat"), "stops": ("lon", "lat"), "windows": ("lon", "lat"),
}  # fmt: skip
GPX = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<gpx version="1.1" creator="glovebox home" '
    'xmlns="http://www.topografix.com/GPX/1/1">\n'
)
TRACK = """
SELECT parts.trip_id, points.lat, points.lon, points.alt, points.time_ms
FROM points
JOIN trip_parts AS parts USING (device, installation, trip, utc_day)
WHERE points.time_ms IS NOT NULL AND points.receiver IS NOT DISTINCT FROM parts.receiver
      AND {where}
ORDER BY parts.trip_id, points.seq
"""


def export(config: Config, view: str, target: Path, *, first: str, last: str, device: str) -> int:
    """Write a view, or a part of it, to a file whose suffix says its form; give the rows."""
    write = FORMS.get(target.suffix.lower())
    if write is None:
        raise HomeError(f"{target}: no known form; hint: a name that ends with {', '.join(FORMS)}")
    if view not in TIMES:
        raise HomeError(f"{view}: no such view; hint: one of {', '.join(TIMES)}")
    beside = files.hidden(target)
    try:
        with engine.connect(config, dead=False) as base:
            count = write(base, view, beside, _where(TIMES[view], first, last, device))
        files.flush(beside)
        beside.rename(target)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    return count


def _where(time: str, first: str, last: str, device: str) -> str:
    parts = ["TRUE"]
    if first:
        parts.append(f"{time} >= {_ms(first)}")
    if last:
        parts.append(f"{time} < {_ms(last) + 86_400_000}")
    if device:
        parts.append("device = '" + device.replace("'", "''") + "'")
    return " AND ".join(parts)


def _ms(day: str) -> int:
    try:
        return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1000
    except ValueError:
        raise HomeError(f"{day}: no day; hint: 2026-11-28, in UTC") from None


def _rows(base: Any, query: str) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401  a class of C
    result = base.execute(query)
    while rows := result.fetchmany(FETCH):
        yield from rows


def _query(view: str, where: str) -> str:
    return f"SELECT * FROM {view} WHERE {where} ORDER BY ALL"


def _copied(options: str) -> Callable[[Any, str, Path, str], int]:
    def write(base: Any, view: str, target: Path, where: str) -> int:  # noqa: ANN401  likewise
        query = _query(view, where)
        done = base.execute(f"COPY ({query}) TO '{engine.quoted(target)}' ({options})").fetchone()
        return int(done[0]) if done else 0

    return write


def _sqlite(base: Any, view: str, target: Path, where: str) -> int:  # noqa: ANN401  likewise
    result = base.execute(_query(view, where))
    names = [column[0] for column in result.description]
    other = sqlite3.connect(target)
    try:
        other.execute(f"CREATE TABLE {view} ({', '.join(names)})")
        count = 0
        while rows := result.fetchmany(FETCH):
            marks = ", ".join("?" * len(names))
            other.executemany(f"INSERT INTO {view} VALUES ({marks})", rows)
            count += len(rows)
        other.commit()
    finally:
        other.close()
    return count


def _geojson(base: Any, view: str, target: Path, where: str) -> int:  # noqa: ANN401  likewise
    result = base.execute(_query(view, where))
    names = [column[0] for column in result.description]
    count = 0
    with target.open("w", encoding="utf-8") as file:
        file.write('{"type":"FeatureCollection","features":[')
        while rows := result.fetchmany(FETCH):
            for row in rows:
                values = dict(zip(names, row, strict=True))
                feature = {
                    "type": "Feature",
                    "geometry": _geometry(view, values),
                    "properties": values,
                }
                file.write((",\n" if count else "\n") + json.dumps(feature))
                count += 1
        file.write("\n]}\n")
    return count


def _geometry(view: str, values: dict[str, Any]) -> dict[str, object] | None:
    if view == "trips":
        places = json.loads(values.pop("line") or "[]")
        # A line has two ends at least.
        return {"type": "LineString", "coordinates": places * 2 if len(places) == 1 else places}
    if view == "gaps":
        ends = [[values[f"{end}_lon"], values[f"{end}_lat"]] for end in ("before", "after")]
        known = all(None not in end for end in ends)
        return {"type": "LineString", "coordinates": ends} if known else None
    names = PLACES[view]
    return {"type": "Point", "coordinates": [values.pop(name) for name in names]}


def _gpx(base: Any, view: str, target: Path, where: str) -> int:  # noqa: ANN401  likewise
    if view != "points":
        raise HomeError(f"{view}: GPX has tracks; hint: export points")
    qualified = where.replace("time_ms", "points.time_ms").replace("device", "points.device")
    count = 0
    with target.open("w", encoding="utf-8") as file:
        file.write(GPX)
        trip, before = None, 0
        for trip_id, lat, lon, alt, time_ms in _rows(base, TRACK.format(where=qualified)):
            if trip_id != trip:
                _end(file, trip)
                file.write(f"<trk><name>{escape(trip_id)}</name><trkseg>\n")
            elif time_ms - before > HOLE_MS:
                file.write("</trkseg><trkseg>\n")
            height = "" if alt is None else f"<ele>{alt}</ele>"
            moment = datetime.fromtimestamp(time_ms / 1000, UTC)
            when = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            file.write(
                f'<trkpt lat="{lat:.6f}" lon="{lon:.6f}">{height}<time>{when}</time></trkpt>\n'
            )
            trip, before = trip_id, time_ms
            count += 1
        _end(file, trip)
        file.write("</gpx>\n")
    return count


def _end(file: IO[str], trip: str | None) -> None:
    if trip is not None:
        file.write("</trkseg></trk>\n")


FORMS: dict[str, Callable[[Any, str, Path, str], int]] = {
    ".parquet": _copied("FORMAT parquet, COMPRESSION zstd"),
    ".csv": _copied("FORMAT csv, HEADER"),
    ".geojson": _geojson,
    ".gpx": _gpx,
    ".sqlite": _sqlite,
}
