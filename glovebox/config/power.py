"""What `power:` in image.yaml can say.

What cannot be meant stands in `boards/check.py`, what each setting saves and costs in
`boards/power.py` and docs/car.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

PIN_FIRST, PIN_LAST = 2, 27  # of the 40-pin header; 0 and 1 belong to the EEPROM of a HAT
PIN_WAKE = 3  # the one pin whose fall wakes a halted board: the firmware's choice
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
