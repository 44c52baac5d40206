"""``home poll``: ask the sources once, as a timer of the machine may do, and as a first try."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Take which."""
    parser.add_argument("name", nargs="*", help="default: every one of home.yaml's `sources:`")


def run(options: argparse.Namespace) -> int:
    """Ask each; a source that does not answer is told, and the others are asked."""
    from home import files  # noqa: PLC0415
    from home.errors import HomeError  # noqa: PLC0415
    from home.landing import Landing  # noqa: PLC0415
    from home.sources import settings  # noqa: PLC0415
    from home.sources.ask import SourceError  # noqa: PLC0415
    from home.sources.run import SourceStatus, poll_once  # noqa: PLC0415

    config = options.home
    sources = {each.name: each for each in settings.read(config.sources, config.file)}
    unknown = [name for name in options.name if name not in sources]
    if unknown or not sources:
        known = ", ".join(sources) or "none"
        raise HomeError(f"{' '.join(unknown) or config.file}: no such source; hint: {known}")
    failed = False
    with files.locked(config.folder / "lock", "receiving"):
        landing = Landing(config.folder / "landing").open()
        for name in options.name or sources:
            status = SourceStatus(name=name)
            try:
                polled = poll_once(sources[name], landing, config.folder, threading.Event(), status)
            except SourceError as error:
                failed = True
                sys.stderr.write(f"error: {name}: {error}\n")
            else:
                sys.stdout.write(
                    f"{name}: {polled.pages} pages, {polled.rows} rows, {polled.new} of them new, "
                    f"{polled.dead} dead letters\n"
                )
        landing.close()
    return int(failed)
