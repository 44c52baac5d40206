"""``home backup``: all that cannot be made again, in one file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Take the file."""
    parser.add_argument("file", type=Path, help="NAME.tar.gz, which must not be there yet")


def run(options: argparse.Namespace) -> int:
    """Write it."""
    from home import keep  # noqa: PLC0415

    count = keep.backup(options.home.folder, options.file)
    sys.stdout.write(f"{count} segments in {options.file}\n")
    return 0
