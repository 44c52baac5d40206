"""Looking into an initramfs: every archive of it, however packed, and no damage overlooked."""

from __future__ import annotations

import gzip
import lzma
import shutil
from typing import TYPE_CHECKING

import pytest

from glovebox.card.initramfs import Member, members
from glovebox.errors import ImageError
from glovebox.host.run import PATH, run_bytes

if TYPE_CHECKING:
    from collections.abc import Callable


def cpio(*files: tuple[str, bytes]) -> bytes:
    """Make an archive of files, as the kernel's documentation describes it."""
    image = b""
    for name, data in (*files, ("TRAILER!!!", b"")):
        raw = name.encode() + b"\0"
        fields = [1, 0o100755, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0]
        image += b"070701" + b"".join(b"%08x" % number for number in fields) + raw
        image += bytes(-len(image) % 4) + data
        image += bytes(-len(image) % 4)
    return image


def found(image: bytes) -> list[tuple[str, bytes]]:
    """Read an image."""
    return [(member.name, member.data) for member in members(image)]


def xz(data: bytes) -> bytes:
    """Pack as the kernel wants it."""
    return lzma.compress(data, check=lzma.CHECK_CRC32)


def zstd(data: bytes) -> bytes:
    """Pack with the program there is."""
    if shutil.which("zstd", path=PATH) is None:
        pytest.skip("needs the program zstd")
    return run_bytes(["zstd", "--stdout", "--quiet"], data)


FILES = [("init", b"#!/bin/sh\n"), ("lib/modules/a.ko", bytes(range(256)) * 7), ("empty", b"")]
PACKERS: list[Callable[[bytes], bytes]] = [bytes, gzip.compress, xz, zstd]


@pytest.mark.parametrize("pack", PACKERS)
def test_every_packing(pack: Callable[[bytes], bytes]) -> None:
    """Plain, gzip, xz and zstd archives give the same members; the trailer is none."""
    assert found(pack(cpio(*FILES))) == FILES


@pytest.mark.parametrize("pack", PACKERS)
def test_a_plain_archive_before_the_packed_one(pack: Callable[[bytes], bytes]) -> None:
    """Early microcode comes in an archive of its own, with zero bytes after it."""
    image = cpio(("early", b"1")) + bytes(512) + pack(cpio(*FILES))

    assert found(image) == [("early", b"1"), *FILES]


def test_modes_are_read() -> None:
    """A member says what it is."""
    assert next(members(cpio(("init", b"x")))) == Member(name="init", mode=0o100755, data=b"x")


@pytest.mark.parametrize("image", [b"", bytes(512)])
def test_nothing_is_no_member(image: bytes) -> None:
    """An empty image has no members and no damage."""
    assert found(image) == []


@pytest.mark.parametrize("pack", PACKERS)
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_cut_image_is_damaged(pack: Callable[[bytes], bytes], kept: float) -> None:
    """An image that ends too early is refused, wherever it was cut."""
    image = pack(cpio(*((f"{name}{n}", data) for n in range(9) for name, data in FILES)))

    with pytest.raises(ImageError):
        found(image[: int(len(image) * kept)])


@pytest.mark.parametrize("pack", PACKERS[1:])
def test_a_changed_image_is_damaged(pack: Callable[[bytes], bytes]) -> None:
    """A packed archive with wrong bytes in it is refused in our own words."""
    image = bytearray(pack(cpio(*FILES)))
    middle = len(image) // 2
    image[middle : middle + 8] = b"\xaa\x55" * 4

    with pytest.raises(ImageError):
        found(bytes(image))


def test_an_archive_without_its_end_is_damaged() -> None:
    """Cut exactly between two members, an archive still lacks its trailer."""
    image = cpio(("a", b"1"), ("b", b"2"))

    with pytest.raises(ImageError, match="ends"):
        found(image[: image.index(b"070701", 6)])


def test_an_unknown_format_is_named() -> None:
    """What is no known archive is shown by its first bytes."""
    with pytest.raises(ImageError, match="424f4f"):
        found(b"BOOT this is no archive")


def test_a_bad_header_is_placed() -> None:
    """A header that holds no numbers is refused with its place."""
    image = cpio(("a", b"1"))

    with pytest.raises(ImageError, match="byte 0"):
        found(image[:6] + b"zzzzzzzz" + image[14:])
