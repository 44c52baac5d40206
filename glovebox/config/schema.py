"""The configuration: one frozen tree, whose field metadata is the only list of keys there is.

The loader checks with it and docs/configuration.md is written from it.
Metadata of a field:
`help`     the line in the documentation
`rule`     a function from `rules.py`, text to value
`resolve`  the same, for values that are looked up beside the file they stand in
`minimum`, `maximum`, `pattern`, `unit`   bounds, as the service's settings have them too
`none`     the word that stands for None
`needs`    the sibling that must be given along with it, and why
`secret`   True: text to keep from messages and from files others can read
`hidden`   True: text to keep from messages
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping  # noqa: TC003  the loader reads the hints when it runs
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NoReturn

from glovebox.config import rules
from glovebox.config.power import PIN_FIRST, PIN_LAST, Led, Power, Radio
from telematics.settings import Settings

STAGES = ("base", "gnss", "queue", "python", "car", "boot", "first-boot", "telematics")
CAR_STAGE = "car"
# The part of a car's stage that is not a vehicle's alone: a read-only root, and a data partition.
DISK_STAGE = "disk"
# What the owner puts on the card is kept on the data partition, which only a car's disk has.
FIRST_BOOT_STAGE = "first-boot"
RECORDER_STAGE = "telematics"


class Secret:
    """Text that shows itself only when asked to: no repr, no str, no pickle holds it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Take the text in."""
        self._text = text

    def reveal(self) -> str:
        """Give the text, to be written where it is needed and nowhere else."""
        return self._text

    def __repr__(self) -> str:
        """Show that there is one."""
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        """Hash like any value that compares equal."""
        return hash((Secret, self._text))

    def __copy__(self) -> Secret:
        """Stay the same: there is nothing to change."""
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        """Stay the same, so that `dataclasses.asdict` works on the tree."""
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be pickled."""
        message = "a Secret is not written down"
        raise TypeError(message)


class BoardName(StrEnum):
    """The boards there are images for."""

    ZERO_W = "zero-w"
    ZERO_2_W = "zero-2-w"
    PI_2 = "2"
    PI_3 = "3"
    PI_4 = "4"
    PI_5 = "5"


class Profile(StrEnum):
    """What the disk is made for."""

    CAR = "car"
    HOME = "home"
    BENCH = "bench"


class Receiver(StrEnum):
    """Where the receiver is."""

    USB = "usb"
    UART = "uart"


class Server(StrEnum):
    """The servers that can hold the queue."""

    REDIS = "redis"
    VALKEY = "valkey"


@dataclass(frozen=True, kw_only=True)
class User:
    """The first user, who may use sudo; there is no default password.

    With neither a key nor a password hash, the build takes the SSH key of whoever starts it.
    """

    name: str = field(default="pi", metadata={"help": "login name", "rule": rules.user_name})
    password_hash: Secret | None = field(
        default=None,
        metadata={
            "help": "what `mkpasswd -m yescrypt` prints; `$y$…` or `$6$…`",
            "rule": rules.password_hash,
        },
    )
    ssh_keys: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "public keys that may log in: the text, or the path of a `.pub` file",
            "resolve": rules.ssh_key,
            "hidden": True,
        },
    )


@dataclass(frozen=True, kw_only=True)
class Network:
    """A wireless network the board joins."""

    ssid: str = field(metadata={"help": "its name, up to 32 bytes", "rule": rules.ssid})
    psk: Secret | None = field(
        default=None,
        metadata={
            "help": "passphrase of 8 to 63 characters, or 64 hex digits; none: an open network",
            "rule": rules.psk,
        },
    )
    hidden: bool = field(
        default=False, metadata={"help": "whether it keeps its name to itself (looked for by name)"}
    )


@dataclass(frozen=True, kw_only=True)
class Wifi:
    """Wireless networks; the radio stays off without a country."""

    country: str | None = field(
        default=None,
        metadata={
            "help": "where the board is used, ISO 3166: decides the channels it may use",
            "rule": rules.country,
        },
    )
    networks: tuple[Network, ...] = field(
        default=(),
        metadata={
            "help": "networks to join",
            "needs": ("country", "the radio stays off until it is known where the board is"),
        },
    )


