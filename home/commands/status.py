"""``home status``: what the landing and the days hold, whether the process runs or not."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Take the form."""
    parser.add_argument("--json", action="store_true", help="for a program to read")


def run(options: argparse.Namespace) -> int:
    """Tell it."""
    from home import days, index  # noqa: PLC0415
    from home.errors import HomeError  # noqa: PLC0415
    from home.landing import look  # noqa: PLC0415

    folder = options.home.folder
    if not (folder / "landing").is_dir():
        raise HomeError(f"{folder}: no home is there; hint: --folder, or `home serve` makes one")
    segments, _ = look(folder / "landing")
    total = index.summary(segments.values())
    said = {
        "folder": str(folder),
        "lines": total.lines,
        "bytes": total.size,
        "segments": len(segments),
        "dead": total.dead,
        "days": len(days.built_days(folder)),
        "days_pending": days.pending(folder, total),
        "vehicles": sorted(total.newest),
    }
    if options.json:
        sys.stdout.write(json.dumps(said) + "\n")
    else:
        sys.stdout.writelines(f"{name:13} {value}\n" for name, value in said.items())
    return 0
