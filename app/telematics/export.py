"""What a card still holds as a file that other programs open: GPX, GeoJSON or CSV.

It reads the files of the queue and the journals as they lie there, by the records' checksums; so it
works on a board that records, and on a card in another computer that has neither Redis nor anything
else of a board. Published records that the queue's files still hold are given, too.
"""

from __future__ import annotations

import csv
import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import IO, TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

from telematics.files import write_through
from telematics.journal import NAME, SALVAGED
from telematics.record import DECIMALS, Record, RecordError, decode
from telematics.repair import FOLDER, records_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

# A longer silence is no line on a map: nobody knows the way.
HOLE_MS = 60_000
COLUMNS = (
    "device", "installation", "boot", "seq", "trip", "time", "mono", "lat", "lon", "mode",
    "time_ok", *DECIMALS, "receiver", "lost", "skipped",
)  # fmt: skip
# A listing that the server's rewriting made old is taken again; it cannot happen so often in a row.
TRIES = 5


class ExportError(Exception):
    """There is nothing to export, or no such form."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written."""

    records: int
    trips: int


class _Place(NamedTuple):
    """Where a record lies, so that the records of a whole card need not be in memory at once."""

    installation: str
    seq: int
    file: Path
    offset: int
    size: int


def export(queue: Path, state: Path, target: Path) -> Exported:
    """Write every record below ``queue`` and ``state`` into a file whose suffix says the form.

    ExportError if there is none or the form is unknown, OSError as the disk says; then an earlier
    file of that name is as it was.
    """
    write = FORMS.get(target.suffix.lower())
    if write is None:
        message = f"{target}: no known form; hint: a name that ends with {', '.join(FORMS)}"
        raise ExportError(message)
    places = _found(queue, state)
    beside = target.with_name(f".{target.name}.half")
    counted = _Counted()
    try:
        with beside.open("w", encoding="utf-8", newline="") as file:
            write(file, counted.over(_read(places)))
        write_through(beside)
        beside.replace(target)
    finally:
        with suppress(OSError):
            beside.unlink()
    return Exported(records=counted.records, trips=len(counted.trips))


class _Counted:
    def __init__(self) -> None:
        self.records = 0
        self.trips: set[tuple[str, int]] = set()

    def over(self, records: Iterable[Record]) -> Iterator[Record]:
        for each in records:
            self.records += 1
            self.trips.add((each.identity.installation, each.trip))
            yield each


def _found(queue: Path, state: Path) -> list[_Place]:
    """Find every whole record once, in the order in which they were made."""
    found: dict[tuple[str, int], _Place] = {}
    for tries in range(TRIES):
        try:
            for path in _files(queue, state):
                found |= {(place.installation, place.seq): place for place in _in(path)}
        except FileNotFoundError:  # the server has rewritten it meanwhile, under another name
            if tries + 1 == TRIES:
                raise
            found.clear()
        else:
            break
    if not found:
        message = f"no record in {queue} or {state}; hint: --card names the card's data partition"
        raise ExportError(message)
    return sorted(found.values())


def _files(queue: Path, state: Path) -> Sequence[Path]:
    folder = queue / FOLDER
    queued = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    return [*queued, *(state / name for name in (SALVAGED, NAME) if (state / name).is_file())]


def _in(path: Path) -> Iterator[_Place]:
    for offset, raw, _ in records_in(path):
        with suppress(RecordError):  # its sum fits, and it is none of ours
            made = decode(raw)
            yield _Place(made.identity.installation, made.seq, path, offset, len(raw))


def _read(places: Sequence[_Place]) -> Iterator[Record]:
    opened: dict[Path, IO[bytes]] = {}
    try:
        for place in places:
            file = opened.get(place.file)
            if file is None:
                file = opened[place.file] = place.file.open("rb")
            file.seek(place.offset)
            with suppress(RecordError):  # the server cut it off meanwhile
                yield decode(file.read(place.size))
    finally:
        for file in opened.values():
            file.close()


