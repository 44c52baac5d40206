"""``home prune``: retention by hand; the process does it by ``keep_days``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Take how many days stay."""
    parser.add_argument("--days", type=int, default=0, help="default: home.yaml's keep_days")


def run(options: argparse.Namespace) -> int:
    """Remove what is older."""
    from home import files, keep  # noqa: PLC0415
    from home.errors import HomeError  # noqa: PLC0415
    from home.landing import Landing  # noqa: PLC0415

    count = options.days or options.home.keep_days
    if count <= 0:
        raise HomeError("prune: how many days stay? hint: --days 400, or keep_days: in home.yaml")
    folder = options.home.folder
    with files.locked(folder / "lock", "receiving"):
        landing = Landing(folder / "landing").open()
        gone = keep.prune(folder, landing, count)
        landing.close()
    sys.stdout.write(f"{gone} segments removed\n")
    return 0
