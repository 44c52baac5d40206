"""Two images that differ in one planted thing: it is found, and called by its name."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from glovebox.build import assemble, layer
from glovebox.trials import compare_image
from tests.root.test_image import DISK, EPOCH, PLAN, fill
from tests.root.tools import same_bytes_tools, suite_tools

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from glovebox.config.schema import Disk
    from glovebox.plan.plan import Plan

pytestmark = [pytest.mark.root, pytest.mark.needs("sfdisk")]


def image(folder: Path, plant: Callable[[Path], object] | None, made: Plan = PLAN,
          disk: Disk = DISK) -> Path:  # fmt: skip
    """Assemble an image, with something planted in its tree."""
    root = fill(folder / "root")
    if plant:
        plant(root)
    layer.settle_times(root, started_ns=2**62, epoch=EPOCH)
    (folder / "whole/boot").mkdir(parents=True)
    shutil.move(root / "boot/firmware", folder / "whole/boot/firmware")
    (root / "boot/firmware").mkdir(mode=0o755)
    for path in (root / "boot/firmware", root / "boot"):
        os.utime(path, (EPOCH, EPOCH))
    (folder / "scratch").mkdir()
    assemble.assemble(
        folder / "card.img",
        root=root,
        whole=folder / "whole",
        made=made,
        disk=disk,
        tools=same_bytes_tools(),  # type: ignore[arg-type]  has all that is asked of a root
        scratch=folder / "scratch",
    )
    return folder / "card.img"


def one_byte(path: str) -> Callable[[Path], object]:
    """Give what changes the last byte of a file and leaves its time."""

    def change(root: Path) -> None:
        times = (root / path).stat()
        data = (root / path).read_bytes()
        (root / path).write_bytes(data[:-1] + b"!")
        os.utime(root / path, ns=(times.st_atime_ns, times.st_mtime_ns))

    return change


@pytest.mark.parametrize(
    ("plant", "named"),
    [
        (one_byte("usr/bin/one"), "ext4, block {} of inode {} (/usr/bin/one)"),
        (lambda root: (root / "etc/hostname").chmod(0o600), "(/etc/hostname), its mode"),
        (lambda root: os.utime(root / "usr/bin", (5, 5)), "(/usr/bin), its modification time"),
        (lambda root: os.chown(root / "home/pi", 1001, 1000), "(/home/pi), its owner"),
        (one_byte("boot/firmware/kernel8.img"), "FAT, cluster {} of /kernel8.img"),
    ],
)
def test_a_planted_difference_is_named(
    folder: Path, plant: Callable[[Path], object], named: str
) -> None:
    """One byte, mode, time or owner: the partition, the structure and the file are told."""
    one, other = image(folder / "one", None), image(folder / "other", plant)

    said = compare_image.difference(one, other, suite_tools())

    assert said is not None
    pieces = named.split("{}")
    assert all(piece in said for piece in pieces), said


def test_another_disk_identifier_is_named(folder: Path) -> None:
    """The partition table comes first."""
    one = image(folder / "one", None)
    other = image(folder / "other", None, made=replace(PLAN, disk_id="0badcaff"))

    assert compare_image.difference(one, other, suite_tools()) == (
        "byte 440: MBR, the disk's identifier"
    )


def test_the_same_is_no_difference(folder: Path) -> None:
    """Two images of the same tree are one."""
    one, other = image(folder / "one", None), image(folder / "other", None)

    assert compare_image.difference(one, other, suite_tools()) is None
