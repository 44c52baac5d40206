"""What a stock image does by itself when it starts for the first time, read and never assumed.

Raspberry Pi's images had four ways to grow in as many years, and each of them also names the disk,
makes host keys or asks for a user. Where an image of ours does such a job, what did it before is
replaced by the name that was found here (`stages/raspios`); so nothing is done twice, and what is
unknown stops a build instead of a board.
Sources: raspberrypi-sys-mods, userconf-pi, raspi-config, pi-gen, and rpi-swap's swap.conf(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from glovebox.card import cmdline
from glovebox.host import inside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UNITS = "etc/systemd/system"
_SHIPPED_UNITS = "usr/lib/systemd/system"
_GENERATORS = "systemd/system-generators"
_SCRIPTS = "usr/share/initramfs-tools/scripts"
_CLOUD_INIT_OFF = "etc/cloud/cloud-init.disabled"
_MASK = "/dev/null"
_INIT = "init="


class Job(StrEnum):
    """Something that shall happen to a card, or a board, once."""

    GROWTH = "growth"
    DISK_ID = "disk id"
    HOST_KEYS = "host keys"
    SSH = "ssh"
    USER = "user"
    SETTINGS = "settings"
    SWAP = "swap"
    EEPROM = "EEPROM"
    TIMERS = "timers"
    UNKNOWN = "unknown"


class How(StrEnum):
    """By what kind of thing a job is done."""

    WORD = "word"  # of the kernel's command line
    UNIT = "unit"  # of systemd
    GENERATOR = "generator"  # of systemd's units
    SCRIPT = "script"  # of the initramfs
    FILE = "file"  # on the boot partition


@dataclass(frozen=True, kw_only=True)
class Doer:
    """What does one job or several, by the name it was found under."""

    how: How
    name: str
    jobs: tuple[Job, ...]

    def __str__(self) -> str:
        """Give it as a person reads it."""
        return f"{self.how} {self.name}"


@dataclass(frozen=True, kw_only=True)
class FirstStart:
    """What an image would do; of an image that does none of it, nothing."""

    doers: tuple[Doer, ...] = ()

    def by(self, job: Job) -> tuple[Doer, ...]:
        """Give what does a job."""
        return tuple(one for one in self.doers if job in one.jobs)

    @property
    def lines(self) -> list[str]:
        """Give a line for each job of each: how, name, job, and what does it in a car instead."""
        return [
            "\t".join((one.how, one.name, job, INSTEAD[job]))
            for one in self.doers
            for job in one.jobs
            if job in INSTEAD
        ]

    @property
    def jobs(self) -> dict[str, list[str]]:
        """Give each job that is done, with what does it."""
        return {str(job): [str(one) for one in self.by(job)] for job in Job if self.by(job)}


# What does each job on a board of profile car instead.
INSTEAD = {
    Job.GROWTH: "glovebox-grow.service grows the data partition; the root stays as it is",
    Job.DISK_ID: "the builder makes it, out of what is in the image",
    Job.HOST_KEYS: "glovebox-host-keys.service makes one and keeps it on the data partition",
    Job.SSH: "it is on, for the keys of image.yaml and glovebox.yaml",
    Job.USER: "image.yaml, or glovebox.yaml on the card",
    Job.SETTINGS: "glovebox-settings.service takes over glovebox.yaml, or what Imager writes",
    Job.SWAP: "nobody: nothing swaps to the card of a car",
    Job.EEPROM: "its owner: sudo glovebox-maintenance on, then rpi-eeprom-update",
    Job.TIMERS: "nobody: a board in a vehicle updates and tidies nothing by itself",
}

# A word of the command line: as it stands, or with `=` what it begins with.
_WORDS = {
    "init=/usr/lib/raspberrypi-sys-mods/firstboot": (
        Job.GROWTH, Job.DISK_ID, Job.HOST_KEYS, Job.SETTINGS,
    ),
    "init=/usr/lib/raspi-config/init_resize.sh": (Job.GROWTH, Job.DISK_ID),
    "resize": (Job.GROWTH, Job.DISK_ID),
    "systemd.run=": (Job.SETTINGS,),
    "systemd.run_success_action=": (Job.SETTINGS,),
    "systemd.run_failure_action=": (Job.SETTINGS,),
    "systemd.unit=": (Job.SETTINGS,),
    "ds=": (Job.SETTINGS,),
    "cloud-init=": (Job.SETTINGS,),
}  # fmt: skip
_UNITS = {
    "rpi-resize.service": (Job.GROWTH,),
    "systemd-growfs-root.service": (Job.GROWTH,),
    "resize2fs_once.service": (Job.GROWTH,),
    "regenerate_ssh_host_keys.service": (Job.HOST_KEYS,),
    "sshswitch.service": (Job.SSH,),
    "userconfig.service": (Job.USER,),
    "rpi-eeprom-update.service": (Job.EEPROM,),
    "dphys-swapfile.service": (Job.SWAP,),
    "rpi-zram-writeback.timer": (Job.SWAP,),
}
_OURS = ("glovebox-", "telematics-")
_CLOUD_INIT = re.compile(r"cloud-(init|config|final)[\w-]*\.(service|target|socket)")
_GENERATOR_JOBS = {
    "rpi-swap-generator": (Job.SWAP,),
    "cloud-init-generator": (Job.USER, Job.HOST_KEYS, Job.SETTINGS),
}
_SCRIPT_JOBS = {
    "local-premount/firstboot": (Job.GROWTH,),
    "local-premount/resize_early": (Job.GROWTH,),
    "local-bottom/resize_late": (Job.DISK_ID,),
    "local-bottom/set_partuuid": (Job.DISK_ID,),
    "local-bottom/imager_fixup": (Job.SETTINGS,),
}
_FILES = {
    **dict.fromkeys(("userconf", "userconf.txt"), (Job.USER,)),
    **dict.fromkeys(("ssh", "ssh.txt"), (Job.SSH,)),
    **dict.fromkeys(
        ("user-data", "network-config", "meta-data", "firstrun.sh", "custom.toml",
         "rpi-preseed.toml", "wpa_supplicant.conf"),
        (Job.SETTINGS,),
    ),
}  # fmt: skip


def read(root: Path, boot: Path) -> FirstStart:
    """Read a root file system and the folder of its boot files."""
    found = (
        *_words(inside.text(boot, "cmdline.txt")),
        *_units(root),
        *_generators(root),
        *_scripts(root),
        *_files(boot),
    )
    return FirstStart(doers=found)


def _words(text: str) -> Iterator[Doer]:
    for word in cmdline.words(text):
        jobs = _WORDS.get(word) or _WORDS.get(f"{word.partition('=')[0]}=")
        if jobs is None and word.startswith(_INIT):
            jobs = (Job.UNKNOWN,)
        if jobs:
            yield Doer(how=How.WORD, name=word, jobs=jobs)


def _units(root: Path) -> Iterator[Doer]:
    """Give the units that a start of the image would begin with."""
    off = inside.exists(root, _CLOUD_INIT_OFF)
    timers = _in(root, f"{UNITS}/timers.target.wants")
    for name in sorted(_wanted(root)):
        if _link(root, f"{UNITS}/{name}") == _MASK:
            continue
        jobs: tuple[Job, ...] | None = _UNITS.get(name)
        if jobs is None and _CLOUD_INIT.fullmatch(name) and not off:
            jobs = (Job.USER, Job.HOST_KEYS, Job.SETTINGS)
        timer = name in timers and not name.startswith(_OURS)
        if jobs is None and timer:
            jobs = (Job.TIMERS,)
        if jobs:
            yield Doer(how=How.UNIT, name=name, jobs=jobs)


def _wanted(root: Path) -> set[str]:
    """Give the names of all units that another one wants, and of scripts of the old kind."""
    found = set()
    for folder in (UNITS, _SHIPPED_UNITS):
        for name in _in(root, folder):
            if name.endswith((".wants", ".requires")):
                found.update(_in(root, f"{folder}/{name}"))
    for level in "S2345":
        for name in _in(root, f"etc/rc{level}.d"):
            script = re.fullmatch(r"S\d\d(.+)", name)
            if script:
                found.add(f"{script[1]}.service")
    if "rpi-resize.service" in found:  # its own file says so, in a line Wants=
        found.add("systemd-growfs-root.service")
    return found


def _generators(root: Path) -> Iterator[Doer]:
    for name, jobs in _GENERATOR_JOBS.items():
        shipped = inside.is_file(root, f"usr/lib/{_GENERATORS}/{name}")
        masked = _link(root, f"etc/{_GENERATORS}/{name}") == _MASK
        if shipped and not masked:
            yield Doer(how=How.GENERATOR, name=name, jobs=jobs)


def _scripts(root: Path) -> Iterator[Doer]:
    for name, jobs in _SCRIPT_JOBS.items():
        shipped = inside.is_file(root, f"{_SCRIPTS}/{name}")
        # One of the same name in /etc comes instead; a hook of ours takes out what is named here.
        if shipped and name not in replaced(root, How.SCRIPT):
            yield Doer(how=How.SCRIPT, name=name, jobs=jobs)


def _files(boot: Path) -> Iterator[Doer]:
    there = {name.lower() for name in _in(boot, ".")}
    for name, jobs in _FILES.items():
        if name in there:
            yield Doer(how=How.FILE, name=name, jobs=jobs)


# On the board: what was replaced, a line each: how, name, job and what does it instead.
REPLACED = "etc/glovebox/replaced"


def replaced(root: Path, how: How) -> set[str]:
    """Give the names that an image of ours says it has replaced."""
    lines = (line.split("\t") for line in inside.text(root, REPLACED).splitlines())
    return {fields[1] for fields in lines if len(fields) > 1 and fields[0] == how}


def _in(root: Path, name: str) -> list[str]:
    if not inside.is_folder(root, name):
        return []
    return sorted(path.name for path in inside.place(root, name).iterdir())


def _link(root: Path, name: str) -> str:
    path = inside.entry(root, name)
    return str(path.readlink()) if path.is_symlink() else ""
