"""What a root file system says of the system in it: release, packages, users, units, kernels.

Every path is followed as a chroot would follow it: a link in an image never leads to the host.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glovebox.card import elf
from glovebox.errors import ImageError
from glovebox.host import inside

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_FIELD = re.compile(r"^(Package|Version|Architecture|Status): (.+)$", re.MULTILINE)
# A name below /boot, and none that climbs out of it again.
_BOOT_POINT = re.compile(r"/boot(/+(?!\.{1,2}(/|$))[^/]+)*/*")
# Programs of any system; in Alpine they are links to busybox.
_PROGRAMS = ("bin/sh", "usr/bin/env", "sbin/init", "bin/busybox")
_ELF_HEAD = 4096  # the name of the loader stands near the front
# How long a number of users is at most: 32 bits.
_UID = re.compile(r"[0-9]{1,10}")
FIRST_PERSON, LAST_PERSON = 1000, 60000
NO_SHELL = frozenset({"nologin", "false", "sync"})
# Where the boot partition is mounted: until bullseye, and since.
OLD_BOOT, NEW_BOOT = "boot", "boot/firmware"


@dataclass(frozen=True, kw_only=True)
class User:
    """Somebody who can have a shell."""

    name: str
    uid: int
    shell: str
    password: str  # "set", "none" (no login by password) or "empty"
    keys: int  # lines in ~/.ssh/authorized_keys


def text(root: Path, name: str) -> str:
    """Give what a file of the system says, nothing when it is not there."""
    return inside.text(root, name)


def installed(status: str) -> dict[tuple[str, str], str]:
    """Give the version of every installed package, by name and architecture."""
    found = {}
    for stanza in status.split("\n\n"):
        fields = dict(_FIELD.findall(stanza))
        if fields.get("Status", "").endswith(" installed") and "Package" in fields:
            name = fields["Package"], fields.get("Architecture", "?")
            found[name] = fields.get("Version", "?")
    return found


def packages(root: Path) -> dict[tuple[str, str], str]:
    """Give the installed packages of a system."""
    return installed(text(root, "var/lib/dpkg/status"))


def versions(root: Path) -> dict[str, str]:
    """Give the version of each package by name; one of a second architecture is ``name:arch``."""
    found = packages(root)
    own = {"all", found_arch(root)}
    return {
        name if arch in own else f"{name}:{arch}": found[name, arch] for name, arch in sorted(found)
    }


def found_arch(root: Path) -> str | None:
    """Give the processor's architecture; None where neither dpkg nor a program tells."""
    return _by_dpkg(root) or _by_programs(root)


def arch(root: Path) -> str:
    """Give Debian's name of the processor; raises ImageError when nothing tells it."""
    found = found_arch(root)
    if found is None:
        raise ImageError(
            "the image does not tell for which processor it is: its dpkg status does not list dpkg"
            f" itself, and none of {', '.join(f'/{name}' for name in _PROGRAMS)} is a program"
        )
    return found


def _by_dpkg(root: Path) -> str | None:
    found = re.search(
        r"^Package: dpkg\n(?:.+\n)*?Architecture: (\S+)",
        text(root, "var/lib/dpkg/status"),
        re.MULTILINE,
    )
    return found[1] if found else None


def _by_programs(root: Path) -> str | None:
    """Tell the processor by the header of a program that every system has, with dpkg or without."""
    for name in _PROGRAMS:
        with inside.opened(root, name) as descriptor:
            head = os.read(descriptor, _ELF_HEAD) if descriptor is not None else b""
        found = elf.read(head)
        if found is None:
            continue
        if found.processor != "arm":
            return found.processor
        # Only the loader's name tells where neither bit is set.
        soft = elf.is_soft_float(found) or b"ld-linux.so.3" in head
        return "armel" if soft else "armhf"
    return None


