"""The boot partition as a folder: copied out, and what was changed there written back.

A kernel without vfat cannot mount it; mtools can read and write it everywhere.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.card import fat
from glovebox.errors import ImageError
from glovebox.host import files
from glovebox.host.run import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from glovebox.card.table import Partition

# A folder has no bytes to compare.
FOLDER = "folder"


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What to do to a boot partition, in this order; names relative to it."""

    removed: tuple[str, ...]
    folders: tuple[str, ...]
    written: tuple[str, ...]
    left_out: tuple[str, ...]  # what FAT cannot hold

    def __bool__(self) -> bool:
        """Tell whether there is anything to do."""
        return bool(self.removed or self.folders or self.written)

    def __str__(self) -> str:
        """Give it in a few words."""
        return f"{len(self.written)} written, {len(self.removed)} removed"


def copy(raw: Path, boot: Partition, target: Path) -> None:
    """Copy every file of the partition into the folder ``target``, all root's, as vfat has them."""
    target.mkdir(exist_ok=True)
    try:
        fat.call("mcopy", raw, boot.start, ["-s", "-n", "-p", "-m", "::/", target])
    except CommandError as error:
        raise ImageError(
            f"{raw}: the boot partition cannot be read: {error.tail}", hint="fetch it again"
        ) from error
    for path in (target, *files.walk(target)):
        path.chmod(0o755)
        os.chown(path, 0, 0)


def free(raw: Path, boot: Partition) -> int | None:
    """Give the free bytes of the partition, None when mtools does not tell."""
    said = fat.call("mdir", raw, boot.start, ["::/"], check=False).stdout
    found = re.search(r"([\d ]+) bytes free", said)
    return int(found[1].replace(" ", "")) if found else None


def listing(folder: Path) -> dict[str, str]:
    """Give the sha256 of every file below a folder, by its name."""
    return {
        str(path.relative_to(folder)): FOLDER if _is_folder(path) else files.sha256_file(path)
        for path in files.walk(folder)
        if _is_folder(path) or (path.is_file() and not path.is_symlink())
    }


def compare(before: Mapping[str, str], folder: Path) -> Changes:
    """Tell what was changed in a folder since its ``listing`` was ``before``."""
    now = listing(folder)
    everything = {str(path.relative_to(folder)) for path in files.walk(folder)}
    bad = sorted(
        name
        for name in everything
        if name not in now or fat.PATTERNS & set(name.rpartition("/")[2])
    )
    for name in bad:
        now.pop(name, None)
    changed = {name for name in now if now[name] != before.get(name)}
    replaced = {name for name in changed if FOLDER in {now[name], before.get(name)}}
    gone = {*(before.keys() - now.keys()), *(replaced & before.keys())}
    return Changes(
        # Deepest first: a folder is empty when its turn comes.
        removed=tuple(sorted(gone, key=lambda name: (-name.count("/"), name))),
        folders=tuple(sorted(name for name in changed if now[name] == FOLDER)),
        written=tuple(sorted(name for name in changed if now[name] != FOLDER)),
        left_out=tuple(bad),
    )


def write_back(raw: Path, boot: Partition, folder: Path, before: Mapping[str, str]) -> Changes:
    """Make the partition what the folder is; doing it again after a crash does no harm.

    Raises ImageError when the files do not fit, with the folder as it was.
    """
    found = compare(before, folder)
    for name in found.removed:
        _mtools("mdeltree" if before[name] == FOLDER else "mdel", raw, boot, [f"::/{name}"],
                may_fail=True)  # fmt: skip
    for name in found.folders:
        _mtools("mmd", raw, boot, ["-D", "s", f"::/{name}"], may_fail=True)
    for name in found.written:
        parent = str(Path(name).parent)
        inside = "::/" if parent == "." else f"::/{parent}/"
        _mtools("mcopy", raw, boot, ["-o", "-n", "-m", os.fspath(folder / name), inside])
    with raw.open("rb") as file:
        os.fsync(file.fileno())
    return found


def _mtools(
    program: str, raw: Path, boot: Partition, words: Sequence[str], *, may_fail: bool = False
) -> None:
    try:
        fat.call(program, raw, boot.start, words)
    except CommandError as error:
        if not may_fail:  # it may have been done before a crash
            raise ImageError(
                f"{raw}: the boot partition cannot take {words[-1]}: {error.tail}",
                hint="remove files to make room",
            ) from error


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
