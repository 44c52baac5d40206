"""Renewing the system on a card: the data stays, cut at whichever moment."""

from __future__ import annotations

import os
import shutil
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from invoke import Context

import tasks
from glovebox.card import bmap, disks, flash, keep, mbr, pack
from glovebox.config.build import Packed
from glovebox.errors import GloveboxError, HostError, ImageError
from glovebox.host import files
from glovebox.host.monitor import Monitor
from glovebox.host.run import run
from glovebox.onboard.grow import grown
from tests.unit.test_flash import CutError

MIB = 1 << 20
BOOT, ROOT, DATA = 8 * MIB, 16 * MIB, 32 * MIB
SIZE, CARD = 40 * MIB, 72 * MIB
QUIET = Monitor(quiet=True)

pytestmark = pytest.mark.needs("mke2fs", "sfdisk")


def table(disk_id: str, *, data: int = DATA, data_size: int = 8 * MIB) -> str:
    """Write a table as the builder does."""
    parts = ((BOOT, ROOT - BOOT, "c"), (ROOT, 8 * MIB, "83"), (data, data_size, "83"))
    lines = [f"start={at // 512}, size={size // 512}, type={kind}" for at, size, kind in parts]
    return "\n".join((f"label: dos\nlabel-id: 0x{disk_id}\nunit: sectors", *lines, ""))


