"""Give files of a root the modes and owners that a list beside their folder names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from glovebox.card import system
from glovebox.errors import StepError
from glovebox.stage import modes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def give(folder: Path, root: Path, *, rendered: bool = False) -> None:
    """Give what was laid from ``folder`` over a root its modes and owners."""

    def place(name: str) -> Path:
        parent, _, last = name.rpartition("/")
        return system.inside(root, parent) / last

    _give(modes.read(folder, rendered=rendered), place, root)


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
        if one.mode is not None:
            # After the owner: changing that takes set-ID bits away.
            path.chmod(one.mode)


def _number(root: Path, name: str, kind: str, where: str) -> int:
    if name.isascii() and name.isdecimal():
        return int(name)
    table = system.inside(root, f"etc/{kind}")
    lines = table.read_text(errors="replace").splitlines() if table.is_file() else []
    for line in lines:
        fields = line.split(":")
        if fields[0] == name and len(fields) > 2 and fields[2].isdecimal():  # noqa: PLR2004  name, word, number
            return int(fields[2])
    what = "user" if kind == "passwd" else "group"
    raise StepError(
        f"{where}: the image has no {what} {name} at this point",
        hint="a number, or a stage before this one that makes it",
    )
