"""Alerts of a real home: its views, its folder, and what befalls its vehicles."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from home import days, engine
from home.alerts.settings import Alerts, Place
from home.alerts.watch import Watch
from home.config import Config
from home.landing import Landing, entry_of
from home.lines import landed
from telematics.record import Identity, Record

if TYPE_CHECKING:
    from pathlib import Path

BEGIN = int(datetime(2026, 5, 4, 6, tzinfo=UTC).timestamp())
DEPOT = (52.0, 13.0)


def _land(folder: Path, name: str, raws: list[bytes]) -> None:
    landing = Landing(folder / "landing").open()
    lines = [landed(raw, now=1)[0] for raw in raws]
    landing.put(f"http/{name}.lines", lines, entry_of(lines))
    landing.close()
    days.build(folder)


def _drive(begin: int, seconds: range, *, first: int) -> list[bytes]:
    """Give records of a drive north at 20 m/s, away from the depot or back to it."""
    out = []
    for at in seconds:
        away = min(at, 600 - at) * 20 / 111_320
        record = Record(
            identity=Identity("truck-1", "bcdfgh", "0a0b0c"), seq=first + at, trip=first,
            time=(begin + at) * 1000, mono=(begin - BEGIN + at) * 1000 + 60_000,
            lat=DEPOT[0] + max(away, 0), lon=DEPOT[1], mode=3, time_ok=True, speed=20.0,
        )  # fmt: skip
        out.append(record.encode())
    return out


def test_a_real_home_tells_each_change_once(tmp_path: Path) -> None:
    """A drive out and back, lost records, damage and silence: each once, also after a restart."""
    config = Config(folder=tmp_path)
    now = [float(BEGIN)]
    alerts = Alerts(
        places=(Place(name="depot", lat=DEPOT[0], lon=DEPOT[1], radius_m=200),), disk_free_mib=0
    )

    def titles() -> list[str]:
        watch = Watch(
            alerts=alerts, folder=tmp_path, name="base", clock=lambda: now[0],
            connect=partial(engine.connect, config),
        )  # fmt: skip
        return [change.title for change in watch.look()]

    assert titles() == []
    _land(tmp_path, "one", _drive(BEGIN, range(5), first=1))
    now[0] += 5
    assert titles() == []
    # The backlog of a whole drive comes at once, three of its records never.
    there = [
        raw for at, raw in enumerate(_drive(BEGIN, range(600), first=1)) if at not in (50, 51, 52)
    ]
    _land(tmp_path, "two", [*there, b"garbage"])
    now[0] += 600
    assert titles() == [
        "truck-1 left depot", "truck-1 arrived at depot",
        "truck-1: 3 records lost, 3 in all", "1 more dead letters, 1 in all",
    ]  # fmt: skip
    assert titles() == []
    _land(tmp_path, "three", _drive(BEGIN, range(50, 52), first=1))
    assert titles() == ["truck-1: 2 records came after all, 1 are still missing"]
    now[0] += 25 * 3600
    assert titles() == ["truck-1 is silent for 25 hours"]
    assert titles() == []
    _land(tmp_path, "four", _drive(int(now[0]), range(5), first=601))
    assert "truck-1 is heard again" in titles()
    assert titles() == []
