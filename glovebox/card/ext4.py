"""Read the superblock of an ext4 file system: its size, what is free, whether it is whole.

Source: "Super Block" in the kernel's documentation of ext4's data structures; little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

OFFSET = 1024
SIZE = 1024
_MAGIC = 0xEF53
_CLEAN = 0x1
_HAS_ERRORS = 0x2
_NEEDS_RECOVERY = 0x4  # in the incompatible features: the journal holds what is not yet in place
_64BIT = 0x80
_MOST_ORDER = 6  # blocks of 64 KiB


@dataclass(frozen=True, kw_only=True)
class Superblock:
    """What a file system says of itself; sizes in bytes."""

    label: str
    uuid: str
    block: int
    size: int
    free: int
    inodes: int
    free_inodes: int
    clean: bool


def parse(data: bytes) -> Superblock | None:
    """Read the 1024 bytes at offset 1024 of a partition; None if it is no ext2, 3 or 4."""
    if len(data) < SIZE or struct.unpack_from("<H", data, 56)[0] != _MAGIC:
        return None
    inodes, blocks, _reserved, free, free_inodes = struct.unpack_from("<5I", data, 0)
    (order,) = struct.unpack_from("<I", data, 24)
    (state,) = struct.unpack_from("<H", data, 58)
    (features,) = struct.unpack_from("<I", data, 96)
    if order > _MOST_ORDER:
        return None
    if features & _64BIT:
        blocks += struct.unpack_from("<I", data, 0x150)[0] << 32
        free += struct.unpack_from("<I", data, 0x158)[0] << 32
    block = 1024 << order
    uuid = data[104:120].hex()
    return Superblock(
        label=data[120:136].split(b"\0")[0].decode(errors="replace"),
        uuid="-".join((uuid[:8], uuid[8:12], uuid[12:16], uuid[16:20], uuid[20:])),
        block=block,
        size=blocks * block,
        free=free * block,
        inodes=inodes,
        free_inodes=free_inodes,
        clean=bool(state & _CLEAN) and not state & _HAS_ERRORS and not features & _NEEDS_RECOVERY,
    )
