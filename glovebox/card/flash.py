"""Write an image to a card, block by block of its map, and read back what was written.

The table comes last: a card that was cut off has none, so no board starts half a system, and the
same command begins again. Where the data partition is kept, `keep` says what stands in its place.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from glovebox.card import bmap, packing, solid
from glovebox.errors import HostError, ImageError
from glovebox.host import files
from glovebox.host.run import CommandError, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import IO

    from glovebox.card.disks import Disk
    from glovebox.card.keep import Data
    from glovebox.host.monitor import Monitor

MIB = 1 << 20
SECTOR = 512
# linux/fs.h: forget what is cached of a disk, and read its table again.
_BLKFLSBUF, _BLKRRPART = 0x1261, 0x125F
_AGAIN = "run the same command again"
_HALF = "the card is half written, and starts nothing"
_REMOVE = "remove the .bmap beside it, and every byte is written"
_ANOTHER = "take another card, or another reader: this one loses data"


@dataclass(frozen=True, kw_only=True)
class Source:
    """An image to write, packed or not, and which of its blocks count."""

    image: Path
    packing: packing.Packing | None
    size: int
    map: bmap.Map | None  # none: every block counts

    def to_write(self, until: int) -> int:
        """Give how many bytes are written where nothing is from ``until`` on."""
        return sum(max(0, min(end, until) - start) for start, end, _ in _ranges(self))


def source(image: Path) -> Source:
    """Look at an image and the map beside it; raises ImageError where they are not of each other.

    The map of `card.img.zst` is that of `card.img`, `card.img.bmap`.
    """
    how = packing.packing_of(image)
    raw = image.with_suffix("") if how else image
    beside = raw.with_name(raw.name + bmap.SUFFIX)
    found = bmap.load(beside) if beside.is_file() else None
    size = packing.unpacked_size(image, how) if how else image.stat().st_size
    if size is None:
        size = found.size if found else None
    if size is None:
        raise ImageError(f"{image} does not tell its size", hint="unpack it first")
    if found and found.size != size:
        raise ImageError(
            f"{beside} is of another image than {image.name}", hint=f"remove it, or {bmap.AGAIN}"
        )
    if found and how is None:
        _require_nothing_more(image, found)
    return Source(image=image, packing=how, size=size, map=found)


def _require_nothing_more(image: Path, found: bmap.Map) -> None:
    """Raise ImageError where an image has data that its map does not know of.

    Who wrote into it since (`mount --write`) may have filled what was a hole.
    """
    ends = [(found.start(one), found.end(one)) for one in found.ranges]
    gaps = zip([0, *(end for _, end in ends)], [*(start for start, _ in ends), found.size],
               strict=True)  # fmt: skip
    with image.open("rb") as file:
        for begin, end in gaps:
            for at, until in list(files.data(file.fileno(), begin, end)):
                for chunk in files.chunks(image, start=at, size=until - at):
                    if not _is_zero(bytes(chunk)):
                        raise ImageError(_changed(image), hint=_REMOVE)


def _is_zero(block: bytes) -> bool:
    return block.count(0) == len(block)


def _changed(image: Path) -> str:
    return f"{image} was changed since its map was made: it has data the map does not know of"


def require_fit(given: Source, disk: Disk) -> None:
    """Raise HostError where a card is smaller than the image."""
    if disk.size < given.size:
        raise HostError(
            f"{given.image.name} takes a card of {given.size / 1e9:.1f} GB,"
            f" {disk.device} has {disk.size / 1e9:.1f} GB",
            hint="take a larger card",
        )


def first_sector(given: Source) -> bytes:
    """Give the first sector of an image, with its table; nothing is written yet."""
    try:
        with _reading(given) as file:
            return file.read(SECTOR)
    except ImageError as error:
        raise ImageError(f"{given.image} is damaged", hint=packing.AGAIN) from error


def flash(
    given: Source,
    device: Path,
    monitor: Monitor,
    *,
    kept: Data | None = None,
    add: Callable[[], None] | None = None,
) -> None:
    """Write an image to a disk and read it back.

    ``kept``: the data partition stays, nothing is written from its beginning on. ``add`` writes
    more once all else is right, before there is a table.
    Raises ImageError where the image is not what its map says, HostError where the disk does not
    give back what was written; then, and when it is cut off, the card has no system in its table.
    """
    until = kept.start if kept else given.size
    with _opened(device) as target:
        if kept and os.pread(target, SECTOR, 0) != kept.sector:
            raise HostError(f"{device} is another card than before", hint=_AGAIN)
        doing = f"{given.to_write(until) / 1e6:.0f} of {given.size / 1e6:.0f} MB to {device}"
        with monitor.step("write", doing):
            # From now on this is no card of anything, but for its data.
            _write_all(target, kept.alone if kept else bytes(min(solid.HEAD, given.size)), 0)
            os.fsync(target)
            written, head = _write(given, target, until, partial(monitor.progress, "write"))
            settle(target)
        with monitor.step("verify", "reading back what was written"):
            _verify(target, written, head, partial(monitor.progress, "verify"))
            if add:
                add()
                settle(target)
            # Now it is a card; last of all the sector with the table, which is whole or not there.
            first = kept.beside(head[:SECTOR]) if kept else head[:SECTOR]
            _write_all(target, head[SECTOR:], SECTOR)
            os.fsync(target)
            _write_all(target, first, 0)
            settle(target)
            if os.pread(target, len(head), 0) != first + head[SECTOR:]:
                raise HostError(f"{device} does not keep its first blocks", hint=_ANOTHER)
        with suppress(OSError):  # a file, or a loop device that shows no partitions
            fcntl.ioctl(target, _BLKRRPART)


def eject(disk: Disk) -> bool:
    """Let go of a card on USB; tell whether it did. What was written is on it already."""
    try:
        return disk.bus == "USB" and run(["eject", disk.device], check=False).returncode == 0
    except HostError:
        return False


@contextmanager
def _opened(device: Path) -> Iterator[int]:
    try:
        # Of a disk this means: nobody else, and nothing of it mounted, in whichever namespace.
        target = os.open(device, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise HostError(f"{device}: {said}", hint=_cure(error)) from error
    try:
        yield target
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise HostError(
            f"{device}: {said}; {_HALF}",
            hint=f"put the card in again, or take another, and {_AGAIN}",
        ) from error
    finally:
        os.close(target)


def _cure(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "run it by sudo; a card's own switch may be at LOCK"
    return "unmount it, and close what uses it"


def _ranges(given: Source) -> list[tuple[int, int, str | None]]:
    if given.map:
        found = given.map
        return [(found.start(one), found.end(one), one.sha256) for one in found.ranges]
    return [
        (first * bmap.BLOCK, min((last + 1) * bmap.BLOCK, given.size), None)
        for first, last in bmap.whole(given.size)
    ]


def _write(
    given: Source, target: int, until: int, tell: Callable[[float], None]
) -> tuple[list[tuple[int, int, str]], bytes]:
    """Write all ranges below ``until`` but the head; give their sums, and the head's bytes.

    What lies behind is read all the same: the sum of a range is that of the whole of it.
    """
    head = bytearray(min(solid.HEAD, given.size))
    written: list[tuple[int, int, str]] = []
    done, everything = 0, given.to_write(given.size)
    with _reading(given) as file:
        at = 0
        for start, end, wanted in _ranges(given):
            _skip(file, start - at, given)
            at, total, ours = start, hashlib.sha256(), hashlib.sha256()
            while at < end:
                block = file.read(min(MIB, end - at))
                if not block:
                    raise ImageError(f"{given.image} is cut off; {_HALF}", hint=packing.AGAIN)
                total.update(block)
                at += len(block)
                below = block[: max(0, until - at + len(block))]
                _put(target, below, at - len(block), head)
                ours.update(below)
                done += len(block)
                tell(done / everything)
            digest = total.hexdigest()
            if wanted and digest != wanted:
                raise ImageError(
                    f"{given.image}: bytes {start} to {end} are not those of its map; {_HALF}",
                    hint=_REMOVE,
                )
            if start < until:
                written.append((start, min(end, until), ours.hexdigest()))
        # A program that unpacks waits until all of it is read, and then says whether it was whole.
        _skip(file, sys.maxsize, given)
    return written, bytes(head)


def _put(target: int, block: bytes, at: int, head: bytearray) -> None:
    """Write a block; what is of the head is kept for later."""
    inside = max(0, min(len(head) - at, len(block)))
    head[at : at + inside] = block[:inside]
    if block[inside:]:
        _write_all(target, block[inside:], at + inside)


@contextmanager
def _reading(given: Source) -> Iterator[IO[bytes]]:
    if given.packing is None:
        with given.image.open("rb") as file:
            yield file
        return
    try:
        with packing.reader(given.image, given.packing) as file:
            yield file
    except (*packing.DAMAGE, CommandError) as error:
        raise ImageError(f"{given.image} is damaged; {_HALF}", hint=packing.AGAIN) from error


def _skip(file: IO[bytes], length: int, given: Source) -> None:
    """Go on by so many bytes, which are no data."""
    if given.packing is None:
        if length < sys.maxsize:
            file.seek(length, os.SEEK_CUR)
        return
    while length > 0:
        block = file.read(min(MIB, length))
        if not block:
            return  # it is cut off: what is read next tells
        if not _is_zero(block):
            raise ImageError(f"{_changed(given.image)}; {_HALF}", hint=_REMOVE)
        length -= len(block)


def _write_all(target: int, data: bytes | memoryview, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(target, view, at)
        view, at = view[written:], at + written


def settle(target: int) -> None:
    """Have all of it on the card, and nothing of it in memory: what is read comes from there."""
    os.fsync(target)
    with suppress(OSError):  # no disk but a file
        fcntl.ioctl(target, _BLKFLSBUF)
    os.posix_fadvise(target, 0, 0, os.POSIX_FADV_DONTNEED)


def _verify(
    target: int,
    written: list[tuple[int, int, str]],
    head: bytes,
    tell: Callable[[float], None],
) -> None:
    done, everything = 0, sum(end - start for start, end, _ in written)
    for start, end, wanted in written:
        at, total = start, hashlib.sha256()
        while at < end:
            if at < len(head):  # not on the card yet
                block = head[at : min(end, len(head))]
            else:
                block = os.pread(target, min(MIB, end - at), at)
            if not block:
                break
            total.update(block)
            at += len(block)
            done += len(block)
            tell(done / everything)
        if total.hexdigest() != wanted:
            raise HostError(
                f"the card gives back other bytes than were written, between {start} and {end};"
                " it starts nothing",
                hint=_ANOTHER,
            )
