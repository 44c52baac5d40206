"""`info` tells what a board would lack with an image, though it has all files to start it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox.boards.firmware import MODELS, Verdict
from glovebox.images import lacks

if TYPE_CHECKING:
    from pathlib import Path

UPSTREAM = "kernel/drivers/misc/rp1/rp1_pci.ko.xz: kernel/x.ko.xz\n"
OWN = "kernel/drivers/mfd/rp1.ko\n"


def verdict(board: str, kernel: str = "vmlinuz-1", *, missing: tuple[str, ...] = ()) -> Verdict:
    """Say that a board finds its files, or which one it does not."""
    return Verdict(model=MODELS[board], kernel=kernel, dtb="x.dtb", missing=missing)


def root(folder: Path, **files: str) -> Path:
    """Make a system with two kernels, and what their lists of modules say."""
    for version in ("1", "2"):
        (folder / "lib/modules" / version).mkdir(parents=True)
    for name, text in files.items():
        version, _, listing = name.removeprefix("v").partition("_")
        (folder / "lib/modules" / version / listing.replace("_", ".")).write_text(text)
    return folder


@pytest.mark.parametrize("board", ["5", "500", "cm5"])
@pytest.mark.parametrize(
    ("files", "kernel", "there"),
    [
        ({"v1_modules_dep": UPSTREAM}, "vmlinuz-1", True),
        ({"v2_modules_dep": UPSTREAM}, "vmlinuz-1", False),  # of the kernel that is not started
        (
            {"v2_modules_builtin": OWN},
            "kernel_2712.img",
            True,
        ),  # which of them, its name leaves open
        ({"v1_modules_dep": "kernel/drivers/misc/rp1_other.ko.xz:\n"}, "vmlinuz-1", False),
        ({}, "vmlinuz-1", False),
    ],
)
def test_a_kernel_without_rp1_leaves_a_pi_5_without_ports(
    tmp_path: Path, board: str, files: dict[str, str], kernel: str, *, there: bool
) -> None:
    """The kernel that is started must have the driver, as a module or in itself."""
    found = lacks.of(root(tmp_path, **files), verdict(board, kernel))

    assert [one.startswith("no USB and no network port") for one in found] == [True] * (not there)


@pytest.mark.parametrize("name", ["brcmfmac43430b0-sdio.bin", "brcmfmac43436-sdio.bin"])
def test_a_zero_2_w_needs_its_wi_fi_firmware(tmp_path: Path, name: str) -> None:
    """Either of the two it may need counts; without any it is said that Wi-Fi is missing."""
    (before,) = lacks.of(tmp_path, verdict("zero-2-w"))
    (tmp_path / "usr/lib/firmware/brcm").mkdir(parents=True)
    (tmp_path / "usr/lib/firmware/brcm" / name).touch()

    assert before.startswith("no Wi-Fi on most of them: firmware brcmfmac43430b0 or brcmfmac43436")
    assert lacks.of(tmp_path, verdict("zero-2-w")) == ()


@pytest.mark.parametrize("board", ["3", "3+", "4", "400", "cm3", "cm4", "zero-w"])
def test_other_boards_need_neither(tmp_path: Path, board: str) -> None:
    """Their ports hang on the processor, and their firmware is in every image's packages."""
    assert lacks.of(tmp_path, verdict(board)) == ()


def test_of_a_board_that_does_not_start_nothing_more_is_said(tmp_path: Path) -> None:
    """What it misses for a start is said already."""
    assert lacks.of(tmp_path, verdict("5", missing=("bcm2712-rpi-5-b.dtb",))) == ()
