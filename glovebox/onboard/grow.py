"""Grow the data partition to the end of the card, while it is in use.

Safe to cut at any moment by its order: the partition table first, in one sector, then the file
system, by ext4's own journalled resize. A cut in between leaves a partition that is larger than its
file system; the next start finds that and ends the work.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

SECTOR = 512
# Partitions end on whole 8 MiB, the erase block of larger cards.
ALIGN = 8 * 1024 * 1024 // SECTOR
MOST = 2**32 - 1  # what a partition table can count
DATA = 3
LINUX = 0x83
_TABLE = 446
_ENTRY = struct.Struct("<B3sB3sII")
_SIGNATURE = b"\x55\xaa"
ROOM = Path("/run/glovebox/grow")


class GrowError(Exception):
    """The card is not as the builder made it; it is left alone."""


def grown(sector: bytes, card: int) -> bytes | None:
    """Give the first sector of a card with the data partition up to the card's end.

    ``card``: its size in sectors. None: it is there already. Only the length changes; addresses by
    cylinder, which nobody reads, stay. Raises GrowError for a table that is not the builder's.
    """
    if len(sector) != SECTOR or sector[510:] != _SIGNATURE:
        raise GrowError("no partition table")
    entries = [_ENTRY.unpack_from(sector, _TABLE + 16 * number) for number in range(4)]
    active, first, kind, last, start, size = entries[DATA - 1]
    if kind != LINUX or not size:
        raise GrowError(f"partition {DATA} is not one for data")
    if entries[3][2]:
        raise GrowError("there is a fourth partition")
    if any(other[2] and other[4] >= start + size for other in entries[: DATA - 1]):
        raise GrowError("a partition lies behind the data")
    wanted = min(card // ALIGN * ALIGN - start, MOST)
    if wanted <= size:
        return None
    place = _TABLE + 16 * (DATA - 1)
    entry = _ENTRY.pack(active, first, kind, last, start, wanted)
    return sector[:place] + entry + sector[place + 16 :]


def grow(device: Path) -> None:
    """Grow a mounted data partition, such as /dev/mmcblk0p3, and its file system."""
    grow_partition(device)
    _run(["/usr/sbin/resize2fs", os.fspath(device)])


def grow_partition(device: Path) -> None:
    """Grow the partition alone, on the card and in the kernel; it may be in use."""
    part = Path("/sys/class/block", device.name).resolve()
    card = Path("/dev", part.parent.name)
    size = int((part.parent / "size").read_text())
    handle = os.open(card, os.O_RDWR | os.O_SYNC)
    try:
        table = grown(os.pread(handle, SECTOR, 0), size)
        if table is not None:
            os.pwrite(handle, table, 0)
            os.fsync(handle)
    finally:
        os.close(handle)
    # Told in any case: a cut may have come after the table was written. Then the kernel knows.
    _run(["/usr/bin/partx", "--update", "--nr", str(DATA), os.fspath(card)])


def main() -> int:
    """Grow what the initramfs found to be too small."""
    device = Path(ROOM.read_text().strip())
    try:
        grow(device)
    except (GrowError, OSError, subprocess.CalledProcessError) as error:
        print(f"the data partition stays as it is: {error}", file=sys.stderr)  # noqa: T201
        return 1
    ROOM.unlink()
    return 0


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main())
