"""On a used card an image written by blocks is the image: nothing that counts is a hole."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from glovebox.build import assemble
from glovebox.card import bmap, solid, table
from glovebox.config.schema import Disk
from glovebox.errors import ImageError
from glovebox.host import files
from glovebox.host.run import PATH, run
from glovebox.plan import plan

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.build.assemble import Layout

MIB = 1 << 20
PLAN = plan.Plan(steps={}, disk_id="0badcafe", arch="arm64", epoch=1_700_000_000, variables={})
MAKERS = ("mke2fs", "mkfs.fat", "mtools", "sfdisk")
CHECKERS = ("e2fsck", "fsck.fat")


@dataclass(frozen=True)
class HostTools:
    """Stands for the native root: the host's own programs."""

    def command(self, program: str) -> list[str]:
        """Give the words that start a program."""
        return [shutil.which(program, path=PATH) or program]


def assembled(folder: Path, *, car: bool = False) -> tuple[Path, Layout]:
    """Assemble a small system as a build does."""
    tree = folder / "tree"
    (tree / "boot/firmware").mkdir(parents=True)
    (tree / "boot/firmware/kernel.img").write_bytes(bytes(range(256)) * 9000)
    (tree / "etc").mkdir()
    (tree / "etc/hostname").write_text("truck\n")
    (folder / "scratch").mkdir()
    image = folder / "card.img"
    layout = assemble.assemble(
        image,
        root=tree,
        whole=tree,
        made=PLAN,
        disk=Disk(boot=64 * MIB, root=64 * MIB if car else None, root_free=8 * MIB, data=64 * MIB),
        tools=HostTools(),  # type: ignore[arg-type]  it has all that is asked of a root
        scratch=folder / "scratch",
        car=car,
    )
    return image, layout


def used_card(path: Path, size: int) -> Path:
    """Make a card on which something else was, everywhere."""
    with path.open("wb") as file:
        for _ in range(0, size, MIB):
            file.write(b"\xa5" * MIB)
    return path


def written(image: Path, card: Path) -> Path:
    """Write as bmaptool does: the blocks of the map, and no others."""
    made = bmap.load(image.with_name(image.name + bmap.SUFFIX))
    with image.open("rb") as source, card.open("rb+") as target:
        for one in made.ranges:
            source.seek(made.start(one))
            target.seek(made.start(one))
            target.write(source.read(made.end(one) - made.start(one)))
    return card


def sound(card: Path, folder: Path) -> None:
    """Ask the programs that know the file systems best, partition by partition."""
    for number, part in enumerate(table.table(card).partitions):
        copy = folder / f"part{number}"
        with copy.open("wb") as file:
            file.truncate(part.size)
        files.copy_data(card, copy, start=part.start, size=part.size)
        check = ["fsck.fat", "-n", copy] if part.is_fat else ["e2fsck", "-f", "-n", copy]
        said = run(check, check=False)
        assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.needs(*MAKERS, *CHECKERS)
def test_by_blocks_onto_a_used_card(tmp_path: Path) -> None:
    """Both file systems are sound on a card that was full of something else."""
    image, layout = assembled(tmp_path)
    files.write_whole(image.with_name("card.img.bmap"), bmap.dump(bmap.of(image)))

    card = written(image, used_card(tmp_path / "card", layout.total))

    sound(card, tmp_path)
    with card.open("rb") as file:
        file.seek(512)
        assert not any(file.read(33 * 512)), "a GPT of the card's former life"


EXT4 = ["mke2fs", "-q", "-F", "-t", "ext4", "-E", "nodiscard,lazy_itable_init=0"]


