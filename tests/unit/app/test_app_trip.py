"""Trips and frozen receivers: told from what was recorded, without a clock of their own."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from telematics.frozen import EPOCHS, FrozenWatch
from telematics.record import Identity
from telematics.trip import TRIP_GAP_MS, continues
from tests.contract_model import epoch, maker

NOW = int(datetime(2026, 5, 4, tzinfo=UTC).timestamp() * 1000)
BEFORE = maker(Identity(device="t", installation="k3x9w2", boot="aaaaaa"))(
    epoch(1, mono=1_000_000, time=NOW), 1, 1, None
)


@pytest.mark.parametrize(
    ("boot", "mono", "time", "goes_on"),
    [
        ("aaaaaa", 1_001_000, NOW + 1000, True),
        ("aaaaaa", 1_000_000 + TRIP_GAP_MS + 1, NOW + 1000, False),
        ("aaaaaa", 1_001_000, NOW + 365 * 86_400_000, True),  # a step of the receiver's clock
        ("aaaaaa", 1_001_000, None, True),
        ("bbbbbb", 20_000, NOW + 60_000, True),  # the engine was started again
        ("bbbbbb", 20_000, NOW + TRIP_GAP_MS + 1, False),
        ("bbbbbb", 20_000, NOW - 1, False),
        ("bbbbbb", 20_000, None, False),
        ("bbbbbb", 20_000, 0, False),  # a receiver that woke up in 1970
    ],
)
def test_trip_goes_on(boot: str, mono: int, time: int | None, *, goes_on: bool) -> None:
    """Within a boot its clock tells, across boots the receiver's; no process id, no chance."""
    assert continues(BEFORE, boot=boot, mono=mono, time=time) is goes_on


def test_first_record_begins_a_trip() -> None:
    """Without a record before there is nothing to go on with."""
    assert not continues(None, boot="a", mono=0, time=NOW)


def test_frozen_position_is_noticed() -> None:
    """Bit-identical places while the speed says otherwise are a fault; standing still is none."""
    watch, standing = FrozenWatch(), FrozenWatch()
    for _ in range(EPOCHS + 1):
        watch.feed(epoch(1)._replace(speed=20.0))
        standing.feed(epoch(1)._replace(speed=0.1))

    assert (watch.frozen(since=0), standing.frozen(since=0)) == (["a"], [])
    watch.feed(epoch(1)._replace(speed=20.0, lat=1.000001))
    assert watch.frozen(since=0) == []


def test_frozen_receiver_that_was_unplugged_is_forgotten() -> None:
    """One that is not heard of is no trouble any more, and begins anew when it comes back."""
    watch = FrozenWatch()
    for second in range(EPOCHS + 1):
        watch.feed(epoch(1, mono=second * 1000)._replace(speed=20.0))
    heard = EPOCHS * 1000

    assert watch.frozen(since=heard) == ["a"]
    assert watch.frozen(since=heard + 1) == []
    watch.feed(epoch(1, mono=heard + 60_000)._replace(speed=20.0))
    assert watch.frozen(since=0) == []
