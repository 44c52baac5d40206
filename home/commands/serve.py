"""``home serve``: the one process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add(_parser: argparse.ArgumentParser) -> None:
    """Take no options: home.yaml says it all."""


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop."""
    from home import server  # noqa: PLC0415  what a command needs comes with it
    from home.cli import stopped_by_signals  # noqa: PLC0415

    def ready(address: str) -> None:
        sys.stdout.write(f"ready: {address}\n")
        sys.stdout.flush()

    server.serve(options.home, stopped_by_signals(), ready=ready)
    return 0
