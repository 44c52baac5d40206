"""``home restore``: a landing from an archive."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Take the file."""
    parser.add_argument("file", type=Path, help="what `home backup` wrote")


def run(options: argparse.Namespace) -> int:
    """Fill the folder."""
    from home import keep  # noqa: PLC0415

    count = keep.restore(options.file, options.home.folder)
    sys.stdout.write(f"{count} segments in {options.home.folder}; home build makes the days\n")
    return 0
