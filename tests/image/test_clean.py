"""Nothing of the host, of the emulator or of the build is left in what is shipped.

The files are read without emulation: these tests walk over every one of them.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.card import elf, initramfs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glovebox.verify.verify import Facts

# A booted board has made its own keys, logs and lists.
pytestmark = pytest.mark.level("chroot", highest="chroot")

FOREIGN_BY_DESIGN = (
    "usr/lib/firmware/",  # for the processors of peripherals
    "boot/firmware/",  # for the graphics processor
    "usr/lib/raspi-firmware/",  # where those files come from
)
LEFTOVERS = (
    "usr/bin/qemu-*-static", "usr/sbin/policy-rc.d", "etc/ssh/ssh_host_*", "etc/ssh/.new*",
    "var/lib/apt/lists/*_*", "var/cache/apt/archives/*.deb", "var/cache/apt/*.bin",
    "var/cache/ldconfig/aux-cache", "var/lib/systemd/random-seed", "var/lib/dbus/machine-id",
    "var/lib/NetworkManager/secret_key", "var/lib/NetworkManager/*.lease",
    "etc/**/*.dpkg-old", "etc/**/*.dpkg-new", "etc/**/*.dpkg-tmp", "etc/**/*.dpkg-dist",
    "etc/passwd-", "etc/shadow-", "etc/group-", "etc/gshadow-", "etc/.pwd.lock",
    "var/lib/dpkg/*-old", "var/lib/dpkg/lock*", "usr/sbin/*.distrib", "usr/sbin/*.REAL",
    "root/.*history", "home/*/.*history", "root/.cache",
)  # fmt: skip
# Words that stand in a path of the machine that built, and in none of a board.
TRACES = re.compile(
    rb"GLOVEBOX_STORE|overlay-work|\.cache/glovebox|/glovebox/(store|layers|tmp)"
    rb"|qemu-(arm|aarch64)-static|fakeroot|mmdebstrap"
)
SMALL = 256 * 1024


@pytest.fixture(scope="module")
def names(tree: Path) -> dict[Path, os.stat_result | None]:
    """Give every name of the image but folders, with what is there; None where nothing is.

    What is only mounted there to run programs is left out.
    """
    return dict(_names(os.fspath(tree), tree.stat().st_dev))


@pytest.fixture(scope="module")
def files(names: dict[Path, os.stat_result | None]) -> dict[Path, os.stat_result]:
    """Give every file and link of the image."""
    return {path: status for path, status in names.items() if status is not None}


def _names(folder: str, device: int) -> Iterator[tuple[Path, os.stat_result | None]]:
    with os.scandir(folder) as inside:
        for entry in inside:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                yield Path(entry.path), None
                continue
            if not stat.S_ISDIR(status.st_mode):
                yield Path(entry.path), status
            # Overlayfs shows files under the device of their layer, folders always under its own.
            elif status.st_dev == device:
                yield from _names(entry.path, device)


@pytest.mark.parametrize("pattern", LEFTOVERS)
def test_nothing_is_left(tree: Path, pattern: str) -> None:
    """None of what a build leaves behind, and no two boards may share, is there."""
    found = [str(path.relative_to(tree)) for path in tree.glob(pattern) if path.name != "."]

    assert found == []


def test_machine_id_is_made_at_first_boot(tree: Path) -> None:
    """The file is there and empty, so that each card gets its own, see machine-id(5)."""
    assert (tree / "etc/machine-id").read_text().strip() in {"", "uninitialized"}


def test_logs_are_empty(tree: Path) -> None:
    """No log tells of the build."""
    logs = (tree / "var/log").rglob("*")
    found = [
        str(each.relative_to(tree))
        for each in logs
        # A link leads to systemd's words on where the logs are.
        if each.is_file() and not each.is_symlink() and each.stat().st_size
    ]

    assert found == []


def test_resolver_is_not_the_hosts(tree: Path, facts: Facts) -> None:
    """Where names are looked up is decided on the board, not copied from the machine that built."""
    path = tree / "etc/resolv.conf"
    if facts.base != "debian":  # an image may bring its own
        assert not path.is_file() or path.read_text() != Path("/etc/resolv.conf").read_text()
        return
    if path.is_symlink():
        assert str(path.readlink()).startswith(("/run/", "../run/", "/usr/lib/systemd"))
    else:
        assert not path.exists() or "nameserver" not in path.read_text()


def test_no_foreign_program(tree: Path, files: dict[Path, os.stat_result], facts: Facts) -> None:
    """Every ELF file of the whole tree is for the board's processor."""
    foreign, own = [], 0
    begin = len(os.fspath(tree)) + 1
    for path, status in files.items():
        # By words and numbers: as paths and files, tens of thousands take as long as all the rest.
        place = os.fspath(path)
        name = place[begin:]
        if name.startswith(FOREIGN_BY_DESIGN) or not stat.S_ISREG(status.st_mode):
            continue
        opened = os.open(place, os.O_RDONLY)
        try:
            data = os.read(opened, elf.HEAD)
        finally:
            os.close(opened)
        head = elf.read(data) if data.startswith(elf.MAGIC) else None
        if head is None or head.processor == "bpf":
            continue
        if head.runs_on(facts.arch):
            own += 1
        else:
            foreign.append(f"{name}: {head.processor}")

    assert foreign == []
    assert own > 500, "so few programs: was the tree walked?"


