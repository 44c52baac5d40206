"""What `power:` in image.yaml can say, and which of it cannot be meant on a board.

What each setting saves and costs stands in `power.py` and docs/car.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping  # noqa: TC003  the loader reads the hints
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from glovebox.config.problem import Problem

if TYPE_CHECKING:
    from glovebox.config.schema import BoardName, Config

PIN_FIRST, PIN_LAST = 2, 27  # of the 40-pin header; 0 and 1 belong to the EEPROM of a HAT
PIN_WAKE = 3  # the one pin whose fall wakes a halted board: the firmware's choice
_PINS_CONSOLE = (14, 15)
_PINS_PULLED_UP = range(9)  # while nothing drives them
OFF_AFTER_MAX_MIN = 1440


class Led(StrEnum):
    """What the green LED does."""

    CODES = "codes"
    ACTIVITY = "activity"
    OFF = "off"


class Radio(StrEnum):
    """When the Wi-Fi radio is on."""

    ALWAYS = "always"
    STANDING = "standing"
    OFF = "off"


class Governor(StrEnum):
    """Who chooses the clock between the lowest and the highest, see the kernel's cpufreq."""

    ONDEMAND = "ondemand"
    CONSERVATIVE = "conservative"
    POWERSAVE = "powersave"
    PERFORMANCE = "performance"


class Wake(StrEnum):
    """What gives the board power, and what takes it away."""

    NONE = "none"
    IGNITION = "ignition"
    LATCH = "latch"
    GPIO = "gpio"


@dataclass(frozen=True, kw_only=True)
class Power:
    """What the board leaves off, with profile `car`; what each saves and costs: docs/car.md."""

    hdmi: bool = field(default=False, metadata={"help": "a picture at HDMI"})
    bluetooth: bool = field(default=False, metadata={"help": "drivers for Bluetooth"})
    audio: bool = field(default=False, metadata={"help": "drivers for sound"})
    camera: bool = field(default=False, metadata={"help": "drivers for a camera"})
    led: Led = field(
        default=Led.CODES,
        metadata={
            "help": "green LED: `codes` says what the board does, `activity` blinks with the card,"
            " `off` stays dark"
        },
    )
    radio: Radio = field(
        default=Radio.STANDING,
        metadata={
            "help": "Wi-Fi: `standing` is off while the vehicle drives; a board without a fix has"
            " it on"
        },
    )
    wifi_save: bool = field(
        default=True, metadata={"help": "Wi-Fi sleeps between the beacons of its network"}
    )
    usb_sleep: bool = field(
        default=False,
        metadata={"help": "USB devices that nobody uses may sleep; some do not wake again"},
    )
    governor: Governor | None = field(
        default=None,
        metadata={"help": "who chooses the clock; `kernel` is its own default", "none": "kernel"},
    )
    cores: int | None = field(
        default=None,
        metadata={
            "help": "processors the kernel starts; `all` is what the board has",
            "none": "all",
            "minimum": 1,
            "maximum": 4,
        },
    )
    clock: int | None = field(
        default=None,
        metadata={
            "help": "the highest clock; `board` is the board's own",
            "none": "board",
            "minimum": 600,
            "maximum": 2400,
            "unit": "MHz",
        },
    )
    wake: Wake = field(
        default=Wake.NONE,
        metadata={
            "help": "what switches the board: `none` nothing, it runs as long as it has power;"
            " `ignition` its power is cut; `latch` it holds its own power by a pin;"
            " `gpio` pin 3 halts and wakes it"
        },
    )
    latch_pin: int | None = field(
        default=None,
        metadata={
            "help": "with `wake: latch`: GPIO that is high as long as the board wants power",
            "none": "none",
            "minimum": PIN_FIRST,
            "maximum": PIN_LAST,
        },
    )
    off_pin: int | None = field(
        default=None,
        metadata={
            "help": "GPIO whose fall, two seconds long, switches the board off cleanly;"
            f" with `wake: gpio` it is {PIN_WAKE}",
            "none": "none",
            "minimum": PIN_FIRST,
            "maximum": PIN_LAST,
        },
    )
    off_after: int = field(
        default=0,
        metadata={
            "help": "minutes of standing after which the board sends what it can and switches"
            " itself off; 0: never",
            "minimum": 0,
            "maximum": OFF_AFTER_MAX_MIN,
            "unit": "min",
        },
    )

    @property
    def watched_pin(self) -> int | None:
        """The pin whose fall asks for a clean end."""
        return PIN_WAKE if self.wake is Wake.GPIO else self.off_pin


