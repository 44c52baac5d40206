"""Writing an image to a card: what was written is read back, and half of it starts nothing."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from invoke import Context, Exit

import tasks
from glovebox.card import bmap, disks, flash, pack
from glovebox.config.build import Packed
from glovebox.errors import GloveboxError, HostError, ImageError
from glovebox.host import files
from glovebox.host.monitor import Monitor

MIB = 1 << 20
SIZE = 9 * MIB + 512
QUIET = Monitor(quiet=True)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Make an image with data at its head, in the middle and at its end, and its map."""
    path = tmp_path / "card.img"
    with path.open("wb") as file:
        for at, data in ((0, b"table" * 99), (MIB - 10, b"x" * 5000), (5 * MIB, os.urandom(MIB))):
            file.seek(at)
            file.write(data)
        file.seek(SIZE - 4)
        file.write(b"tail")
    files.write_whole(tmp_path / "card.img.bmap", bmap.dump(bmap.of(path)))
    return path


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """Make a used card, larger than the image."""
    path = tmp_path / "sdx"
    path.write_bytes(b"\xa5" * (12 * MIB))
    return path


def is_on(card: Path, image: Path) -> bool:
    """Tell whether all data of the image is on the card, and nothing was written behind it."""
    whole, data = image.read_bytes(), card.read_bytes()
    blocks = [slice(at, min(at + 4096, SIZE)) for at in range(0, SIZE, 4096)]
    same = all(data[one] == whole[one] for one in blocks if any(whole[one]))
    return same and set(data[SIZE:]) == {0xA5}


def test_by_its_map(image: Path, card: Path) -> None:
    """Blocks with data are written, holes are not, and the card's head is the image's."""
    given = flash.source(image)
    flash.flash(given, card, QUIET)

    assert is_on(card, image)
    data = card.read_bytes()
    assert data[:MIB] == image.read_bytes()[:MIB]
    assert set(data[3 * MIB : 5 * MIB]) == {0xA5}
    assert given.to_write(SIZE) < SIZE // 2


def test_without_a_map_every_byte(image: Path, card: Path) -> None:
    """An image of others has no map: all of it is written, zeros too."""
    image.with_name("card.img.bmap").unlink()

    flash.flash(flash.source(image), card, QUIET)

    assert card.read_bytes()[:SIZE] == image.read_bytes()


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("how", list(Packed))
@pytest.mark.needs("zstd", "xz")
def test_packed(image: Path, card: Path, how: Packed, mapped: bool) -> None:  # noqa: FBT001
    """A packed image is written as it is unpacked; its map is that of the image."""
    copy = image.with_name(f"card.img.{how}")
    pack.pack(image, how, copy, tell=lambda _: None)
    if not mapped:
        image.with_name("card.img.bmap").unlink()

    flash.flash(flash.source(copy), card, QUIET)

    assert is_on(card, image)


