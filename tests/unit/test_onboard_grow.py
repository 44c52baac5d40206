"""Growing the data partition: the arithmetic, and what is never touched."""

from __future__ import annotations

import struct

import pytest

from glovebox.onboard.grow import ALIGN, MOST, SECTOR, GrowError, grown

MIB = 2048  # in sectors
BOOT = (0x0C, 8 * MIB, 512 * MIB)
ROOT = (0x83, 520 * MIB, 1024 * MIB)
DATA = (0x83, 2568 * MIB, 256 * MIB)
NONE = (0, 0, 0)


def sector(*entries: tuple[int, int, int]) -> bytes:
    """Make the first sector of a card; code and disk identifier are there to be kept."""
    table = b"".join(
        struct.pack("<B3sB3sII", 0, b"\1\2\3", kind, b"\4\5\6", start, size)
        for kind, start, size in entries
    )
    return (
        bytes(range(220))
        + bytes(220)
        + b"\xca\xfe\xba\xbe\0\0"
        + table.ljust(64, b"\0")
        + b"\x55\xaa"
    )


def size_of(table: bytes) -> int:
    """Read the length of the third partition."""
    found: int = struct.unpack_from("<I", table, 446 + 2 * 16 + 12)[0]
    return found


@pytest.mark.parametrize(
    ("card", "size"),
    [
        (4096 * MIB, (4096 - 2568) * MIB),
        # Cards are not of round sizes: the end is on whole 8 MiB.
        (4096 * MIB + 12345, (4096 - 2568) * MIB),
        (4104 * MIB - 1, (4096 - 2568) * MIB),
        (2832 * MIB, 264 * MIB),
        # The table counts 32 bits of sectors.
        (2**33, MOST),
    ],
)
def test_it_ends_where_the_card_ends(card: int, size: int) -> None:
    """The partition reaches the last whole erase block of the card."""
    table = grown(sector(BOOT, ROOT, DATA), card)

    assert table is not None
    assert size_of(table) == size
    assert size == MOST or (DATA[1] + size) % ALIGN == 0


def test_only_four_bytes_change() -> None:
    """Nothing but the length of the data partition is another: one sector, one number."""
    before = sector(BOOT, ROOT, DATA)
    after = grown(before, 60_000 * MIB)

    assert after is not None
    assert len(after) == SECTOR
    place = 446 + 2 * 16 + 12
    assert before[:place] + before[place + 4 :] == after[:place] + after[place + 4 :]


@pytest.mark.parametrize("card", [2824 * MIB, 2824 * MIB + ALIGN - 1, 2000 * MIB])
def test_nothing_to_grow(card: int) -> None:
    """A card that is full already stays as it is, and so does one smaller than its table."""
    assert grown(sector(BOOT, ROOT, DATA), card) is None


def test_twice_is_once() -> None:
    """What was grown is not grown again."""
    once = grown(sector(BOOT, ROOT, DATA), 30_000 * MIB)

    assert once is not None
    assert grown(once, 30_000 * MIB) is None


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (bytes(SECTOR), "no partition table"),
        (sector(BOOT, ROOT, DATA)[:-1], "no partition table"),
        (sector(BOOT, ROOT), "partition 3 is not one for data"),
        (sector(BOOT, ROOT, (0x0C, *DATA[1:])), "partition 3 is not one for data"),
        (sector(BOOT, ROOT, DATA, (0x83, 9000 * MIB, MIB)), "fourth partition"),
        (sector(BOOT, (0x83, 9000 * MIB, MIB), DATA), "lies behind the data"),
    ],
)
def test_a_strange_card_is_left_alone(table: bytes, message: str) -> None:
    """A table that the builder did not make is not rewritten."""
    with pytest.raises(GrowError, match=message):
        grown(table, 60_000 * MIB)
