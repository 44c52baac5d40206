"""``home traffic``: the metrics of a day's detectors, again for any day."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Take the table and the days."""
    parser.add_argument("file", type=Path, help="CSV: detector,time,occupancy,v2…v5,c2…c5")
    parser.add_argument("--from", dest="first", default="", metavar="DAY", help="UTC")
    parser.add_argument("--to", dest="last", default="", metavar="DAY", help="UTC")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="a CSV file for each day, there")
    parser.add_argument("--on", choices=("duckdb", "sqlite"), default="duckdb", help="the engine")


def run(options: argparse.Namespace) -> int:
    """Compute them."""
    from home import days as checked, files, index, traffic  # noqa: PLC0415

    checked.check_range(options.first, options.last)
    # The day before goes into the windows of the first one.
    names, rows = traffic.metrics(traffic.read(options.file), on=options.on)
    at = names.index("recordtimestamp")
    days: dict[str, list[tuple[object, ...]]] = {}
    for row in rows:
        day = index.day_name(row[at] * 1000 // index.DAY_MS)
        if (options.first or day) <= day <= (options.last or day):
            days.setdefault(day, []).append(row)
    if options.out is None:
        write = csv.writer(sys.stdout)
        write.writerow(names)
        for day in sorted(days):
            write.writerows(days[day])
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    for day, each in sorted(days.items()):
        text = "\n".join(
            ",".join("" if v is None else str(v) for v in row) for row in [names, *each]
        )
        files.write(options.out / f"{day}.csv", text.encode() + b"\n")
        sys.stdout.write(f"{day} {len(each)} rows\n")
    return 0
