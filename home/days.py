"""Days from the landing: each UTC day a folder of Parquet files, a pure function of its lines.

A day is built from the lines of that day alone, so it never touches another one; what reaches over
midnight (trips, windows, gaps) is put together by the views. The file ``built`` says what it was
built from and is written last: a kill in between leaves a day that is built again.
"""

from __future__ import annotations

import csv
import shutil
import tempfile
import time
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from home import engine, files, index
from home.errors import HomeError
from home.index import NO_TIME
from home.landing import look, read_lines
from home.lines import Row, read
from telematics.record import whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from home.index import Entry, Summary

# Table and its order in the file; every table is made by the SQL of that name.
FILES = {
    "points": "device, installation, seq",
    "legs": "device, installation, trip",
    "stops": "device, installation, trip, start_ms, first_seq",
    "minutes": "device, minute_no",
    "runs": "device, installation, first_seq",
    "lines": "device, installation, trip",
}
HEARD = {
    "device": "VARCHAR", "installation": "VARCHAR", "boot": "VARCHAR", "seq": "BIGINT",
    "trip": "BIGINT", "time_ms": "BIGINT", "time_ok": "INTEGER", "repaired": "INTEGER",
    "mono": "BIGINT", "lat": "DOUBLE", "lon": "DOUBLE", "mode": "INTEGER", "alt": "DOUBLE",
    "speed": "DOUBLE", "track": "DOUBLE", "climb": "DOUBLE", "eph": "DOUBLE", "eps": "DOUBLE",
    "receiver": "VARCHAR", "lost": "BIGINT", "skipped": "BIGINT", "crc": "VARCHAR",
}  # fmt: skip
# Commas of a record before its optional values, and how many of these a row has.
PLACES = 13
# With these JSON can say the same in other bytes; the service never does.
ODD = (b" ", b"\\", b"\t", b"\r")
OPTIONAL = 6
# A listing that merging made old is taken again; it cannot happen so often in a row.
TRIES = 5


@dataclass(frozen=True, kw_only=True)
class Built:
    """What a build did."""

    days: tuple[str, ...]
    removed: tuple[str, ...]
    positions: int
    seconds: float


def build(folder: Path, *, first: str = "", last: str = "", again: bool = False) -> Built:
    """Build the days whose lines changed since they were built; with ``again`` all in the range."""
    began = time.monotonic()
    with files.locked(folder / "days" / "lock", "building", wait=True):
        for old in (*(folder / "days").glob(".build-*"), *(folder / "days").glob("*/.*")):
            shutil.rmtree(old) if old.is_dir() else old.unlink()  # what a kill left
        return _build(folder, first, last, began, again=again)


def _build(folder: Path, first: str, last: str, began: float, *, again: bool) -> Built:
    root = folder / "landing"
    segments, _ = look(root)
    total = index.summary(segments.values())
    wanted = total.keys()
    have = built_days(folder)
    chosen = [
        day
        for day in sorted(wanted)
        if _within(day, first, last) and (again or have.get(day) != wanted[day])
    ]
    removed = [day for day in have if day not in wanted and _within(day, first, last)]
    positions = 0
    for day in chosen:
        for tries in range(TRIES):
            try:
                positions += _build_day(folder, day, segments, total)
            except FileNotFoundError:
                if tries + 1 == TRIES:
                    raise
                segments, _ = look(root)
                total = index.summary(segments.values())
            else:
                break
        files.write(folder / "days" / day / "built", total.keys().get(day, "").encode())
    for day in removed:
        shutil.rmtree(folder / "days" / day)
    return Built(
        days=tuple(chosen),
        removed=tuple(removed),
        positions=positions,
        seconds=time.monotonic() - began,
    )


def built_days(folder: Path) -> dict[str, str]:
    """Give the days that are built, and what each was built from."""
    found = {}
    for path in (folder / "days").glob("[!.]*/"):
        try:
            found[path.name] = (path / "built").read_text(encoding="ascii")
        except FileNotFoundError:
            found[path.name] = ""
    return found


def pending(folder: Path, total: Summary) -> list[str]:
    """Say which days have other lines than when they were built."""
    have = built_days(folder)
    wanted = total.keys()
    return [day for day in {**wanted, **have} if wanted.get(day) != have.get(day)]


def check_range(first: str, last: str) -> None:
    """Refuse what is no range of days."""
    for day in (first, last):
        try:
            if day:
                index.day_number(day)
        except ValueError:
            raise HomeError(f"{day}: no day; hint: 2026-11-28, in UTC") from None
    if first and last and first > last:
        raise HomeError(f"--from {first} is after --to {last}")


