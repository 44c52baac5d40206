"""Open any image of a card: packed or not, and say in one sentence what is wrong with it.

A packed image is unpacked once into the store; the file that was given is only ever read here.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from glovebox.boards import firmware
from glovebox.card import cmdline, ext4, fat, table as card
from glovebox.card.packing import AGAIN, Packing, packing_of, require_room, unpacked
from glovebox.errors import GloveboxError, HostError, ImageError
from glovebox.host import files, mounts
from glovebox.host.run import CommandError, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from glovebox.host.monitor import Monitor
    from glovebox.store.store import Store

_HEAD = 0x10100
_LOOKS = 5
# Place, bytes, what it is, what to do.
_FOREIGN = (
    (0, b"QFI\xfb", "a disk of QEMU (qcow2)", "qemu-img convert -O raw FILE card.img"),
    (0, b"KDMV", "a disk of VMware", "qemu-img convert -O raw FILE card.img"),
    (0, b"conectix", "a virtual disk (VHD)", "qemu-img convert -O raw FILE card.img"),
    (0, b"\x7fELF", "a program", ""),
    (0, b"hsqs", "a squashfs archive", ""),
    (0, b"LUKS\xba\xbe", "an encrypted volume (LUKS)", "open it with cryptsetup first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first: 7z x FILE"),
    (0, b"Rar!", "a RAR archive", "unpack it first: unrar x FILE"),
    (0, b"\x04\x22\x4d\x18", "packed with lz4", "unpack it first: lz4 -d FILE card.img"),
    (0, b"\x02\x21\x4c\x18", "packed with lz4", "unpack it first: lz4 -d FILE card.img"),
    (0, b"\x5d\x00\x00", "packed with lzma", "unpack it first: xz --format=lzma -d -k FILE"),
    (0, b"LZIP", "packed with lzip", "unpack it first: lzip -d -k FILE"),
    (0, b"\x3a\xff\x26\xed", "an Android sparse image", "simg2img FILE card.img"),
    (0, b"<!DOCTYPE", "a web page, not a download", "fetch it again, by its direct address"),
    (0, b"<html", "a web page, not a download", "fetch it again, by its direct address"),
    (257, b"ustar", "a tar archive", "unpack it first: tar xf FILE"),
    (54, b"FAT1", "one FAT file system", "give the image of a whole card, with its table"),
    (82, b"FAT32", "one FAT file system", "give the image of a whole card, with its table"),
    (1080, b"\x53\xef", "one ext4 file system", "give the image of a whole card, with its table"),
    (0x8001, b"CD001", "a CD image (ISO 9660)", "it is not for a Raspberry Pi"),
)
# What a Linux partition may hold instead of ext4.
_OTHER_SYSTEMS = (
    (
        0,
        b"LUKS\xba\xbe",
        "encrypted (LUKS)",
        "unlock a copy with cryptsetup first",
    ),
    (0x218, b"LVM2", "an LVM volume", ""),
    (0x10040, b"_BHRfS_M", "btrfs", ""),
    (0, b"XFSB", "XFS", ""),
    (0, b"hsqs", "squashfs", ""),
    (1024, b"\x10\x20\xf5\xf2", "F2FS", ""),
)


@dataclass(frozen=True, kw_only=True)
class Card:
    """An image of a card that was looked at: ``source`` as given, ``raw`` with its very bytes."""

    source: Path
    raw: Path
    packing: Packing | None
    size: int
    table: card.Table
    boot: card.Partition
    root: card.Partition
    system: ext4.Superblock
    # What was taken for the root partition, and why, where nothing says it for sure.
    guess: str = ""


def look(image: Path, store: Store, monitor: Monitor) -> Card:
    """Open an image, unpacking it if needed.

    Raises ImageError when it is no card's, HostError while something writes to it.
    """
    packing = packing_of(image)
    _require_unused(image, writers_only=True)
    raw = image if packing is None else unpacked(image, packing, store, monitor)
    found = examine(image, raw, packing)
    if found.guess:
        monitor.warn(f"{image}: {found.guess}")
    return found


def examine(source: Path, raw: Path, packing: Packing | None) -> Card:
    """Look at the bytes ``raw`` of the image that is called ``source``."""
    size = raw.stat().st_size
    _require_card(source, raw)
    table = card.table(raw, name=source)
    try:
        boot = _boot_of(raw, table)
        chosen = _root_of(raw, table, boot)
        root = chosen.partition
    except ImageError as error:
        raise ImageError(f"{source}: {error.message}", hint=error.hint) from error
    for what, part in (("boot", boot), ("root", root)):
        if part.start + part.size > size:
            raise ImageError(
                f"{source} is cut off: its {what} partition ends at byte {part.start + part.size},"
                f" the file at {size}",
                hint=AGAIN,
            )
    return Card(
        source=source,
        raw=raw,
        packing=packing,
        size=size,
        table=table,
        boot=boot,
        root=root,
        system=_require_ext4(source, raw, root),
        guess=chosen.guess,
    )


def _boot_of(raw: Path, table: card.Table) -> card.Partition:
    """Give the partition whose files the firmware starts: autoboot.txt of the first may name it."""
    first = table.boot
    number = firmware.boot_partition(fat.text(raw, first.start, "autoboot.txt") or "")
    named = (one for one in table.partitions if one.number == number and one.is_fat)
    return next(named, first)


def _root_of(raw: Path, table: card.Table, boot: card.Partition) -> cmdline.Root:
    """Give the partition that the kernel is told to take for root."""
    named = {one.number: _named(raw, one) for one in table.partitions if one.is_linux}
    found = [_find(raw, table, text, named) for text in cmdlines(raw, boot)]
    if len({root.partition.number for root in found}) == 1:
        return found[0]
    return replace(
        found[0],
        guess="its config.txt gives different boards different command lines; partition"
        f" {found[0].partition.number} is taken, as the first of them says",
    )


def _find(
    raw: Path, table: card.Table, text: str, named: Mapping[int, cmdline.Named]
) -> cmdline.Root:
    names = cmdline.Names(named=named)
    found = cmdline.find(table, text, names)
    if found is not None and found.guess:
        systems = [one.number for one in table.partitions if _holds_system(raw, one)]
        found = cmdline.find(table, text, replace(names, systems=systems))
    if found is None:
        table.root  # noqa: B018  says what is missing
        raise AssertionError
    return found


def _named(raw: Path, part: card.Partition) -> cmdline.Named:
    system = _superblock(raw, part)
    return cmdline.Named(
        label=system.label if system else "", uuid=system.uuid if system else "", entry=part.name
    )


def _superblock(raw: Path, part: card.Partition) -> ext4.Superblock | None:
    with raw.open("rb") as file:
        file.seek(part.start + ext4.OFFSET)
        return ext4.parse(file.read(ext4.SIZE))


def _holds_system(raw: Path, part: card.Partition) -> bool:
    """Tell whether an ext4 partition has what every system has, without mounting it."""
    if not part.is_linux or _superblock(raw, part) is None:
        return False
    with TemporaryDirectory() as folder:
        # debugfs takes the first ? of a name for the end of it.
        link = Path(folder) / "card"
        link.symlink_to(raw.absolute())
        said = run(
            ["debugfs", "-R", "stat /etc/passwd", f"{link}?offset={part.start}"], check=False
        )
    return "Inode:" in said.stdout


def cmdlines(raw: Path, boot: card.Partition) -> list[str]:
    """Give the kernel's command line; several where config.txt has different boards read others."""
    known: dict[str, str | None] = {}

    def text(name: str) -> str | None:
        if name not in known:
            known[name] = fat.text(raw, boot.start, name)
        return known[name]

    config = text("config.txt") or ""
    names = []
    for model in firmware.MODELS.values():
        values = firmware.read(config, model, text, partition=boot.number).values
        name = values.get("cmdline", "cmdline.txt")
        prefix = values.get("os_prefix", "")
        names.append(f"{prefix}{name}" if prefix and text(f"{prefix}{name}") is not None else name)
    found = [text(name) or "" for name in dict.fromkeys(names)]
    return list(dict.fromkeys(one for one in found if one)) or [""]