@pytest.mark.thorough
@pytest.mark.needs("dumpe2fs", "mke2fs", "mkfs.fat", *CHECKERS)
@pytest.mark.parametrize(
    "command",
    [
        [*EXT4, "-b", "1024"],
        [*EXT4, "-b", "1024", "-O", "^64bit,^flex_bg,^metadata_csum"],
        [*EXT4, "-b", "2048", "-N", "1024"],
        [*EXT4, "-b", "1024", "-O", "meta_bg,^resize_inode"],
        ["mke2fs", "-q", "-F", "-t", "ext2", "-b", "1024", "-O", "^sparse_super,^resize_inode"],
        ["mkfs.fat", "-F", "12", "-s", "64"],
        ["mkfs.fat", "-F", "16", "-s", "8"],
        ["mkfs.fat", "-F", "32", "-s", "1"],
    ],
    ids=" ".join,
)
def test_every_kind_of_file_system(tmp_path: Path, command: list[str]) -> None:
    """Many groups, old and new layouts, each width of a FAT: all are sound on a used card."""
    image, made = tmp_path / "card.img", tmp_path / "made"
    with made.open("wb") as file:
        file.truncate(72 * MIB)
    run([*command, made])
    run(["cp", "--sparse=always", made, image])  # whatever is zero is a hole
    files.write_whole(tmp_path / "card.img.bmap", bmap.dump(bmap.of(image)))
    hollow = written(image, used_card(tmp_path / "hollow", 72 * MIB))
    before = files.sha256_file(image)

    solid.make(image, [0])

    files.write_whole(tmp_path / "card.img.bmap", bmap.dump(bmap.of(image)))
    card = written(image, used_card(tmp_path / "card", 72 * MIB))
    check = ["fsck.fat", "-n"] if "fat" in command[0] else ["e2fsck", "-f", "-n"]
    said = run([*check, card], check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    assert files.sha256_file(image) == before
    if "fat" in command[0]:
        assert run([*check, hollow], check=False).returncode != 0
        return
    # e2fsck looks at no table of a group that was never used; a board writes to it one day.
    told = run(["dumpe2fs", image]).stdout
    block = int(re.findall(r"^Block size: +(\d+)", told, re.MULTILINE)[0])
    places = re.findall(r"(?:superblock|descriptors|bitmap|table) at (\d+)(?:-(\d+))?", told)
    one, other = card.read_bytes(), image.read_bytes()
    assert len(places) > 4
    for first, last in places:
        span = slice(int(first) * block, (int(last or first) + 1) * block)
        assert one[span] == other[span], (first, last)
    assert other != hollow.read_bytes()


@pytest.mark.needs(*MAKERS)
def test_the_bytes_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The image is the same as one with holes for its tables, and most of it still is a hole."""
    with monkeypatch.context() as patched:
        patched.setattr(solid, "make", lambda *_: None)
        image, layout = assembled(tmp_path)
    before, hollow = files.sha256_file(image), bmap.of(image)

    solid.make(image, layout.starts)

    assert files.sha256_file(image) == before
    assert hollow.mapped < bmap.of(image).mapped < layout.total // 2


@pytest.mark.parametrize("cut", [510, 1081, 2000, 0])
def test_what_is_no_file_system_stays(tmp_path: Path, cut: int) -> None:
    """A partition with anything else, or with nothing, gets no byte more."""
    image = tmp_path / "card.img"
    with image.open("wb") as file:
        file.truncate(8 * MIB)
        file.seek(4 * MIB)
        file.write(b"\xeb\x00something else"[: cut or None].ljust(cut, b"\1"))
    before = files.sha256_file(image)

    solid.make(image, [4 * MIB, 8 * MIB])

    assert files.sha256_file(image) == before
    with image.open("rb") as file:
        assert not list(files.data(file.fileno(), 5 * MIB, 8 * MIB))


def sparse(path: Path) -> Path:
    """Make a file with data here and there, the last block of it cut off."""
    with path.open("wb") as file:
        for at, data in ((0, b"head"), (40_000, b"x" * 9000), (3 * MIB + 5, b"tail")):
            file.seek(at)
            file.write(data)
    return path


def test_a_map_is_read_as_it_was_written(tmp_path: Path) -> None:
    """A map that is written and read is the same, and covers all that is not zero."""
    image = sparse(tmp_path / "card.img")
    found = bmap.of(image)
    files.write_whole(tmp_path / "map", bmap.dump(found))

    assert bmap.load(tmp_path / "map") == found
    card = used_card(tmp_path / "card", 3 * MIB)
    os.truncate(card, 0)
    os.truncate(card, image.stat().st_size)
    files.write_whole(tmp_path / "card.img.bmap", bmap.dump(found))
    assert written(image, card).read_bytes() == image.read_bytes()


@pytest.mark.parametrize(
    ("what", "by"),
    [(r"<Range", "<Rnage"), (r" 0 </Range", " 9 </Range"), ("2.0", "3.0"), (".*", ""), ("e", "\0")],
)
def test_a_damaged_map_is_refused(tmp_path: Path, what: str, by: str) -> None:
    """A map that is not as it was written is told, and no block is written by it."""
    text = bmap.dump(bmap.of(sparse(tmp_path / "card.img")))
    (tmp_path / "map").write_text(re.sub(what, by, text))

    with pytest.raises(ImageError, match=r"is damaged, or no block map|no block map"):
        bmap.load(tmp_path / "map")


@pytest.mark.needs("bmaptool", *MAKERS, *CHECKERS)
def test_bmaptool_takes_it(tmp_path: Path) -> None:
    """Yocto's own program writes an image by our map, finds its sums right, and all is sound."""
    image, layout = assembled(tmp_path)
    files.write_whole(tmp_path / "card.img.bmap", bmap.dump(bmap.of(image)))
    card = used_card(tmp_path / "card", layout.total)

    run(["bmaptool", "copy", image, card])

    sound(card, tmp_path)
