"""Name the structure of a disk image in which two of them first differ.

A byte's number says little. This says: the partition table's identifier, a file of the FAT, or on
ext4 the inode, its field and the file's name. Nothing is mounted: mtools and debugfs of the native
root read the images.

Layouts: FAT, "Microsoft FAT Specification" (2005), section 3; ext4, the kernel's
Documentation/filesystems/ext4 (inodes.rst for the fields).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from glovebox.card import table as card
from glovebox.host import files
from glovebox.host.run import run
from glovebox.trials import compare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glovebox.host.native import Root

_SECTOR = 512
_BLOCK = 4096
_INODE = 256
_FIELDS = (
    (0, "mode"), (2, "owner"), (4, "size"), (8, "access time"), (12, "change time"),
    (16, "modification time"), (20, "deletion time"), (24, "group"), (26, "link count"),
    (28, "block count"), (32, "flags"), (36, "version"), (40, "block map"), (100, "generation"),
    (104, "attribute block"), (108, "size"), (112, "fragment"), (116, "block count and owner"),
    (124, "checksum"), (128, "extra size"), (130, "checksum"), (132, "change time"),
    (136, "modification time"), (140, "access time"), (144, "creation time"), (152, "version"),
    (160, "attributes"),
)  # fmt: skip
# These follow from what else differs: checksums, counts and maps of what is used.
_CONSEQUENCES = ("superblock", "group descriptors", "block bitmap", "inode bitmap")
_MOST_BLOCKS = 2000


def difference(one: Path, other: Path, tools: Root) -> str | None:
    """Say where two images first differ, and in what structure; None if they are the same."""
    at = compare.first_byte(one, other)
    if at is None:
        return None
    if at < _SECTOR:
        return f"byte {at}: MBR, {_of_mbr(at)}"
    sizes = one.stat().st_size, other.stat().st_size
    if sizes[0] != sizes[1]:
        return f"byte {at}; the images have {sizes[0]} and {sizes[1]} bytes"
    table = card.table(one)
    if table.boot.start <= at < table.boot.start + table.boot.size:
        return f"byte {at}: boot partition, FAT, {_of_fat(one, table.boot.start, at, tools)}"
    if at >= table.root.start:
        return f"byte {at}: root partition, ext4, {_of_ext4(one, other, table.root, tools)}"
    return f"byte {at}: between the partitions"


def _of_mbr(at: int) -> str:
    if at < 440:  # noqa: PLR2004  where the boot code ends
        return "boot code"
    if at < 446:  # noqa: PLR2004  where the table begins
        return "the disk's identifier"
    if at < 510:  # noqa: PLR2004  where the table ends
        return f"entry of partition {(at - 446) // 16 + 1}"
    return "signature"


def _of_fat(image: Path, start: int, at: int, tools: Root) -> str:
    with image.open("rb") as file:
        file.seek(start)
        head = file.read(_SECTOR)

    def number(where: int, size: int) -> int:
        return int.from_bytes(head[where : where + size], "little")

    sector = (at - start) // _SECTOR
    reserved, copies, length = number(14, 2), number(16, 1), number(36, 4)
    if sector == 0:
        return f"boot sector, byte {at - start}"
    if sector < reserved:
        return f"reserved sector {sector}"
    if sector < reserved + copies * length:
        return f"allocation table {(sector - reserved) // length + 1}, sector {sector}"
    cluster = (sector - reserved - copies * length) // number(13, 1) + 2
    if cluster == number(44, 4):
        return "the top folder"
    return f"cluster {cluster} of {_owner(image, start, cluster, tools)}"


def _owner(image: Path, start: int, cluster: int, tools: Root) -> str:
    """Give the file or folder of a FAT that has this cluster."""
    env = {"MTOOLS_SKIP_CHECK": "1", "MTOOLSRC": "/dev/null"}
    place = ["-i", f"{image}@@{start}"]
    mtools = tools.command("mtools")
    told = run([*mtools, "-c", "mdir", "-/", "-a", "-b", *place, "::/"], env=env).stdout
    names = [name.rstrip("/") for name in told.splitlines() if name.startswith("::/")]
    told = run([*mtools, "-c", "mshowfat", *place, *names], env=env, check=False).stdout
    for line in told.splitlines():
        name, _, runs = line.partition(" <")
        for found in re.finditer(r"(\d+)(?:-(\d+))?", runs):
            if int(found[1]) <= cluster <= int(found[2] or found[1]):
                return name.strip().removeprefix("::")
    return "no file (free space)"


def _of_ext4(one: Path, other: Path, part: card.Partition, tools: Root) -> str:
    # e2fsprogs read a file system from the beginning of a file only.
    with TemporaryDirectory(dir=one.parent) as folder:
        copy = Path(folder) / "ext4"
        copy.touch()
        os.truncate(copy, part.size)
        files.copy_data(one, copy, start=part.start, size=part.size)
        return _cause(one, other, part, _Ext4(image=copy, tools=tools))


@dataclass(frozen=True, kw_only=True)
class _Ext4:
    """A file system to ask."""

    image: Path
    tools: Root

    def layout(self, *options: str) -> str:
        return run([*self.tools.command("dumpe2fs"), *options, self.image]).stdout

    def ask(self, request: str) -> str:
        return run([*self.tools.command("debugfs"), "-R", request, self.image]).stdout


def _cause(one: Path, other: Path, part: card.Partition, ext4: _Ext4) -> str:
    """Name the cause: bitmaps and checksums before it differ only because it does."""
    groups = _groups(ext4)
    first = ""
    for block in _blocks(one, other, part):
        kind, group, begin, _ = next(
            (found for found in groups if found[2] <= block <= found[3]), ("", 0, 0, 0)
        )
        if kind == "inode table":
            return _of_inode(one, other, part, block, (group, begin), ext4)
        if kind in _CONSEQUENCES:
            first = first or f"{kind} of group {group}, block {block}"
            continue
        return _of_data(block, ext4)
    return first


def _blocks(one: Path, other: Path, part: card.Partition) -> Iterator[int]:
    at, end = part.start, part.start + part.size
    for _ in range(_MOST_BLOCKS):
        found = compare.first_byte(one, other, start=at, end=end)
        if found is None:
            return
        block = (found - part.start) // _BLOCK
        yield block
        at = part.start + (block + 1) * _BLOCK


def _groups(ext4: _Ext4) -> list[tuple[str, int, int, int]]:
    """Give what the file system itself needs: kind, group, first and last block."""
    found: list[tuple[str, int, int, int]] = []
    group = 0
    for line in ext4.layout().splitlines():
        header = re.match(r"Group (\d+):", line)
        if header:
            group = int(header[1])
        for kind, begin, end in re.findall(
            r"(superblock|Group descriptors|Block bitmap|Inode bitmap|Inode table)"
            r" at (\d+)(?:-(\d+))?",
            line,
        ):
            found.append((kind.lower(), group, int(begin), int(end or begin)))
    return found


def _of_inode(
    one: Path, other: Path, part: card.Partition, block: int, table: tuple[int, int], ext4: _Ext4
) -> str:
    start = part.start + block * _BLOCK
    at = compare.first_byte(one, other, start=start, end=start + _BLOCK)
    offset = (at or start) - part.start - table[1] * _BLOCK
    found = re.search(r"^Inodes per group:\s+(\d+)$", ext4.layout("-h"), re.MULTILINE)
    per_group = int(found[1]) if found else 1
    inode = table[0] * per_group + offset // _INODE + 1
    field = [name for where, name in _FIELDS if where <= offset % _INODE][-1]
    return f"inode {inode} ({_name(inode, ext4)}), its {field}"


def _of_data(block: int, ext4: _Ext4) -> str:
    told = ext4.ask(f"icheck {block}")
    found = re.search(rf"^{block}\s+(\d+)$", told, re.MULTILINE)
    if found is None:
        return f"block {block}, which no file has (free space)"
    inode = int(found[1])
    name = "the journal" if inode == 8 else _name(inode, ext4)  # noqa: PLR2004
    return f"block {block} of inode {inode} ({name})"


def _name(inode: int, ext4: _Ext4) -> str:
    told = ext4.ask(f"ncheck {inode}")
    found = re.search(rf"^{inode}\s+(.+)$", told, re.MULTILINE)
    # debugfs writes two slashes before what lies in the top folder.
    return found[1].replace("//", "/") if found else "no name"
