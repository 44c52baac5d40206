"""The command ``home``: the one process, and what is asked of its folder."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import home
from home.config import read
from home.errors import HomeError

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIG = Path("home.yaml")
# Command, its module with `add(parser)` and `run(options)`, and what it does.
COMMANDS = {
    "serve": ("home.commands.serve", "receive, build and show until told to stop"),
    "status": ("home.commands.status", "say how a home does"),
    "build": ("home.commands.build", "build days from the landing"),
    "sql": ("home.commands.sql", "ask the views a question"),
    "map": ("home.commands.map", "write the map into one file that needs no network"),
    "poll": ("home.commands.poll", "ask the sources of home.yaml once"),
    "export": ("home.commands.export", "write points or trips to a file"),
    "mariadb": ("home.commands.mariadb", "bring a MariaDB up to date with what is built"),
    "traffic": ("home.commands.traffic", "traffic metrics of a table of detectors"),
    "dead": ("home.commands.dead", "list dead letters, or try them again"),
    "key": ("home.commands.key", "make the key that a vehicle posts with"),
    "prune": ("home.commands.prune", "remove what is older than so many days"),
    "simulate": ("home.simulate.command", "make drives, send them, compare what arrived"),
    "demo": ("home.commands.demo", "show the map of simulated drives, at once"),
    "backup": ("home.commands.backup", "write the landing into one archive"),
    "restore": ("home.commands.restore", "fill an empty folder from an archive"),
    "unit": ("home.commands.unit", "give the systemd unit that runs this home for its user"),
    "wheel": ("home.commands.wheel", "make one file of it for a machine without the builder"),
}
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks; the result is the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        path = options.config or (CONFIG if CONFIG.exists() else None)
        options.home = read(path)
        if options.folder is not None:
            options.home = replace(options.home, folder=options.folder)
        return int(import_module(COMMANDS[options.command][0]).run(options))
    except HomeError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except BrokenPipeError:
        with suppress(OSError):
            sys.stdout.close()
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"error: {where}{error.strerror or error}\n")
        return HomeError.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="home", description="What the vehicles recorded becomes trips, tables and a map."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {home.__version__}")
    _common(parser, default=None)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        _common(command, default=argparse.SUPPRESS)
        import_module(module).add(command)
    return parser


def _common(parser: argparse.ArgumentParser, *, default: object) -> None:
    parser.add_argument(
        "--config", type=Path, default=default, metavar="FILE", help="default: home.yaml, if there"
    )
    parser.add_argument(
        "--folder", type=Path, default=default, help="where everything lies, over home.yaml's"
    )


def stopped_by_signals() -> threading.Event:
    """Give an event that SIGTERM and SIGINT set."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping
