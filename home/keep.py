"""Retention, backup and restore of the landing; days are made from it again."""

from __future__ import annotations

import os
import shutil
import tarfile
import time
from contextlib import suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from home import days, files, index
from home.errors import HomeError
from home.landing import Landing, look, offsets_of

if TYPE_CHECKING:
    from pathlib import Path

    from home.index import Entry


def prune(folder: Path, landing: Landing, keep_days: int, *, now: float | None = None) -> int:
    """Remove segments whose days are all older than so many UTC days, and those days' files.

    Kafka's newest segment of a partition stays: its name says where to go on.
    """
    today = int(time.time() if now is None else now) * 1000 // index.DAY_MS
    oldest = today - keep_days + 1
    total = landing.total
    newest: dict[tuple[str, int], tuple[int, str]] = {}
    for name in landing.segments:
        place, _, last = name.rpartition("/")
        offsets = offsets_of(last)
        if offsets is not None:
            where = (place, offsets.partition)
            newest[where] = max(newest.get(where, (0, "")), (offsets.next, name))
    stay = {name for _, name in newest.values()}
    gone = [
        name
        for name, entry in landing.segments.items()
        if name not in stay and _newest_day(entry, total) < oldest
    ]
    landing.remove(gone)
    with files.locked(folder / "days" / "lock", "building", wait=True):
        for day in days.built_days(folder):
            if day != index.NO_TIME and index.day_number(day) < oldest:
                shutil.rmtree(folder / "days" / day)
    return len(gone)


def _newest_day(entry: Entry, total: index.Summary) -> int:
    """Give the newest day that a segment has lines of; what has none yet is kept."""
    found = list(entry.days)
    if entry.dead or not (found or entry.untimed):
        return 1 << 62
    for boot, counts in entry.untimed.items():
        offset = total.offset(boot)
        found.append(1 << 62 if offset is None else (offset + counts[3]) // index.DAY_MS)
    return max(found)


def backup(folder: Path, target: Path) -> int:
    """Write the landing into one archive, whole or not at all; also while it receives."""
    root = folder / "landing"
    if not root.is_dir():
        raise HomeError(f"{root}: no landing is there; hint: --folder")
    if target.exists():
        raise HomeError(f"{target} is there already; hint: another name")
    beside = files.hidden(target)
    try:
        count = _archive(root, beside)
        files.flush(beside)
        beside.rename(target)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    files.flush_names(target.parent)
    return count


def _archive(root: Path, target: Path) -> int:
    done: set[str] = set()
    with tarfile.open(target, "w:gz", compresslevel=1) as archive:
        # What is merged meanwhile is found under its new name by looking again.
        while left := [name for name in look(root)[0] if name not in done]:
            for name in left:
                done.add(name)
                with suppress(FileNotFoundError):
                    archive.add(root / name, arcname=f"landing/{name}", recursive=False)
    return len(done)


def _unpack(archive: tarfile.TarFile, target: Path) -> None:
    """Unpack what a backup is made of, plain files of the landing; anything else is refused.

    Own code: tarfile's `filter="data"` came with Python 3.11.4, and Debian 12 has an older one.
    """
    for member in archive:
        place = PurePosixPath(member.name)
        if not member.isfile() or place.parts[:1] != ("landing",) or ".." in place.parts:
            raise tarfile.TarError(f"{member.name} is none of a backup's files")
        data = archive.extractfile(member)
        if data is None:
            raise tarfile.TarError(f"{member.name} has no bytes")
        file = target / place
        file.parent.mkdir(parents=True, exist_ok=True)
        with data, file.open("wb") as copy:
            shutil.copyfileobj(data, copy)


def restore(source: Path, folder: Path) -> int:
    """Fill an empty home from an archive; its days are built at the next start or `build`."""
    root = folder / "landing"
    files.make_folder(folder)
    with files.locked(folder / "lock", "receiving"):
        if root.exists() and look(root)[0]:
            raise HomeError(f"{root} holds a landing; hint: restore into an empty folder")
        beside = folder / ".restored"
        shutil.rmtree(beside, ignore_errors=True)
        try:
            with tarfile.open(source, "r:gz") as archive:
                _unpack(archive, beside)
        except (OSError, tarfile.TarError, EOFError) as error:
            shutil.rmtree(beside, ignore_errors=True)
            raise HomeError(f"{source}: {error}; hint: an archive of `home backup`") from None
        if not (beside / "landing").is_dir():
            shutil.rmtree(beside)
            raise HomeError(f"{source}: no landing in it; hint: an archive of `home backup`")
        for place, _, names in os.walk(beside):
            for name in names:
                files.flush(beside / place / name)
        shutil.rmtree(root, ignore_errors=True)
        (beside / "landing").rename(root)
        shutil.rmtree(beside)
        files.flush_names(folder)
        landing = Landing(root).open()
        landing.close()
        return len(landing.segments)
