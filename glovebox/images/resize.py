"""`invoke resize`: another size for the root partition, its file system and the image.

The arithmetic is a function of its own; nothing is written before it has been shown. Growing goes
file, table, file system; shrinking the other way round, so at no moment is data outside.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glovebox.card import ext4, media, packing, solid
from glovebox.card.table import EXTENDED_TYPES, GPT, MBR, Partition, Table
from glovebox.config import rules
from glovebox.config.problem import WrongValueError
from glovebox.errors import ConfigError, ImageError
from glovebox.host import loop
from glovebox.host.run import CommandError, run

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.host.monitor import Monitor
    from glovebox.store.store import Store

SECTOR = 512
MIB = 1 << 20
_MBR_SECTORS = 1 << 32
_GPT_TAIL = 33 * SECTOR  # the second table and its header, at the very end
_FIRST_LOGICAL = 5
_SPARE = 1.005


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """An image's sizes, in bytes."""

    file: int
    start: int  # of the root partition
    partition: int
    system: int  # the file system's own size, up to the partition's

    @property
    def end(self) -> int:
        """Where the root partition ends."""
        return self.start + self.partition


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is asked for: a size of the image, a change of it, or the least there can be."""

    to: int | None = None
    by: int | None = None

    @property
    def least(self) -> bool:
        """Tell whether the smallest size is wanted."""
        return self.to is None and self.by is None


def wish(to: str, grow: str, shrink: str) -> Wish:
    """Read the options; raises ConfigError unless exactly one of them is given."""
    if sum(map(bool, (to, grow, shrink))) != 1:
        raise ConfigError(
            "say one of --to, --grow and --shrink", hint="./invoke resize IMAGE --to 4GiB"
        )
    if to in {"least", "minimum", "min"}:
        return Wish()
    if to:
        return Wish(to=parse_size(to))
    return Wish(by=parse_size(grow) if grow else -parse_size(shrink))


def parse_size(text: str) -> int:
    """Read a size as the configuration does: ``4GiB`` (1024³ bytes), ``4GB`` (1000³), or bytes."""
    try:
        return rules.size(text)
    except WrongValueError as error:
        raise ConfigError(f"{text!r} {error.what}", hint=error.cure) from error


def limit(table: Table, root: Partition) -> int | None:
    """Give where the next partition begins, in bytes; None when root is the last one."""
    return min((one.start for one in table.partitions if one.start > root.start), default=None)


def tail(table: Table) -> int:
    """Give the bytes at the end of an image that belong to no partition: a GPT's second table."""
    return _GPT_TAIL if table.kind == GPT else 0


def arithmetic(
    sizes: Sizes, wish: Wish, *, least: int, block: int, limit: int | None, tail: int = 0
) -> Sizes:
    """Give the sizes afterwards.

    ``least`` is what the file system needs, ``block`` the size of its blocks, ``limit`` where the
    next partition begins, ``tail`` what the image has behind the last one. Raises ConfigError when
    the wish cannot be granted without losing data.
    """
    if wish.least:
        end = sizes.start + _up(least, SECTOR)
    elif wish.to is not None:
        if limit is not None:
            raise ConfigError(
                "root is not the last partition, so the image keeps its size",
                hint="change the root partition alone: --grow or --shrink",
            )
        end = wish.to // SECTOR * SECTOR - tail
    else:
        end = sizes.end + (wish.by or 0) // SECTOR * SECTOR
    partition = end - sizes.start
    system = partition // block * block
    if system < least:
        raise ConfigError(
            f"{mib(max(end + tail, 0))} is too small: with all its files the image has at least"
            f" {mib(sizes.start + _up(least, SECTOR) + tail)}",
            hint="--to least takes just that",
        )
    if limit is not None and end > limit:
        raise ConfigError(
            f"the next partition begins {mib(limit - sizes.end)} behind the root partition:"
            " no more can be added",
            hint="move that partition first, or grow on the card",
        )
    if not tail and end // SECTOR >= _MBR_SECTORS:
        raise ConfigError("an MBR reaches 2 TiB at most")
    # With other partitions behind it, the file keeps its end.
    file = end + tail if limit is None else sizes.file
    return Sizes(file=file, start=sizes.start, partition=partition, system=system)


def sizes_of(found: media.Card) -> Sizes:
    """Give the sizes of an image."""
    return Sizes(
        file=found.size,
        start=found.root.start,
        partition=found.root.size,
        system=found.system.size,
    )


def plan(found: media.Card, wanted: Wish, store: Store) -> tuple[Sizes, Sizes, int]:
    """Give the sizes before and after, and the least the file system needs.

    Nothing of the image is written.
    """
    media.require_sure(found)
    root = found.root
    if found.table.kind == MBR and (
        root.number >= _FIRST_LOGICAL
        or any(
            one.kind in EXTENDED_TYPES and one.start <= root.start < one.start + one.size
            for one in found.table.partitions
        )
    ):
        raise ImageError(f"{found.source}: root is a logical partition, that cannot be resized")
    behind = limit(found.table, root)
    if behind is None:
        _require_nothing_behind(found)
    least = least_of(found, store)
    before = sizes_of(found)
    after = arithmetic(before, wanted, least=least, block=found.system.block, limit=behind,
                       tail=tail(found.table))  # fmt: skip
    return before, after, least


