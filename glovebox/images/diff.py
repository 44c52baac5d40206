"""`invoke diff`: what two images differ in, from their sizes to the modes of their files.

Times are not compared: two builds of the same thing differ in all of them.
"""

from __future__ import annotations

import difflib
import filecmp
import os
import stat
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from glovebox.boards import firmware
from glovebox.card import system
from glovebox.host import files
from glovebox.images import inventory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from glovebox.images.inventory import View

BOOT = "boot:"  # before the names of boot files, which are mounted here or there
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is compared of a file, beside its bytes."""

    kind: str
    mode: int
    owner: tuple[int, int]
    size: int  # of a file
    link: str  # of a link
    device: int  # of a device
    attributes: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, kw_only=True)
class Change:
    """One file that differs: ``how`` says in what."""

    path: str
    what: str  # "added", "removed" or "changed"
    how: tuple[str, ...]
    package: str | None


def compare(one: View, other: View) -> dict[str, object]:
    """Give all that differs, for `--json`; what is the same has no entry. Sizes in bytes."""
    found: dict[str, object] = {
        "sizes": _pairs(_sizes(one), _sizes(other)),
        "system": _pairs(_system(one.root), _system(other.root)),
        "packages": mappings(system.versions(one.root), system.versions(other.root)),
        "units": mappings(system.units(one.root), system.units(other.root)),
        "users": mappings(_users(one.root), _users(other.root)),
        "config.txt": lines(
            firmware.flat(one.boot_text(inventory.CONFIG) or ""),
            firmware.flat(other.boot_text(inventory.CONFIG) or ""),
        ),
        "cmdline.txt": lines(
            (one.boot_text("cmdline.txt") or "").split(),
            (other.boot_text("cmdline.txt") or "").split(),
        ),
        "files": [asdict(change) for change in _files(one, other)],
    }
    return {name: value for name, value in found.items() if value}


def mappings(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, object]:
    """Compare values by name; what is empty is left out."""
    found = {
        "added": {name: other[name] for name in other if name not in one},
        "removed": {name: one[name] for name in one if name not in other},
        "changed": {
            name: [one[name], other[name]]
            for name in one
            if name in other and one[name] != other[name]
        },
    }
    return {what: names for what, names in found.items() if names}


def lines(one: list[str], other: list[str]) -> list[str]:
    """Compare lists whose order matters: each line with ``-`` or ``+`` before it."""
    return [
        f"{line[0]} {line[2:]}" for line in difflib.ndiff(one, other) if line.startswith(("-", "+"))
    ]


def entries(root: Path, *, skip: str = "") -> dict[str, Entry]:
    """List a tree by path, without the folder ``skip``, whose place another tree takes."""
    found = {}
    for path in files.walk(root):
        name = str(path.relative_to(root))
        if f"{name}/".startswith("lost+found/") or (skip and f"{name}/".startswith(f"{skip}/")):
            continue
        found[name] = entry(path)
    return found


def entry(path: Path) -> Entry:
    """Give what is compared of a file."""
    status = path.lstat()
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "thing")
    return Entry(
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        owner=(status.st_uid, status.st_gid),
        size=status.st_size if kind == "file" else 0,
        link=os.fspath(path.readlink()) if kind == "link" else "",
        device=status.st_rdev,
        attributes=tuple(
            (name, os.getxattr(path, name, follow_symlinks=False))
            for name in sorted(os.listxattr(path, follow_symlinks=False))
        ),
    )


def differences(one: Entry, other: Entry) -> list[str]:
    """Say in what two files differ, beside their bytes."""
    if one.kind != other.kind:
        return [f"{one.kind} → {other.kind}"]
    said = []
    if one.mode != other.mode:
        said.append(f"mode {one.mode:04o} → {other.mode:04o}")
    if one.owner != other.owner:
        said.append("owner {}:{} → {}:{}".format(*one.owner, *other.owner))
    if one.link != other.link:
        said.append(f"link {one.link} → {other.link}")
    if one.device != other.device:
        said.append("device number")
    if one.size != other.size:
        said.append(f"size {one.size} → {other.size}")
    said += [
        f"attribute {name}"
        for name in sorted(
            {name for name, _ in set(one.attributes).symmetric_difference(other.attributes)}
        )
    ]
    return said


def _files(one: View, other: View) -> Iterator[Change]:
    owners = system.owners(one.root) | system.owners(other.root)
    for prefix, left, right in (("/", one.root, other.root), (BOOT, one.boot, other.boot)):
        skips = [system.boot_point(view.root) if prefix == "/" else "" for view in (one, other)]
        before, after = entries(left, skip=skips[0]), entries(right, skip=skips[1])
        for name in sorted(before.keys() | after.keys()):
            if name not in before:
                what, how = "added", [after[name].kind]
            elif name not in after:
                what, how = "removed", [before[name].kind]
            else:
                what, how = "changed", differences(before[name], after[name])
                alike = before[name].kind == after[name].kind == "file" and (
                    before[name].size == after[name].size
                )
                if alike and not filecmp.cmp(left / name, right / name, shallow=False):
                    how.append("content")
            if how:
                package = system.owner(owners, name) if prefix == "/" else None
                yield Change(path=f"{prefix}{name}", what=what, how=tuple(how), package=package)


def _pairs(one: Mapping[str, object], other: Mapping[str, object]) -> dict[str, list[object]]:
    names = [*one, *(name for name in other if name not in one)]
    return {
        name: [one.get(name), other.get(name)] for name in names if one.get(name) != other.get(name)
    }


def _sizes(view: View) -> dict[str, object]:
    card = view.card
    sizes: dict[str, object] = {"image": card.size}
    for part in card.table.partitions:
        role = {card.boot.number: " (boot)", card.root.number: " (root)"}.get(part.number, "")
        sizes[f"partition {part.number}{role}"] = part.size
    return {**sizes, "used in root": card.system.size - card.system.free}


def _system(root: Path) -> dict[str, object]:
    release = system.os_release(root)
    return {
        "name": release.get("PRETTY_NAME"),
        "arch": system.found_arch(root),
        "hostname": system.text(root, "etc/hostname").strip(),
        "boot": f"/{system.boot_point(root)}",
        "kernels": ", ".join(system.kernels(root)),
    }


def _users(root: Path) -> dict[str, str]:
    return {
        user.name: f"uid {user.uid}, {user.shell}, password {user.password}, {user.keys} keys"
        for user in system.users(root)
    }
