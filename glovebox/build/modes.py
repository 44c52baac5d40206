"""Give files of a root the modes and owners that a list beside their folder names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from glovebox.errors import StepError
from glovebox.host import inside
from glovebox.stage import modes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def give(folder: Path, root: Path, *, rendered: bool = False) -> None:
    """Give what was laid from ``folder`` over a root its modes and owners."""
    _give(modes.read(folder, rendered=rendered), lambda name: inside.entry(root, name), root)


def give_files(folder: Path, root: Path) -> None:
    """Give the files of a stage, which its scripts copy, theirs; names are those of ``root``."""
    _give(modes.read(folder), lambda name: folder / name, root)


def _give(found: tuple[modes.Mode, ...], place: Callable[[str], Path], root: Path) -> None:
    # From the inside out: nothing else decides whether a narrow folder can be gone through.
    for one in sorted(found, key=lambda one: one.path.count("/"), reverse=True):
        path = place(one.path)
        if not os.path.lexists(path):  # a template that rendered to nothing
            continue
        user, group = (
            -1 if name is None else _number(root, name, kind, one.where)
            for name, kind in ((one.user, "passwd"), (one.group, "group"))
        )
        os.chown(path, user, group, follow_symlinks=False)
        # A link has no mode of its own, and what it leads to may be the host's.
        if one.mode is not None and not path.is_symlink():
            # After the owner: changing that takes set-ID bits away.
            path.chmod(one.mode)


def _number(root: Path, name: str, kind: str, where: str) -> int:
    if name.isascii() and name.isdecimal():
        return int(name)
    for line in inside.text(root, f"etc/{kind}").splitlines():
        fields = line.split(":")
        if fields[0] == name and len(fields) > 2 and fields[2].isdecimal():  # noqa: PLR2004  name, word, number
            return int(fields[2])
    what = "user" if kind == "passwd" else "group"
    raise StepError(
        f"{where}: the image has no {what} {name} at this point",
        hint="a number, or a stage before this one that makes it",
    )
