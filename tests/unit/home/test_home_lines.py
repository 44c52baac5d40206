"""What is a record and what is a dead letter, and that neither loses a byte."""

from __future__ import annotations

import json

import pytest

from home.lines import Dead, Row, enveloped, landed, point_line, read
from tests.home.made import record, signed

GOOD = record("truck-7", 345, at_ms=1_790_000_000_000, mono=7_234_567)


def body_with(place: int, text: str) -> str:
    """Give a record's body with another value at a place of docs/record.md."""
    values = [json.dumps(value) for value in json.loads(GOOD)[2:]]
    values[place - 2] = text
    return ",".join(values) + "]"


def test_record_is_kept_to_the_byte() -> None:
    """A good record's line is the record itself."""
    line, found = landed(GOOD, now=5)

    assert line == GOOD
    assert isinstance(found, Row)
    assert (found.device, found.seq, found.trip, found.time) == (
        "truck-7", 345, 1, 1_790_000_000_000,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("place", "text", "why"),
    [
        (9, "NaN", "NaN"),
        (9, "999", "lat"),
        (10, "-180.1", "lon"),
        (9, "null", "lat"),
        (9, '"52"', "lat"),
        (9, "true", "lat"),
        (9, "1e999", "lat"),
        (5, "0", "seq"),
        (5, "1.5", "seq"),
        (5, '"1"', "seq"),
        (5, "90071992547409920", "seq"),
        (7, "1.5", "time"),
        (8, "-1", "mono"),
        (11, "4", "mode"),
        (11, "3.0", "mode"),
        (12, "true", "mode or time_ok"),
        (12, "[]", "mode or time_ok"),
        (14, '"fast"', "speed"),
        (15, "361", "track"),
        (2, '"truck/../7"', "name"),
        (2, "7", "name"),
        (3, '"K3X9W2"', "name"),
        (4, '["1f0c9a"]', "values"),
    ],
)
def test_value_that_no_record_has_is_a_dead_letter(place: int, text: str, why: str) -> None:
    """A checksum that fits makes no record of a wrong value, and no wrong value stops anything."""
    raw = signed(body_with(place, text))

    line, found = landed(raw, now=5)

    assert isinstance(found, Dead)
    assert why in found.why
    assert read(line) == Dead(raw, 5, found.why)


@pytest.mark.parametrize(
    "raw",
    [b"", b"\n", b"\xff\xfe", b"[1,", b'{"dead":"x"}', b"[]", b"[2]", b"[" * 100_000, GOOD[:-1]],
)
def test_dead_letter_keeps_every_byte(raw: bytes) -> None:
    """Whatever arrived comes back from its line, and its line is one line."""
    line, found = landed(raw, now=7)

    assert isinstance(found, Dead)
    assert b"\n" not in line
    again = read(line)
    assert isinstance(again, Dead)
    assert (again.raw, again.at) == (raw, 7)


def test_any_flipped_bit_is_a_dead_letter() -> None:
    """Not one of a record's bits can change without notice."""
    for at in range(len(GOOD) * 8):
        changed = bytearray(GOOD)
        changed[at // 8] ^= 1 << at % 8
        assert isinstance(landed(bytes(changed), now=1)[1], Dead)


def test_dead_letter_is_tried_again_when_it_is_read() -> None:
    """What an older version did not take is a record once this one knows it."""
    line = enveloped(Dead(GOOD, 1, "unknown to the old version"))

    assert isinstance(read(line), Row)


def test_polled_position_is_a_row_without_a_trip() -> None:
    """A polled source's position is named by its time; a wrong one is a dead letter."""
    good = read(point_line({"source": "fleet", "device": "t", "time": 5, "lat": 1, "lon": 2}))
    bad = read(point_line({"source": "fleet", "device": "t", "time": 5, "lat": 91, "lon": 2}))

    assert isinstance(good, Row)
    assert (good.installation, good.seq, good.trip) == ("fleet:", 5, None)
    assert isinstance(bad, Dead)
