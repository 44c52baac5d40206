"""The record: small, exact, and never trusted when damaged."""

from dataclasses import replace
from pathlib import Path

import pytest

from telematics import record
from telematics.record import Identity, Record, RecordError, decode

FULL = Record(
    identity=Identity(device="truck-7", installation="k3x9w2", boot="1f0c9a"),
    seq=216000,
    time=1_790_000_000_000,
    mono=7_234_567,
    lat=52.123456,
    lon=13.123456,
    mode=3,
    time_ok=True,
    alt_msl=34.5,
    speed=13.89,
    track=182.4,
    climb=0.1,
    eph=4.2,
    eps=0.5,
)
BARE = replace(
    FULL, time=None, alt_msl=None, speed=None, track=None, climb=None, eph=None, eps=None
)


@pytest.mark.parametrize("made", [FULL, BARE, replace(FULL, receiver="ttyUSB1", lat=-0.5)])
def test_record_reads_back(made: Record) -> None:
    """What was encoded decodes to the same record."""
    assert decode(made.encode()) == made


def test_typical_record_fits_150_bytes() -> None:
    """A record with every common field takes at most 150 bytes."""
    assert len(FULL.encode()) <= 150


def test_unknown_is_left_out() -> None:
    """What the receiver did not say does not stand in the record, least of all as zero."""
    assert b",null,7234567,52.123456,13.123456,3,1,{}," in BARE.encode()


def test_any_flipped_bit_is_noticed() -> None:
    """A record with one bit changed, wherever, is refused."""
    whole = FULL.encode()

    for place in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(RecordError):
            decode(bytes(damaged))


@pytest.mark.parametrize("cut", [0, 1, 80, -1])
def test_cut_record_is_noticed(cut: int) -> None:
    """A record that lost its end is refused."""
    with pytest.raises(RecordError):
        decode(FULL.encode()[:cut])


def test_installation_is_made_once(tmp_path: Path) -> None:
    """The second start finds the identifier of the first."""
    file = tmp_path / "installation"

    first = record.installation(file)

    assert first == record.installation(file)
    assert len(first) == 6


@pytest.mark.parametrize("content", ["", "\0\0\0\0\0\0\0", "k3x9"])
def test_damaged_installation_is_made_anew(tmp_path: Path, content: str) -> None:
    """A file that a power cut emptied does not become an identifier."""
    file = tmp_path / "installation"
    file.write_text(content)

    made = record.installation(file)

    assert made == file.read_text().strip()
    assert len(made) == 6
