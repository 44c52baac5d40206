"""``home demo``: simulated drives, received and built as real ones are, and the map of them."""

from __future__ import annotations

import secrets
import sys
import tempfile
import threading
import time
import webbrowser
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from home.config import Config
    from home.simulate.send import HttpLane

VEHICLES, EVENTS, DAYS, SEED = 3, 40_000, 4, 11
LIVE = "live"


def add(parser: argparse.ArgumentParser) -> None:
    """Take how much, and whether to open a browser."""
    parser.add_argument("--events", type=int, default=EVENTS, help="records of the past days")
    parser.add_argument(
        "--seed", type=int, default=SEED, help="the same seed makes the same drives"
    )
    parser.add_argument("--no-browser", action="store_true", help="only say where the map is")


def run(options: argparse.Namespace) -> int:
    """Make a home in a temporary folder, or in --folder, and drive until told to stop."""
    from home.cli import stopped_by_signals  # noqa: PLC0415
    from home.config import Address  # noqa: PLC0415

    stopping = stopped_by_signals()
    with tempfile.TemporaryDirectory(prefix="home-demo-") as scratch:
        names = [*(f"truck-{number}" for number in range(1, VEHICLES + 1)), LIVE]
        keys = {name: secrets.token_urlsafe(32) for name in names}
        config = replace(
            options.home,
            folder=options.folder or Path(scratch, "home"),
            listen=Address(port=0),
            vehicles=_keys(Path(scratch), keys),
            kafka=None, tls=None, password_file=None,
        )  # fmt: skip
        _run(config, options, keys, stopping)
    return 0


def _run(
    config: Config, options: argparse.Namespace, keys: Mapping[str, str], stopping: threading.Event
) -> None:
    from home import server  # noqa: PLC0415
    from home.errors import HomeError  # noqa: PLC0415

    def ready(address: str) -> None:
        thread = threading.Thread(
            target=_drive, args=(config, address, keys, options, stopping), daemon=True
        )
        thread.start()

    try:
        server.serve(config, stopping, ready=ready)
    except HomeError:
        stopping.set()
        raise


def _drive(
    config: Config,
    address: str,
    keys: Mapping[str, str],
    options: argparse.Namespace,
    stopping: threading.Event,
) -> None:
    """Send the past days, show the map, and go on driving in the present."""
    from home import days  # noqa: PLC0415
    from home.simulate.mishaps import Plan, sources  # noqa: PLC0415
    from home.simulate.send import HttpLane, Pace, SendError, send  # noqa: PLC0415

    def lane() -> HttpLane:
        return HttpLane(f"{address}records", keys)

    begin = datetime.now(UTC) - timedelta(days=DAYS)
    plan = Plan(events=options.events, vehicles=VEHICLES, seed=options.seed, begin=begin)
    try:
        send(
            sources(plan), lane=lane, pace=Pace(workers=2, max_delay_s=0, seed=options.seed),
            sent=lambda _: None, stopping=stopping,
        )  # fmt: skip
        days.build(config.folder)  # the server would, after a pause
        sys.stdout.write(f"ready: {address}\n")
        sys.stdout.flush()
        if not options.no_browser and not stopping.is_set():
            webbrowser.open(address)
        _live(lane, options.seed, stopping)
    except SendError as error:
        if not stopping.is_set():
            sys.stderr.write(f"error: {error}\n")
            stopping.set()


def _live(lane: Callable[[], HttpLane], seed: int, stopping: threading.Event) -> None:
    """Drive one vehicle in real time, a record a second."""
    from random import Random  # noqa: PLC0415

    from home.simulate.mishaps import Message  # noqa: PLC0415
    from home.simulate.roads import Country  # noqa: PLC0415
    from home.simulate.vehicle import Vehicle  # noqa: PLC0415

    country = Country(Random(f"{seed}/country"))  # noqa: S311  made roads are no secret
    vehicle = Vehicle(country, Random(f"{seed}/live"), device=LIVE, begin=datetime.now(UTC))  # noqa: S311  as above
    way = lane()
    for sighting in vehicle.sightings():
        if stopping.wait(1.0):
            return
        record = sighting.record._replace(time=int(time.time() * 1000), time_ok=True, gap=None)
        way.send([Message(LIVE, record.encode())])


def _keys(folder: Path, keys: Mapping[str, str]) -> dict[str, Path]:
    files = {name: folder / f"{name}.key" for name in keys}
    for name, file in files.items():
        file.write_text(keys[name] + "\n", encoding="ascii")
    return files
