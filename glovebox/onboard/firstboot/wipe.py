"""Overwrite on FAT what was taken over, so that no secret stays where any computer reads it.

FAT writes a file's bytes where they were, so overwriting reaches them. What an editor left in
free space, and what the card itself keeps of old blocks, cannot be reached from here.

The first sector goes first and comes back last, and a card writes a sector whole or not at all. So
after a power cut a file is what its owner wrote, or what it shall be, or begins with a zero byte,
which no text does: then it was taken over already, and is wiped to its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.onboard.firstboot.disk import Disk

SECTOR = 512
# So much at once: a file may be larger than a small board's memory.
CHUNK = 1 << 20


def half_wiped(content: bytes) -> bool:
    """Tell whether a wipe was interrupted."""
    return content[:1] == b"\0"


def blank(path: Path, disk: Disk) -> None:
    """Overwrite all of a file with zeros, its first sector first."""
    size = path.stat().st_size
    disk.overwrite(path, 0, bytes(min(size, SECTOR)))
    for place in range(SECTOR, size, CHUNK):
        disk.overwrite(path, place, bytes(min(CHUNK, size - place)))


def replace(path: Path, content: bytes, disk: Disk) -> None:
    """Overwrite a file, then let it hold ``content``, its first sector last."""
    blank(path, disk)
    disk.truncate(path, len(content))
    disk.overwrite(path, SECTOR, content[SECTOR:])
    disk.overwrite(path, 0, content[:SECTOR])


def remove(path: Path, disk: Disk) -> None:
    """Overwrite a file and remove it."""
    blank(path, disk)
    disk.remove(path)
