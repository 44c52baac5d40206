"""The demo: one command, and the map of simulated drives is there, with one that is on its way."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

from home.map import page
from tests.home.parts import CHECKOUT, PATIENCE_S, environment, until

if TYPE_CHECKING:
    from pathlib import Path


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310  the loopback's
        return bytes(answer.read())


def test_demo_shows_drives_and_one_that_is_on_its_way(tmp_path: Path) -> None:
    """Page, document and a live vehicle are served, and Ctrl-C ends it without a trace."""
    child = subprocess.Popen(
        [sys.executable, "-m", "home", "demo", "--no-browser", "--events", "3000"],
        stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment(),
    )  # fmt: skip
    try:
        assert child.stdout is not None
        ready, _, _ = select.select([child.stdout], [], [], PATIENCE_S)
        assert ready
        address = child.stdout.readline().removeprefix("ready: ").strip()
        document = json.loads(_get(f"{address}map.json"))
        assert [vehicle["name"] for vehicle in document["vehicles"]][-3:] == [
            "truck-1", "truck-2", "truck-3",
        ]  # fmt: skip
        assert len(document["trips"]) >= 3
        assert _get(address).decode() == page.served()

        def live() -> bool:
            status = json.loads(_get(f"{address}api/status"))
            return "live" in status["vehicles"]

        until(live, what="the vehicle that drives now")
    finally:
        child.send_signal(signal.SIGINT)
        assert child.wait(PATIENCE_S) == 0
    assert list(tmp_path.iterdir()) == []
    assert CHECKOUT.is_dir()
