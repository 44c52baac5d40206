"""Renew the system on a card and keep its data partition, with its entry in the table.

The board finds the data as the third partition of the disk that its root is on. So the table that
is written is the image's, with the id by which the image knows its root, and with the third entry
of the card: a partition that a board has grown stays grown.

At every moment the table is valid and has that entry. While the system is written it has no other:
the firmware finds no partition to start from, and the same command knows the card by it and goes
on. A sector of a card is written whole or not at all.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from glovebox.card import ext4, mbr
from glovebox.errors import HostError, ImageError
from glovebox.host.run import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glovebox.card.disks import Disk

MIB = 1 << 20
NUMBER = 3
LABEL = "data"
_ANEW = "without --keep-data all of the card is written anew, and its records are lost"


@dataclass(frozen=True, kw_only=True)
class Data:
    """The data partition of a card, and the first sector that it was found in."""

    start: int
    sector: bytes
    has_settings: bool  # a board took something over from its card, and keeps it here

    @property
    def is_half(self) -> bool:
        """Tell whether the card is one that was cut off while its system was written."""
        return self.sector == self.alone

    @property
    def alone(self) -> bytes:
        """Give the card's first sector with the data partition in it and no other."""
        found = self.sector
        for number in (1, 2, 4):
            found = mbr.with_entry(found, number, mbr.NO_ENTRY)
        return found

    def beside(self, sector: bytes) -> bytes:
        """Give the first sector of an image with the data partition of the card."""
        return mbr.with_entry(sector, NUMBER, mbr.entry(self.sector, NUMBER))


def find(image: Path, sector: bytes, disk: Disk) -> Data:
    """Find the data partition that an image with this first sector would find.

    Raises ImageError where the image has none, HostError where the card's is none of that place.
    """
    start = _of_image(image, sector)
    with _reading(disk.device) as card:
        found = os.pread(card, mbr.SECTOR, 0)
        wrong = next(_wrong(found, start, disk, image), None)
        if wrong:
            raise HostError(f"{disk.device}: {wrong}; nothing was written", hint=_ANEW)
        data = mbr.entries(found)[NUMBER - 1]
        super_block = ext4.parse(os.pread(card, ext4.SIZE, start + ext4.OFFSET))
    if super_block is None or super_block.label != LABEL or super_block.size > data.size:
        raise HostError(
            f"{disk.device}: partition {NUMBER} holds no file system called {LABEL} that fits it;"
            " nothing was written",
            hint=_ANEW,
        )
    return Data(start=start, sector=found, has_settings=_has_settings(disk.device, start))


def _has_settings(device: Path, start: int) -> bool:
    with TemporaryDirectory() as folder:
        # debugfs takes the first ? of a name for the end of it.
        link = Path(folder) / "card"
        link.symlink_to(device.absolute())
        told = run(["debugfs", "-R", "stat /settings", f"{link}?offset={start}"], check=False)
    return "Type: directory" in told.stdout


def _of_image(image: Path, sector: bytes) -> int:
    """Give where the data of an image begins: behind all else, boot and root before it."""
    found = mbr.entries(sector)
    kinds = [one.kind for one in found]
    if kinds[:1] not in ([kind] for kind in mbr.FAT) or kinds[1:] != [mbr.LINUX, mbr.LINUX, 0]:
        raise ImageError(
            f"{image.name} has no data partition beside boot and root: there is nothing to keep",
            hint="--keep-data is for images of profile car and home",
        )
    start = found[NUMBER - 1].start
    if any(not MIB <= one.start < one.end <= start for one in found[: NUMBER - 1]):
        raise ImageError(f"{image.name}: its partitions are not in order", hint="build it again")
    return start


def _wrong(sector: bytes, start: int, disk: Disk, image: Path) -> Iterator[str]:
    """Say what keeps the card from being one whose data the image would find."""
    found = mbr.entries(sector)
    if not found:
        yield "it has no partition table of ours"
        return
    boot, root, data, fourth = found
    if data.kind != mbr.LINUX or not data.size or fourth.kind:
        yield f"it has no data partition in place {NUMBER} of its table"
    if data.start != start:
        yield (
            f"its data begins at {data.start / MIB:.0f} MiB, and that of {image.name} at"
            f" {start / MIB:.0f} MiB: sizes of boot or root differ (disk: in image.yaml)"
        )
    if data.end > disk.size:
        yield "its data partition ends behind the end of the card"
    if (boot.kind, root.kind) == (0, 0):
        return  # cut off, see Data.alone
    if boot.kind not in mbr.FAT or root.kind != mbr.LINUX or max(boot.end, root.end) > start:
        yield "its partitions are not boot, root and data"


@contextmanager
def _reading(device: Path) -> Iterator[int]:
    try:
        file = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise HostError(f"{device}: {said}", hint="run it by sudo") from error
    try:
        yield file
    finally:
        os.close(file)
