"""The record: small, exact, and never trusted when damaged."""

import json

import pytest
from hypothesis import given, strategies as st
from jsonschema import Draft202012Validator

from telematics import record
from telematics.receivers import Names
from telematics.record import Gap, Identity, Record, RecordError, decode

FULL = Record(
    identity=Identity(device="truck-7", installation="k3x9w2", boot="1f0c9a"),
    seq=216000,
    trip=215_655,
    time=1_790_000_000_000,
    mono=7_234_567,
    lat=52.123456,
    lon=13.123456,
    mode=3,
    time_ok=True,
    alt=34.5,
    speed=13.89,
    track=182.4,
    climb=0.1,
    eph=4.2,
    eps=0.5,
)
BARE = FULL._replace(time=None, alt=None, speed=None, track=None, climb=None, eph=None, eps=None)


LARGEST = FULL._replace(
    identity=FULL.identity._replace(device="d" * record.DEVICE_MAX),
    seq=999_999_999,
    trip=999_900_000,
    mono=9_999_999_999,
    lat=-89.999999,
    lon=-179.999999,
    alt=-430.5,
    speed=55.55,
    track=359.9,
    climb=-12.3,
    eph=1234.5,
    eps=12.34,
)
SCHEMA = json.loads(record.SCHEMA.read_text())


@pytest.mark.parametrize(
    "made",
    [FULL, BARE, FULL._replace(receiver="ttyUSB1", lat=-0.5), FULL._replace(gap=Gap(lost=3))],
)
def test_record_reads_back(made: Record) -> None:
    """What was encoded decodes to the same record, and is as the schema says."""
    assert decode(made.encode()) == made
    Draft202012Validator(SCHEMA).validate(json.loads(made.encode()))


def test_largest_record_fits_150_bytes() -> None:
    """A record with every field, each as long as it gets on the road, takes at most 150 bytes."""
    assert len(LARGEST.encode()) <= record.SIZE_MAX


def test_second_receiver_makes_a_record_little_longer() -> None:
    """Whatever the receiver is called, its name takes at most 11 bytes more."""
    names = Names()
    names.of("/dev/gps0")
    for path in ("/dev/ttyACM1", "/dev/" + "\N{SNOWMAN}" * 8, "/dev/serial/by-id/usb-u-blox-if00"):
        assert len(LARGEST._replace(receiver=names.of(path)).encode()) <= record.SIZE_MAX + 11
        typical = FULL._replace(receiver=names.of(path), gap=Gap(lost=99, skipped=99))
        assert len(typical.encode()) <= record.SIZE_MAX


def test_unknown_is_left_out() -> None:
    """What the receiver did not say does not stand in the record, least of all as zero."""
    assert BARE.encode().endswith(b",null,7234567,52.123456,13.123456,3,1]")
    assert not {"time", "alt", "speed", "eph"} & set(BARE.named())


def test_schema_names_every_place() -> None:
    """The one schema knows each place of a record, in its order, with a description."""
    titles = [each["title"] for each in SCHEMA["prefixItems"]]

    assert len(json.loads(FULL._replace(gap=Gap(lost=1)).encode())) == len(titles)
    assert titles == [
        *("v", "crc", "device", "installation", "boot", "seq", "into_trip", "time", "mono"),
        *("lat", "lon", "mode", "time_ok", *record.DECIMALS, "receiver", "gap"),
    ]
    assert all(each["description"] for each in SCHEMA["prefixItems"])


def test_reader_takes_places_it_does_not_know() -> None:
    """A later writer may add places at the end: today's reader and schema pass over them."""
    body = FULL._replace(receiver="x", gap=Gap(lost=1)).encode()[record.BODY_AT :]
    longer = body[:-1] + b',"new",7]'
    raw = record.HEAD + record._crc(longer) + b'",' + longer

    assert decode(raw).gap == Gap(lost=1)
    Draft202012Validator(SCHEMA).validate(json.loads(raw))


def test_records_of_the_past_are_read() -> None:
    """Bytes that version 1 wrote in 2026 mean today what they meant: no place moved or changed."""
    past = (
        b'[1,"ppEzlQ","truck-7","k3x9w2","1f0c9a",216000,345,1790000000000,7234567,'
        b'52.123456,13.123456,3,1,34.5,13.89,182.4,0.1,4.2,0.5,"ttyUSB1",[2,3]]'
    )

    assert decode(past) == FULL._replace(receiver="ttyUSB1", gap=Gap(lost=2, skipped=3))


def test_another_version_is_refused() -> None:
    """A reader of version 1 does not guess what a version 2 means."""
    with pytest.raises(RecordError, match="version"):
        decode(FULL.encode().replace(b"[1,", b"[2,", 1))


@given(st.floats(-90, 90), st.floats(-180, 180), st.integers(0, 2**40), st.none() | st.just(0.5))
def test_any_record_reads_back(lat: float, lon: float, time: int, speed: float | None) -> None:
    """Whatever a receiver says survives to its sixth decimal, 0.11 m."""
    made = FULL._replace(lat=lat, lon=lon, time=time, speed=speed)

    found = decode(made.encode())

    assert abs(found.lat - lat) <= 5.1e-7
    assert abs(found.lon - lon) <= 5.1e-7
    assert (found.time, found.speed is None) == (time, speed is None)


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
