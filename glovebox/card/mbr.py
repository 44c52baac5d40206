"""Read the first sector of a card, byte by byte, where its table is looked at and written again.

No program: sfdisk reads tables whole, and would write one that is not ours in every byte.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

SECTOR = 512
SIGNATURE = b"\x55\xaa"
LINUX, FAT = 0x83, (0x0B, 0x0C)
NO_ENTRY = bytes(16)
_TABLE = 446
_ENTRY = struct.Struct("<B3sB3sII")
_ENTRIES = 4


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One of the four partitions, in bytes; of kind 0 there is none."""

    kind: int
    start: int
    size: int

    @property
    def end(self) -> int:
        """Give the byte behind it."""
        return self.start + self.size


def entries(sector: bytes) -> tuple[Entry, ...]:
    """Give the four partitions; nothing where it is no table."""
    if len(sector) != SECTOR or sector[510:] != SIGNATURE:
        return ()
    found = (_ENTRY.unpack_from(sector, _TABLE + 16 * number) for number in range(_ENTRIES))
    return tuple(
        Entry(kind=kind, start=start * SECTOR, size=size * SECTOR)
        for _, _, kind, _, start, size in found
    )


def entry(sector: bytes, number: int) -> bytes:
    """Give an entry as it stands; the first is number 1."""
    at = _TABLE + 16 * (number - 1)
    return sector[at : at + 16]


def with_entry(sector: bytes, number: int, bytes_: bytes) -> bytes:
    """Give the sector with another entry in this place."""
    at = _TABLE + 16 * (number - 1)
    return sector[:at] + bytes_ + sector[at + 16 :]