@dataclass(frozen=True, kw_only=True)
class Disk:
    """Sizes of the partitions: `512MiB`, `4GiB`, `3GB`, or a number of bytes."""

    boot: int = field(
        default=512 * rules.MIB,
        metadata={
            "help": "boot partition",
            "rule": rules.size,
            "minimum": 64 * rules.MIB,
            "maximum": 4 * rules.GIB,
            "unit": "bytes",
        },
    )
    root: int | None = field(
        default=None,
        metadata={
            "help": "root partition; `auto` is what its files need and `disk.root_free`, with"
            " profiles `car` and `home` rounded up to whole GiB",
            "rule": rules.size,
            "none": "auto",
            "minimum": 256 * rules.MIB,
            "maximum": 2047 * rules.GIB,  # the partition table counts up to 2 TiB
            "unit": "bytes",
        },
    )
    root_free: int = field(
        default=200 * rules.MIB,
        metadata={
            "help": "room left on the root partition when `disk.root` is `auto`",
            "rule": rules.size,
            "maximum": 1024 * rules.GIB,
            "unit": "bytes",
        },
    )
    data: int = field(
        default=256 * rules.MIB,
        metadata={
            "help": "data partition of profiles `car` and `home` as it is flashed; the board grows"
            " it to the end of its card",
            "rule": rules.size,
            "minimum": 64 * rules.MIB,
            "maximum": 64 * rules.GIB,
            "unit": "bytes",
        },
    )


@dataclass(frozen=True, kw_only=True)
class FirmwareFile:
    """A firmware file that the base lacks, fetched once and checked."""

    url: str = field(metadata={"help": "where it is fetched from", "rule": rules.url})
    sha256: str = field(metadata={"help": "its SHA-256 sum", "rule": rules.sha256})


@dataclass(frozen=True, kw_only=True)
class ArchiveEntry:
    """A package archive beside Debian's; the image's own list of sources does not name it."""

    url: str = field(metadata={"help": "its address", "rule": rules.url})
    suite: str = field(metadata={"help": "its suite, which need not be one of Debian's"})
    components: tuple[str, ...] = field(default=("main",), metadata={"help": "its components"})
    keyring: str = field(
        metadata={"help": "the file with the keys it is signed with", "resolve": rules.existing}
    )


@dataclass(frozen=True, kw_only=True)
class Queue:
    """The queue between the receiver and the network."""

    server: Server = field(default=Server.REDIS, metadata={"help": "server that is compiled"})


@dataclass(frozen=True, kw_only=True)
class StageEntry:
    """A stage to run: its name below stages/, or its path; the word alone, or with more keys."""

    path: str = field(
        metadata={
            "help": "a name below stages/, or a path",
            "resolve": rules.stage,
            # The key that is meant where one word stands for the whole section.
            "alone": True,
        }
    )
    volatile: bool = field(
        default=False,
        metadata={"help": "run in every build: for scripts whose inputs cannot be tracked"},
    )
    network: bool = field(
        default=False,
        metadata={
            "help": "its lists and scripts install by network, as in pi-gen; that is not tracked"
        },
    )

    def __str__(self) -> str:
        """Give the name or path."""
        return self.path


