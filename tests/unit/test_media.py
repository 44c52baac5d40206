"""Any file may be given as an image: what it is not is said in one sentence, with a cure."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.card import ext4, media, packing
from glovebox.card.packing import Packing
from glovebox.card.table import Table
from glovebox.errors import GloveboxError, HostError, ImageError
from glovebox.host.monitor import Monitor
from glovebox.host.run import run
from glovebox.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MIB = 1 << 20
# Type and first and number of sectors of each partition.
TABLE = ((0x0C, 2048, 2048), (0x83, 4096, 4096))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give an empty store."""
    return Store(root=tmp_path / "store").open()


def partitioned(
    path: Path, parts: Sequence[tuple[int, int, int]], *, at_root: bytes = b"", place: int = 0
) -> Path:
    """Make an image of 4 MiB with a table, and bytes in its root partition."""
    entries = b"".join(struct.pack("<4xB3x2I", *part) for part in parts)
    sector = bytes(440) + b"\xfe\xca\xad\x0b" + bytes(2) + entries.ljust(64, b"\0") + b"\x55\xaa"
    with path.open("wb") as file:
        file.write(sector)
        file.seek(2 * MIB + place)
        file.write(at_root)
        file.truncate(4 * MIB)
    return path


def gpt(path: Path) -> Path:
    """Make an image with a table of another kind."""
    with path.open("wb") as file:
        file.truncate(4 * MIB)
    run(["sfdisk", "--quiet", path], input="label: gpt\nsize=1MiB\n")
    return path


def bytes_at(path: Path, place: int, data: bytes) -> Path:
    """Make a file of 4 MiB with some bytes at a place."""
    with path.open("wb") as file:
        file.write(b"x")
        file.truncate(4 * MIB)
        file.seek(place)
        file.write(data)
    return path


def cut_off(path: Path) -> Path:
    """Make an image whose second half is missing."""
    partitioned(path, TABLE)
    with path.open("rb+") as file:
        file.truncate(3 * MIB)
    return path


