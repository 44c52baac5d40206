"""The readers of images: no traceback, no hang, no memory without end, no file of the host."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from glovebox.boards import firmware
from glovebox.boards.boards import BOARDS
from glovebox.card import bootfiles, cmdline, ext4, media, system, table as card
from glovebox.errors import ImageError
from glovebox.host.run import run as start
from glovebox.images import diff, show
from tests.fuzz.runner import Target, lines, mutated, run

if TYPE_CHECKING:
    import random

MIB = 1 << 20
# Words that mean something to the readers.
_CONFIG = (
    "[all]",
    "[pi4]",
    "[cm4s]",
    "[none]",
    "[tryboot]",
    "[gpio4=1]",
    "[boot_partition=2]",
    "[board-type",
    "include",
    "config.txt",
    "kernel",
    "initramfs",
    "cmdline",
    "os_prefix",
    "dtoverlay",
    "x,y=1",
    "arm_64bit",
    "1",
    "auto_initramfs",
    "device_tree",
    "gpu_mem",
    "16",
    "upstream_kernel",
    "boot_partition",
)
_CMDLINE = (
    "root",
    "PARTUUID",
    "0badcafe-02",
    "LABEL",
    "UUID",
    "PARTLABEL",
    "/dev/mmcblk0p",
    "2",
    "179:2",
    "b302",
    "/PARTNROFF",
    "--",
    "/dev/disk/by-label/",
    "\\x20",
    "quiet",
    "rootwait",
)
_SYSTEM = (
    "install ok installed",
    *(
        [
            "root",
            "x",
            "0",
            "1000",
            "/bin/sh",
            "/root",
            "Package",
            "Version",
            "Status",
            "Architecture",
            "dpkg",
            "arm64",
            "/boot",
            "vfat",
            "auto",
            "LABEL=boot",
            "PRETTY_NAME",
            "VERSION_CODENAME",
            "deb",
            "http://example.org/debian",
            "trixie",
            "main",
            "[signed-by=/etc/x]",
            "Types",
            "URIs",
            "Suites",
        ]
    ),
)
_FILES = (
    "etc/passwd",
    "etc/shadow",
    "etc/fstab",
    "etc/os-release",
    "etc/hostname",
    "etc/rpi-issue",
    "var/lib/dpkg/status",
    "var/lib/dpkg/info/a.list",
    "etc/apt/sources.list",
    "etc/apt/sources.list.d/a.sources",
    "etc/systemd/system/a.wants/b",
    "lib/modules/6.1/x",
    "bin/sh",
    "home/x/.ssh/authorized_keys",
)
# Where a card is broken: table, second table, FAT, its folders, superblock, anywhere.
_PLACES = (
    (0, 512), (512, 34 * 512), (MIB, 512), (MIB + 512, 64 * 512), (3 * MIB, 4096), (0, 8 * MIB),
)  # fmt: skip


@cache
def small_card(kind: str) -> bytes:
    """Give a whole small card: a table, a FAT with files of the firmware, an ext4."""
    with TemporaryDirectory() as made:
        image = Path(made) / "card.img"
        with image.open("wb") as file:
            file.truncate(8 * MIB)
        start(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", image],
              input=f"label: {kind}\nstart=2048, size=4096, type={'c' if kind == 'dos' else 'U'}\n"
                    f"start=6144, size=8192, type={'83' if kind == 'dos' else 'L'}\n")  # fmt: skip
        place = f"{image}@@{MIB}"
        start(["mformat", "-i", place, "-T", "4096", "-v", "BOOT", "::"])
        for name in ("config.txt", "cmdline.txt", "autoboot.txt", "a-long-name-of-a-file.dtb"):
            (Path(made) / name).write_text("kernel=a-long-name-of-a-file.dtb\n")
            start(["mcopy", "-i", place, Path(made) / name, "::/"])
        start(["mke2fs", "-q", "-F", "-t", "ext4", "-E", f"offset={3 * MIB}", image, "4096k"])
        return image.read_bytes()


def card_bytes(chance: random.Random) -> bytes:
    """Break a card where its readers look: table, FAT, folder, superblock, or anywhere."""
    whole = small_card(chance.choice(("dos", "gpt")))
    at, size = chance.choice(_PLACES)
    return whole[:at] + mutated(chance, whole[at : at + size]) + whole[at + size :]


def read_card(data: bytes, folder: Path) -> None:
    """Look at a card as every verb does, and copy its boot files out."""
    image = folder / "card.img"
    image.write_bytes(data)
    card.table(image)
    found = media.examine(image, image, None)
    with TemporaryDirectory(dir=folder) as made:
        bootfiles.free(image, found.boot)
        bootfiles.copy(image, found.boot, Path(made) / "boot")
        bootfiles.listing(Path(made) / "boot")


def read_config(text: str, _folder: Path) -> None:
    """Read config.txt for every model, with an include of itself; compare it with itself."""
    for model in firmware.MODELS.values():
        found = firmware.read(text, model, lambda _name: text, partition=2)
        firmware.judge(found, model, {"kernel8.img"}, lambda _name: frozenset())
        assert len(found.lines) <= 40 * len(text.splitlines()) + 1
        assert len(found.orders) + len(found.values) <= len(found.lines)
    firmware.flat(text)
    firmware.boot_partition(text)
    for board in BOARDS.values():
        card.start_of(text, board)


def read_cmdline(text: str, _folder: Path) -> None:
    """Find root on cards of both kinds."""
    for table in (
        card.Table(disk_id="0badcafe", partitions=_PARTS),
        card.Table(kind=card.GPT, disk_id="0", partitions=_PARTS),
    ):
        found = cmdline.find(table, text, cmdline.Names(systems=(3,)))
        assert found is not None
        assert found.partition in _PARTS


_PARTS = tuple(
    card.Partition(number=one, start=one * MIB, size=MIB, kind="c" if one == 1 else "83")
    for one in (1, 2, 3)
)


def tree_of(chance: random.Random) -> dict[str, str]:
    """Give texts of a system's files, some of them links or pipes instead."""
    made = {}
    for name in _FILES:
        kind = chance.randrange(8)
        link = chance.choice(("/etc/passwd", "../../../../outside/canary", "/", ".", "loop", name))
        made[name] = "|" if kind == 0 else f">{link}" if kind == 1 else lines(chance, _SYSTEM)
    return made