def _csv(out: IO[str], records: Iterable[Record]) -> None:
    """Write a row for each record; times are in UTC, what is unknown is empty."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for each in records:
        gap = each.gap
        writer.writerow(
            (
                *each.identity, each.seq, each.trip, _time(each), each.mono, each.lat, each.lon,
                each.mode, int(each.time_ok), *(getattr(each, name) for name in DECIMALS),
                each.receiver, gap.lost if gap else 0, gap.skipped if gap else 0,
            )
        )  # fmt: skip


def _geojson(out: IO[str], records: Iterable[Record]) -> None:
    """Write a line for each unbroken piece of a trip, a point where it is one record; RFC 7946."""
    out.write('{"type":"FeatureCollection","features":[')
    before = "\n"
    for _, trip in _trips(records):
        for piece in _pieces(trip):
            places = [[each.lon, each.lat] for each in piece]
            single = len(places) == 1
            feature = {
                "type": "Feature",
                "geometry": {
                    "type": "Point" if single else "LineString",
                    "coordinates": places[0] if single else places,
                },
                "properties": {
                    "device": piece[0].identity.device,
                    "installation": piece[0].identity.installation,
                    "trip": piece[0].trip,
                    "first_seq": piece[0].seq,
                    "last_seq": piece[-1].seq,
                    "start": _time(piece[0]) or None,
                    "end": _time(piece[-1]) or None,
                },
            }
            out.write(before + json.dumps(feature))
            before = ",\n"
    out.write("\n]}\n")


def _gpx(out: IO[str], records: Iterable[Record]) -> None:
    """Write a track for each trip and a segment for each unbroken piece of it; GPX 1.1."""
    out.write('<?xml version="1.0" encoding="UTF-8"?>\n')
    out.write(
        '<gpx version="1.1" creator="telematics" xmlns="http://www.topografix.com/GPX/1/1">\n'
    )
    for (installation, number), trip in _trips(records):
        named = False
        for piece in _pieces(trip):
            if not named:
                name = f"{piece[0].identity.device}/{installation}/{number}"
                out.write(f"<trk><name>{escape(name)}</name>\n")
                named = True
            out.write("<trkseg>\n")
            out.writelines(map(_point, piece))
            out.write("</trkseg>\n")
        out.write("</trk>\n")
    out.write("</gpx>\n")


def _point(each: Record) -> str:
    height = f"<ele>{each.alt}</ele>" if each.alt is not None else ""
    time = f"<time>{_time(each)}</time>" if _time(each) else ""
    return f'<trkpt lat="{each.lat}" lon="{each.lon}">{height}{time}</trkpt>\n'


def _trips(records: Iterable[Record]) -> Iterator[tuple[tuple[str, int], Iterator[Record]]]:
    return groupby(records, key=lambda each: (each.identity.installation, each.trip))


def _pieces(trip: Iterable[Record]) -> Iterator[list[Record]]:
    """Split a trip where nobody knows the way: after a silence, a restart, or a lost record."""
    piece: list[Record] = []
    for each in trip:
        if piece and _is_apart(piece[-1], each):
            yield piece
            piece = []
        piece.append(each)
    if piece:
        yield piece


def _is_apart(before: Record, after: Record) -> bool:
    return (
        before.identity.boot != after.identity.boot
        or after.mono - before.mono > HOLE_MS
        or after.seq != before.seq + 1
    )


def _time(each: Record) -> str:
    """Give a time as ISO 8601 has it, in UTC; empty where the record has none that can be."""
    if each.time is None:
        return ""
    try:
        at = datetime.fromtimestamp(each.time / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


FORMS: dict[str, Callable[[IO[str], Iterable[Record]], None]] = {
    ".gpx": _gpx,
    ".geojson": _geojson,
    ".csv": _csv,
}
