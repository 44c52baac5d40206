"""What stands on a card's image: its partitions and the files the firmware reads, never mounted.

Numbers are never assumed: the partition table says where the boot partition begins, and config.txt
says which kernel and initramfs are started.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glovebox.boards import firmware
from glovebox.errors import ImageError
from glovebox.host.run import CommandError, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from glovebox.boards.boards import Board

FAT_TYPES = frozenset({"1", "4", "6", "b", "c", "e"})
LINUX_TYPE = "83"
EXTENDED_TYPES = frozenset({"5", "f", "85"})
MTOOLS = {
    # Debian's FAT has geometry values mtools doubts; the kernel does not care.
    "MTOOLS_SKIP_CHECK": "1",
    "MTOOLSRC": "/dev/null",  # neither the host's nor the owner's configuration
}


@dataclass(frozen=True, kw_only=True)
class Partition:
    """A part of the card, in bytes."""

    number: int
    start: int
    size: int
    kind: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """The partition table; ``disk_id`` is eight hex digits, the first half of each PARTUUID."""

    disk_id: str
    partitions: tuple[Partition, ...]

    @property
    def boot(self) -> Partition:
        """Give the partition the firmware reads: the first FAT one."""
        return self._first(FAT_TYPES, "FAT")

    @property
    def root(self) -> Partition:
        """Give the first Linux partition."""
        return self._first({LINUX_TYPE}, "Linux")

    def partuuid(self, partition: Partition) -> str:
        """Give the name the kernel knows a partition by."""
        return f"{self.disk_id}-{partition.number:02x}"

    def _first(self, kinds: frozenset[str] | set[str], what: str) -> Partition:
        for partition in self.partitions:
            if partition.kind in kinds:
                return partition
        raise ImageError(f"the image has no {what} partition", hint="is it for a Raspberry Pi?")


@dataclass(frozen=True, kw_only=True)
class Start:
    """What the firmware loads, as config.txt says."""

    kernel: str
    initramfs: str | None


def table(image: Path, *, name: Path | None = None) -> Table:
    """Read the partition table; errors call the image ``name``."""
    called = name or image
    try:
        told = run(["sfdisk", "--json", "--", image]).stdout
    except CommandError as error:
        message = f"{called} has no partition table"
        raise ImageError(message, hint="give the image of a whole card") from error
    try:
        return parse_table(told)
    except ImageError as error:
        raise ImageError(f"{called}: {error.message}", hint=error.hint) from error


def parse_table(told: str) -> Table:
    """Read what ``sfdisk --json`` prints."""
    found = json.loads(told)["partitiontable"]
    if found["label"] != "dos":
        raise ImageError(
            f"the partition table is {found['label'].upper()}, only MBR is known here",
            hint="is it for a Raspberry Pi? Their images have an MBR",
        )
    sector = found.get("sectorsize", 512)
    return Table(
        disk_id=f"{int(found['id'], 16):08x}",
        partitions=tuple(
            Partition(
                number=int(re.findall(r"\d+$", each["node"])[0]),
                start=each["start"] * sector,
                size=each["size"] * sector,
                kind=each["type"],
            )
            for each in found.get("partitions", ())
        ),
    )


def root_of(table: Table, cmdline: str) -> Partition:
    """Give the partition the kernel's command line calls root, else the first Linux one."""
    found = re.search(
        rf"\broot=(?:PARTUUID={table.disk_id}-0?|/dev/(?:mmcblk\d+p|sd[a-z]))([0-9a-f]+)\b",
        cmdline,
        re.IGNORECASE,
    )
    number = int(found[1], 16) if found else None
    named = (one for one in table.partitions if one.number == number)
    return next(named, None) or table.root


def copy_out(image: Path, name: str, target: Path) -> Path:
    """Copy a file or folder of the boot partition to the host; ``/`` is all of it."""
    place = f"{image}@@{table(image).boot.start}"
    try:
        run(["mcopy", "-s", "-n", "-p", "-m", "-i", place, f"::{name}", target], env=MTOOLS)
    except CommandError as error:
        message = f"{image}: no {name} in its boot partition: {error.tail}"
        raise ImageError(message) from error
    return target


def copy_in(image: Path, source: Path, name: str) -> None:
    """Put a file of the host into the boot partition, in place of one of that name."""
    place = f"{image}@@{table(image).boot.start}"
    try:
        run(["mcopy", "-o", "-i", place, source, f"::{name}"], env=MTOOLS)
    except CommandError as error:
        message = f"{image}: {name} does not get into its boot partition: {error.tail}"
        raise ImageError(message) from error


def start_of(config: str, board: Board) -> Start:
    """Tell what the firmware of a board starts by this config.txt."""
    kernel = board.default_kernel
    initramfs: str | None = None
    automatic = False
    for line in lines_for(config, board):
        key, equals, value = line.partition("=")
        if equals and key == "kernel":
            kernel = value
        elif equals and key == "auto_initramfs":
            automatic = value == "1"
        elif line.split()[0] == "initramfs":  # the one line without "="
            initramfs = line.split()[1]
    if automatic and initramfs is None:
        initramfs = kernel.replace("kernel", "initramfs").removesuffix(".img")
    return Start(kernel=kernel, initramfs=initramfs)


def lines_for(config: str, board: Board) -> Iterator[str]:
    """Give the lines of config.txt that count for a board, without comments."""
    for line in firmware.read(config, board.model).certain:
        yield line.text
