"""The command ``telematics``: run the service, or ask how it goes."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import telematics
from telematics import status
from telematics.problem import plain
from telematics.settings import SettingsError, load

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

# The clock's floor of this start.
FLOOR = Path("/run/telematics-clock/floor")
CONFIG = Path("/etc/glovebox/telematics.json")
_SERVICES = {"run": "telematics.service", "publish": "telematics.publish"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks; the result is the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # As the units have it. Reading options takes a Zero as long as half of the rest of its start.
    if len(words) == 1 and words[0] in _SERVICES:
        return _serve(_SERVICES[words[0]], CONFIG)
    options = _parser().parse_args(words)
    match options.command:
        case "run" | "publish":
            return _serve(_SERVICES[options.command], options.config)
        case "repair":
            return _repair(options)
        case "clock":
            return _clock(options)
        case "export":
            return _export(options)
        case _:
            return _status(as_json=options.json)


def _parser() -> argparse.ArgumentParser:
    import argparse  # noqa: PLC0415  see main

    parser = argparse.ArgumentParser(
        prog="telematics", description="Record positions from gpsd into a queue, and publish them."
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
    publish = commands.add_parser("publish", help="publish the queue until told to stop")
    publish.add_argument("--config", type=Path, default=CONFIG, metavar="FILE", help="settings")
    repair = commands.add_parser("repair", help="mend the queue's files before it starts")
    repair.add_argument("--queue", type=Path, default=Path("/var/lib/queue"), metavar="FOLDER")
    repair.add_argument("--state", type=Path, default=Path(status.STATE_DIRECTORY))
    repair.add_argument("--checker", default="redis-check-aof", help="the server's own checker")
    repair.add_argument(
        "--clock", action="store_true", help="lift the clock to its floor, and nothing else"
    )
    out = commands.add_parser(
        "export",
        help="write the records that are still here into a file",
        epilog="on a board as root; on another computer with --card and where its third partition"
        " is mounted",
    )
    out.add_argument("file", type=Path, metavar="FILE", help="NAME.gpx, .geojson or .csv")
    out.add_argument("--card", type=Path, metavar="FOLDER", help="a card's data partition")
    out.add_argument("--queue", type=Path, default=Path("/var/lib/queue"), metavar="FOLDER")
    out.add_argument("--state", type=Path, default=Path(status.STATE_DIRECTORY))
    clock = commands.add_parser(
        "clock",
        help="wait until the receiver's time may set the clock",
        epilog="exit code: 0 it may, 1 there is no fix any more",
    )
    clock.add_argument("--state", type=Path, default=Path(status.STATE_DIRECTORY))
    clock.add_argument("--queue", type=Path, default=Path("/var/lib/queue"), metavar="FOLDER")
    return parser


def _serve(module: str, config: Path) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        settings = load(config)
    except SettingsError as error:
        return _complain(str(error))
    # Late: a mistake in the settings is told at once, also on a slow board.
    from importlib import import_module  # noqa: PLC0415

    try:
        import_module(module).run(settings, os.environ)
    except OSError as error:
        return _complain(f"{error.filename or 'telematics'}: {error.strerror}")
    return 0


def _repair(options: argparse.Namespace) -> int:
    import subprocess  # noqa: PLC0415

    from telematics import floor, repair  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        if options.clock:
            floor.lift(options.queue, options.state, remember=FLOOR)
        else:
            done = repair.repair(options.queue, options.state, checker=[options.checker])
            saved = f", {done.saved} records saved" if done.saved else ""
            sys.stdout.write(f"{done.found}: {done.done}{saved}\n")
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return _complain(f"repair: {error}")
    return 0


def _export(options: argparse.Namespace) -> int:
    from telematics import export  # noqa: PLC0415

    queue, state = options.queue, options.state
    if options.card is not None:
        queue, state = options.card / "queue", options.card / "telematics"
    try:
        done = export.export(queue, state, options.file)
    except export.ExportError as error:
        return _complain(f"export: {error}")
    except OSError as error:
        return _complain(f"export: {error.filename or options.file}: {error.strerror}")
    records = "1 record" if done.records == 1 else f"{done.records} records"
    trips = "1 trip" if done.trips == 1 else f"{done.trips} trips"
    sys.stdout.write(f"{options.file}: {records} of {trips}\n")
    return 0


def _clock(options: argparse.Namespace) -> int:
    from telematics import clock, floor  # noqa: PLC0415
    from telematics.gpsd import monotonic_ms  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    folder = Path(status.RUNTIME_DIRECTORY)

    def word() -> str:
        try:
            return (folder / "state").read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            return ""

    def current() -> status.Status | None:
        try:
            return status.read(folder / status.NAME)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    known = clock.remembered(FLOOR, otherwise=0) or floor.floor_ms(options.queue, options.state)
    believed = clock.wait_for_belief(
        status=current, word=word, floor=known, network=clock.network_time, mono=monotonic_ms
    )
    return 0 if believed else 1


def _status(*, as_json: bool) -> int:
    from telematics import publishing  # noqa: PLC0415
    from telematics.gpsd import monotonic_ms  # noqa: PLC0415  # the same clock as the service's

    path = status.runtime_file(os.environ)
    publisher = publishing.read(Path(publishing.RUNTIME_DIRECTORY, publishing.NAME))
    try:
        current = status.read(path)
    except (OSError, ValueError) as error:
        _complain(f"{path}: not the status of this version: {plain(str(error))}")
        return status.Exit.TROUBLE
    now = monotonic_ms()
    code, _ = status.verdict(current, now=now)
    if current is None:
        sys.stdout.write("{}\n" if as_json else f"telematics  {status.NOT_RUNNING}\n")
    elif as_json:
        sys.stdout.write(_with_publisher(status.text_of(current), publisher))
    else:
        sys.stdout.write(status.describe(current, now=now) + "\n")
    if publisher is not None and not as_json:
        sys.stdout.write(f"{'publisher':<11} {publishing.words(publisher)}\n")
    return code


def _with_publisher(text: str, publisher: dict[str, object] | None) -> str:
    import json  # noqa: PLC0415

    if publisher is None:
        return text
    return json.dumps(json.loads(text) | {"publisher": publisher}, indent=2) + "\n"


def _complain(message: str) -> int:
    sys.stderr.write(message + "\n")
    return status.Exit.USAGE