@dataclass(frozen=True, kw_only=True)
class Processor:
    """What a board's processor has."""

    cores: int
    slowest: int  # MHz
    fastest: int


# Raspberry Pi documentation, config.txt, "Overclocking options": arm_freq and arm_freq_min.
_PROCESSORS: Mapping[str, Processor] = MappingProxyType(
    {
        "zero-w": Processor(cores=1, slowest=700, fastest=1000),
        "zero-2-w": Processor(cores=4, slowest=600, fastest=1000),
        "3": Processor(cores=4, slowest=600, fastest=1200),
        "4": Processor(cores=4, slowest=600, fastest=1500),
        "5": Processor(cores=4, slowest=1500, fastest=2400),
    }
)


def processor_of(board: BoardName) -> Processor:
    """Give what a board's processor has."""
    return _PROCESSORS[str(board)]


def check(config: Config) -> list[Problem]:
    """Say in plain words which settings contradict each other, the board or the rest."""
    return [
        Problem(path=f"power.{key}", what=what, cure=cure)
        for key, what, cure in (
            *_of_the_processor(config.power, config.board),
            *_of_the_pins(config.power, config.board),
            *_of_the_rest(
                config.power,
                networks=bool(config.wifi.networks),
                recorder=config.shows_state,
                car=config.car,
            ),
        )
    ]


_Found = tuple[str, str, str]


def _of_the_processor(power: Power, board: BoardName) -> Iterator[_Found]:
    has = processor_of(board)
    if power.cores is not None and power.cores > has.cores:
        yield "cores", f"board {board} has {has.cores}", f"{has.cores} at most, or: all"
    if power.clock is not None and not has.slowest <= power.clock <= has.fastest:
        what = f"board {board} runs at {has.slowest} to {has.fastest} MHz"
        yield "clock", what, "take one of these, or: board"


def _of_the_pins(power: Power, board: BoardName) -> Iterator[_Found]:
    if power.wake is Wake.LATCH and power.latch_pin is None:
        yield "latch_pin", "is missing, power.wake: latch needs it", "such as latch_pin: 17"
    if power.wake is not Wake.LATCH and power.latch_pin is not None:
        yield "latch_pin", f"means nothing with power.wake: {power.wake}", "write wake: latch"
    if power.wake is Wake.GPIO and power.off_pin not in (None, PIN_WAKE):
        what = f"with power.wake: gpio the pin is {PIN_WAKE}, no other wakes a board"
        yield "off_pin", what, "leave it out, or write wake: none"
    if power.wake is Wake.IGNITION and power.off_pin is not None:
        what = "with power.wake: ignition the power is gone before anything could be asked"
        yield "off_pin", what, "leave it out, or hold the power: wake: latch"
    if power.wake is Wake.GPIO and str(board) == "5":
        yield "wake", "a Raspberry Pi 5 is not woken by a GPIO", "it has a button of its own"
    if power.latch_pin is not None and power.latch_pin == power.off_pin:
        yield "off_pin", f"{power.off_pin} is the latch's pin already", "take two different ones"
    for key, pin in (("latch_pin", power.latch_pin), ("off_pin", power.off_pin)):
        if pin in _PINS_CONSOLE:
            yield key, f"{pin} belongs to the serial console (14, 15)", "take another, such as 17"
    if power.latch_pin in _PINS_PULLED_UP:
        what = f"{power.latch_pin} is pulled up while nothing drives it: the latch would never open"
        yield "latch_pin", what, "take one from 9 on, such as 17"


def _of_the_rest(power: Power, *, networks: bool, recorder: bool, car: bool) -> Iterator[_Found]:
    if power.radio is Radio.OFF and networks:
        what = "'off' leaves wifi.networks without a radio"
        yield "radio", what, "write radio: standing, or leave the networks out"
    if power.off_after and power.wake in (Wake.NONE, Wake.IGNITION):
        what = f"a board that switched itself off stays off with power.wake: {power.wake}"
        yield "off_after", what, "write wake: latch or wake: gpio, or off_after: 0"
    if power.off_after and not recorder:
        what = "the recorder tells that the vehicle stands, and there is none"
        yield "off_after", what, "add the stage telematics, or write off_after: 0"
    if power.wake is not Wake.NONE and not car:
        what = "what is under power: comes with profile car and its stage"
        yield "wake", what, "write profile: car, or leave it out"
