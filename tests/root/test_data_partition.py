"""The data partition in every state: whatever a cut or an old card left, the board can record."""

from __future__ import annotations

import os
import random
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.build import assemble
from glovebox.host.run import run
from tests import owners_card

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.needs("e2fsck", "mke2fs", "losetup", "mount")]

STAGE = Path(__file__).parent.parent.parent / "stages/car/00-disk/01-overlay/usr/lib/glovebox"
MIB = 1024 * 1024
SIZE = 64 * MIB
USERS = "root:x:0:0::/root:/bin/sh\nqueue:x:990:990::/var/lib/queue:/bin/false\n"
IDENTITY = "0123456789abcdef0123456789abcdef\n"
OPTIONS = {"noatime", "nodev", "nosuid", "noexec", "resuid=990", "errors=remount-ro"}


def made(folder: Path) -> Path:
    """Make a data partition as a board has it after some time."""
    image, place = folder / "data.ext4", folder / "made"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(SIZE)
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-L", "data", image])
    run(["mount", "-o", "loop", image, place])
    for name, text in (
        ("system/machine-id", IDENTITY),
        ("settings/hostname", "truck-7\n"),
        ("queue/appendonlydir/a.aof", "XADD\n" * 999),
    ):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    run(["umount", place])
    return image


@contextmanager
def opened(image: Path, folder: Path, *, path: str = "") -> Iterator[tuple[Path, str]]:
    """Open it as the initramfs does; give the folder and what was said."""
    place, state = folder / "data", folder / "state"
    (folder / "passwd").write_text(USERS)
    device = run(["losetup", "--find", "--show", image]).stdout.strip()
    try:
        done = run(
            ["sh", STAGE / "open-data", device, place, folder / "passwd"],
            env={"STATE": str(state), "PATH": f"{path}{os.environ['PATH']}"},
        )
        try:
            yield place, done.stderr
        finally:
            run(["umount", place])
    finally:
        run(["losetup", "--detach", device])


def options(place: Path) -> set[str]:
    """Give the options of a mount."""
    told = run(["findmnt", "--noheadings", "--output", "OPTIONS", place]).stdout
    return set(told.strip().split(","))


