"""``home map``: the map as a file to keep, to send, to open without a network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Take the file."""
    parser.add_argument("file", type=Path, nargs="?", default=Path("map.html"))


def run(options: argparse.Namespace) -> int:
    """Write it."""
    from home.map import serve  # noqa: PLC0415

    size = serve.write_file(options.home, options.file)
    sys.stdout.write(
        f"{options.file}: {size / 1e6:.2f} MB; any browser opens it, without a network\n"
    )
    return 0
