"""Read `NAME.modes`: modes and owners of the files in the folder NAME beside it.

What decides a file is what git keeps of it: its kind, its bytes, its executable bit. So a file of
an image has 0644 or 0755 and belongs to root, whatever the disk says. What shall have another mode
or owner stands in a list beside its folder, a line each:

    # mode  owner              path
    0600    -                  etc/wireguard/wg0.conf
    2755    root:mail          usr/local/bin/notify
    -       telematics:nogroup srv/data
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glovebox.errors import ConfigError
from glovebox.host import files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_LINE = re.compile(
    r"(?P<mode>-|[0-7]{3,4})\s+(?P<user>[^\s:]+)(?::(?P<group>[^\s:]+))?\s+(?P<path>\S.*)"
)
_HINT = "write: 0640 root:adm etc/secret; a dash for what shall stay as it is"
_READABLE = 0o044
_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Mode:
    """What one path of a folder shall have; None is as it would be without the line."""

    path: str
    mode: int | None
    user: str | None
    group: str | None
    where: str


def listing_of(folder: Path) -> Path | None:
    """Give the list beside a folder, or beside what a link in its place leads to."""
    for place in (folder, folder.resolve()):
        path = place.with_name(f"{place.name}.modes")
        if path.is_file():
            return path
    return None


def read(folder: Path, *, rendered: bool = False) -> tuple[Mode, ...]:
    """Read the list of a folder; raises ConfigError naming every line that is wrong.

    The names of what is ``rendered`` are not known before.
    """
    listing = listing_of(folder)
    if listing is None:
        return ()
    found: list[Mode] = []
    wrong: list[str] = []
    lines = listing.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    for number, text in enumerate(lines, start=1):
        words = text.partition("#")[0].strip() if text.lstrip().startswith("#") else text.strip()
        if not words:
            continue
        line = _LINE.fullmatch(words)
        where = f"{listing}:{number}"
        if line is None:
            wrong.append(f"{where}: '{words}' is no mode, owner and path")
            continue
        path = line["path"].strip("/")
        if ".." in path.split("/"):
            wrong.append(f"{where}: {path}: a path inside {folder.name}/, without ..")
        elif not rendered and not (folder / path).exists() and not (folder / path).is_symlink():
            wrong.append(f"{where}: {path}: there is no such file in {folder}")
        elif (folder / path).is_symlink() and line["mode"] != "-":
            wrong.append(f"{where}: {path} is a link, which has no mode of its own")
        found.append(
            Mode(
                path=path,
                mode=None if line["mode"] == "-" else int(line["mode"], 8),
                user=None if line["user"] == "-" else line["user"],
                group=line["group"],
                where=where,
            )
        )
    if wrong:
        each = [f"{one}; hint: {_HINT}" for one in wrong]
        raise ConfigError("\n".join(wrong), hint=_HINT, each=each)
    return tuple(found)


def warnings(folder: Path) -> Iterator[str]:
    """Say which files are narrower on the disk, or set-ID, than they will be in the image."""
    if not folder.is_dir():
        return
    told = {one.path for one in read(folder) if one.mode is not None}
    lost = [(path, mode) for path, mode in _particular(folder) if path not in told]
    if not lost:
        return
    named = ", ".join(f"{path} ({mode:04o})" for path, mode in lost[:_NAMED])
    more = f" and {len(lost) - _NAMED} more" * (len(lost) > _NAMED)
    path, mode = lost[0]
    yield (
        f"{folder}: {named}{more}: the mode on this disk does not count, in the image it is 0644 or"
        f" 0755; a line in {folder.name}.modes beside the folder keeps it: {mode:04o} - {path}"
    )


def _particular(folder: Path) -> Iterator[tuple[str, int]]:
    for path in files.walk(folder):
        status = path.lstat()
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISLNK(status.st_mode):
            continue
        special = mode & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX)
        if stat.S_ISDIR(status.st_mode):
            special &= ~stat.S_ISGID  # a shared folder on this machine, no wish for the image
        if special or mode & _READABLE != _READABLE:
            yield str(path.relative_to(folder)), mode


def names(found: Sequence[Mode]) -> frozenset[str]:
    """Give the users and groups that lines name, which a root has to have."""
    given = {name for one in found for name in (one.user, one.group) if name}
    return frozenset(name for name in given if not name.isdecimal())