def test_a_whole_one_is_mounted(folder: Path) -> None:
    """Nothing is lost, nothing is said, and the options are those of the documentation."""
    with opened(made(folder), folder) as (place, said):
        assert (place / "system/machine-id").read_text() == IDENTITY
        assert options(place) >= OPTIONS
        assert said == ""


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_one_can_be_used(folder: Path, seed: int) -> None:
    """Whatever blocks are overwritten, the partition is mounted and takes new files."""
    image = made(folder)
    dice = random.Random(seed)  # noqa: S311  the same damage each time
    with image.open("rb+") as file:
        for _ in range(4**seed):
            # Metadata stands at the beginning; the more damage, the further it reaches.
            file.seek(dice.randrange(0, min(SIZE, (seed + 1) ** 3 * MIB // 4) // 4096) * 4096)
            file.write(dice.randbytes(4096))

    with opened(image, folder) as (place, _):
        assert options(place) >= OPTIONS
        (place / "new").write_text("recorded")
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("1")
        assert (place / "new").read_text() == "recorded"
        assert "rw" in options(place)


@pytest.mark.parametrize("content", [bytes(SIZE), b"\xff" * SIZE])
def test_nothing_of_a_file_system(folder: Path, content: bytes) -> None:
    """A partition that never was one, or is none any more, is made anew, and that is said."""
    image = folder / "data.ext4"
    image.write_bytes(content)

    with opened(image, folder) as (place, said):
        (place / "new").write_text("recorded")
        assert "made anew" in said


def test_a_record_takes_little(folder: Path) -> None:
    """At one record a second, each flushed, at most 45 MB are written in an hour."""
    image = folder / "data.ext4"
    image.write_bytes(bytes(4 * SIZE))

    with opened(image, folder) as (place, _):
        device = run(["findmnt", "--noheadings", "--output", "SOURCE", place]).stdout.strip()
        append(place / "queue", 20)  # the first ones fill what is used from then on
        before = written(device)
        append(place / "queue", 200)
        assert (written(device) - before) / 200 <= 45e6 / 3600


def test_data_is_made_alike() -> None:
    """The board makes the file system as the builder does: blocks of one size, as many files."""
    text = (STAGE / "open-data").read_text()
    found = re.search(r"^mke2fs .* -b (\d+) -i (\d+) ", text, re.MULTILINE)
    assert found is not None
    block, per_file = map(int, found.groups())

    assert block == assemble.DATA_BLOCK
    assert 256 * MIB // per_file == assemble.DATA_INODES


def append(path: Path, count: int) -> None:
    """Write as the queue does: each record behind the last, and flushed."""
    with path.open("ab", buffering=0) as file:
        for _ in range(count):
            file.write(b"x" * 290)
            os.fdatasync(file.fileno())


def written(device: str) -> int:
    """Give the bytes that were written to a block device so far."""
    return int(Path(f"/sys/block/{Path(device).name}/stat").read_text().split()[6]) * 512


def test_what_can_be_read_is_set_aside(folder: Path) -> None:
    """Beyond repair, identity and settings are put back, the queue where its owner finds it."""
    image = made(folder)
    stub = folder / "bin/e2fsck"
    stub.parent.mkdir()
    stub.write_text("#!/bin/sh\nexit 8\n")  # stands for damage no e2fsck can mend
    stub.chmod(0o755)

    with opened(image, folder, path=f"{stub.parent}:") as (place, said):
        assert (place / "system/machine-id").read_text() == IDENTITY
        assert (place / "settings/hostname").read_text() == "truck-7\n"
        assert (place / "rescued/queue/appendonlydir/a.aof").read_text() == "XADD\n" * 999
        assert not (place / "queue").exists()
        assert "beyond repair" in said


@contextmanager
def laid_over(folder: Path, data: Path, **files: Path) -> Iterator[Path]:
    """Lay RAM over a root as the initramfs does, with a folder for the data partition."""
    root, state = folder / "root", folder / "run"
    for place in (root, state / "data"):
        place.mkdir(parents=True, exist_ok=True)
    run(["mount", "-t", "tmpfs", "tmpfs", root])
    for name in ("etc/ssh", "usr/lib/glovebox", "var/lib/chrony"):
        (root / name).mkdir(parents=True)
    (root / "var/lib/chrony/drift").write_text("of the image")
    listing = (STAGE / "kept-folders").read_text()
    (root / "usr/lib/glovebox/kept-folders").write_text(listing)
    (root / "usr/lib/glovebox/kept-folders.d").mkdir()
    (root / "usr/lib/glovebox/kept-folders.d/own").write_text("# mine\n/var/lib/own  own\n")
    for name, source in files.items():
        shutil.copytree(source, root / name, dirs_exist_ok=True)
    run(["mount", "-o", "remount,ro", root])
    run(["mount", "--bind", data, state / "data"])
    try:
        run(["sh", STAGE / "lay-over", root, state])
        yield root
    finally:
        for place in (root, state / "root", state / "ram", root):
            run(["umount", "--recursive", place], check=False)


def test_a_root_under_ram(folder: Path) -> None:
    """Everything can be written; at the next start only what is kept is there."""
    data = folder / "kept"
    data.mkdir()
    with laid_over(folder, data) as root:
        first = (root / "etc/machine-id").read_text()
        (root / "etc/changed").write_text("lost")
        (root / "var/lib/chrony/drift").write_text("kept")
        (root / "var/lib/queue/record").write_text("kept")
        (root / "var/lib/own/file").write_text("kept, as its stage says")
        (root / "data/system/ssh_host_ed25519_key").write_text("key")
    with laid_over(folder, data) as root:
        assert (root / "etc/machine-id").read_text() == first
        assert not (root / "etc/changed").exists()
        assert (root / "var/lib/chrony/drift").read_text() == "kept"
        assert (root / "var/lib/queue/record").read_text() == "kept"
        assert (root / "etc/ssh/ssh_host_ed25519_key").read_text() == "key"

    assert re.fullmatch(r"[0-9a-f]{32}\n", first)


@pytest.mark.parametrize("left", ["", "0123\n", "X" * 32 + "\n"])
def test_half_an_identity_is_none(folder: Path, left: str) -> None:
    """A machine-id that is not whole is made anew, and never reaches the system."""
    data = folder / "kept"
    (data / "system").mkdir(parents=True)
    (data / "system/machine-id").write_text(left)

    with laid_over(folder, data) as root:
        assert re.fullmatch(r"[0-9a-f]{32}\n", (root / "etc/machine-id").read_text())


def test_settings_are_laid_over(folder: Path) -> None:
    """What the owner put on the card once is there before the system starts, at each start."""
    told = owners_card.board(folder / "told")
    programs = owners_card.STAGE / "01-overlay/usr"
    data = folder / "kept"
    (data / "settings").mkdir(parents=True)
    (data / "settings/hostname").write_text("truck-7\n")
    (data / "settings/authorized_keys").write_text("ssh-ed25519 NEW\n")

    for _ in range(2):
        with laid_over(folder, data, etc=told.root / "etc", home=told.root / "home",
                       usr=programs) as root:  # fmt: skip
            assert (root / "etc/hostname").read_text() == "truck-7\n"
            assert (root / "home/pi/.ssh/authorized_keys").read_text() == "ssh-ed25519 NEW\n"


def test_maintenance(folder: Path) -> None:
    """With its owner's word the root itself is writable, and the rest stays as it is."""
    data = folder / "kept"
    (data / "system").mkdir(parents=True)
    (data / "system/maintenance").touch()

    with laid_over(folder, data) as root:
        told = run(["findmnt", "--noheadings", "--output", "FSTYPE,OPTIONS", root]).stdout.split()
        assert told[0] == "tmpfs"
        assert "rw" in told[1].split(",")
        assert (folder / "run/maintenance").exists()
        drop_in = folder / "systemd/system/boot-firmware.mount.d/maintenance.conf"
        assert "Options=rw," in drop_in.read_text()
        assert (root / "data/system/maintenance").exists()