@pytest.mark.needs("zstd", "xz")
@pytest.mark.parametrize("how", list(Packed))
def test_a_packed_image_that_is_damaged(image: Path, card: Path, how: Packed) -> None:
    """What does not unpack is told as the image's fault, and the card starts nothing."""
    copy = image.with_name(f"card.img.{how}")
    pack.pack(image, how, copy, tell=lambda _: None)
    given = flash.source(copy)
    data = bytearray(copy.read_bytes())
    data[len(data) // 2] ^= 0xFF
    copy.write_bytes(data)

    with pytest.raises(ImageError, match="half written, and starts nothing"):
        flash.flash(given, card, QUIET)

    assert not any(card.read_bytes()[:MIB])


def test_an_image_that_is_not_its_maps(image: Path, card: Path) -> None:
    """A byte that changed since the build is found while it is written."""
    given = flash.source(image)
    with image.open("rb+") as file:
        file.seek(5 * MIB + 77)
        file.write(b"??")

    with pytest.raises(ImageError, match="are not those of its map"):
        flash.flash(given, card, QUIET)

    assert not any(card.read_bytes()[:MIB])


def test_an_image_with_more_than_its_map(image: Path) -> None:
    """What somebody wrote into a hole since is found before the card is touched."""
    flash.source(image)
    with image.open("rb+") as file:
        file.seek(3 * MIB)
        file.write(b"new")

    with pytest.raises(ImageError, match="data the map does not know of") as caught:
        flash.source(image)
    assert "remove the .bmap" in str(caught.value)


def test_a_copy_without_holes_is_the_same_image(image: Path, card: Path) -> None:
    """Zeros that a copy wrote out are no data: the map is still its map."""
    image.write_bytes(image.read_bytes())

    flash.flash(flash.source(image), card, QUIET)

    assert is_on(card, image)


@pytest.mark.needs("zstd", "xz")
@pytest.mark.parametrize("at", [3 * MIB, 8 * MIB])
def test_a_packed_image_with_more_than_its_map(image: Path, card: Path, at: int) -> None:
    """Of a packed image it is found while it is written, and the card starts nothing."""
    with image.open("rb+") as file:
        file.seek(at)
        file.write(b"new")
    copy = image.with_name("card.img.zst")
    pack.pack(image, Packed.ZST, copy, tell=lambda _: None)

    with pytest.raises(ImageError, match="data the map does not know of"):
        flash.flash(flash.source(copy), card, QUIET)

    assert not any(card.read_bytes()[:MIB])


def test_a_map_of_another_image(image: Path) -> None:
    """A map whose image has another size is told before anything is written."""
    os.truncate(image, SIZE + 4096)

    with pytest.raises(ImageError, match="is of another image"):
        flash.source(image)


class CutError(BaseException):
    """Stands for a power cut, a pulled card, Ctrl-C."""


@pytest.mark.parametrize("after", range(9))
def test_cut_at_any_write(
    image: Path, card: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Cut off in whichever write, a card has no table; the same command then writes it."""
    real, count = os.pwrite, 0

    def cut(target: int, data: memoryview, at: int) -> int:
        nonlocal count
        count += 1
        if count > after:
            real(target, data[: len(data) // 2], at)
            raise CutError
        return real(target, data, at)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", cut)
        try:
            flash.flash(flash.source(image), card, QUIET)
        except CutError:
            if after:  # where a table has its entries and its mark
                assert not any(card.read_bytes()[256:512])
        else:
            assert is_on(card, image)

    flash.flash(flash.source(image), card, QUIET)
    assert is_on(card, image)


def test_a_card_that_loses_data(image: Path, card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card that does not give back what was written is found, and starts nothing."""
    real = os.pread

    def forgets(target: int, size: int, at: int) -> bytes:
        return bytes(size) if at >= 5 * MIB else real(target, size, at)

    monkeypatch.setattr(os, "pread", forgets)

    with pytest.raises(HostError, match="gives back other bytes than were written"):
        flash.flash(flash.source(image), card, QUIET)

    assert not any(card.read_bytes()[:MIB])


def test_a_card_that_fails(image: Path, card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the disk is told with the state of the card and the cure."""

    def fails(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pwrite", fails)

    with pytest.raises(HostError, match=r"input/output error; the card is half written") as caught:
        flash.flash(flash.source(image), card, QUIET)

    assert "run the same command again" in str(caught.value)


def test_a_card_that_is_too_small(image: Path) -> None:
    """Both sizes are named before anything is written; an equal one is enough."""
    disk = disks.Disk(name="sdx", bus="USB", model="", size=SIZE, used=())
    given = flash.source(image)

    flash.require_fit(given, disk)
    with pytest.raises(HostError, match="takes a card of"):
        flash.require_fit(given, replace(disk, size=SIZE - 1))


@pytest.mark.parametrize("device", ["/nowhere/sdx", "/"])
def test_a_device_that_cannot_be_opened(image: Path, device: str) -> None:
    """What cannot be opened is said, with no traceback."""
    with pytest.raises(GloveboxError, match=device):
        flash.flash(flash.source(image), Path(device), QUIET)


@pytest.fixture
def named(card: Path, monkeypatch: pytest.MonkeyPatch) -> disks.Disk:
    """Let the verb take the file of a card for a disk, with somebody at the terminal."""
    found = disks.Disk(name=str(card), bus="USB", model="Stick", size=12 * MIB, used=())
    monkeypatch.setattr(disks, "named", lambda *_: found)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    return found


@pytest.mark.parametrize(("answer", "written"), [("", False), ("y", False), ("its name", True)])
def test_who_is_asked_types_the_name(
    image: Path, named: disks.Disk, monkeypatch: pytest.MonkeyPatch, answer: str, *, written: bool
) -> None:
    """Only the disk's own name makes it be written; the question says what would be lost."""
    asked: list[str] = []

    def says(question: str) -> str:
        asked.append(question)
        return named.name if answer == "its name" else answer

    monkeypatch.setattr("builtins.input", says)
    if written:
        tasks.flash(Context(), device=named.name, image=str(image))
    else:
        with pytest.raises(Exit, match="nothing was written"):
            tasks.flash(Context(), device=named.name, image=str(image))

    assert is_on(named.device, image) == written
    assert "Stick" in asked[0]
    assert "is lost" in asked[0]


def test_stopped_is_said(image: Path, named: disks.Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while it writes: the state of the card is said, and what to do."""

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(flash, "flash", stopped)
    with pytest.raises(Exit) as caught:
        tasks.flash(Context(), device=named.name, image=str(image), yes=True)

    assert caught.value.code == 130
    assert "half written and starts nothing: run the same command again" in caught.value.message
