"""The table of boards, and what is said about them before a build starts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from glovebox.boards.boards import BOARDS
from glovebox.boards.check import check_board
from glovebox.config.build import BuildConfig, KernelFrom, Network
from glovebox.config.problem import Caution, Problem
from glovebox.config.schema import BoardName, FirmwareFile
from glovebox.project import opened
from glovebox.stage import pi_gen

_KERNELS = {
    "armel": "linux-image-rpi",
    "armhf": "linux-image-armmp",
    "arm64": "linux-image-arm64",
}


@pytest.mark.parametrize("name", list(BoardName))
def test_every_board_is_described(name: BoardName) -> None:
    """Each board has what a build needs, and either a machine or the reason there is none."""
    board = BOARDS[name]

    assert board.name is name
    assert board.title.startswith("Raspberry Pi")
    assert board.kernel == _KERNELS[board.arch]
    assert board.dtb.startswith("bcm2")
    assert board.imager_tags
    assert bool(board.qemu_machine) != bool(board.no_qemu)


@pytest.mark.parametrize(
    ("name", "suite", "kind", "said"),
    [
        (BoardName.ZERO_W, "trixie", Caution, "long-term support ends on 2030-06-30"),
        (BoardName.ZERO_W, "forky", Problem, "dropped armel after trixie"),
        (BoardName.ZERO_2_W, "trixie", Problem, "could not be reached by Wi-Fi"),
        (BoardName.PI_2, "trixie", Problem, "write base: raspios"),
        (BoardName.PI_4, "sid", Caution, "not what images are tested with"),
        (BoardName.PI_5, "trixie", Caution, "takes its kernel from the backports"),
    ],
)
def test_debian_s_gaps_are_said(
    name: BoardName, suite: str, kind: type[Problem | Caution], said: str
) -> None:
    """What Debian lacks for a board is said in plain words with a way out."""
    first = check_board(BuildConfig(suite=suite), BOARDS[name])[0]

    assert isinstance(first, kind)
    assert said in str(first)
    assert first.cure


@pytest.mark.parametrize("name", [BoardName.PI_3, BoardName.PI_4])
def test_served_boards_need_no_word(name: BoardName) -> None:
    """Debian serves the Pi 3 and 4 in full."""
    assert check_board(BuildConfig(), BOARDS[name]) == []


@pytest.mark.parametrize("name", list(BoardName))
def test_own_image_brings_its_own_kernel(name: BoardName) -> None:
    """Debian's gaps are no reason to refuse an image that starts from another base."""
    assert check_board(BuildConfig(base="raspios.img.xz"), BOARDS[name]) == []


@pytest.mark.parametrize(
    ("name", "said", "package"),
    [
        (BoardName.PI_5, None, "linux-image-arm64/trixie-backports"),
        (BoardName.PI_5, KernelFrom.BACKPORTS, "linux-image-arm64/trixie-backports"),
        (BoardName.PI_4, None, "linux-image-arm64"),
        (BoardName.PI_4, KernelFrom.BACKPORTS, "linux-image-arm64/trixie-backports"),
        (BoardName.ZERO_W, None, "linux-image-rpi"),
    ],
)
def test_the_kernel_is_asked_for_by_its_suite(
    name: BoardName, said: KernelFrom | None, package: str
) -> None:
    """A Pi 5 takes that of the backports by itself, another board where image.yaml says so."""
    config = BuildConfig(board=name, kernel=said)

    assert pi_gen.variables(config, BOARDS[name])["KERNEL_PACKAGE"] == package


def test_the_backports_are_asked_for_the_kernel_alone() -> None:
    """No source is compiled from there, where a newer one would be taken before the suite's."""
    mirror = "http://mirror.example/debian"
    config = BuildConfig(board=BoardName.PI_5, mirror=mirror)

    *suites, last = opened.archives(config, BOARDS[BoardName.PI_5], None, "trixie")

    assert [one.suite for one in suites] == ["trixie", "trixie-updates", "trixie-security"]
    assert (last.suite, last.url) == ("trixie-backports", mirror)
    assert not any(line.startswith("deb-src") for line in last.lines())
    assert opened.archives(replace(config, board=BoardName.PI_4), BOARDS[BoardName.PI_4], None,
                           "trixie") == []  # fmt: skip


FIRMWARE = FirmwareFile(url="https://mirror.example/brcm/brcmfmac43436-sdio.bin", sha256="0" * 64)


@pytest.mark.parametrize(
    "config",
    [
        BuildConfig(firmware=(FIRMWARE,)),
        BuildConfig(network=Network.USB),
        BuildConfig(network=Network.NONE),
        BuildConfig(base="raspios"),
    ],
)
def test_a_board_that_can_be_reached_is_built(config: BuildConfig) -> None:
    """A Zero 2 W is no fault where its Wi-Fi files are named, or nobody counts on its Wi-Fi."""
    assert check_board(config, BOARDS[BoardName.ZERO_2_W]) == []
