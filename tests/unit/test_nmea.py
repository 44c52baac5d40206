"""Drives as sentences: plausible, checksummed, and read back from logs."""

import math
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from glovebox.emulator.nmea import (
    checksum,
    drive,
    encode,
    epochs_of,
    intact,
    sentences,
    time_of,
    void,
)
from glovebox.errors import ConfigError

START = datetime(2026, 5, 4, 6, 30, tzinfo=UTC)


def test_checksum_is_the_standards() -> None:
    """A sentence from a real receiver has the checksum we compute."""
    assert checksum("GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,") == "47"


@pytest.mark.parametrize("hz", [1, 10])
def test_drive_is_plausible(hz: int) -> None:
    """It starts and ends at rest, turns, and goes as far as its speed says, at the given rate."""
    epochs = list(drive(START, 60, hz=hz))

    assert len(epochs) == 60 * hz
    assert epochs[0].speed == epochs[-1].speed == 0.0
    assert {round(each.track) for each in epochs} >= {45, 135}
    for before, after in pairwise(epochs):
        north = (after.lat - before.lat) * 111_320
        east = (after.lon - before.lon) * 111_320 * math.cos(math.radians(before.lat))
        assert math.hypot(north, east) == pytest.approx(before.speed / hz, abs=0.01)
        assert (after.time - before.time).total_seconds() == pytest.approx(1 / hz)


def test_every_sentence_is_intact_and_short() -> None:
    """Each has a right checksum and the 82 characters NMEA 0183 allows, line end included."""
    for each in [*drive(START, 20, hz=10), *void(START, 5)]:
        for line in sentences(each):
            assert intact(line), line
            assert len(line) + 2 <= 82, line


def test_south_and_west_are_sides() -> None:
    """Negative angles are written with their side, and minutes never reach 60."""
    epoch = next(drive(START, 10, origin=(-33.9999999999, -0.5)))

    assert ",3400.00000,S,00030.00000,W," in sentences(epoch)[0]


def test_cold_receiver_says_void() -> None:
    """Without a fix RMC says V and GGA quality 0, and no place stands anywhere."""
    rmc, _, gga, gsa = sentences(next(void(START, 1)))

    assert rmc.startswith("$GPRMC,063000.00,V,,,,,")
    assert gga.startswith("$GPGGA,063000.00,,,,,0,00,")
    assert gsa.startswith("$GPGSA,A,1,")


def test_log_comes_back_by_epochs(tmp_path: Path) -> None:
    """A log is grouped by time of day; comments and damaged lines are left out."""
    log = tmp_path / "drive.nmea"
    made = [sentences(each) for each in drive(START, 5, hz=10)]
    damaged = made[0][0].replace("A", "V", 1)
    log.write_bytes(b"# Date: 2026\n" + b"".join(encode((*each, damaged)) for each in made))

    bursts = list(epochs_of(log))

    assert [each.sentences for each in bursts] == made
    assert bursts[1].time == "063000.10"
    assert bursts[1].encode() == encode(made[1])


def test_log_without_sentences_is_refused(tmp_path: Path) -> None:
    """A file that holds no NMEA, or is none, is told by name."""
    log = tmp_path / "empty"
    with pytest.raises(ConfigError, match="empty"):
        list(epochs_of(log))
    log.write_text("hello\n")
    with pytest.raises(ConfigError, match="no NMEA"):
        list(epochs_of(log))


@pytest.mark.parametrize(
    ("line", "time"),
    [
        ("$GNGLL,5230.0,N,01320.0,E,063001.00,A,A*00", "063001.00"),
        ("$GPGSV,1,1,00*79", None),
        ("$GPRMC,,V,,,,,,,,,,N*53", None),
        ("$GPRMC*00", None),
        ("hello", None),
    ],
)
def test_time_stands_where_the_sentence_has_it(line: str, time: str | None) -> None:
    """Each kind of sentence has its time at its own place, and some have none."""
    assert time_of(line) == time
