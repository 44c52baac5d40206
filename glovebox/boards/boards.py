"""The boards there are images for, and what each base cannot give them."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  a dataclass field's hint
from dataclasses import dataclass
from types import MappingProxyType
from typing import assert_never

from glovebox.config.problem import Caution, Problem
from glovebox.config.schema import BoardName


@dataclass(frozen=True, kw_only=True)
class Board:
    """What the build, the emulator and Raspberry Pi Imager have to know of a board."""

    name: BoardName
    title: str
    arch: str  # Debian's name
    kernel: str  # Debian's package
    dtb: str
    imager_tags: tuple[str, ...]  # `devices` in Imager's manifest
    qemu_machine: str | None = None
    no_qemu: str = ""  # why there is no machine to emulate it with


_ALL = (
    Board(
        name=BoardName.ZERO_W,
        title="Raspberry Pi Zero W",
        arch="armel",
        kernel="linux-image-rpi",
        dtb="bcm2835-rpi-zero-w.dtb",
        imager_tags=("pi1-32bit",),
        qemu_machine="raspi0",
    ),
    Board(
        name=BoardName.ZERO_2_W,
        title="Raspberry Pi Zero 2 W",
        arch="arm64",
        kernel="linux-image-arm64",
        dtb="bcm2837-rpi-zero-2-w.dtb",
        imager_tags=("pi3-64bit",),  # Imager files it with the Pi 3
        no_qemu="QEMU has no Zero 2 W; board 3 has the same processor",
    ),
    Board(
        name=BoardName.PI_3,
        title="Raspberry Pi 3 Model B",
        arch="arm64",
        kernel="linux-image-arm64",
        dtb="bcm2837-rpi-3-b.dtb",
        imager_tags=("pi3-64bit",),
        qemu_machine="raspi3b",
    ),
    Board(
        name=BoardName.PI_4,
        title="Raspberry Pi 4 Model B",
        arch="arm64",
        kernel="linux-image-arm64",
        dtb="bcm2711-rpi-4-b.dtb",
        imager_tags=("pi4-64bit",),
        no_qemu="QEMU's raspi4b lacks PCIe: no USB, so neither network nor receiver",
    ),
    Board(
        name=BoardName.PI_5,
        title="Raspberry Pi 5",
        arch="arm64",
        kernel="linux-image-arm64",
        dtb="bcm2712-rpi-5-b.dtb",
        imager_tags=("pi5-64bit",),
        no_qemu="QEMU has no Raspberry Pi 5",
    ),
)

BOARDS: Mapping[BoardName, Board] = MappingProxyType({board.name: board for board in _ALL})


def check_board(board: BoardName, base: str, *, suite: str = "trixie") -> list[Problem | Caution]:
    """Say in plain words what a board lacks on a base, and the way out."""
    if base != "debian":
        return []  # an image brings its own kernel and firmware
    found = _check_debian(board, suite)
    if suite != "trixie":
        found.append(
            Caution(
                path="suite",
                what=f"'{suite}' is not what images are tested with",
                cure="use trixie, or expect to mend a stage",
            )
        )
    return found


def _check_debian(board: BoardName, suite: str) -> list[Problem | Caution]:
    match board:
        case BoardName.PI_5:
            return [
                Problem(
                    path="board",
                    what="'5' cannot be built on base debian: the kernel of trixie (6.12) has no"
                    " driver for RP1, the chip behind all USB ports, so no receiver would be seen",
                    cure="use board 4, or an image of Raspberry Pi OS as base: base: PATH.img.xz",
                )
            ]
        case BoardName.ZERO_2_W:
            return [
                Caution(
                    path="board",
                    what="many Zero 2 W need Wi-Fi firmware that trixie's firmware-brcm80211 lacks"
                    " (brcmfmac43430b0, brcmfmac43436): on those there is no Wi-Fi",
                    cure="add the files in the list firmware:, each with url and sha256",
                )
            ]
        case BoardName.ZERO_W if suite in {"forky", "sid"}:
            return [
                Problem(
                    path="board",
                    what=f"'zero-w' cannot be built on {suite}: Debian dropped armel after trixie",
                    cure="use suite trixie",
                )
            ]
        case BoardName.ZERO_W:
            return [
                Caution(
                    path="board",
                    what="trixie is the last Debian with armel, the architecture of the Zero W:"
                    " long-term support ends on 2030-06-30",
                    cure="plan for a Zero 2 W by then",
                )
            ]
        case BoardName.PI_3 | BoardName.PI_4:
            return []
        case _:
            assert_never(board)