def least_of(found: media.Card, store: Store) -> int:
    """Give the least size of the file system, in bytes: resize2fs's estimate and a little more.

    The estimate was seen to change by 0.02 % when the file system was checked (e2fsprogs 1.47.0).
    """
    if found.system.clean:
        with loop.device(found.raw, start=found.root.start, size=found.root.size) as device:
            return _estimate(device, found)
    # It is asked of a copy, for its journal has to be replayed first.
    with store.scratch() as scratch:
        packing.require_room(scratch, found.raw.stat().st_blocks * 512, what="checking a copy")
        copy = scratch / "card.img"
        run(["cp", "--reflink=auto", "--sparse=always", "--", found.raw, copy])
        with loop.device(
            copy, start=found.root.start, size=found.root.size, writable=True
        ) as device:
            _check(device, found)
            return _estimate(device, found)


def _estimate(device: Path, found: media.Card) -> int:
    said = run(["resize2fs", "-P", device], check=False)
    number = re.search(r"minimum size of the filesystem: (\d+)", said.stdout)
    if number is None:
        raise ImageError(
            f"{found.source}: resize2fs does not understand the file system:"
            f" {said.stderr.strip().splitlines()[-1]}",
            hint="it may be damaged, or made for a newer e2fsprogs than this machine has",
        )
    return _up(int(int(number[1]) * found.system.block * _SPARE), MIB)


def apply(found: media.Card, after: Sizes, output: Path | None, monitor: Monitor) -> None:
    """Write the resized image; without ``output`` it replaces the image itself, at the end."""
    with media.new_image(found, output, monitor) as part:
        before = sizes_of(found)
        span = max(before.partition, after.partition)
        with monitor.step("resize", "checking and resizing the file system"):
            if after.file > found.size:
                os.truncate(part, after.file)
                _move_second_table(part, found.table)
            if after.partition > before.partition:
                _set_size(part, found.root, after.partition)
            with loop.device(part, start=after.start, size=span, writable=True) as device:
                _check(device, found)
                _resize(device, after.system // found.system.block, found)
            _require_inside(part, after)
            if after.partition < before.partition:
                _set_size(part, found.root, after.partition)
            if after.file < found.size:
                _cut(part, after.file, found.table)
        with monitor.step("check", "reading the new file system"):
            end = media.examine(part, part, None)
            with loop.device(part, start=end.root.start, size=end.root.size) as device:
                run(["e2fsck", "-f", "-n", device])
            # Through a loop device zeros became holes.
            solid.make(part, [one.start for one in end.table.partitions])


def _check(device: Path, found: media.Card) -> None:
    said = run(["e2fsck", "-f", "-p", device], check=False)
    # 1: something was mended, as after a board that lost its power.
    if said.returncode not in {0, 1}:
        raise ImageError(
            f"{found.source}: the root file system is damaged:\n{said.stdout.strip()}",
            hint="mend a copy of the image with e2fsck first, or fetch it again",
        )


def _resize(device: Path, blocks: int, found: media.Card) -> None:
    try:
        run(["resize2fs", device, str(blocks)])
    except CommandError as error:
        raise ImageError(f"{found.source}: resize2fs could not do it: {error.tail}") from error


def _require_inside(part: Path, after: Sizes) -> None:
    """Look before the partition is cut: the file system has to end within it."""
    with part.open("rb") as file:
        file.seek(after.start + ext4.OFFSET)
        now = ext4.parse(file.read(ext4.SIZE))
    if now is None or now.size > after.partition:
        raise ImageError(
            f"{part}: the file system did not become small enough; nothing was changed"
        )


def _set_size(part: Path, root: Partition, size: int) -> None:
    run(
        ["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "-N", str(root.number), part],
        input=f"start={root.start // SECTOR}, size={size // SECTOR}\n",
    )


def _cut(part: Path, size: int, table: Table) -> None:
    """Cut the file; a GPT is written anew then, for its first table says where the second was.

    sfdisk takes a table whose end lies behind that of the file for none.
    """
    if table.kind != GPT:
        os.truncate(part, size)
        return
    told = run(["sfdisk", "--dump", part]).stdout
    os.truncate(part, size)
    kept = [line for line in told.splitlines() if not line.startswith(("last-lba:", "device:"))]
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--wipe", "never",
         "--wipe-partitions", "never", part], input="\n".join(kept) + "\n")  # fmt: skip


def _move_second_table(part: Path, table: Table) -> None:
    """Put a GPT's second table where the image ends now; the first one says where it is."""
    if table.kind == GPT:
        run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel",
             "--relocate", "gpt-bak-std", part])  # fmt: skip


def _require_nothing_behind(found: media.Card) -> None:
    """Raise ImageError when bytes that no partition holds lie where the root will grow or end."""
    end = found.root.start + found.root.size
    last = found.size - tail(found.table)
    if any_data(found.raw, end, last):
        raise ImageError(
            f"{found.source}: {mib(last - end)} lie behind the last partition, and they are"
            " not empty; resizing would lose them",
            hint=f"if they are of no use, cut them off a copy: truncate --size={end} COPY",
        )


def any_data(path: Path, start: int, end: int) -> bool:
    """Tell whether anything but zeros lies in a part of a file."""
    with path.open("rb") as file:
        at = start
        while at < end:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:  # only a hole is left
                return False
            file.seek(at)
            block = file.read(min(MIB, end - at)) if at < end else b""
            if any(block):
                return True
            at += len(block) or end
    return False


def mib(size: int) -> str:
    """Give a size as a person reads it, exact to a tenth."""
    return f"{size / MIB:,.1f} MiB"


def _up(number: int, unit: int) -> int:
    return -(-number // unit) * unit