def _within(day: str, first: str, last: str) -> bool:
    if day == NO_TIME:
        return not first and not last
    return (not first or first <= day) and (not last or day <= last)


def _build_day(folder: Path, day: str, segments: dict[str, Entry], total: Summary) -> int:
    place = folder / "days" / day
    files.make_folder(place)
    (place / "built").unlink(missing_ok=True)
    root = folder / "landing"
    named = sorted(name for name, entry in segments.items() if total.touches(entry, day))
    with tempfile.TemporaryDirectory(prefix=".build-", dir=folder / "days") as scratch:
        heard = Path(scratch) / "heard.csv"
        with heard.open("wb") as file:
            for name in named:
                # Lines that were all records when they landed need no second judgement of values.
                rows = _slowly if segments[name].dead else _quickly
                file.writelines(rows(read_lines(root, name), day, total))
        return _tables(heard, place, Path(scratch))


def _slowly(lines: Iterable[bytes], day: str, total: Summary) -> Iterator[bytes]:
    """Give the rows of a day from lines of any kind, as CSV."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for line in lines:
        row = read(line)
        if not isinstance(row, Row):
            continue
        where, when = total.day_of(row)
        if where == day:
            repaired = int(when is not None and when != row.time)
            writer.writerow((*row[:5], when, row.time_ok, repaired, *row[7:]))
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()


def _quickly(lines: Iterable[bytes], day: str, total: Summary) -> Iterator[bytes]:
    """Do the same with the bytes of records as they are: six times as quick.

    The checksum is looked at again, so what the medium destroyed meanwhile is left out.
    """
    number = None if day == NO_TIME else index.day_number(day)
    for line in lines:
        parts = line.split(b",", PLACES)
        # A record's six optional values may end early; receiver and gap are rare.
        plain = len(parts) > PLACES and parts[PLACES].count(b",") < OPTIONAL
        if not plain or any(each in line for each in ODD) or not whole(line):
            yield from _slowly([line], day, total)
            continue
        _, crc, device, installation, boot, seq, into, time_, mono, lat, lon, mode, ok, rest = parts
        own = None if time_ == b"null" else int(time_)
        when = own
        if own is None or ok != b"1" or not 0 <= own < index.TIME_MAX:
            name = f"{device[1:-1].decode()}/{installation[1:-1].decode()}/{boot[1:-1].decode()}"
            when = total.repaired(name, int(mono))
        if (None if when is None else when // index.DAY_MS) != number:
            continue
        optional = rest[:-1].replace(b"null", b"")
        yield b"%b,%b,%b,%b,%d,%b,%b,%d,%b,%b,%b,%b,%b%b,,0,0,%b\n" % (
            device, installation, boot, seq, int(seq) - int(into),
            b"" if when is None else b"%d" % when, ok, when is not None and when != own,
            mono, lat, lon, mode, optional, b"," * (OPTIONAL - 1 - optional.count(b",")), crc,
        )  # fmt: skip


def _tables(heard: Path, place: Path, scratch: Path) -> int:
    """Make the day's files; each is committed by its name."""
    with engine.memory(scratch) as base:
        columns = ", ".join(f"'{name}': '{kind}'" for name, kind in HEARD.items())
        base.execute(
            "CREATE TABLE heard AS SELECT * REPLACE (COALESCE(boot, '') AS boot)"
            f" FROM read_csv('{engine.quoted(heard)}', header = false, auto_detect = false,"
            f" delim = ',', quote = '\"', escape = '\"',"
            f" columns = {{{columns}}})"
        )
        for name in ("day/once", "day/points", "day/legs", "day/stops", "day/minutes", "day/runs"):
            base.execute(f"CREATE TABLE {name.rpartition('/')[2]} AS {engine.text(name)}")
            if name == "day/once":
                base.execute("DROP TABLE heard")
        base.execute(f"CREATE TABLE lines AS {engine.text('duckdb/lines')}")
        for table, order in FILES.items():
            path = place / f"{table}.parquet"
            beside = files.hidden(path)
            base.execute(
                f"COPY (SELECT * FROM {table} ORDER BY {order}) TO '{engine.quoted(beside)}'"
                " (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)"
            )
            files.flush(beside)
            beside.rename(path)
        files.flush_names(place)
        counted = base.execute("SELECT COUNT(*) FROM points").fetchone()
        return int(counted[0]) if counted else 0
