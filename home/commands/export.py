"""``home export``: a view as a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Take what and where."""
    parser.add_argument("view", help="points, trips, stops, gaps or windows")
    parser.add_argument("file", type=Path, help="NAME.parquet, .csv, .geojson, .gpx or .sqlite")
    parser.add_argument("--from", dest="first", default="", metavar="DAY", help="UTC")
    parser.add_argument("--to", dest="last", default="", metavar="DAY", help="UTC")
    parser.add_argument("--device", default="", help="one vehicle only")


def run(options: argparse.Namespace) -> int:
    """Write it."""
    from home import export  # noqa: PLC0415

    count = export.export(
        options.home, options.view, options.file,
        first=options.first, last=options.last, device=options.device,
    )  # fmt: skip
    sys.stdout.write(f"{count} rows in {options.file}\n")
    return 0
