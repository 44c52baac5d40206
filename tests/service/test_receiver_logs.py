"""Logs of real receivers, most of them binary: all that gpsd itself reads in them is recorded.

The logs are those of gpsd's source package. Each has beside it what that gpsd tells of it.
"""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING

import pytest
from parts import until

from glovebox.store.store import default_root
from glovebox.verify import gpsd_logs
from tests.needs import missing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Truck

# By protocol: UBX, UBX, TSIP, Zodiac, Garmin, SkyTraq, Oncore, TSIP, NMEA of a SiRF, NMEA.
LOGS = (
    "ublox-8-time", "ublox-lea-5h", "trimble-lassen_iq-3dfix", "zodiac", "garmin18x-bin",
    "skytraq-fix", "oncore-binary", "trimble-smt-360", "bu353s4", "quectel",
)  # fmt: skip
PIECE, PAUSE_S = 500, 0.01


@pytest.fixture(scope="session")
def logs() -> Path:
    """Give the folder of the logs; without them skip, and in CI fail."""
    folder = gpsd_logs.folder(default_root())
    if not folder.is_dir():
        missing("gpsd's own logs; ./invoke setup --tests brings them")
    return folder


@pytest.mark.parametrize("name", LOGS)
def test_logs_of_real_receivers_are_recorded(
    make_truck: Callable[..., Truck], logs: Path, name: str
) -> None:
    """Each epoch with a position that gpsd reads in the log is a record, in order, at its place."""
    expected = positions((logs / f"{name}.log.chk").read_text(errors="replace"))
    truck = make_truck(ready_wait_s=0)
    for part in (truck.redis, truck.gpsd, truck.service):
        part.start()
    until(truck.service.ready, what="READY")
    content = sentences_of((logs / f"{name}.log").read_bytes())
    for at in range(0, len(content), PIECE):
        truck.dongle.send_bytes(content[at : at + PIECE])
        time.sleep(PAUSE_S)
    truck.recorded(len(expected))

    records = [each for each in truck.redis.records() if each.time is not None]
    assert [each.time for each in records] == list(expected)
    for record in records:
        lat, lon = expected[record.time or 0]
        assert (record.lat, record.lon) == pytest.approx((lat, lon), abs=1e-6)


def positions(told: str) -> dict[int, tuple[float, float]]:
    """Give the last position of each time that gpsd told of, in milliseconds, in their order."""
    found: dict[int, tuple[float, float]] = {}
    for line in told.splitlines():
        if not line.startswith('{"class":"TPV"'):
            continue
        report = json.loads(line)
        if report["mode"] > 1 and "lat" in report and "time" in report:
            at = round(datetime.fromisoformat(report["time"]).timestamp() * 1000)
            found[at] = (report["lat"], report["lon"])
    return found


def sentences_of(log: bytes) -> bytes:
    """Give what the receiver said: the lines before it are about the log."""
    while log.startswith(b"#"):
        log = log.partition(b"\n")[2]
    return log
