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
from glovebox.card import fat
from glovebox.errors import ImageError
from glovebox.host.run import CommandError, run

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.boards.boards import Board

# A boot partition of type EF is one the firmware reads too: it looks for a FAT.
FAT_TYPES = frozenset({"1", "4", "6", "b", "c", "e", "ef"})
LINUX_TYPE = "83"
EXTENDED_TYPES = frozenset({"5", "f", "85"})
# The types of a GPT, by the specification of discoverable partitions.
_GPT_FAT = frozenset({
    "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",  # EFI system
    "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7",  # basic data
})  # fmt: skip
_GPT_LINUX = frozenset({
    "0FC63DAF-8483-4772-8E79-3D69D8477DE4",  # Linux
    "B921B045-1DF0-41C3-AF44-4C6F280D3FAE",  # root of arm64
    "69DAD710-2CE4-4E3C-B16C-21A1D49ABED3",  # root of 32-bit Arm
})  # fmt: skip
GPT, MBR = "gpt", "dos"  # as sfdisk calls them


@dataclass(frozen=True, kw_only=True)
class Partition:
    """A part of the card, in bytes."""

    number: int
    start: int
    size: int
    kind: str
    uuid: str = ""  # in a GPT, where each has its own
    name: str = ""  # likewise

    @property
    def is_fat(self) -> bool:
        """Tell whether the firmware looks for its files here."""
        return self.kind in FAT_TYPES or self.kind.upper() in _GPT_FAT

    @property
    def is_linux(self) -> bool:
        """Tell whether it is for a file system of Linux."""
        return self.kind == LINUX_TYPE or self.kind.upper() in _GPT_LINUX


@dataclass(frozen=True, kw_only=True)
class Table:
    """The partition table; of an MBR ``disk_id`` is eight hex digits, the head of each PARTUUID."""

    disk_id: str
    partitions: tuple[Partition, ...]
    kind: str = MBR

    @property
    def boot(self) -> Partition:
        """Give the partition the firmware reads: the first FAT one."""
        return self._first([one for one in self.partitions if one.is_fat], "FAT")

    @property
    def root(self) -> Partition:
        """Give the first Linux partition."""
        return self._first([one for one in self.partitions if one.is_linux], "Linux")

    def partuuid(self, partition: Partition) -> str:
        """Give the name the kernel knows a partition by."""
        return partition.uuid or f"{self.disk_id}-{partition.number:02x}"

    def _first(self, found: list[Partition], what: str) -> Partition:
        if not found:
            raise ImageError(f"the image has no {what} partition", hint="is it for a Raspberry Pi?")
        return found[0]


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
    if found["label"] not in (MBR, GPT):
        raise ImageError(
            f"the partition table is {found['label']}, only MBR and GPT are known here",
            hint="is it for a Raspberry Pi? Their images have one of those",
        )
    sector = found.get("sectorsize", 512)
    return Table(
        kind=found["label"],
        disk_id=found["id"].lower() if found["label"] == GPT else f"{int(found['id'], 16):08x}",
        partitions=tuple(
            Partition(
                number=int(re.findall(r"\d+$", each["node"])[0]),
                start=each["start"] * sector,
                size=each["size"] * sector,
                kind=each["type"],
                uuid=each.get("uuid", "").lower(),
                name=each.get("name", ""),
            )
            for each in found.get("partitions", ())
        ),
    )


def copy_out(image: Path, name: str, target: Path) -> Path:
    """Copy a file or folder of the boot partition to the host; ``/`` is all of it."""
    try:
        fat.call("mcopy", image, table(image).boot.start,
                 ["-s", "-n", "-p", "-m", f"::{name}", target])  # fmt: skip
    except CommandError as error:
        message = f"{image}: no {name} in its boot partition: {error.tail}"
        raise ImageError(message) from error
    return target


def names(image: Path) -> set[str]:
    """Give the names of what lies at the top of the boot partition."""
    told = fat.call("mdir", image, table(image).boot.start, ["-b", "::/"]).stdout
    return {line.removeprefix("::/").rstrip("/") for line in told.splitlines()}


def copy_in(image: Path, source: Path, name: str) -> None:
    """Put a file of the host into the boot partition, in place of one of that name."""
    try:
        fat.call("mcopy", image, table(image).boot.start, ["-o", source, f"::{name}"])
    except CommandError as error:
        message = f"{image}: {name} does not get into its boot partition: {error.tail}"
        raise ImageError(message) from error


def start_of(config: str, board: Board) -> Start:
    """Tell what the firmware of a board starts by this config.txt."""
    reading = firmware.read(config, board.model)
    kernel = reading.values.get("kernel", board.default_kernel)
    return Start(kernel=kernel, initramfs=firmware.initramfs_name(reading, kernel))
