"""Where the partitions lie, and what a tree needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox.build import assemble
from glovebox.build.assemble import ALIGN, FIRST_SECTOR, MIB, SECTOR, Content, lay_out, measure
from glovebox.config.schema import Disk
from glovebox.errors import StepError

if TYPE_CHECKING:
    from pathlib import Path

CAR = Content(size=400 * MIB, inodes=20_000)


@pytest.mark.parametrize(
    ("disk", "content"),
    [
        (Disk(), CAR),
        (Disk(), Content(size=0, inodes=0)),
        (Disk(root=4096 * MIB), CAR),
        (Disk(root=4096 * MIB + 1), CAR),
        (Disk(boot=64 * MIB), CAR),
        (Disk(boot=512 * MIB + 1), CAR),
        (Disk(root_free=0), CAR),
        (Disk(root_free=8192 * MIB), CAR),
        (Disk(), Content(size=100 * MIB, inodes=400_000)),
        (Disk(root=2047 * 1024 * MIB), CAR),
    ],
)
def test_a_layout_is_sound(disk: Disk, content: Content) -> None:
    """Boot begins where Raspberry Pi OS has it, both on whole erase blocks, one after the other."""
    layout = lay_out(disk, content)

    assert layout.boot_start == FIRST_SECTOR * SECTOR == 8 * MIB
    assert layout.boot_size >= disk.boot
    assert layout.root_start == layout.boot_start + layout.boot_size
    assert layout.total == layout.root_start + layout.root_size
    numbers = (layout.boot_start, layout.boot_size, layout.root_start, layout.root_size)
    assert all(number % ALIGN == 0 for number in numbers)
    assert layout.root_size >= content.size + layout.inodes * assemble.INODE
    assert layout.inodes > content.inodes


@pytest.mark.parametrize("size", [300 * MIB, 700 * MIB, 1100 * MIB])
def test_a_car_keeps_its_places(size: int) -> None:
    """Behind the root is room for another of its size; data begins at the same place each time."""
    layout = lay_out(Disk(), Content(size=size, inodes=30_000), car=True)

    assert layout.root_size % assemble.CAR_ROOT == 0
    assert layout.data_start == layout.root_start + 2 * layout.root_size
    assert layout.data_size == Disk().data
    assert layout.total == layout.data_start + layout.data_size
    assert layout.data_start % ALIGN == layout.data_size % ALIGN == 0
    if size < 700 * MIB:
        assert layout.data_start == (8 + 512 + 2 * 1024) * MIB


@pytest.mark.parametrize(
    ("given", "size"),
    [(2048 * MIB, 2048 * MIB), (2048 * MIB + 1, 2056 * MIB), (2050 * MIB, 2056 * MIB)],
)
def test_a_given_size_is_kept(given: int, size: int) -> None:
    """The root partition has the size asked for, rounded up to the erase block."""
    assert lay_out(Disk(root=given), CAR).root_size == size


@pytest.mark.parametrize("free", [0, 200 * MIB, 1024 * MIB])
def test_room_is_left(free: int) -> None:
    """`auto` leaves at least the room asked for on top of what the files need."""
    layout = lay_out(Disk(root_free=free), CAR)

    assert layout.root_size >= CAR.size + assemble.JOURNAL_MIB * MIB + free


def test_a_size_too_small_is_refused() -> None:
    """The error names both sizes, the needed one rounded up, and the way out."""
    with pytest.raises(StepError) as caught:
        lay_out(Disk(root=256 * MIB), Content(size=int(246.5 * MIB), inodes=100))

    # 246.5 MiB and 3 %, and 24 MiB of journal and reserve.
    assert caught.value.message == "disk.root: 256 MiB is too small: the files need 278 MiB"
    assert caught.value.hint == "disk.root: auto"


def test_a_boot_partition_too_small_is_refused() -> None:
    """The message names both sizes and the key, before anything is written."""
    content = Content(size=70 * MIB, inodes=90)

    with pytest.raises(StepError, match=r"disk.boot: 64 MiB .* need 73 MiB"):
        assemble.require_room(Disk(boot=64 * MIB), content)

    assemble.require_room(Disk(boot=128 * MIB), content)


def test_what_it_asks_for_is_enough() -> None:
    """The size a refusal names is accepted."""
    content = Content(size=333 * MIB + 77, inodes=4711)
    with pytest.raises(StepError) as caught:
        lay_out(Disk(root=256 * MIB), content)
    named = int(caught.value.message.split()[-2])

    assert lay_out(Disk(root=named * MIB), content).root_size >= named * MIB


def test_measure(tmp_path: Path) -> None:
    """Files count in whole blocks, hard links once, links and folders as what they are."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "one").write_bytes(b"x")
    (folder / "exact").write_bytes(b"x" * assemble.BLOCK)
    (folder / "empty").touch()
    (folder / "again").hardlink_to(folder / "one")
    (tmp_path / "and again").hardlink_to(folder / "one")
    (tmp_path / "link").symlink_to(folder / "exact")

    measured = measure(tmp_path)

    around = -(-folder.stat().st_size // assemble.BLOCK) * assemble.BLOCK
    assert measured == Content(size=3 * assemble.BLOCK + around, inodes=5)


def test_measure_counts_a_hole_as_full(tmp_path: Path) -> None:
    """A file with holes may be filled on the board, so it is given the room."""
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(MIB)

    assert measure(tmp_path).size == MIB