def read_system(tree: dict[str, str], folder: Path) -> None:
    """Ask a tree what `info` and `diff` ask, and print it."""
    with TemporaryDirectory(dir=folder) as made:
        root = Path(made)
        for name, text in tree.items():
            _plant(root / name, text)
        facts: dict[str, Any] = {}
        for ask in (system.os_release, system.found_arch, system.versions, system.users,
                    system.units, system.kernels, system.owners, system.boot_point):  # fmt: skip
            with suppress(ImageError):
                facts[ask.__name__] = ask(root)  # type: ignore[operator]  each takes a root
        assert "nobody reads" not in str(facts)
        diff.entries(root)
        show.diff({"units": {"added": facts.get("units", {})}}, everything=True)


def _plant(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if text == "|":
        os.mkfifo(path)
    elif text.startswith(">"):
        path.symlink_to(text[1:])
    else:
        path.write_bytes(text.encode(errors="surrogatepass"))


TARGETS = (
    Target(name="card", make=card_bytes, read=read_card, cases=40),
    Target(
        name="superblock",
        make=lambda chance: mutated(chance, small_card("dos")[3 * MIB + 1024 :][:1024]),
        read=lambda data, _folder: ext4.parse(data),
        cases=300,
    ),
    Target(
        name="config.txt", make=lambda chance: lines(chance, _CONFIG), read=read_config, cases=60
    ),
    Target(
        name="cmdline", make=lambda chance: lines(chance, _CMDLINE), read=read_cmdline, cases=600
    ),
    Target(name="system", make=tree_of, read=read_system, cases=60),
)


@pytest.mark.needs("sfdisk", "mformat", "mcopy", "mke2fs")
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_reader(target: Target, seed: int, pytestconfig: pytest.Config) -> None:
    """Whatever it is given, it answers or says in our own words what is wrong."""
    seconds = pytestconfig.getoption("--fuzz-seconds")
    small_card("dos")
    small_card("gpt")

    count, failure = run(
        target, seed=seed, until=time.monotonic() + seconds if seconds is not None else None
    )

    assert failure is None, str(failure)
    assert count > 0
