"""Assemble the image: made in one go out of the merged layers, never mounted, never edited.

Every identifier and time comes from the plan, and the tools that decide bytes come from the native
root of the suite, so the same plan gives the same bytes on any host.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glovebox.card import solid
from glovebox.errors import StepError
from glovebox.host import files, inside
from glovebox.host.run import run
from glovebox.plan import plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from glovebox.config.schema import Disk
    from glovebox.host.native import Root

SECTOR = 512
MIB = 1024 * 1024
# Where Raspberry Pi OS trixie has its boot partition; both partitions start on whole 8 MiB, the
# erase block of larger cards.
FIRST_SECTOR = 16384
ALIGN = 8 * MIB
BLOCK = 4096
INODE = 256
INODE_RATIO = 16384
JOURNAL_MIB = 16
# In a car the root partition is a whole number of these, so that the data partition lies at the
# same place in the next image too.
CAR_ROOT = 1024 * MIB
# Each record is flushed by itself, which takes three blocks of the journal and one or two of the
# queue's file: with half of the usual block, half as much is written.
DATA_BLOCK = 2048
# How far the data partition can grow before the file system needs another layout of its groups.
DATA_MOST = 512 * 1024 * MIB
# For a few dozen files. Each 128 MiB that it grows brings half as many again, and the room for them
# is written once: 31 MB on a card of 32 GB, where one for every 16 KiB would be half a gigabyte.
DATA_INODES = 1024

# Stated, because mke2fs would take its features from the host's /etc/mke2fs.conf.
_MKE2FS_CONF = """\
[defaults]
base_features = sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr
default_mntopts = acl,user_xattr
enable_periodic_fsck = 0
blocksize = 4096
inode_size = 256
[fs_types]
ext4 = {
  features = has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize
}
"""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the partitions lie, in bytes.

    In a car, room for a second root of the same size is left between root and data.
    """

    boot_start: int
    boot_size: int
    root_start: int
    root_size: int
    inodes: int
    data_start: int = 0
    data_size: int = 0

    @property
    def starts(self) -> tuple[int, ...]:
        """Where file systems begin."""
        data = (self.data_start,) if self.data_size else ()
        return (self.boot_start, self.root_start, *data)

    @property
    def total(self) -> int:
        """The size of the whole image."""
        return max(self.root_start + self.root_size, self.data_start + self.data_size)


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a tree needs on a file system."""

    size: int
    inodes: int


def measure(tree: Path) -> Content:
    """Count the bytes in whole blocks, and the inodes, below ``tree``; hard links once."""
    seen: set[tuple[int, int]] = set()
    size = inodes = 0
    folders = [os.fspath(tree)]
    while folders:
        with os.scandir(folders.pop()) as found:
            for entry in found:
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    folders.append(entry.path)
                elif status.st_nlink > 1:
                    if (status.st_dev, status.st_ino) in seen:
                        continue
                    seen.add((status.st_dev, status.st_ino))
                inodes += 1
                size += _up(status.st_size, BLOCK)
    return Content(size=size, inodes=inodes)


def lay_out(disk: Disk, root: Content, *, car: bool = False) -> Layout:
    """Decide where the partitions lie; raises StepError when a given size is too small.

    ``car``: room for a second root, then a partition for data, which the board grows.
    """
    boot_start = FIRST_SECTOR * SECTOR
    boot_size = _up(disk.boot, ALIGN)
    # Inode tables, bitmaps and directories come to about 3 % of what is in the files.
    needed = int(root.size * 1.03) + root.inodes * INODE + (JOURNAL_MIB + 8) * MIB
    # Trees of many small files have more of them than a card of their size is made for.
    inodes = root.inodes + root.inodes // 4 + 4096
    if disk.root is None:
        # The room left has inode tables too: one of 256 bytes for every 16 KiB.
        spare = (inodes - root.inodes) * INODE
        unit = CAR_ROOT if car else ALIGN
        root_size = _up(int((needed + spare + disk.root_free) * 1.02), unit)
    else:
        root_size = _up(disk.root, ALIGN)
        if root_size < needed:
            raise StepError(
                f"disk.root: {disk.root // MIB} MiB is too small: the files need"
                f" {-(-needed // MIB)} MiB",
                hint="disk.root: auto",
            )
    return Layout(
        boot_start=boot_start,
        boot_size=boot_size,
        root_start=boot_start + boot_size,
        root_size=root_size,
        inodes=max(inodes, root_size // INODE_RATIO),
        data_start=boot_start + boot_size + 2 * root_size if car else 0,
        data_size=_up(disk.data, ALIGN) if car else 0,
    )


def require_room(disk: Disk, boot: Content) -> None:
    """Raise StepError when the boot files do not fit their partition."""
    # Both copies of the allocation table and the last cluster of each file come to less than 2 %.
    needed = int(boot.size * 1.02) + MIB
    if needed > disk.boot:
        raise StepError(
            f"disk.boot: {disk.boot // MIB} MiB is too small: the boot files need"
            f" {-(-needed // MIB)} MiB",
            hint="disk.boot: 512MiB",
        )


def assemble(
    target: Path,
    *,
    root: Path,
    whole: Path,
    made: plan.Plan,
    disk: Disk,
    tools: Root,
    scratch: Path,
    car: bool = False,
) -> Layout:
    """Write the image ``target`` from the tree ``root`` and the boot files of the tree ``whole``.

    ``root`` is the same with none of them. The image is not flushed to the disk yet.
    """
    boot = inside.place(whole, made.boot)
    layout = lay_out(disk, measure(root), car=car)
    require_room(disk, measure(boot))
    with target.open("wb") as file:
        file.truncate(layout.total)
    _partition(target, layout, made, tools)
    _make_boot(target, layout, boot, whole, made, tools, scratch)
    _make_root(target, layout, root, made, tools, scratch)
    if layout.data_size:
        _make_data(target, layout, made, tools, scratch)
    solid.make(target, layout.starts)
    return layout


def _partition(target: Path, layout: Layout, made: plan.Plan, tools: Root) -> None:
    script = (
        f"label: dos\nlabel-id: 0x{made.disk_id}\nunit: sectors\n"
        f"start={layout.boot_start // SECTOR}, size={layout.boot_size // SECTOR}, type=c\n"
        f"start={layout.root_start // SECTOR}, size={layout.root_size // SECTOR}, type=83\n"
    )
    if layout.data_size:
        start, size = layout.data_start // SECTOR, layout.data_size // SECTOR
        script += f"start={start}, size={size}, type=83\n"
    run([*tools.command("sfdisk"), "--quiet", "--no-reread", "--no-tell-kernel", target],
        input=script)  # fmt: skip


def _make_boot(
    target: Path,
    layout: Layout,
    boot: Path,
    whole: Path,
    made: plan.Plan,
    tools: Root,
    scratch: Path,
) -> None:
    where = scratch / "boot.fat"
    with where.open("wb") as file:
        file.truncate(layout.boot_size)
    volume = plan.identifier(made, "boot").hex[:8]
    run([
        # --invariant first: it states a number for -i as well.
        *tools.command("mkfs.fat"), "--invariant", "-F", "32", "-s",
        str(_cluster(layout.boot_size)), "-n", "bootfs", "-i", volume,
        "-h", str(layout.boot_start // SECTOR), where,
    ])  # fmt: skip
    env = {"SOURCE_DATE_EPOCH": str(made.epoch), "TZ": "UTC", **_mtools(tools, scratch)}
    links: dict[str, Path] = {}
    for path in files.walk(boot):
        name = f"::/{path.relative_to(boot)}"
        if path.is_symlink():
            # FAT has no links: what this one means in the root, never on the host, has its name.
            meant = inside.place(whole, path.relative_to(whole))
            if meant.is_file():
                links[name] = meant
        elif path.is_dir():
            run([*tools.command("mtools"), "-c", "mmd", "-i", where, name], env=env)
    # All files of a folder in one go; the order is that of the names.
    folders: dict[str, list[Path]] = {}
    for path in files.walk(boot):
        if path.is_file() and not path.is_symlink():
            folders.setdefault(str(path.parent.relative_to(boot)), []).append(path)
    for folder, names in folders.items():
        into = "::/" if folder == "." else f"::/{folder}/"
        run([*tools.command("mtools"), "-c", "mcopy", "-m", "-i", where, *names, into], env=env)
    for name, meant in links.items():
        run([*tools.command("mtools"), "-c", "mcopy", "-m", "-i", where, meant, name], env=env)
    files.copy_data(where, target, to=layout.boot_start)
    where.unlink()


def _cluster(size: int) -> int:
    """Give the sectors of a cluster: four, as Raspberry Pi OS has it, fewer on a small partition.

    With less than 65525 clusters some read a FAT32 as FAT16, mtools among them.
    """
    return next(number for number in (4, 2, 1) if number == 1 or size > 66_000 * number * SECTOR)


def _mtools(tools: Root, scratch: Path) -> Mapping[str, str]:
    del tools
    # Neither the host's nor the owner's configuration.
    empty = scratch / "mtoolsrc"
    empty.touch()
    return {"MTOOLSRC": str(empty), "MTOOLS_SKIP_CHECK": "1"}


def _make_root(
    target: Path, layout: Layout, root: Path, made: plan.Plan, tools: Root, scratch: Path
) -> None:
    options = ["-L", "rootfs", "-N", str(layout.inodes), "-m", "1", "-d", str(root)]
    place = (layout.root_start, layout.root_size)
    _make_ext4(target, place, options, [], "root", made, tools, scratch)


def _make_data(target: Path, layout: Layout, made: plan.Plan, tools: Root, scratch: Path) -> None:
    # A share is kept for root and, by a mount option, for the queue: others cannot fill it up.
    options = ["-b", str(DATA_BLOCK), "-L", "data", "-N", str(DATA_INODES), "-m", "5"]
    place = (layout.data_start, layout.data_size)
    grows = [f"resize={DATA_MOST // DATA_BLOCK}"]
    _make_ext4(target, place, options, grows, "data", made, tools, scratch)


def _make_ext4(
    target: Path,
    place: tuple[int, int],
    options: Sequence[str],
    extended: Sequence[str],
    name: str,
    made: plan.Plan,
    tools: Root,
    scratch: Path,
) -> None:
    config = scratch / "mke2fs.conf"
    config.write_text(_MKE2FS_CONF)
    start, size = place
    # The hash seed of the root has had this name since before there were others.
    seed = "hash seed" if name == "root" else f"{name} hash seed"
    # Several -E options: only the last one counts, so all stand in one.
    all_extended = ",".join([
        f"offset={start}",
        f"hash_seed={plan.identifier(made, seed)}",
        "root_owner=0:0",
        "lazy_itable_init=0",
        "lazy_journal_init=0",
        "nodiscard",
        *extended,
    ])  # fmt: skip
    run(
        [
            *tools.command("mke2fs"), "-q", "-F", "-t", "ext4",
            "-U", str(plan.identifier(made, name)), "-J", f"size={JOURNAL_MIB}",
            *options, "-E", all_extended, target, f"{size // 1024}k",
        ],
        env={"SOURCE_DATE_EPOCH": str(made.epoch), "MKE2FS_CONFIG": str(config),
             "E2FSPROGS_FAKE_TIME": str(made.epoch), "MKE2FS_SYNC": "0"},
    )  # fmt: skip


def _up(number: int, unit: int) -> int:
    return -(-number // unit) * unit