def make(path: Path, disk_id: str, fill: bytes, *, data: int = DATA, label: str = "data") -> Path:
    """Make an image whose boot, root and data are of these bytes, the latter with its head."""
    with path.open("wb") as file:
        file.truncate(SIZE)
        for at, length in ((BOOT, MIB), (BOOT + 4 * MIB, 5000), (ROOT, 3 * MIB)):
            file.seek(at)
            file.write(fill * (length // len(fill)))
    run(["sfdisk", "--quiet", path], input=table(disk_id, data=data))
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-b", "2048", "-L", label, "-E",
         f"offset={data},nodiscard", path, "7M"])  # fmt: skip
    files.write_whole(path.with_name(path.name + bmap.SUFFIX), bmap.dump(bmap.of(path)))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make an old and a new image."""
    folder = tmp_path_factory.mktemp("made")
    return make(folder / "old.img", "01d01d01", b"old "), make(folder / "new.img", "4e44e44e", b"n")


@dataclass(frozen=True)
class Used:
    """A card on which a board has recorded, and what it must not lose."""

    disk: disks.Disk
    data: bytes
    entry: bytes

    @property
    def path(self) -> Path:
        """Give the file that stands for it."""
        return self.disk.device

    def renew(self, image: Path, **more: object) -> None:
        """Write as the verb does."""
        given = flash.source(image)
        kept = keep.find(image, flash.first_sector(given), self.disk)
        flash.flash(given, self.path, QUIET, kept=kept, **more)  # type: ignore[arg-type]

    @property
    def data_stayed(self) -> bool:
        """Tell whether no byte of data changed, and its entry stands in a table that is one."""
        whole = self.path.read_bytes()
        return whole[DATA:] == self.data and mbr.entry(whole[:512], 3) == self.entry

    @property
    def starts(self) -> bool:
        """Tell whether the firmware would find a boot partition."""
        return bool(mbr.entries(self.path.read_bytes()[:512])[0].kind)

    def has(self, image: Path) -> bool:
        """Tell whether boot and root of an image are on it, and its disk id."""
        card, whole = self.path.read_bytes(), image.read_bytes()
        blocks = [slice(at, at + 4096) for at in range(4096, DATA, 4096)]
        return card[440:446] == whole[440:446] and card[446:478] == whole[446:478] and all(
            card[one] == whole[one] for one in blocks if any(whole[one])
        )  # fmt: skip


@pytest.fixture
def used(made: tuple[Path, Path], tmp_path: Path) -> Used:
    """Take a card full of something else, write the old image, let the board grow and record."""
    path = tmp_path / "sdx"
    path.write_bytes(b"\xa5" * CARD)
    disk = disks.Disk(name=str(path), bus="USB", model="", size=CARD, used=())
    flash.flash(flash.source(made[0]), path, QUIET)
    with path.open("rb+") as file:
        sector = grown(file.read(512), CARD // 512)
        assert sector is not None
        file.seek(0)
        file.write(sector)
        file.seek(DATA + 6 * MIB)
        file.write(b"a record" * 9999)
    whole = path.read_bytes()
    return Used(disk=disk, data=whole[DATA:], entry=mbr.entry(sector, 3))


def changed(card: Path, at: int, data: bytes) -> None:
    """Write some bytes onto a card."""
    with card.open("rb+") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize("mapped", [True, False])
def test_the_system_is_new_and_the_data_old(
    made: tuple[Path, Path], used: Used, tmp_path: Path, *, mapped: bool
) -> None:
    """Boot, root and disk id are the image's; the grown data partition is the card's own."""
    image = Path(shutil.copy(made[1], tmp_path))
    if mapped:
        shutil.copy(f"{made[1]}{bmap.SUFFIX}", tmp_path)

    used.renew(image)

    assert used.has(image)
    assert used.data_stayed
    run(["sfdisk", "--verify", used.path])


@pytest.mark.needs("zstd", "xz")
@pytest.mark.parametrize("how", list(Packed))
def test_of_a_packed_image(made: tuple[Path, Path], used: Used, how: Packed) -> None:
    """A packed image renews as the image itself."""
    copy = made[1].with_name(f"new.img.{how}")
    pack.pack(made[1], how, copy, tell=lambda _: None)

    used.renew(copy)

    assert used.has(made[1])
    assert used.data_stayed


def test_cut_after_each_write(
    made: tuple[Path, Path], used: Used, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each moment data and its entry are whole; the same command goes on, or there is no need.

    A sector is written or not; of more only a half may be.
    """
    old, new = made
    before = used.path.read_bytes()
    real, after, ended = os.pwrite, 0, False
    while not ended:
        used.path.write_bytes(before)
        count = 0

        def cut(target: int, data: memoryview, at: int, after: int = after) -> int:
            nonlocal count
            count += 1
            if count > after:
                if len(data) > 512:
                    real(target, data[: len(data) // 2], at)
                raise CutError
            return real(target, data, at)

        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", cut)
            try:
                used.renew(new)
                ended = True
            except CutError:
                assert used.has(old) if after == 0 else not used.starts
        assert used.data_stayed, after
        run(["sfdisk", "--verify", used.path])
        if not ended:
            used.renew(new)
        assert used.has(new), after
        assert used.data_stayed, after
        after += 1
    assert after > 8


def test_a_half_written_card_is_known(
    made: tuple[Path, Path], used: Used, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a cut leaves is told as that."""
    given = flash.source(made[1])
    first = flash.first_sector(given)
    assert not keep.find(made[1], first, used.disk).is_half

    def cut(*_: object) -> bytes:
        raise CutError

    with monkeypatch.context() as patched:
        patched.setattr(flash, "_verify", cut)
        with pytest.raises(CutError):
            used.renew(made[1])

    assert keep.find(made[1], first, used.disk).is_half


def test_an_image_that_is_damaged(made: tuple[Path, Path], used: Used, tmp_path: Path) -> None:
    """An image that is not its map's starts nothing, and costs no data."""
    image = Path(shutil.copy(made[1], tmp_path))
    shutil.copy(f"{made[1]}{bmap.SUFFIX}", tmp_path)
    changed(image, ROOT + 7, b"??")

    with pytest.raises(ImageError, match="are not those of its map"):
        used.renew(image)

    assert not used.starts
    assert used.data_stayed


@pytest.mark.needs("zstd", "xz")
@pytest.mark.parametrize("how", list(Packed))
def test_a_packed_image_that_is_damaged_in_front(
    made: tuple[Path, Path], used: Used, tmp_path: Path, how: Packed
) -> None:
    """It is told before anything is written, and no card is called half written."""
    copy = tmp_path / f"new.img.{how}"
    pack.pack(made[1], how, copy, tell=lambda _: None)
    given = flash.source(copy)
    changed(copy, 16, bytes(64))

    with pytest.raises(ImageError, match="is damaged") as caught:
        flash.first_sector(given)

    assert "half written" not in str(caught.value)
    assert used.starts


def empty(number: int) -> tuple[int, bytes]:
    """Leave out an entry of the table."""
    return 446 + 16 * (number - 1), bytes(16)


@pytest.mark.parametrize(
    ("at", "data", "told"),
    [
        (0, bytes(512), "has no partition table of ours"),
        (*empty(3), "has no data partition in place 3"),
        (446 + 32 + 4, b"\x0c", "has no data partition in place 3"),
        (446 + 48 + 4, b"\x83", "has no data partition in place 3"),
        (446 + 32 + 8, struct.pack("<I", DATA // 512 + 16384), "begins at 40 MiB, and that of new"),
        (446 + 32 + 12, struct.pack("<I", CARD // 512), "ends behind the end of the card"),
        (446 + 4, b"\xee", "are not boot, root and data"),
        (446 + 16 + 12, struct.pack("<I", DATA // 512), "are not boot, root and data"),
        (*empty(1), "are not boot, root and data"),
        (DATA + 1024, bytes(1024), "no file system called data"),
        (DATA + 1024 + 120, b"music\0", "no file system called data"),
    ],
)
def test_a_card_whose_data_would_not_be_found(
    made: tuple[Path, Path], used: Used, at: int, data: bytes, told: str
) -> None:
    """A card that is not laid out as the image is refused, before anything is written."""
    changed(used.path, at, data)
    before = used.path.read_bytes()

    with pytest.raises(HostError, match=told) as caught:
        used.renew(made[1])

    assert "nothing was written" in caught.value.message
    assert "without --keep-data" in str(caught.value)
    assert used.path.read_bytes() == before


@pytest.mark.parametrize("at", [446 + 32, 446 + 48])
def test_an_image_without_a_data_partition(made: tuple[Path, Path], used: Used, at: int) -> None:
    """An image that has no data partition, or something behind it, has nothing to keep."""
    sector = bytearray(made[1].read_bytes()[:512])
    sector[at + 4] ^= 0x83

    with pytest.raises(ImageError, match="there is nothing to keep"):
        keep.find(made[1], bytes(sector), used.disk)


def test_another_card_meanwhile(made: tuple[Path, Path], used: Used) -> None:
    """A card that was changed for another while somebody was asked is not written."""
    given = flash.source(made[1])
    kept = keep.find(made[1], flash.first_sector(given), used.disk)
    changed(used.path, 440, b"else")
    before = used.path.read_bytes()

    with pytest.raises(GloveboxError, match="another card than before"):
        flash.flash(given, used.path, QUIET, kept=kept)

    assert used.path.read_bytes() == before


def test_the_verb(
    made: tuple[Path, Path],
    used: Used,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`flash --keep-data` asks about the system alone, and says that the data stayed."""
    asked: list[str] = []

    def says(question: str) -> str:
        asked.append(question)
        return used.disk.name

    monkeypatch.setattr(disks, "named", lambda *_: used.disk)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", says)

    tasks.flash(Context(), device=used.disk.name, image=str(made[1]), keep_data=True)

    assert "is lost, its data partition stays" in asked[0]
    assert "whole; its data stayed" in capsys.readouterr().out
    assert used.has(made[1])
    assert used.data_stayed