def _require_card(source: Path, raw: Path) -> None:
    """Raise ImageError when the first bytes are those of something else."""
    with raw.open("rb") as file:
        head = file.read(_HEAD)
    if not any(head):
        raise ImageError(f"{source} is blank: it begins with nothing but zeros", hint=AGAIN)
    for place, magic, what, cure in _FOREIGN:
        if head[place : place + len(magic)] == magic:
            # A boot loader in the first sectors may look like a file system; a table decides.
            if place in {54, 82, 1080} and _has_table(raw):
                continue
            hint = cure.replace("FILE", str(source)) or "give the image of a whole card"
            raise ImageError(f"{source} is {what}, not the image of a card", hint=hint)


def _require_ext4(source: Path, raw: Path, root: card.Partition) -> ext4.Superblock:
    with raw.open("rb") as file:
        file.seek(root.start)
        begin = file.read(_HEAD)
    for place, magic, what, cure in _OTHER_SYSTEMS:
        if begin[place : place + len(magic)] == magic:
            raise ImageError(
                f"{source}: the root partition is {what}, only ext4 can be read here",
                hint=cure or None,
            )
    system = ext4.parse(begin[ext4.OFFSET : ext4.OFFSET + ext4.SIZE])
    if system is None:
        raise ImageError(
            f"{source}: the root partition (number {root.number}) holds no ext4 file system",
            hint="it is damaged, or not for a Raspberry Pi; fetch it again",
        )
    if system.size > root.size:
        raise ImageError(
            f"{source}: the root file system has {system.size} bytes, its partition {root.size}",
            hint="the partition was cut into; take the image as it was before",
        )
    return system