def test_no_foreign_program_in_the_initramfs(tree: Path, facts: Facts) -> None:
    """What starts the board is for its processor too: a scan of files does not see into it."""
    images = sorted((tree / "boot/firmware").glob("initr*"))
    assert images
    for image in images:
        inside = list(initramfs.members(image.read_bytes()))
        heads = {each.name: elf.read(each.data[: elf.HEAD]) for each in inside}
        programs = {name: head for name, head in heads.items() if head and "firmware" not in name}
        foreign = {name: head for name, head in programs.items() if not head.runs_on(facts.arch)}

        assert foreign == {}
        # mkinitramfs makes a folder like each /lib* it sees: also one that only the build had.
        folders = {each.name for each in inside if re.fullmatch(r"(usr/)?lib\w*", each.name)}
        assert {name for name in folders if not os.path.lexists(tree / name)} == set()
        assert len(programs) > 20
        # Its many names are links to one file, and the archive keeps the bytes with the last one.
        assert any(b"BusyBox v1" in each.data for each in inside)


def test_no_trace_of_the_build(tree: Path, files: dict[Path, os.stat_result]) -> None:
    """No small file of /etc and no state of a service names a path or tool of the build."""
    found = []
    begin = len(os.fspath(tree)) + 1
    for path, status in files.items():
        name = os.fspath(path)[begin:]
        if not name.startswith(("etc/", "var/lib/systemd/", "boot/firmware/")):
            continue
        if not stat.S_ISREG(status.st_mode) or status.st_size > SMALL:
            continue
        trace = TRACES.search(path.read_bytes())
        if trace:
            found.append(f"{name}: {trace[0].decode()}")

    assert found == []


def test_no_mark_of_a_layer(tree: Path, names: dict[Path, os.stat_result | None]) -> None:
    """What a layer removed is gone; overlayfs marks it with a device 0/0, others with a name."""
    marks = [
        str(path.relative_to(tree))
        for path, status in names.items()
        # Seen through overlayfs such a device is a name in its folder, and nothing behind it.
        if path.name.startswith(".wh.") or status is None or _is_whiteout(status)
    ]

    assert marks == []


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def test_links_stay_inside(tree: Path, files: dict[Path, os.stat_result]) -> None:
    """No symbolic link of /etc points to something that only the machine that built has."""
    broken = []
    for path, status in files.items():
        if not stat.S_ISLNK(status.st_mode) or not path.is_relative_to(tree / "etc"):
            continue
        link = path.readlink()
        end = tree / str(link).lstrip("/") if link.is_absolute() else path.parent / link
        # What lies in /run, /proc or /dev appears when the board runs.
        living = str(link).lstrip("./").startswith(("run/", "proc/", "dev/"))
        if not living and not os.path.lexists(end):
            broken.append(f"{path.relative_to(tree)} -> {link}")

    assert broken == []


def test_nothing_belongs_to_a_stranger(files: dict[Path, os.stat_result], tree: Path) -> None:
    """Every file's owner and group exist on the board: no identity of the host came along."""
    users, groups = (
        {int(line.split(":")[2]) for line in (tree / name).read_text().splitlines()}
        for name in ("etc/passwd", "etc/group")
    )
    strangers = [
        str(path.relative_to(tree))
        for path, status in files.items()
        if status.st_uid not in users or status.st_gid not in groups
    ]

    assert strangers == []
