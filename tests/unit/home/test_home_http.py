"""What a vehicle posts, down to its bytes; callers in a table of a bounded size."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies

from home.from_http import BURST, TOGETHER, Receiver, Vehicle, split
from home.landing import Landing
from home.web import Connections
from tests.home import made

if TYPE_CHECKING:
    from pathlib import Path

RAWS = [
    made.record("t", seq, at_ms=seq, mono=seq, gap=(1, 0) if seq % 3 else None, receiver=name)
    for seq, name in enumerate(("a", None, '],[1,"', "é\\", None), 1)
]


def test_array_of_records_is_cut_without_a_changed_byte() -> None:
    """What HTTP carries is byte for byte what was recorded, whatever a receiver is called."""
    assert split(b"[" + b",".join(RAWS) + b"]") == RAWS
    assert split(b" [ " + b" ,\n".join(RAWS) + b" ] ") == RAWS
    assert split(b"[" + RAWS[0] + b',{"a": [1,\t2]}, 3 ,' + RAWS[1] + b"]") == [
        RAWS[0], b'{"a": [1,\t2]}', b"3", RAWS[1],
    ]  # fmt: skip
    assert split(b"[ ]") == []


JSON = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.text(),
    lambda inner: strategies.lists(inner) | strategies.dictionaries(strategies.text(), inner),
)


@pytest.mark.thorough
@given(values=strategies.lists(JSON), ascii_=strategies.booleans())
def test_any_array_is_cut_into_its_elements(values: list[object], *, ascii_: bool) -> None:
    """Each element's bytes read as the element, and nothing between them is left over."""
    body = json.dumps(values, ensure_ascii=ascii_).encode("utf-8", "surrogatepass")

    assert [json.loads(part.decode("utf-8", "surrogatepass")) for part in split(body)] == values


@given(strategies.binary())
def test_no_bytes_break_the_cutting(body: bytes) -> None:
    """Anything else is a ValueError, which is answered with 400."""
    with suppress(ValueError, RecursionError):
        split(b"[" + body + b"]")


def test_repeated_array_is_the_same_segment(tmp_path: Path) -> None:
    """Also with a dead letter in it, whose time of arrival is another one."""
    receiver = Receiver(Landing(tmp_path).open())
    vehicle = Vehicle("t", b"k")
    body = b"[" + RAWS[0] + b",7," + RAWS[1] + b"]"

    first = receiver.take(vehicle, body)
    assert receiver.take(vehicle, body) == first
    assert first == (HTTPStatus.OK, "2 records, 1 dead letters")
    assert receiver.landing.total.lines == 3


def test_vehicle_is_held_to_its_rate(tmp_path: Path) -> None:
    """So many after a pause, so many side by side; each that ends lets another in."""
    receiver = Receiver(Landing(tmp_path))
    vehicle = Vehicle("t", b"k")
    assert [receiver.begin(vehicle) for _ in range(TOGETHER + 1)] == [True] * TOGETHER + [False]
    taken = 0
    while True:
        receiver.end(vehicle)
        if not receiver.begin(vehicle):
            break
        taken += 1
        assert taken < 10 * BURST


def test_silent_callers_go_first() -> None:
    """A caller who is served is never dropped for another; without a silent one nobody gets in."""
    pairs = [socket.socketpair() for _ in range(4)]
    ours = [each[0] for each in pairs]
    table = Connections(most=2)
    assert table.enter(ours[0])
    assert table.enter(ours[1])
    table.busy(ours[0], now=True)

    assert table.enter(ours[2])
    assert pairs[1][1].recv(1) == b"", "the silent one was dropped"
    table.busy(ours[2], now=True)
    assert not table.enter(ours[3])
    table.leave(ours[2])
    assert table.enter(ours[3])
    assert len(table) == 2
    for pair in pairs:
        for each in pair:
            each.close()


@pytest.mark.parametrize(
    "body", [b"", b"[", b"]", b"[1", b"{}", b"[1,]", b"[,1]", b"[1]]", b"[1 2]"]
)
def test_what_is_no_array_is_refused(body: bytes) -> None:
    """Half an array lands nothing."""
    with pytest.raises(ValueError, match=r"."):
        split(body)
