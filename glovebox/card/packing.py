"""Unpack images: xz, zstd, gzip, bzip2, zip, told by their first bytes and not by their names."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import re
import shutil
import stat
import zipfile
import zlib
from contextlib import contextmanager
from enum import StrEnum
from typing import IO, TYPE_CHECKING, assert_never, cast

from glovebox.errors import HostError, ImageError
from glovebox.host import files
from glovebox.host.run import CommandError, reading, run
from glovebox.store.store import UNPACKED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from glovebox.host.monitor import Monitor
    from glovebox.store.store import Store

MIB = 1 << 20
AGAIN = "fetch it again"
_KEPT = 3  # unpacked images in the store; the one not used for longest goes first


class Packing(StrEnum):
    """How an image is packed, told by its first bytes and not by its name."""

    XZ = "xz"
    ZSTD = "zstd"
    GZIP = "gzip"
    BZIP2 = "bzip2"
    ZIP = "zip"


_ZIP_KNOWN = frozenset(
    {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
)
_PACKED = (
    (b"\xfd7zXZ\0", Packing.XZ),
    (b"\x28\xb5\x2f\xfd", Packing.ZSTD),
    (b"\x1f\x8b", Packing.GZIP),
    (b"BZh", Packing.BZIP2),
    (b"PK\x03\x04", Packing.ZIP),
)


# What reading a damaged file raises, beside CommandError.
DAMAGE = (
    lzma.LZMAError, zlib.error, EOFError, gzip.BadGzipFile, zipfile.BadZipFile, ValueError,
    NotImplementedError, RuntimeError,
)  # fmt: skip


def packing_of(image: Path) -> Packing | None:
    """Tell how a file is packed; raises ImageError when it cannot be an image at all."""
    try:
        status = image.stat()
    except OSError as error:
        hint = "a relative path starts at the checkout" if not image.is_absolute() else None
        raise ImageError(f"{image}: {_said(error)}", hint=hint) from error
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"{image} is a folder", hint="give the file of an image")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(
            f"{image} is no file",
            hint=f"copy the card into one: dd if={image} of=card.img bs=4M conv=sparse",
        )
    if status.st_size == 0:
        raise ImageError(f"{image} is empty", hint=AGAIN)
    with image.open("rb") as file:
        head = file.read(8)
    return next((kind for magic, kind in _PACKED if head.startswith(magic)), None)


def _said(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def unpacked(image: Path, packing: Packing, store: Store, monitor: Monitor) -> Path:
    """Give the unpacked image, from the store if it was unpacked before."""
    status = image.stat()
    name = f"{image.resolve()} {status.st_size} {status.st_mtime_ns}"
    folder = store.root / UNPACKED
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / f"{files.digest(name)[:16]}.img"
    with store.exclusive(f"unpack-{target.stem}"):
        if target.exists():
            os.utime(target)
            return target
        with monitor.step("unpack", f"{image.name} into {folder}"), store.scratch() as scratch:
            unpack(image, packing, scratch / "card.img")
            (scratch / "card.img").rename(target)
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)[:-_KEPT]:
        path.unlink(missing_ok=True)  # who has it open keeps it
    return target


def unpack(image: Path, packing: Packing, target: Path, *, digest: bool = False) -> str:
    """Unpack an image, leaving holes where it has zeros; give the sha256 of what came out if asked.

    Raises ImageError when the file is damaged, HostError when the disk has no room for it.
    """
    require_room(target.parent, unpacked_size(image, packing), what=f"unpacking {image.name}")
    summed = hashlib.sha256()
    try:
        with reader(image, packing) as source, target.open("wb") as file:
            while block := source.read(MIB):
                if digest:
                    summed.update(block)
                if block.count(0) == len(block):
                    file.seek(len(block), os.SEEK_CUR)
                else:
                    file.write(block)
            file.truncate()
    except DAMAGE as error:
        raise ImageError(f"{image} is damaged: {error}", hint=AGAIN) from error
    except CommandError as error:
        said = " ".join(error.tail.split())
        raise ImageError(f"{image} is damaged: {said}", hint=AGAIN) from error
    return summed.hexdigest() if digest else ""


def unpacked_size(image: Path, packing: Packing) -> int | None:
    """Give the size a packed image will have, in bytes; None where the file does not tell."""
    match packing:
        case Packing.XZ:
            said = run(["xz", "--robot", "--list", "--", image], check=False).stdout
            found = re.search(r"^totals\t\d+\t\d+\t\d+\t(\d+)", said, re.MULTILINE)
        case Packing.ZSTD:
            said = run(["zstd", "--list", "--verbose", "--", image], check=False).stdout
            found = re.search(r"^Decompressed Size: .*\((\d+) B\)", said, re.MULTILINE)
        case Packing.ZIP:
            return _member(image).file_size
        case Packing.GZIP | Packing.BZIP2:
            return None
        case _:
            assert_never(packing)
    return int(found[1]) if found else None


def require_room(folder: Path, size: int | None, *, what: str) -> None:
    """Raise HostError when a disk has no room for ``size`` bytes."""
    free = shutil.disk_usage(folder).free
    if size is not None and size > free:
        raise HostError(
            f"{what} takes {size / 1e9:.1f} GB, the disk of {folder} has {free / 1e9:.1f} GB free",
            hint="make room: ./invoke clean; or choose another disk (GLOVEBOX_STORE, --output)",
        )


def reader(image: Path, packing: Packing) -> AbstractContextManager[IO[bytes]]:
    """Open a packed image, to be read to its end; what damage raises is in ``DAMAGE``."""
    match packing:
        case Packing.XZ:
            # A program of its own: beside what is done with the bytes, and on all processors where
            # the file was packed in blocks, as Raspberry Pi's are.
            return reading(["xz", "--decompress", "--threads=0", "--stdout", "--", str(image)])
        case Packing.GZIP:
            return cast("AbstractContextManager[IO[bytes]]", gzip.open(image))
        case Packing.BZIP2:
            return cast("AbstractContextManager[IO[bytes]]", bz2.open(image))
        case Packing.ZSTD:
            # Windows of up to 2 GiB, as `zstd --long=31` and `--ultra` make them.
            return reading(
                ["zstd", "--decompress", "--long=31", "--stdout", "--quiet", "--", str(image)]
            )
        case Packing.ZIP:
            return cast("AbstractContextManager[IO[bytes]]", _open_member(image))
        case _:
            assert_never(packing)


def _is_image(name: str) -> bool:
    """Tell whether a file of an archive is an image: macOS packs notes of its own beside each."""
    folders, _, last = name.rpartition("/")
    own = "__MACOSX" in folders.split("/") or last.startswith("._")
    return last.lower().endswith((".img", ".wic")) and not own


@contextmanager
def _open_member(image: Path) -> Iterator[IO[bytes]]:
    member = _member(image)
    if member.compress_type not in _ZIP_KNOWN:
        # Windows packs large files with deflate64, which Python does not know and unzip does.
        name = re.sub(r"([][*?\\])", r"\\\1", member.filename)
        with reading(["unzip", "-p", "--", str(image), name]) as unpacked_file:
            yield unpacked_file
        return
    with zipfile.ZipFile(image) as archive, archive.open(member) as file:
        yield file


def _member(image: Path) -> zipfile.ZipInfo:
    try:
        with zipfile.ZipFile(image) as archive:
            found = [one for one in archive.infolist() if _is_image(one.filename)]
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise ImageError(f"{image} is damaged: {error}", hint=AGAIN) from error
    if len(found) != 1:
        raise ImageError(
            f"{image} holds {len(found)} images, one is wanted", hint="unpack it: unzip FILE"
        )
    if found[0].flag_bits & 1:
        raise ImageError(f"{image} is locked with a password", hint="unpack it first")
    return found[0]
