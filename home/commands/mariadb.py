"""``home mariadb``: bring the MariaDB of home.yaml up to date, once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add(_parser: argparse.ArgumentParser) -> None:
    """Take nothing; `mariadb:` in home.yaml says where."""


def run(options: argparse.Namespace) -> int:
    """Do it."""
    from home.mariadb import settings, upsert  # noqa: PLC0415

    config = options.home
    server = settings.read(config.mariadb, config.file)
    done = upsert.bring(config, server)
    sys.stdout.write(
        f"{done.positions} positions of {len(done.days)} days, {done.trips} trips "
        f"in {server.place}; {len(done.removed)} days removed\n"
    )
    return 0
