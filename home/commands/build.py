"""``home build``: backfill, run again, repair; all three are one thing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Take the days."""
    parser.add_argument("--from", dest="first", default="", metavar="DAY", help="2026-11-28, UTC")
    parser.add_argument("--to", dest="last", default="", metavar="DAY", help="the last day")
    parser.add_argument("--again", action="store_true", help="also days whose lines did not change")


def run(options: argparse.Namespace) -> int:
    """Build them."""
    from home import days  # noqa: PLC0415

    days.check_range(options.first, options.last)
    # Who names days wants these built, whatever is known of them.
    again = options.again or bool(options.first or options.last)
    built = days.build(options.home.folder, first=options.first, last=options.last, again=again)
    for day in built.days:
        sys.stdout.write(f"{day} built\n")
    for day in built.removed:
        sys.stdout.write(f"{day} removed: nothing is there any more\n")
    sys.stdout.write(f"{built.positions} positions in {built.seconds:.1f} s\n")
    return 0
