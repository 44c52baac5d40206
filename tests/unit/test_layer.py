"""Finishing a layer: what goes, which times change, and what counts as the build machine's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from glovebox.build import layer
from glovebox.build.accelerator import HOME
from glovebox.errors import StepError

if TYPE_CHECKING:
    from pathlib import Path

EPOCH = 1_700_000_000
STARTED_NS = 1_800_000_000 * 10**9

GOES = [
    f"{HOME}/bin/dash",
    f"{HOME}/lib/libc.so.6",
    "var/cache/apt/pkgcache.bin",
    "var/cache/apt/archives/gpsd.deb",
    "var/cache/man/index.db",
    "var/cache/ldconfig/aux-cache",
    "var/cache/debconf/config.dat-old",
    "var/log/dpkg.log",
    "var/log/apt/history.log",
    "var/lib/apt/lists/Packages",
    "var/lib/apt/extended_states.bak",
    "var/lib/dpkg/status-old",
    "var/lib/dpkg/lock",
    "var/lib/dpkg/lock-frontend",
    "var/lib/dpkg/triggers/Lock",
    "var/tmp/x",
    "tmp/x",
    "tmp/deep/x",
    "run/settings.sh",
    "dev/null",
    "etc/passwd-",
    "etc/shadow-",
    "etc/subuid-",
    "etc/.pwd.lock",
    "etc/resolv.conf",
    "root/.bash_history",
    "root/.cache/pip/x",
    "usr/sbin/policy-rc.d",
]
STAYS = [
    "var/cache/debconf/config.dat",
    "var/lib/apt/extended_states",
    "var/lib/dpkg/status",
    "var/lib/dpkg/info/gpsd.list",
    "var/lib/dpkg/triggers/File",
    "var/lib/systemd/x",
    "etc/passwd",
    "etc/shadow",
    "etc/resolvconf/x",
    "etc/resolv.conf.d/x",
    "home/pi/tmp/x",
    "home/pi/.bash_history",
    "opt/var/log/x",
    "root/.bashrc",
    "root/.ssh/authorized_keys",
    "usr/sbin/policy-rc.d.mine",
    "usr/lib/tmp/x",
    "srv/run/x",
]


def make(root: Path, name: str) -> Path:
    """Make an empty file with the folders around it."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize("name", GOES)
def test_scrub_removes(tmp_path: Path, name: str) -> None:
    """What programs leave behind, and what differs from run to run, is no part of an image."""
    path = make(tmp_path, name)

    layer.scrub(tmp_path)

    assert not path.exists()


@pytest.mark.parametrize("name", STAYS)
def test_scrub_keeps(tmp_path: Path, name: str) -> None:
    """What a stage made, and what packages need to know of each other, stays."""
    path = make(tmp_path, name)

    layer.scrub(tmp_path)

    assert path.exists()


def test_scrub_follows_no_link(tmp_path: Path) -> None:
    """A link out of the layer is a file like any other: what it points to is not touched."""
    outside = make(tmp_path, "host/keep")
    upper = tmp_path / "upper"
    (upper / "tmp").mkdir(parents=True)
    (upper / "tmp/link").symlink_to(outside)
    (upper / "var").mkdir()
    (upper / "var/log").symlink_to(tmp_path / "host")

    layer.scrub(upper)

    assert outside.exists()
    assert not (upper / "tmp/link").is_symlink()
    assert (upper / "var/log").is_symlink()


@pytest.mark.parametrize(
    ("modified", "settled"),
    [
        (0, 0),
        (EPOCH * 10**9, EPOCH * 10**9),
        (STARTED_NS - 1, STARTED_NS - 1),
        (STARTED_NS, EPOCH * 10**9),
        (STARTED_NS + 5 * 10**9, EPOCH * 10**9),
        (STARTED_NS + 10**18, EPOCH * 10**9),
    ],
)
def test_settle_times(tmp_path: Path, modified: int, settled: int) -> None:
    """What is newer than the step gets the build's time, what came out of a package keeps its."""
    path = make(tmp_path, "usr/file")
    link = tmp_path / "usr/link"
    link.symlink_to("nowhere")
    for one in (path, link, tmp_path / "usr", tmp_path):
        os.utime(one, ns=(modified, modified), follow_symlinks=False)

    layer.settle_times(tmp_path, started_ns=STARTED_NS, epoch=EPOCH)

    settled_all = [one.lstat() for one in (path, link, tmp_path / "usr", tmp_path)]
    assert {status.st_mtime_ns for status in settled_all} == {settled}


