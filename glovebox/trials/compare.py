"""Find the first thing in which two trees of files differ, down to times and attributes.

What is compared is what ends up in an image: the bytes, kind, mode, owner, modification time,
extended attributes, link targets, and which names are one file (hard links).
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.host import files

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 1 << 20
# What overlayfs notes for itself names inodes of one store, and never gets into an image.
_BOOKKEEPING = re.compile(r"trusted\.overlay\.(origin|impure|uuid|nlink)")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One path, and in what the two trees differ there."""

    path: str
    what: str

    def __str__(self) -> str:
        """Give it as a person reads it."""
        return f"{self.path}: {self.what}"


def trees(one: Path, other: Path) -> Iterator[Difference]:
    """Give every path at which two trees differ, sorted, parents first."""
    names_one, names_other = _paths(one), _paths(other)
    links_one: dict[tuple[int, int], str] = {}
    links_other: dict[tuple[int, int], str] = {}
    for name in sorted({*names_one, *names_other}, key=lambda name: Path(name).parts):
        if name not in names_one:
            yield Difference(path=f"/{name}", what="is only in the second")
        elif name not in names_other:
            yield Difference(path=f"/{name}", what="is only in the first")
        else:
            a, b = one / name, other / name
            first, second = links_one.setdefault(_inode(a), name), links_other.setdefault(
                _inode(b), name
            )  # fmt: skip
            what = _in_what(a, b)
            if what is None and first != second:
                what = f"is a hard link to /{first} in the first, to /{second} in the second"
            if what is not None:
                yield Difference(path=f"/{name}", what=what)


def first_byte(one: Path, other: Path, *, start: int = 0, end: int | None = None) -> int | None:
    """Give the first byte at which two files differ between two offsets; None if in none."""
    with one.open("rb") as a, other.open("rb") as b:
        a.seek(start)
        b.seek(start)
        at = start
        while end is None or at < end:
            size = _CHUNK if end is None else min(_CHUNK, end - at)
            left, right = a.read(size), b.read(size)
            if left != right:
                pairs = zip(left, right, strict=False)
                return at + next(
                    (n for n, (x, y) in enumerate(pairs) if x != y), min(len(left), len(right))
                )
            if not left:
                return None
            at += len(left)
    return None


def _paths(root: Path) -> set[str]:
    return {"", *(str(path.relative_to(root)) for path in files.walk(root))}


def _inode(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return (status.st_dev, status.st_ino)


def _in_what(one: Path, other: Path) -> str | None:
    a, b = one.lstat(), other.lstat()
    if stat.S_IFMT(a.st_mode) != stat.S_IFMT(b.st_mode):
        return f"is {_kind(a.st_mode)} in the first, {_kind(b.st_mode)} in the second"
    if stat.S_ISLNK(a.st_mode) and one.readlink() != other.readlink():
        return f"points to {one.readlink()} in the first, to {other.readlink()} in the second"
    if stat.S_ISREG(a.st_mode):
        at = first_byte(one, other)
        if at is not None:
            return f"the bytes differ from byte {at} on ({a.st_size} and {b.st_size} bytes)"
    # The numbers of a device, an owner or a time: whichever is first not the same.
    for what, x, y in (
        ("mode", oct(stat.S_IMODE(a.st_mode)), oct(stat.S_IMODE(b.st_mode))),
        ("owner", (a.st_uid, a.st_gid), (b.st_uid, b.st_gid)),
        ("device", a.st_rdev, b.st_rdev),
        ("attributes", _attributes(one), _attributes(other)),
        ("modification time", a.st_mtime_ns, b.st_mtime_ns),
    ):
        if x != y:
            return f"{what}: {x} in the first, {y} in the second"
    return None


def _attributes(path: Path) -> dict[str, bytes]:
    return {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in sorted(os.listxattr(path, follow_symlinks=False))
        if not _BOOKKEEPING.fullmatch(name)
    }


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFLNK: "a link", stat.S_IFREG: "a file"}
    return kinds.get(stat.S_IFMT(mode), "a special file")