def _has_table(raw: Path) -> bool:
    try:
        return bool(card.table(raw).partitions)
    except ImageError:
        return False


def require_sure(found: Card) -> None:
    """Raise ImageError where the root partition is a guess: nothing is written on that."""
    if found.guess:
        raise ImageError(
            f"{found.source}: {found.guess}; on a guess nothing is written",
            hint="say it in its cmdline.txt: root=PARTUUID=…; ./invoke info shows the partitions",
        )


@contextmanager
def new_image(found: Card, output: Path | None, monitor: Monitor) -> Iterator[Path]:
    """Give a copy of an image to change; it gets its name when the block ends well.

    Without ``output`` it takes the place of the image itself, all at once.
    """
    require_sure(found)
    if output is not None and output.exists():
        raise ImageError(f"{output} exists already", hint="choose another name")
    output = output or found.raw.resolve()
    if not output.parent.is_dir():
        raise ImageError(f"{output.parent} is no folder", hint="make it first")
    needed = found.raw.stat().st_blocks * 512
    part = output.parent / f".glovebox-{os.getpid()}.part"
    try:
        with monitor.step("copy", f"{found.source.name} into {output.parent}"):
            require_room(output.parent, needed, what="a copy of the image")
            run(["cp", "--reflink=auto", "--sparse=always", "--", found.raw, part])
            # An image may hold Wi-Fi keys: no more eyes than before.
            status = found.source.stat()
            os.chown(part, status.st_uid, status.st_gid)
            part.chmod(stat.S_IMODE(status.st_mode))
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(output)
        files.fsync_folder(output.parent)
    except CommandError as error:
        raise GloveboxError(f"{output} could not be made: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def require_writable(found: Card) -> None:
    """Raise unless the very file may be changed: not packed, not read-only, in nobody's use."""
    require_sure(found)
    if found.packing is not None:
        raise ImageError(
            f"{found.source} is packed: what is changed in it cannot be put back",
            hint=f"unpack it first: {found.packing} --decompress --keep {found.source}"
            if found.packing is not Packing.ZIP
            else "unpack it first: unzip",
        )
    if not os.access(found.raw, os.W_OK):
        raise ImageError(f"{found.source} cannot be written to", hint="copy it to another place")
    _require_unused(found.raw)


def _require_unused(raw: Path, *, writers_only: bool = False) -> None:
    """Raise HostError when a loop device shows the file: what is written twice is destroyed."""
    busy: list[str] = []
    # Whoever looks at new devices, udev say, may keep one for a moment after its user is gone.
    for _ in range(_LOOKS):
        said = run(
            ["losetup", "--list", "--noheadings", "--output", "NAME,RO", "--associated", raw]
        )
        users = [line.split() for line in said.stdout.splitlines()]
        busy = [name for name, read_only in users if read_only == "0" or not writers_only]
        if not busy:
            return
        time.sleep(0.1)
    doing = "being written to" if writers_only else "in use"
    raise HostError(
        f"{raw} is {doing}, by {', '.join(busy)}",
        hint=f"./invoke umount {raw}; or end what uses it",
    )


@contextmanager
def mounted(found: Card, target: Path, *, writable: bool = False) -> Iterator[Path]:
    """Mount the root file system on ``target`` until the block ends, by default read-only."""
    with ExitStack() as stack:
        options = mount_options(found, writable)
        try:
            stack.enter_context(mounts.mount(found.raw, target, kind="ext4", options=options))
        except CommandError as error:
            raise unmountable(found, error) from error
        yield target


def unmountable(found: Card, error: CommandError) -> ImageError:
    """Say that the kernel does not take the root file system."""
    said = error.tail.replace(
        "dmesg(1) may have more information after failed mount system call.", ""
    )
    return ImageError(
        f"{found.source} cannot be mounted: {' '.join(said.split())}",
        hint="is it damaged? Take it fresh, or mend a copy with e2fsck",
    )


def mount_options(found: Card, writable: bool) -> str:  # noqa: FBT001  said by its name
    """Give the options that mount the root file system and nothing beside it."""
    # noload: without it even a read-only mount of ext4 replays its journal into the file.
    how = "rw" if writable else "ro,noload"
    return f"loop,{how},offset={found.root.start},sizelimit={found.root.size},{mounts.GUARDED}"