def half(packed: bytes) -> bytes:
    """Give the first half of a packed file."""
    return packed[: len(packed) // 2]


def folder(path: Path) -> Path:
    """Make a folder."""
    path.mkdir()
    return path


def written(path: Path, data: bytes) -> Path:
    """Make a file."""
    path.write_bytes(data)
    return path


def zipped(path: Path, *names: str) -> Path:
    """Make an archive."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x" * 4096)
    return path


NOISE = bytes(range(256)) * 4096
BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda path: path, "no such file"),
    "folder": (folder, "is a folder"),
    "empty": (lambda path: written(path, b""), "is empty"),
    "device": (lambda _path: Path("/dev/null"), "is no file"),
    "blank": (lambda path: written(path, bytes(MIB)), "is blank"),
    "text": (lambda path: written(path, b"hello\n" * 4000), "has no partition table"),
    "web page": (lambda path: written(path, b"<!DOCTYPE html>" * 99), "is a web page"),
    "qcow2": (lambda path: bytes_at(path, 0, b"QFI\xfb"), r"qcow2"),
    "tar": (lambda path: bytes_at(path, 257, b"ustar"), "is a tar archive"),
    "iso": (lambda path: bytes_at(path, 0x8001, b"CD001"), "is a CD image"),
    "bare ext4": (lambda path: bytes_at(path, 1080, b"\x53\xef"), "is one ext4 file system"),
    "bare FAT": (lambda path: bytes_at(path, 82, b"FAT32"), "is one FAT file system"),
    "gpt": (gpt, "no FAT partition"),
    "lz4": (lambda path: bytes_at(path, 0, b"\x04\x22\x4d\x18"), "is packed with lz4"),
    "lzma": (lambda path: bytes_at(path, 0, b"\x5d\x00\x00\x80"), "is packed with lzma"),
    "sparse": (lambda path: bytes_at(path, 0, b"\x3a\xff\x26\xed"), "is an Android sparse image"),
    "zip of notes": (lambda path: zipped(path, "__MACOSX/._a.img", "._b.img"), "holds 0 images"),
    "no boot": (
        lambda path: partitioned(path, TABLE[1:]),
        "no FAT partition",
    ),
    "no root": (
        lambda path: partitioned(path, TABLE[:1]),
        "no Linux partition",
    ),
    "cut off": (cut_off, "is cut off: its root partition ends at byte 4194304, the file at 3145"),
    "encrypted": (
        lambda path: partitioned(path, TABLE, at_root=b"LUKS\xba\xbe"),
        r"is encrypted \(LUKS\)",
    ),
    "btrfs": (
        lambda path: partitioned(path, TABLE, at_root=b"_BHRfS_M", place=0x10040),
        "is btrfs, only ext4",
    ),
    "not ext4": (lambda path: partitioned(path, TABLE, at_root=b"?"), "holds no ext4"),
    "broken xz": (lambda path: written(path, half(lzma.compress(NOISE))), "is damaged"),
    "broken gzip": (lambda path: written(path, half(gzip.compress(NOISE))), "is damaged"),
    "broken bzip2": (lambda path: written(path, half(bz2.compress(NOISE))), "is damaged"),
    "broken zstd": (lambda path: written(path, b"\x28\xb5\x2f\xfd broken"), "is damaged"),
    "broken zip": (lambda path: written(path, b"PK\x03\x04 broken"), "is damaged"),
    "zip of two": (lambda path: zipped(path, "a.img", "b.img"), "holds 2 images"),
    "zip of none": (lambda path: zipped(path, "readme"), "holds 0 images"),
    "packed text": (lambda path: written(path, lzma.compress(b"hi\n" * 999)), "no partition table"),
}


@pytest.mark.needs("sfdisk", "xz", "zstd")
@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_image_is_told_so(kind: str, tmp_path: Path, store: Store) -> None:
    """One sentence names the file and what it is; nothing is left behind, the file is as it was."""
    make, said = BAD[kind]
    path = make(tmp_path / "the card.img")
    before = path.read_bytes() if path.is_file() else None

    with pytest.raises(ImageError, match=said) as caught:
        media.look(path, store, Monitor(quiet=True))

    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message
    assert (path.read_bytes() if path.is_file() else None) == before
    assert list((store.root / "tmp").iterdir()) == []


@pytest.mark.needs("xz", "zstd")
@pytest.mark.parametrize("kind", list(Packing))
def test_packed_is_what_was_packed(kind: Packing, tmp_path: Path) -> None:
    """Each packing gives the same bytes, whatever the file is called, with its zeros as holes."""
    plain = tmp_path / "plain"
    plain.write_bytes(NOISE + bytes(8 * MIB) + b"end" + bytes(3 * MIB))
    path = tmp_path / "card"
    match kind:
        case Packing.XZ:
            path.write_bytes(lzma.compress(plain.read_bytes(), preset=0))
        case Packing.GZIP:
            path.write_bytes(gzip.compress(plain.read_bytes(), 1))
        case Packing.BZIP2:
            path.write_bytes(bz2.compress(plain.read_bytes(), 1))
        case Packing.ZSTD:
            run(["zstd", "--quiet", plain, "-o", path])
        case Packing.ZIP:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.write(plain, "folder/card.img")

    found = packing.packing_of(path)
    packing.unpack(path, kind, tmp_path / "out")

    assert found == kind
    assert (tmp_path / "out").read_bytes() == plain.read_bytes()
    assert (tmp_path / "out").stat().st_blocks * 512 < 4 * MIB
    assert packing.unpacked_size(path, kind) in {plain.stat().st_size, None}


@pytest.mark.needs("xz")
def test_an_image_is_unpacked_once(tmp_path: Path, store: Store) -> None:
    """A second look finds it unpacked; of many the oldest go; another file of that name is new."""
    path = tmp_path / "card.img.xz"
    results = []
    for number in (1, 1, 2, 3, 4):
        if not path.exists() or lzma.decompress(path.read_bytes()) != bytes([number]) * 5000:
            path.write_bytes(lzma.compress(bytes([number]) * 5000))
        results.append(packing.unpacked(path, Packing.XZ, store, Monitor(quiet=True)))

    assert results[0] == results[1]
    assert len(set(results)) == 4
    assert [result.exists() for result in results] == [False, False, True, True, True]
    assert results[-1].read_bytes() == b"\4" * 5000


def test_no_room_is_said_before_it_is_used(tmp_path: Path) -> None:
    """A disk that is too small is named, with what is needed and what is free."""
    with pytest.raises(HostError, match=r"unpacking takes 1000000\.0 GB, the disk of .* has"):
        packing.require_room(tmp_path, 10**15, what="unpacking")


@pytest.mark.needs("mke2fs", "debugfs")
@pytest.mark.parametrize("block", [1024, 4096])
def test_the_superblock_is_read(block: int, tmp_path: Path) -> None:
    """Size, label and state are those mke2fs wrote; a file system in use is not clean."""
    path = tmp_path / "ext4"
    with path.open("wb") as file:
        file.truncate(16 * MIB)
    run(["mke2fs", "-q", "-t", "ext4", "-b", str(block), "-L", "rootfs", path])

    found = ext4.parse(path.read_bytes()[1024:2048])
    run(["debugfs", "-w", "-R", "feature +needs_recovery", path])
    dirty = ext4.parse(path.read_bytes()[1024:2048])

    assert found is not None
    assert dirty is not None
    assert (found.size, found.block, found.label) == (16 * MIB, block, "rootfs")
    assert 0 < found.free < found.size
    assert (found.clean, dirty.clean) == (True, False)
    assert ext4.parse(bytes(1024)) is None


def test_a_packed_image_is_not_changed(tmp_path: Path) -> None:
    """What cannot be put back is not changed, and the cure is how to unpack it."""
    card = media.Card(
        source=tmp_path / "a.img.xz", raw=tmp_path / "a", packing=Packing.XZ, size=0,
        table=Table(disk_id="0", partitions=()), boot=None, root=None, system=None,  # type: ignore[arg-type]  not looked at
    )  # fmt: skip

    with pytest.raises(GloveboxError, match="is packed") as caught:
        media.require_writable(card)

    assert caught.value.hint == f"unpack it first: xz --decompress --keep {tmp_path}/a.img.xz"
