"""Block maps: which blocks of an image have to be written, and their sums (bmaptool's version 2.0).

Own code: bmaptool is a program for root and not a library, and all that is needed are the format
and a sum of each range.
"""

from __future__ import annotations

import hashlib
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glovebox.errors import ImageError
from glovebox.host import files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK = 4096
SUFFIX = ".bmap"
AGAIN = "build the image again: ./invoke build-image"
# A range is read as a whole before it counts: shorter ones tell sooner what is wrong.
_LONGEST = (64 << 20) // BLOCK
_SUM = re.compile(r"[0-9a-f]{64}")
_FILE_SUM = re.compile(r"(<BmapFileChecksum>\s*)([0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True)
class Range:
    """Blocks that belong together, both ends included, and the sha256 of their bytes."""

    first: int
    last: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Map:
    """All of an image that has to be written."""

    size: int
    ranges: tuple[Range, ...]

    @property
    def mapped(self) -> int:
        """The bytes that are written."""
        return sum(self.end(one) - self.start(one) for one in self.ranges)

    def start(self, one: Range) -> int:
        """Give the byte a range begins with."""
        return one.first * BLOCK

    def end(self, one: Range) -> int:
        """Give the byte behind a range; the last block may be cut off by the image's end."""
        return min((one.last + 1) * BLOCK, self.size)


def of(image: Path) -> Map:
    """Read an image's data and make its map; holes are what needs no writing."""
    with image.open("rb") as file:
        size = image.stat().st_size
        blocks = list(_joined(files.data(file.fileno(), 0, size)))
    found = []
    for first, last in blocks:
        start, end = first * BLOCK, min((last + 1) * BLOCK, size)
        total = files.sha256_file(image, start=start, size=end - start)
        found.append(Range(first=first, last=last, sha256=total))
    return Map(size=size, ranges=tuple(found))


def whole(size: int) -> Iterator[tuple[int, int]]:
    """Give all blocks of an image without a map, as first and last ones."""
    yield from _cut(0, -(-size // BLOCK) - 1)


def _joined(data: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Turn bytes into whole blocks, none of them twice."""
    first = last = -1
    for begin, end in data:
        low, high = begin // BLOCK, (end - 1) // BLOCK
        if first >= 0 and low > last + 1:
            yield from _cut(first, last)
            first = low
        first = low if first < 0 else first
        last = high
    if first >= 0:
        yield from _cut(first, last)


def _cut(first: int, last: int) -> Iterator[tuple[int, int]]:
    for at in range(first, last + 1, _LONGEST):
        yield at, min(at + _LONGEST - 1, last)


def dump(found: Map) -> str:
    """Write a map as bmaptool reads it."""
    ranges = "".join(
        f'    <Range chksum="{one.sha256}">'
        f" {one.first}{f'-{one.last}' if one.last > one.first else ''} </Range>\n"
        for one in found.ranges
    )
    blocks = sum(one.last - one.first + 1 for one in found.ranges)
    text = (
        '<?xml version="1.0" ?>\n<bmap version="2.0">\n'
        f"  <ImageSize> {found.size} </ImageSize>\n"
        f"  <BlockSize> {BLOCK} </BlockSize>\n"
        f"  <BlocksCount> {-(-found.size // BLOCK)} </BlocksCount>\n"
        f"  <MappedBlocksCount> {blocks} </MappedBlocksCount>\n"
        "  <ChecksumType> sha256 </ChecksumType>\n"
        f"  <BmapFileChecksum> {'0' * 64} </BmapFileChecksum>\n"
        f"  <BlockMap>\n{ranges}  </BlockMap>\n</bmap>\n"
    )
    # The sum is that of the file with zeros in its own place.
    total = hashlib.sha256(text.encode()).hexdigest()
    return _FILE_SUM.sub(rf"\g<1>{total}", text, count=1)


def load(path: Path) -> Map:
    """Read a map; raises ImageError where it is damaged, or of a kind that is not known here."""
    text = path.read_bytes().decode(errors="replace")
    told = _FILE_SUM.search(text)
    plain = _FILE_SUM.sub(lambda found: found[1] + "0" * 64, text, count=1)
    if told is None or hashlib.sha256(plain.encode()).hexdigest() != told[2]:
        raise ImageError(f"{path} is damaged, or no block map with sums", hint=AGAIN)
    try:
        tree = ET.fromstring(text)  # noqa: S314  its sum was right, and it has no entities
        size, block = (int(tree.findtext(name) or "") for name in ("ImageSize", "BlockSize"))
        ranges = tuple(
            _range(one.text or "", one.get("chksum") or "") for one in tree.iter("Range")
        )
    except (ET.ParseError, ValueError) as error:
        raise ImageError(f"{path} is no block map: {error}", hint=AGAIN) from error
    ends = [(one.first, one.last) for one in ranges]
    behind = [-1, *(last for _, last in ends)]
    if block != BLOCK or any(
        not before < first <= last <= (size - 1) // BLOCK
        for before, (first, last) in zip(behind, ends, strict=False)
    ):
        raise ImageError(f"{path}: its blocks are not in order within the image", hint=AGAIN)
    return Map(size=size, ranges=ranges)


def _range(words: str, total: str) -> Range:
    first, _, last = words.strip().partition("-")
    if not _SUM.fullmatch(total):
        message = "a range without its sum"
        raise ValueError(message)
    return Range(first=int(first), last=int(last or first), sha256=total)
