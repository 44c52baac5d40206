"""Make what file systems use data of the image's file, where a hole would do as well.

A hole reads as zeros, but who writes only the data of a sparse file (bmaptool, `dd conv=sparse`,
fastboot) leaves on a used card what lay there before, and the zeros of a FAT or of a table of
inodes mean something. So everything that a file system counts as used is written out; what it
counts as free stays a hole. The bytes of the image do not change.

Sources: Microsoft's FAT specification 1.03; "Data Structures and Algorithms" of ext4 in the
kernel's documentation. No library: those at hand mount, or read files and not tables.
"""

from __future__ import annotations

import os
import re
import struct
from array import array
from typing import TYPE_CHECKING

from glovebox.host import files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

MIB = 1 << 20
# The table, and where a used card may have a GPT or a boot loader of its own.
HEAD = MIB
_ZEROS = bytes(MIB)
_FEWEST_FAT16, _FEWEST_FAT32 = 4085, 65525  # clusters, by which the kind is told
_EXT4_MAGIC = 0xEF53
_SPARSE_SUPER = 0x1  # a read-only feature: copies of the superblock only in some groups
_META_BG, _64BIT = 0x10, 0x80  # incompatible features
_BLOCK_UNINIT = 0x2  # of a group: its bitmap was never written, nothing but its tables is used


def make(image: Path, starts: Iterable[int]) -> None:
    """Write out what is used of the file systems that begin at these bytes, and the image's head.

    What is neither FAT nor ext2, 3 or 4 stays as it is.
    """
    with image.open("rb+") as file:
        size = os.fstat(file.fileno()).st_size
        _fill(file, 0, min(HEAD, size))
        for start in starts:
            for begin, end in used(file, start):
                _fill(file, start + begin, min(start + end, size))


def used(file: BinaryIO, start: int) -> Iterator[tuple[int, int]]:
    """Give what a file system uses, as bytes from its beginning; nothing if it is unknown here."""
    head = _read(file, start, 2048)
    if len(head) < 2048:  # noqa: PLR2004
        return
    if struct.unpack_from("<H", head, 1024 + 56)[0] == _EXT4_MAGIC:
        yield from _ext4(file, start, head[1024:])
    elif head[510:512] == b"\x55\xaa" and head[0] in (0xEB, 0xE9):
        yield from _fat(file, start, head)


def _fat(file: BinaryIO, start: int, head: bytes) -> Iterator[tuple[int, int]]:
    sector, per_cluster, reserved, copies, entries, few = struct.unpack_from("<HBHBHH", head, 11)
    (short,) = struct.unpack_from("<H", head, 22)
    many, long = struct.unpack_from("<I", head, 32)[0], struct.unpack_from("<I", head, 36)[0]
    length, total = (short or long) * sector, (few or many) * sector
    cluster = per_cluster * sector
    if not (cluster and length and copies):
        return
    first = reserved * sector + copies * length + -(-entries * 32 // sector) * sector
    yield 0, first
    clusters = (total - first) // cluster
    if clusters < _FEWEST_FAT16:  # twelve bits each: too small to be worth reading
        yield first, total
        return
    wide = "I" if clusters >= _FEWEST_FAT32 else "H"
    told = _read(file, start + reserved * sector, (clusters + 2) * array(wide).itemsize)
    table = array(wide)
    table.frombytes(told[: len(told) // table.itemsize * table.itemsize])
    free = bytes(1 if entry else 0 for entry in table[2:])
    for run in re.finditer(rb"\x01+", free):
        yield first + run.start() * cluster, first + run.end() * cluster


def _ext4(file: BinaryIO, start: int, super_block: bytes) -> Iterator[tuple[int, int]]:
    blocks = struct.unpack_from("<I", super_block, 4)[0]
    first, order = struct.unpack_from("<2I", super_block, 20)
    (per_group,) = struct.unpack_from("<I", super_block, 32)
    (inodes,) = struct.unpack_from("<I", super_block, 40)
    (inode,) = struct.unpack_from("<H", super_block, 88)
    incompatible, read_only = struct.unpack_from("<2I", super_block, 96)
    (growing,) = struct.unpack_from("<H", super_block, 206)
    wide = bool(incompatible & _64BIT)
    entry = struct.unpack_from("<H", super_block, 254)[0] if wide else 32
    if wide:
        blocks += struct.unpack_from("<I", super_block, 0x150)[0] << 32
    block = 1024 << order
    if incompatible & _META_BG or not (per_group and entry):
        yield 0, blocks * block  # its tables lie elsewhere: all of it, then
        return
    groups = -(-(blocks - first) // per_group)
    table = _read(file, start + (first + 1) * block, groups * entry)
    tables = 1 + -(-groups * entry // block) + growing
    yield 0, (first + 1) * block
    for number in range(groups):
        begin = first + number * per_group
        end = min(begin + per_group, blocks)
        if _has_copy(number) or not read_only & _SPARSE_SUPER:
            yield begin * block, min(begin + tables, end) * block
        bitmap, inode_bitmap, inode_table = (
            _number(table, number * entry + at, wide=wide) for at in (0, 4, 8)
        )
        yield bitmap * block, (bitmap + 1) * block
        yield inode_bitmap * block, (inode_bitmap + 1) * block
        yield inode_table * block, inode_table * block + inodes * inode
        if struct.unpack_from("<H", table, number * entry + 18)[0] & _BLOCK_UNINIT:
            continue
        # Eight blocks at a time: a few free ones between used ones are written as well.
        told = _read(file, start + bitmap * block, -(-(end - begin) // 8))
        for run in re.finditer(rb"[^\0]+", told):
            last = min(begin + run.end() * 8, end)
            yield (begin + run.start() * 8) * block, last * block


def _number(table: bytes, at: int, *, wide: bool) -> int:
    """Give a block's number: its upper half stands 32 bytes further on."""
    low: int = struct.unpack_from("<I", table, at)[0]
    return low + (struct.unpack_from("<I", table, at + 32)[0] << 32 if wide else 0)


def _has_copy(group: int) -> bool:
    """Tell whether a group has a copy of the superblock: 0, 1 and the powers of 3, 5 and 7."""
    for base in (3, 5, 7):
        power = 1
        while power < group:
            power *= base
        if power == group:
            return True
    return group == 0


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


def _fill(file: BinaryIO, start: int, end: int) -> None:
    """Write zeros where the file has a hole between two places."""
    file.flush()
    at = start
    # All of them first: what is written below would be data.
    for begin, until in (*list(files.data(file.fileno(), start, end)), (end, end)):
        while at < begin:
            length = min(begin - at, MIB)
            os.pwrite(file.fileno(), _ZEROS[:length], at)
            at += length
        at = until
