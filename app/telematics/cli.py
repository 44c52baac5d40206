"""The command ``telematics``: run the service, or ask how it goes."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import telematics
from telematics import status
from telematics.settings import SettingsError, load

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIG = Path("/etc/glovebox/telematics.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks; the result is the exit code."""
    options = _parser().parse_args(arguments)
    match options.command:
        case "run":
            return _run(options.config)
        case _:
            return _status(as_json=options.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="telematics", description="Record positions from gpsd into the queue."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {telematics.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="record until told to stop")
    run.add_argument(
        "--config",
        type=Path,
        default=CONFIG,
        metavar="FILE",
        help="settings (default: %(default)s)",
    )
    ask = commands.add_parser(
        "status",
        help="tell how the service does",
        epilog="exit code: 0 it records, 1 there is trouble, 3 it does not run",
    )
    ask.add_argument("--json", action="store_true", help="for a program to read")
    return parser


def _run(config: Path) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        settings = load(config)
    except SettingsError as error:
        return _complain(str(error))
    # Late: a mistake in the settings is told at once, also on a slow board.
    from telematics import service  # noqa: PLC0415

    try:
        service.run(settings, os.environ)
    except OSError as error:
        return _complain(f"{error.filename or 'telematics'}: {error.strerror}")
    return 0


def _status(*, as_json: bool) -> int:
    from telematics.gpsd import monotonic_ms  # noqa: PLC0415  # the same clock as the service's

    path = status.runtime_file(os.environ)
    try:
        current = status.read(path)
    except (OSError, ValueError, TypeError, KeyError) as error:
        _complain(f"{path}: not the status of this version: {error}")
        return status.Exit.TROUBLE
    now = monotonic_ms()
    code, problems = status.verdict(current, now=now)
    if current is None:
        sys.stdout.write("{}\n" if as_json else f"telematics  {problems[0]}\n")
    elif as_json:
        sys.stdout.write(status.text_of(current))
    else:
        sys.stdout.write(status.describe(current, now=now) + "\n")
    return code


def _complain(message: str) -> int:
    sys.stderr.write(message + "\n")
    return status.Exit.USAGE