@pytest.mark.parametrize("read", [0, EPOCH - 1, EPOCH + 1, EPOCH + 10**9])
def test_when_a_file_was_read_does_not_count(tmp_path: Path, read: int) -> None:
    """Whether something read a file during the step leaves no trace, whatever the host's mounts."""
    path = make(tmp_path, "file")
    os.utime(path, (read, 0))

    layer.settle_times(tmp_path, started_ns=STARTED_NS, epoch=EPOCH)

    assert (path.stat().st_atime, path.stat().st_mtime) == (EPOCH, 0)


def elf(machine: int, *, bits: int = 64, big: bool = False) -> bytes:
    """Make the first bytes of an ELF file."""
    order = "big" if big else "little"
    return (
        b"\x7fELF"
        + bytes([bits // 32, 2 if big else 1, 1])
        + bytes(9)
        + (2).to_bytes(2, order)
        + machine.to_bytes(2, order)
    )


X86, ARM, X86_64, VIDEOCORE, ARM64, MIPS = 3, 40, 62, 137, 183, 8


@pytest.mark.parametrize(
    ("head", "arch", "host", "foreign"),
    [
        (elf(X86_64), "armel", "amd64", True),
        (elf(X86, bits=32), "arm64", "amd64", True),
        (elf(ARM64), "arm64", "amd64", False),
        (elf(ARM, bits=32), "armel", "amd64", False),
        # A 64-bit kernel brings a 32-bit vdso; a board's firmware is for its VideoCore.
        (elf(ARM, bits=32), "arm64", "amd64", False),
        (elf(VIDEOCORE, bits=32), "armel", "amd64", False),
        (elf(MIPS, bits=32, big=True), "armel", "amd64", False),
        # On an Arm machine its own programs are the foreign ones, where they cannot run.
        (elf(ARM64), "armel", "arm64", True),
        (elf(ARM64), "arm64", "arm64", False),
        (elf(ARM, bits=32), "armel", "arm64", False),
        (elf(X86_64), "armel", "arm64", False),
        (elf(X86_64, big=True), "armel", "amd64", True),
        (elf(X86_64)[:19], "armel", "amd64", False),
        (b"", "armel", "amd64", False),
        (b"#!/bin/sh\n# not a program", "armel", "amd64", False),
    ],
)
def test_is_foreign(head: bytes, arch: str, host: str, *, foreign: bool) -> None:
    """A program of the build machine that the board cannot run is foreign; no other file is."""
    assert layer.is_foreign(head, arch, host=host) is foreign


def test_prove_clean_names_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the file as the image sees it, and both ways out."""
    monkeypatch.setattr(layer, "host_arch", lambda: "amd64")
    make(tmp_path, "usr/bin/tool").write_bytes(elf(X86_64))
    make(tmp_path, "usr/bin/good").write_bytes(elf(ARM))
    (tmp_path / "usr/bin/link").symlink_to("tool")

    with pytest.raises(StepError) as caught:
        layer.prove_clean(tmp_path, "armel", step="mine/00-a")

    assert "mine/00-a: a program is not for armel" in caught.value.message
    assert ":\n  /usr/bin/tool" in caught.value.message
    assert "FOREIGN_PROGRAMS" in (caught.value.hint or "")
    for pattern in ("/usr/bin/tool", "/usr/bin/*", "*"):
        layer.prove_clean(tmp_path, "armel", step="mine/00-a", allowed=[pattern])
    assert "on-tools" in (caught.value.hint or "")
    assert "NO_ACCELERATOR" in (caught.value.hint or "")


def test_a_clean_layer_passes(tmp_path: Path) -> None:
    """Without such a program nothing is said."""
    make(tmp_path, "etc/file").write_text("text")

    layer.prove_clean(tmp_path, "armel", step="mine/00-a")
