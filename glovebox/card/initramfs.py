"""Look into an initramfs: an archive a scan of the root file system cannot see into.

The format is that of the kernel's Documentation/driver-api/early-userspace/buffer-format: one or
more cpio archives ("newc"), each plain or compressed, with zero bytes between them.
"""

from __future__ import annotations

import lzma
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glovebox.errors import ImageError
from glovebox.host.run import CommandError, run_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = 110
_TRAILER = "TRAILER!!!"


@dataclass(frozen=True, kw_only=True)
class Member:
    """One file of the archive."""

    name: str
    mode: int
    data: bytes


def members(image: bytes) -> Iterator[Member]:
    """Give every member of every archive in the image; raises ImageError when it is damaged."""
    at = 0
    inside = ""
    while at < len(image):
        if image[at] == 0:
            at += 1
        elif image[at : at + 6] in (b"070701", b"070702"):
            member, at = _member(image, at)
            inside = member.name
            if inside != _TRAILER:
                yield member
        else:
            yield from members(_decompress(image[at:]))
            return
    if inside not in ("", _TRAILER):
        raise ImageError(f"the initramfs ends after {inside}, in the middle of an archive")


def _member(image: bytes, at: int) -> tuple[Member, int]:
    try:
        fields = [int(image[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
    except ValueError as error:
        raise ImageError(f"the initramfs is damaged at byte {at}") from error
    mode, size, name_size = fields[1], fields[6], fields[11]
    name = image[at + _HEADER : at + _HEADER + name_size - 1].decode(errors="replace")
    start = at + (_HEADER + name_size + 3) // 4 * 4
    end = start + size
    if end > len(image):
        raise ImageError(f"the initramfs ends in the middle of {name}")
    return Member(name=name, mode=mode, data=image[start:end]), (end + 3) // 4 * 4


def _decompress(data: bytes) -> bytes:
    if data[:4] == b"\x28\xb5\x2f\xfd":
        unpack = _zstd
    elif data[:2] == b"\x1f\x8b":
        unpack = _gzip
    elif data[:6] == b"\xfd7zXZ\x00":
        unpack = _xz
    else:
        raise ImageError(f"the initramfs has an archive of unknown format ({data[:6].hex()})")
    try:
        return unpack(data)
    except (CommandError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise ImageError(f"the initramfs has a damaged archive: {error}") from error


def _zstd(data: bytes) -> bytes:
    return run_bytes(["zstd", "--decompress", "--stdout", "--quiet"], data)


def _gzip(data: bytes) -> bytes:
    stream = zlib.decompressobj(wbits=31)
    return _whole(stream.decompress(data), ended=stream.eof)


def _xz(data: bytes) -> bytes:
    stream = lzma.LZMADecompressor()
    return _whole(stream.decompress(data), ended=stream.eof)


def _whole(data: bytes, *, ended: bool) -> bytes:
    # Both give what there is of a stream that was cut off, without a word.
    if not ended:
        raise EOFError("it ends too early")
    return data
