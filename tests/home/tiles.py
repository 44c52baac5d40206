"""A small .pmtiles file: one street across the world, written byte by byte as its format says.

No package with streets is to be had; this stands in for the owner's file, and only for its form.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

EXTENT = 4096
HEADER = 127
PLAIN, MVT = 1, 1  # no compression; vector tiles


def write(path: Path) -> None:
    """Write zoom level 0 with one layer, `roads`, of one line."""
    tile = _tile()
    directory = b"".join(map(_varint, (1, 0, 1, len(tile), 1)))
    meta = json.dumps({"vector_layers": [{"id": "roads", "fields": {}}]}).encode()
    at = HEADER
    root, at = (at, len(directory)), at + len(directory)
    metadata, at = (at, len(meta)), at + len(meta)
    head = b"PMTiles\x03" + struct.pack(
        "<QQQQQQQQQQQ", *root, *metadata, at, 0, at, len(tile), 1, 1, 1
    )  # fmt: skip
    head += struct.pack("<BBBBBB", 1, PLAIN, PLAIN, MVT, 0, 0)
    head += struct.pack("<iiii", -1_800_000_000, -850_000_000, 1_800_000_000, 850_000_000)
    head += struct.pack("<Bii", 0, 0, 0)
    assert len(head) == HEADER
    path.write_bytes(head + directory + meta + tile)


def _tile() -> bytes:
    # MoveTo one point, then LineTo another: across the tile.
    commands = [9, 0, _zigzag(EXTENT // 2), 10, _zigzag(EXTENT), 0]
    packed = b"".join(map(_varint, commands))
    tags = b"".join(map(_varint, (0, 0)))
    feature = _field(2, tags) + _varint(3 << 3) + _varint(2) + _field(4, packed)
    value = _field(1, b"highway")
    layer = (
        _field(1, b"roads") + _field(2, feature) + _field(3, b"kind") + _field(4, value)
        + _varint(5 << 3) + _varint(EXTENT) + _varint(15 << 3) + _varint(2)
    )  # fmt: skip
    return _field(3, layer)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