@dataclass(frozen=True, kw_only=True)
class Config:
    """What the image is."""

    board: BoardName = field(default=BoardName.ZERO_W, metadata={"help": "board the image is for"})
    base: str = field(
        default="debian",
        metadata={
            "help": "what it starts from: `debian`, or the path of an `.img` or `.img.xz` file",
        },
    )
    suite: str = field(default="trixie", metadata={"help": "Debian suite", "rule": rules.suite})
    mirror: str | None = field(
        default=None,
        metadata={
            "help": "Debian mirror to build from; none: that of the host, or mmdebstrap's default",
            "rule": rules.url,
        },
    )
    profile: Profile = field(
        default=Profile.CAR,
        metadata={
            "help": "`car`: a read-only root and a data partition (stage `car`), see docs/car.md;"
            " `home`: the same disk without what is a vehicle's (stage `disk`), see docs/home.md;"
            " `bench`: one root partition, read and write"
        },
    )
    hostname: str = field(
        default=rules.AUTO,
        metadata={
            "help": "name on the network, with `.local` after it; `auto`: but for profile `bench`"
            " `glovebox-` and the last eight digits of the board's serial number, else `glovebox`",
            "rule": rules.hostname,
        },
    )
    user: User = field(default_factory=User)
    wifi: Wifi = field(default_factory=Wifi)
    locale: str = field(
        default="C.UTF-8", metadata={"help": "language and formats", "rule": rules.locale}
    )
    timezone: str = field(
        default="Etc/UTC", metadata={"help": "as in Europe/Berlin", "rule": rules.timezone}
    )
    keyboard: str = field(
        default="us", metadata={"help": "XKB layout of the console", "rule": rules.keyboard}
    )
    disk: Disk = field(default_factory=Disk)
    receiver: Receiver = field(
        default=Receiver.USB,
        metadata={
            "help": "where the receiver is: `usb`, found when it is plugged in, or `uart`, the"
            " serial port on the header (GPIO 14 and 15), which is no console then"
        },
    )
    pps_pin: int | None = field(
        default=None,
        metadata={
            "help": "GPIO with the receiver's pulse per second, with profile `car`",
            "none": "none",
            "minimum": PIN_FIRST,
            "maximum": PIN_LAST,
        },
    )
    power: Power = field(default_factory=Power)
    stages: tuple[StageEntry, ...] = field(
        default=tuple(StageEntry(path=name) for name in STAGES),
        metadata={"help": "stages to run, in order: names below stages/, or paths"},
    )
    overlays: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "folders laid over the image last: names below overlays/, or paths",
            "resolve": rules.overlay,
        },
    )
    templates: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "folders of templates filled from this file and laid over the image after the"
            " overlays: names below templates/, or paths",
            "resolve": rules.templates,
        },
    )
    environment: Mapping[str, str] = field(
        default_factory=dict,
        metadata={
            "help": "variables for stages that are not ours, `NAME: value`",
            "hidden": True,
        },
    )
    firmware: tuple[FirmwareFile, ...] = field(
        default=(), metadata={"help": "firmware files to add"}
    )
    archives: tuple[ArchiveEntry, ...] = field(
        default=(), metadata={"help": "package archives to install from, beside Debian's"}
    )
    pi_gen_config: str | None = field(
        default=None,
        metadata={
            "help": "a `config` file of pi-gen: what it sets counts where this file says nothing",
            "resolve": rules.existing,
        },
    )
    queue: Queue = field(default_factory=Queue)
    service: Settings = field(default_factory=Settings)

    @property
    def image_hostname(self) -> str:
        """The name that stands in the image; what a board has of its own it adds when it starts."""
        return rules.DEFAULT_HOSTNAME if self.hostname == rules.AUTO else self.hostname

    @property
    def car(self) -> bool:
        """Whether the disk is that of a car: it takes both the profile and the stage."""
        return self.profile is Profile.CAR and self._has(CAR_STAGE)

    @property
    def survives_cuts(self) -> bool:
        """Whether the root is read-only and there is a data partition: in a car, and at home."""
        return self.car or (self.profile is Profile.HOME and self._has(DISK_STAGE))

    def leaves_out(self, path: str) -> bool:
        """Tell whether a stage of the list means nothing with this profile."""
        match path:
            case _ if path == CAR_STAGE:
                return not self.car
            case _ if path == DISK_STAGE:
                return self.car or not self.survives_cuts
            case _:
                return path == FIRST_BOOT_STAGE and not self.survives_cuts

    def _has(self, stage: str) -> bool:
        return any(entry.path == stage for entry in self.stages)

    @property
    def shows_name(self) -> bool:
        """Whether a screen shows the board's name until it is set up: nobody gave it one yet."""
        unnamed = self.hostname == rules.AUTO and not self.power.hdmi
        return unnamed and self.survives_cuts and self._has(FIRST_BOOT_STAGE)

    @property
    def shows_state(self) -> bool:
        """Whether there is a recorder, and something on the board that follows its state."""
        power = self.power
        follows = power.led is Led.CODES or power.radio is Radio.STANDING or power.off_after > 0
        return follows and any(entry.path == RECORDER_STAGE for entry in self.stages)
