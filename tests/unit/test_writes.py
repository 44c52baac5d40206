"""A log of writes is read as QEMU writes it, while it grows; and cut cards are made of it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from glovebox.emulator.writes import SECTOR, Log, Write, drive
from glovebox.errors import VerifyError
from tests.cuts import cards
from tests.cuts.cards import Moment

if TYPE_CHECKING:
    from pathlib import Path

FLUSH, DISCARD = 1, 4


def entry(sector: int, data: bytes = b"", *, flags: int = 0, count: int | None = None) -> bytes:
    """Give an entry of the log and the data behind it."""
    number = len(data) // SECTOR if count is None else count
    return struct.pack("<QQQQ", sector, number, flags, 0).ljust(SECTOR, b"\0") + data


def block(letter: str, sectors: int = 1) -> bytes:
    """Give sectors full of a letter."""
    return letter.encode() * SECTOR * sectors


def test_writes_come_in_order(tmp_path: Path) -> None:
    """Each has its place and its bytes; a flush and a discard write nothing."""
    path = tmp_path / "log"
    path.write_bytes(
        block("\0")
        + entry(7, block("a", 2))
        + entry(0, flags=FLUSH)
        + entry(3, flags=DISCARD, count=9)
        + entry(0, block("b"))
    )

    assert list(Log(path).more()) == [
        Write(start=7 * SECTOR, data=block("a", 2)),
        Write(start=0, data=block("b")),
    ]


def test_each_write_is_given_once(tmp_path: Path) -> None:
    """Whoever stops in between goes on behind what it has seen."""
    path = tmp_path / "log"
    path.write_bytes(block("\0") + entry(1, block("a")) + entry(2, block("b")))
    log = Log(path)

    assert next(log.more()).start == SECTOR
    assert [each.start for each in log.more()] == [2 * SECTOR]


def test_a_write_under_way_is_left_for_later(tmp_path: Path) -> None:
    """What is not whole yet is given once it is, and once."""
    path = tmp_path / "log"
    path.write_bytes(b"")
    log = Log(path)
    whole = block("\0") + entry(1, block("a")) + entry(2, block("b", 3))

    seen = []
    for size in (0, SECTOR, 2 * SECTOR, 3 * SECTOR, 5 * SECTOR, len(whole)):
        path.write_bytes(whole[:size])
        seen.append([each.start // SECTOR for each in log.more()])

    assert seen == [[], [], [], [1], [], [2]]


def test_what_is_no_log_is_told(tmp_path: Path) -> None:
    """A file with other contents is named."""
    path = tmp_path / "log"
    path.write_bytes(block("\xff", 4))

    with pytest.raises(VerifyError, match=r"log is no log of writes"):
        list(Log(path).more())


def test_option_for_qemu() -> None:
    """Card and log are named once each."""
    option = drive("/c,,1.img", "/w.log")

    assert "file.file.filename=/c,,1.img," in option
    assert "log.filename=/w.log," in option


WRITES = (
    Write(start=2 * SECTOR, data=block("a", 2)),
    Write(start=0, data=block("t")),
    Write(start=3 * SECTOR, data=block("b", 3)),
)


@pytest.mark.parametrize(
    ("moment", "letters"),
    [
        (Moment(done=0), "......"),
        (Moment(done=0, torn=1), "..a..."),
        (Moment(done=1), "..aa.."),
        (Moment(done=2), "t.aa.."),
        (Moment(done=2, torn=2), "t.abb."),
        (Moment(done=3), "t.abbb"),
    ],
    ids=str,
)
def test_a_cut_leaves_what_was_written_until_then(
    tmp_path: Path, moment: Moment, letters: str
) -> None:
    """All writes that were done, and the first sectors of the one under way."""
    base = tmp_path / "base"
    base.write_bytes(block(".", 6))

    [(told, card)] = [
        (when, path.read_bytes()) for when, path in cards.each(base, WRITES, [moment], tmp_path)
    ]

    assert told == moment
    assert "".join(chr(card[place * SECTOR]) for place in range(6)) == letters
    assert base.read_bytes() == block(".", 6)


def test_moments_are_those_that_matter() -> None:
    """Nothing written, all written, and around the partition table; the same choice each time."""
    writes = [Write(start=each * SECTOR, data=block("a", 8)) for each in range(100, 0, -1)]
    writes.insert(40, Write(start=0, data=block("t")))
    chosen = cards.moments(writes, 30)

    assert chosen == cards.moments(writes, 30)
    assert len(chosen) == 30
    assert {Moment(done=each) for each in (0, 1, 40, 41, len(writes))} <= set(chosen)
    assert any(each.torn for each in chosen)
    assert all(each.torn < 8 for each in chosen)
