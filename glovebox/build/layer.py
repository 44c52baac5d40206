"""Finish a layer: take out what a run leaves, give it the build's time, prove it clean."""

from __future__ import annotations

import os
import re
import shutil
import stat
from fnmatch import fnmatchcase as fnmatch
from typing import TYPE_CHECKING

from glovebox.build.accelerator import HOME
from glovebox.card import elf, system
from glovebox.errors import StepError
from glovebox.host import files
from glovebox.host.arch import ARCHES, host_arch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_NAMED = 10
_DATA = 2  # ELFDATA2MSB

# Files that programs leave, that no later step needs and that differ from run to run.
_LEFT_BEHIND = re.compile(
    r"""(?x)
      var/cache/(apt|man|ldconfig)/.+
    | var/lib/apt/lists/.+
    | var/log/(apt/.+|(dpkg|alternatives|bootstrap|fontconfig)\.log)
    | var/cache/debconf/.+-old
    | (tmp|run|dev|proc|sys)/.+
    | etc/(passwd|group|shadow|gshadow|subuid|subgid)-
    | etc/(\.pwd\.lock|resolv\.conf)
    | var/lib/dbus/machine-id
    | var/lib/dpkg/(.+-old|lock|lock-frontend|triggers/Lock)
    | var/lib/apt/(extended_states\.bak|daily_lock)
    | root/\.(bash_history|wget-hsts)
    | usr/sbin/policy-rc\.d
    """
)
# A stage from elsewhere may count on finding these again; of our own, nothing does.
_LOGS = re.compile(r"var/(log|tmp)/.+|root/\.cache/.+")


def scrub(upper: Path, *, logs: bool = True) -> None:
    """Remove what must not become part of an image from the changes of one step."""
    shutil.rmtree(upper / HOME, ignore_errors=True)
    for path in list(files.walk(upper)):
        is_folder = stat.S_ISDIR(path.lstat().st_mode)
        name = str(path.relative_to(upper))
        left = _LEFT_BEHIND.fullmatch(name) or (logs and _LOGS.fullmatch(name))
        if not is_folder and left:
            path.unlink()
    # An empty one stays: it says that the board shall make its own.
    # Looked at from the folder of this layer: it may hold a link in place of /etc.
    etc = upper / "etc"
    machine_id = etc / "machine-id"
    own = not etc.is_symlink() and not machine_id.is_symlink() and machine_id.is_file()
    if own and machine_id.stat().st_size:
        machine_id.unlink()


def settle_times(upper: Path, *, started_ns: int, epoch: int) -> None:
    """Give everything made since ``started_ns`` the build's own time, in seconds ``epoch``.

    Files out of packages keep theirs: it is the same in every build, and Python's bytecode beside
    them refers to it. When something was last read depends on the host: all get the build's time
    for that, which is what a later read comes to in an image as well.
    """
    build_ns = epoch * 10**9
    for path in (upper, *files.walk(upper)):
        modified_ns = path.lstat().st_mtime_ns
        settled_ns = build_ns if modified_ns >= started_ns else modified_ns
        os.utime(path, ns=(build_ns, settled_ns), follow_symlinks=False)


def foreign_programs(tree: Path, arch: str) -> Iterator[Path]:
    """Give every ELF file below ``tree`` that is one of the build machine's, not of ``arch``."""
    for path in files.walk(tree):
        if not stat.S_ISREG(path.lstat().st_mode):
            continue
        with path.open("rb") as file:
            head = file.read(20)
        if is_foreign(head, arch):
            yield path


def is_foreign(head: bytes, arch: str, *, host: str | None = None) -> bool:
    """Tell whether these first 20 bytes are those of a program for the build machine.

    Files for third processors are left alone: a Raspberry Pi's firmware is for its VideoCore, and a
    64-bit kernel brings a 32-bit vdso.
    """
    if head[:4] != b"\x7fELF" or len(head) < 20:  # noqa: PLR2004  where e_machine ends
        return False
    machine = int.from_bytes(head[18:20], "big" if head[5] == _DATA else "little")
    return machine in ARCHES[host or host_arch()].elf_machines - ARCHES[arch].elf_machines


def prove_clean(upper: Path, arch: str, *, step: str, allowed: Sequence[str] = ()) -> None:
    """Raise StepError when a program of the build machine got into the layer of a step.

    ``allowed`` are patterns of places where some are wanted.
    """
    found = [f"/{path.relative_to(upper)}" for path in foreign_programs(upper, arch)]
    found = [name for name in found if not any(fnmatch(name, one) for one in allowed)]
    if found:
        names = "\n".join(f"  {name}" for name in found[:_NAMED])
        more = f"\n  and {len(found) - _NAMED} more" * (len(found) > _NAMED)
        count = f"{len(found)} programs are" if len(found) > 1 else "a program is"
        raise StepError(
            f"{step}: {count} not for {arch}, but for this build machine:\n{names}{more}",
            hint="compiled here: do that with NN-on-tools.sh, or keep the accelerator off this"
            " sub-stage (touch NO_ACCELERATOR); brought on purpose, as packages of node do: name"
            " the places in a file FOREIGN_PROGRAMS of the sub-stage, a pattern a line:"
            f" {found[0]}",
        )


def prove_old_enough(upper: Path, libc: bytes, *, step: str) -> None:
    """Raise StepError when a step compiled for a later 32-bit Arm than its base was made for.

    What packages bring is the archive's: a kernel's modules may well be for later boards.
    """
    most = elf.arm_level(libc)
    if most is None:
        return
    owned = system.owners(upper)
    found = []
    for path in files.walk(upper):
        name = str(path.relative_to(upper))
        if name in owned or not stat.S_ISREG(path.lstat().st_mode):
            continue
        with path.open("rb") as file:
            head = elf.read(file.read(elf.HEAD))
        level = elf.arm_level(path.read_bytes()) if head and head.processor == "arm" else None
        if level is not None and level > most:
            found.append(f"  /{name}: {elf.arm_level_name(level)}")
    if found:
        more = f"\n  and {len(found) - _NAMED} more" * (len(found) > _NAMED)
        raise StepError(
            f"{step}: what was compiled would not run on every board of its base, whose C library"
            f" is made for {elf.arm_level_name(most)}:\n" + "\n".join(found[:_NAMED]) + more,
            hint="compile for the base's own processor: -march=armv6+fp -marm -mfloat-abi=hard for"
            " a Raspberry Pi OS that runs on a Zero, with its own libgcc (SYSROOT)",
        )
