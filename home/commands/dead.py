"""``home dead``: what arrived and is no record."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Take what to do."""
    parser.add_argument(
        "--again", action="store_true", help="read all of the landing again, after a new version"
    )


def run(options: argparse.Namespace) -> int:
    """List them, and tell how many there are."""
    from home import files  # noqa: PLC0415
    from home.landing import Landing, dead_letters, look  # noqa: PLC0415

    root = options.home.folder / "landing"
    if options.again:
        with files.locked(options.home.folder / "lock", "receiving"):
            before = sum(entry.dead for entry in look(root)[0].values())
            (root / "index.jsonl").unlink(missing_ok=True)
            landing = Landing(root).open()
            landing.close()
        after = landing.total.dead
        sys.stdout.write(
            f"{before - after} of {before} are records now; home build takes them in\n"
        )
        return 0
    segments, _ = look(root)
    count = 0
    for name, number, dead in dead_letters(root, segments):
        count += 1
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(dead.at / 1000)) if dead.at else "-"
        line = dead.raw.decode(errors="backslashreplace")
        sys.stdout.write(f"{when}  {name}:{number}  {dead.why}  {line!r}\n")
    sys.stdout.write(f"{count} dead letters\n")
    return 0
