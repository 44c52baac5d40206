"""The boards there are images for: ONE table.

A new board is its name in `BoardName`, an entry here, and, where the firmware knows it by another
name than those in `firmware.MODELS`, one there. How: docs/new-board.md.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  a dataclass field's hint
from dataclasses import dataclass
from types import MappingProxyType

from glovebox.boards.draw import CNX, ENTCHEN, UNMEASURED, Draw, Figure, official
from glovebox.boards.firmware import MODELS, Model
from glovebox.config.build import KernelFrom
from glovebox.config.problem import Caution, Problem
from glovebox.config.schema import BoardName


@dataclass(frozen=True, kw_only=True)
class Processor:
    """What a board's processor has; clocks in MHz.

    Raspberry Pi documentation, config.txt, "Overclocking options": arm_freq and arm_freq_min.
    """

    cores: int
    slowest: int
    fastest: int


@dataclass(frozen=True, kw_only=True)
class Board:
    """What the build, the emulator and Raspberry Pi Imager have to know of a board."""

    name: BoardName
    title: str
    arch: str  # Debian's name
    kernel: str  # Debian's package
    dtb: str
    model: Model  # as the firmware knows it
    imager_tags: tuple[str, ...]  # `devices` in Imager's manifest
    processor: Processor
    draw: Draw
    qemu_machine: str | None = None
    no_qemu: str = ""  # why there is no machine to emulate it with
    # Where base debian takes its kernel from, unless image.yaml says otherwise.
    kernel_from: KernelFrom = KernelFrom.SUITE
    gpio_wakes: bool = True  # whether the fall of pin 3 wakes it when it is halted
    # What it lacks on base debian: a Problem refuses the build, a Caution is only said.
    on_debian: Problem | Caution | None = None
    # What it lacks with the suite's own kernel, where it needs that of the backports.
    with_the_suites_kernel: Problem | None = None
    # Firmware files its Wi-Fi needs and base debian has not, by the beginnings of their names.
    wifi_lacks: tuple[str, ...] = ()

    @property
    def default_kernel(self) -> str:
        """What the firmware starts when config.txt names no kernel."""
        return "kernel8.img" if self.arch == "arm64" else self.model.kernels[0]


_ALL = (
    Board(
        name=BoardName.ZERO_W,
        title="Raspberry Pi Zero W",
        arch="armel",
        kernel="linux-image-rpi",
        dtb="bcm2835-rpi-zero-w.dtb",
        model=MODELS["zero-w"],
        imager_tags=("pi1-32bit",),
        processor=Processor(cores=1, slowest=700, fastest=1000),
        draw=Draw(
            driving=official(150),
            parked=Figure(milliampere=107, source=ENTCHEN),
            # The documentation says 55 for a Zero; others measured 22 to 38.
            halted=official(55),
        ),
        qemu_machine="raspi0",
        on_debian=Caution(
            path="board",
            what="trixie is the last Debian with armel, the architecture of the Zero W:"
            " long-term support ends on 2030-06-30",
            cure="plan for a Zero 2 W by then",
        ),
    ),
    Board(
        name=BoardName.ZERO_2_W,
        title="Raspberry Pi Zero 2 W",
        arch="arm64",
        kernel="linux-image-arm64",
        dtb="bcm2837-rpi-zero-2-w.dtb",
        model=MODELS["zero-2-w"],
        imager_tags=("pi3-64bit",),  # Imager files it with the Pi 3
        processor=Processor(cores=4, slowest=600, fastest=1000),
        draw=Draw(
            driving=official(350),
            parked=Figure(milliampere=120, source=CNX),
            halted=UNMEASURED,
            slower_saves=Figure(
                milliampere=45, source=f"{CNX}, both, on an idle Zero 2 W: 120 to 75"
            ),
        ),
        no_qemu="QEMU has no Zero 2 W; board 3 has the same processor",
        wifi_lacks=("brcmfmac43430b0", "brcmfmac43436"),
    ),
    Board(
        name=BoardName.PI_2,
        title="Raspberry Pi 2 Model B",
        arch="armhf",
        kernel="linux-image-armmp",
        dtb="bcm2836-rpi-2-b.dtb",
        model=MODELS["2"],
        imager_tags=("pi2-32bit",),
        processor=Processor(cores=4, slowest=600, fastest=900),
        draw=Draw(driving=official(350), parked=UNMEASURED, halted=UNMEASURED),
        qemu_machine="raspi2b",
        on_debian=Problem(
            path="board",
            what="'2' is built on Raspberry Pi OS only: no Debian system was made for it here, its"
            " processor is ARMv7 (armhf)",
            cure="write base: raspios with profile: bench, or use board 3",
        ),
    ),
    Board(
        name=BoardName.PI_3,
        title="Raspberry Pi 3 Model B",
        arch="arm64",
        kernel="linux-image-arm64",
        dtb="bcm2837-rpi-3-b.dtb",
        model=MODELS["3"],
        imager_tags=("pi3-64bit",),
        processor=Processor(cores=4, slowest=600, fastest=1200),
        draw=Draw(driving=official(400), parked=official(300), halted=official(100)),
        qemu_machine="raspi3b",
    ),
    Board(
        name=BoardName.PI_4,
        title="Raspberry Pi 4 Model B",
        arch="arm64",
        kernel="linux-image-arm64",
        dtb="bcm2711-rpi-4-b.dtb",
        model=MODELS["4"],
        imager_tags=("pi4-64bit",),
        processor=Processor(cores=4, slowest=600, fastest=1500),
        draw=Draw(driving=official(600), parked=official(600), halted=official(23)),
        no_qemu="QEMU's raspi4b lacks PCIe: no USB, so neither network nor receiver",
    ),
    Board(
        name=BoardName.PI_5,
        title="Raspberry Pi 5",
        arch="arm64",
        kernel="linux-image-arm64",
        dtb="bcm2712-rpi-5-b.dtb",
        model=MODELS["5"],
        imager_tags=("pi5-64bit",),
        processor=Processor(cores=4, slowest=1500, fastest=2400),
        draw=Draw(
            driving=UNMEASURED,
            parked=UNMEASURED,
            halted=Figure(milliampere=280, source="Jeff Geerling: 1.2 to 1.6 W, as delivered"),
            note="With POWER_OFF_ON_HALT=1 in its EEPROM a halted Pi 5 draws 2 mA (Jeff Geerling);"
            " that is set on the board by rpi-eeprom-config, which Debian does not have.",
        ),
        no_qemu="QEMU has no Raspberry Pi 5",
        gpio_wakes=False,
        kernel_from=KernelFrom.BACKPORTS,
        on_debian=Caution(
            path="board",
            what="a Pi 5 takes its kernel from the backports, since the suite's own has no driver"
            " for RP1, the chip behind its USB ports; no Pi 5 has started such an image yet",
            cure="docs/bases.md says what only a board can show; kernel: suite is refused",
        ),
        with_the_suites_kernel=Problem(
            path="kernel",
            what="'suite' leaves a Pi 5 without USB, so no receiver would be seen: trixie's kernel"
            " (6.12) has no driver for RP1, the chip behind all its ports",
            cure="leave kernel: out, or write kernel: backports; or use board 4",
        ),
    ),
)

BOARDS: Mapping[BoardName, Board] = MappingProxyType({board.name: board for board in _ALL})