def os_release(root: Path) -> dict[str, str]:
    """Give the fields of os-release."""
    said = text(root, "etc/os-release") or text(root, "usr/lib/os-release")
    return dict(re.findall(r'^([A-Z_]+)="?([^"\n]*)"?$', said, re.MULTILINE))


def boot_point(root: Path) -> str:
    """Give where the system mounts its boot partition, without the leading slash.

    Its fstab says so; without one, the layout of bookworm is taken if its folder is there.
    """
    for line in text(root, "etc/fstab").splitlines():
        words = line.partition("#")[0].split()
        if len(words) > 2 and words[2] in {"vfat", "auto"} and _BOOT_POINT.fullmatch(words[1]):  # noqa: PLR2004  place, kind
            return "/".join(word for word in words[1].split("/") if word)
    old = not inside.is_folder(root, NEW_BOOT) and inside.is_folder(root, OLD_BOOT)
    return OLD_BOOT if old else NEW_BOOT


def users(root: Path) -> list[User]:
    """Give root and every person."""
    secrets = dict(
        line.split(":")[:2] for line in text(root, "etc/shadow").splitlines() if ":" in line
    )
    found = []
    for line in text(root, "etc/passwd").splitlines():
        fields = line.split(":")
        if len(fields) != 7 or not _UID.fullmatch(fields[2]):  # noqa: PLR2004  see passwd(5)
            continue
        name, uid, home, shell = fields[0], int(fields[2]), fields[5], fields[6]
        if uid != 0 and not FIRST_PERSON <= uid < LAST_PERSON:
            continue
        secret = secrets.get(name, "*")
        found.append(
            User(
                name=name,
                uid=uid,
                shell=shell,
                password="none" if secret[:1] in {"!", "*"} else "set" if secret else "empty",
                keys=_keys(root, home),
            )
        )
    return found


def _keys(root: Path, home: str) -> int:
    lines = text(root, f"{home.strip('/')}/.ssh/authorized_keys").splitlines()
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in lines)


def units(root: Path) -> dict[str, str]:
    """Give what /etc says of systemd's units: by name, the targets that want it, or ``masked``."""
    folder = "etc/systemd/system"
    found: dict[str, set[str]] = {}
    for path in _entries(root, folder):
        if path.is_symlink() and os.fspath(path.readlink()) == "/dev/null":
            found[path.name] = {"masked"}
        elif path.suffix in {".wants", ".requires"}:
            for unit in _entries(root, f"{folder}/{path.name}"):
                found.setdefault(unit.name, set()).add(path.stem)
    return {name: ", ".join(sorted(found[name])) for name in sorted(found)}


def kernels(root: Path) -> list[str]:
    """Give the versions of the kernels that have modules here."""
    folder = "lib/modules"
    names = [path.name for path in _entries(root, folder)]
    return [name for name in names if inside.is_folder(root, f"{folder}/{name}")]


def owners(root: Path) -> dict[str, str]:
    """Give the package each file of the system came with, by path without the leading slash."""
    found = {}
    folder = "var/lib/dpkg/info"
    for path in _entries(root, folder):
        if path.suffix == ".list":
            package = path.stem.partition(":")[0]
            for name in text(root, f"{folder}/{path.name}").splitlines():
                found[_merged(name.strip("/"))] = package
    return found


def owner(owners: Mapping[str, str], name: str) -> str | None:
    """Give the package of a file; Python's bytecode belongs to its source."""
    found = re.fullmatch(r"(.*)/__pycache__/([^/.]+)\.[^/]+\.pyc", name)
    return owners.get(f"{found[1]}/{found[2]}.py" if found else name)


def _merged(name: str) -> str:
    """Give the place of a file since /bin, /lib and /sbin are links into /usr."""
    return f"usr/{name}" if name.partition("/")[0] in {"bin", "lib", "sbin"} else name


def _entries(root: Path, name: str) -> list[Path]:
    """Give what a folder of the system holds, sorted; nothing where there is none."""
    return sorted(inside.place(root, name).iterdir()) if inside.is_folder(root, name) else []
