"""Logs of real receivers, most of them binary: all that gpsd itself reads in them is recorded.

The logs are those of gpsd's source package. Each has beside it what that gpsd tells of it. Where
records differ from that, docs/contract.md says why, see `receiver_table.py`.
"""

from __future__ import annotations

import re
import time
from itertools import groupby, zip_longest
from typing import TYPE_CHECKING

import pytest
from parts import until

from glovebox.store.store import default_root
from glovebox.verify import gpsd_logs
from telematics.epoch import MODE_2D, Merger
from telematics.gpsd import Tpv, object_of, tpv_of
from telematics.listener import Listener
from tests.needs import missing
from tests.receiver_table import differing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from conftest import Truck

    from telematics.record import Record


FOLDER = gpsd_logs.folder(default_root())
# Of each protocol one or two: UBX, TSIP, Zodiac, Garmin, SkyTraq, Oncore, SiRF, NMEA of many.
LOGS = (
    "ublox-8-time", "ublox-lea-5h", "trimble-lassen_iq-3dfix", "zodiac", "garmin18x-bin",
    "skytraq-fix", "oncore-binary", "trimble-smt-360", "bu353s4", "quectel", "sirfstarv",
    "sirfstarv-nmea", "humminbird-M37", "bt451", "haicom-305N", "navisys-gr701w", "hemi",
    "ublox-neo-m9n-nmea", "gpsdf", "mt3339",
)  # fmt: skip
LEAST_LOGS = 150
REPORT = '{"class":"TPV"'
PLACED = re.compile(REPORT.encode() + rb'[^\n]*"lat"')
# What gpsfake waits at, and no receiver says.
COOKIE = re.compile(rb"^# Delay-Cookie: (\S)", re.MULTILINE)
# gpsfake tells gpsd the week of a log; without it a receiver's ten bits are taken for these weeks.
ROLL_OVER_MS = 1024 * 7 * 86_400_000
ANY_MS = 1 << 62  # longer than any time
# A machine that stands still for a third of a second in the first instant may make it two.
STALLS = 2
PIECE, PAUSE_S = 500, 0.01
QUIET_MS = 300
# How long after the first report of an instant the others come, in ms and in parts of the step.
PACES = {"at once": (0, 0.0), "in a burst": (10, 0.0), "late in the step": (5, 0.89)}
Place = tuple[float | None, float | None]


def names() -> list[str]:
    """Name every log that has an expectation."""
    return sorted(path.name.removesuffix(".log.chk") for path in FOLDER.glob("*.log.chk"))


def placed() -> list[str]:
    """Name every log with a position in it; without the logs those of every run."""
    every = [n for n in names() if PLACED.search((FOLDER / f"{n}.log.chk").read_bytes())]
    return every or [*LOGS]


@pytest.fixture(scope="session")
def logs() -> Path:
    """Give the folder of the logs; without them skip, and in CI fail."""
    if not FOLDER.is_dir():
        missing("gpsd's own logs; ./invoke setup --tests brings them")
    return FOLDER


@pytest.mark.parametrize("pace", PACES)
def test_what_gpsd_expects_of_every_receiver_is_recorded(logs: Path, pace: str) -> None:
    """Each instant with a position is an epoch, in its order, however its reports are spread.

    Of every log there is, through the listener and the merger.
    """
    counts: dict[str, int] = {}
    for name in names():
        reports = listened(logs / f"{name}.log.chk")
        expected = positions(reports)
        merger = Merger(quiet_ms=QUIET_MS)
        told = (epoch for report in paced(reports, pace) for epoch in merger.feed(report))
        epochs = [epoch for epoch in (*told, *merger.flush()) if epoch.positioned]
        if [epoch.time for epoch in epochs] != [when for when, _ in expected]:
            counts[name] = len(epochs)
        elif pace != "late in the step":  # then the first report has the place
            assert [(epoch.lat, epoch.lon) for epoch in epochs] == [where for _, where in expected]

    assert len(names()) >= LEAST_LOGS
    assert counts == differing("merger")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in LOGS else pytest.mark.long) for n in placed()]
)
def test_logs_of_real_receivers_are_recorded(
    make_truck: Callable[..., Truck], logs: Path, name: str
) -> None:
    """Each epoch with a position that gpsd reads in the log is a record, in order, at its place.

    It is fed as fast as gpsd takes it; that each is recorded once is proved above, where the
    machine's load changes nothing.
    """
    expected = positions(told(logs / f"{name}.log.chk"))
    weeks = ROLL_OVER_MS if name in differing("gpsd") else ANY_MS
    truck = make_truck(ready_wait_s=0)
    for part in (truck.redis, truck.gpsd, truck.service):
        part.start()
    until(truck.service.ready, what="READY")
    content = sentences_of((logs / f"{name}.log").read_bytes())
    for at in range(0, len(content), PIECE):
        truck.dongle.send_bytes(content[at : at + PIECE])
        time.sleep(PAUSE_S)
    until(lambda: len(positions(truck.redis.records())) >= len(expected), what="every position")

    records = truck.redis.records()
    recorded = positions(records)
    assert [when and when % weeks for when, _ in recorded] == [
        when and when % weeks for when, _ in expected
    ]
    for (_, place), (_, where) in zip(recorded, expected, strict=True):
        assert place == pytest.approx(where, abs=1e-6)
    assert len(records) <= differing("merger").get(name, len(expected)) + STALLS


def listened(expectation: Path) -> list[Tpv]:
    """Give the reports that the listener makes of what gpsd tells."""
    listener = Listener("", 0, clock=lambda: 0)
    for line in expectation.read_bytes().splitlines():
        listener._take(line, 0)
    listener.close()
    return list(listener.reports)


def told(expectation: Path) -> Iterator[Tpv]:
    """Give the reports that stand there."""
    for line in expectation.read_text(errors="replace").splitlines():
        # A part of a sentence may stand before it.
        report = object_of(line[max(0, line.find(REPORT)) :].encode())
        if report is not None and report.get("class") == "TPV":
            yield tpv_of(report, mono=0)


def paced(reports: Sequence[Tpv], pace: str) -> Iterator[Tpv]:
    """Give the reports the times at which they would come, an instant as long as its time says."""
    apart, late = PACES[pace]
    instants = [tuple(told) for _, told in groupby(reports, key=lambda report: report.time)]
    begin = 0
    for instant, after in zip_longest(instants, instants[1:], fillvalue=None):
        assert instant is not None
        step = 1000
        if after and instant[0].time is not None and after[0].time is not None:
            step = min(max(after[0].time - instant[0].time, 100), 1000)
        for number, report in enumerate(instant):
            behind = int(step * late) + min(number * apart, step // 20) if number else 0
            yield report._replace(mono=begin + behind)
        begin += step if apart else 0


def positions(reports: Iterable[Tpv | Record]) -> list[tuple[int | None, Place]]:
    """Give the last position of each time, in their order; each one that has no time counts."""
    found: dict[object, tuple[int | None, Place]] = {}
    for number, report in enumerate(reports):
        if report.mode >= MODE_2D and report.lat is not None and report.lon is not None:
            key = ("undated", number) if report.time is None else report.time
            found[key] = (report.time, (report.lat, report.lon))
    return list(found.values())


def sentences_of(log: bytes) -> bytes:
    """Give what the receiver said: the lines before it are about the log."""
    cookie = COOKIE.search(log)
    while log.startswith(b"#"):
        log = log.partition(b"\n")[2]
    return log.replace(cookie[1], b"") if cookie else log
