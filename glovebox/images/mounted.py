"""`invoke mount` and `umount`: an image's files at a place of the host, until they are taken away.

This is the one thing of Glovebox that outlives its process, so it keeps a record of each mount.
The record is on the disk and not in /run: where the boot partition is shown as a copy, what was
changed there has to survive a crash of the machine.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.card import bootfiles, media, system
from glovebox.errors import GloveboxError, HostError, ImageError
from glovebox.host import files, inside
from glovebox.host.run import CommandError, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glovebox.card.table import Partition
    from glovebox.host.monitor import Monitor
    from glovebox.store.store import Store

DEFAULT_PLACE = Path("/mnt")
_RECORD = "mount.json"


@dataclass(frozen=True, kw_only=True)
class Record:
    """One mounted image; ``boot`` tells how its boot partition is shown."""

    image: str
    raw: str
    place: str
    boot_place: str | None
    boot: str  # "mount", "copy" or "nowhere"
    write: bool
    made: bool  # the folder of the mount was made for it
    start: str  # the running kernel's boot, to tell a restart from an unmount by hand
    boot_start: int
    boot_size: int
    before: dict[str, str]  # the boot files as they were, to tell what was changed in the copy


def state_folder() -> Path:
    """Give where the records are: $GLOVEBOX_MOUNTS, else the system's place for state."""
    return Path(os.environ.get("GLOVEBOX_MOUNTS") or "/var/lib/glovebox/mounts")


def mount(
    image: Path, store: Store, monitor: Monitor, *, place: Path | None, write: bool
) -> Record:
    """Mount both partitions of an image at their places; gives the record of it.

    An image that is mounted already, the same way, is left as it is.
    """
    known = find(image)
    if known is not None and os.path.ismount(known[1].place):
        if known[1].write != write:
            raise HostError(
                f"{image} is mounted already, {_how(known[1])}", hint=f"./invoke umount {image}"
            )
        monitor.say(f"{image} is mounted already")
        return known[1]
    if known is not None:
        umount(known[0], known[1], monitor)
    found = media.look(image, store, monitor)
    if write:
        media.require_writable(found)
    target = (place or DEFAULT_PLACE / _stem(image)).absolute()
    made = _prepare_place(target)
    folder = state_folder() / files.digest(str(image.resolve()))[:16]
    try:
        with ExitStack() as undo:
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
            if made:
                undo.callback(target.rmdir)
            record = _mount(found, target, folder, write=write, made=made, undo=undo)
            undo.pop_all()
    except CommandError as error:
        raise media.unmountable(found, error) from error
    return record


def _mount(
    found: media.Card, target: Path, folder: Path, *, write: bool, made: bool, undo: ExitStack
) -> Record:
    folder.mkdir(parents=True, mode=0o700)
    copy = folder / "boot"
    options = media.mount_options(found, write)
    _run_mount(["--types", "ext4", "--options", options, "--", found.raw, target], undo)
    at = _safe_point(target)
    record = Record(
        image=str(found.source.resolve()),
        raw=str(found.raw),
        place=str(target),
        boot_place=str(at) if at else None,
        boot="nowhere" if at is None else "mount" if kernel_knows("vfat") else "copy",
        write=write,
        made=made,
        start=_this_boot(),
        boot_start=found.boot.start,
        boot_size=found.boot.size,
        before={},
    )
    if record.boot == "mount" and at is not None:
        how = "rw" if write else "ro"
        part = f"loop,{how},offset={found.boot.start},sizelimit={found.boot.size},umask=022"
        part += ",nosuid,nodev"
        _run_mount(["--types", "vfat", "--options", part, "--", found.raw, at], undo)
    elif at is not None:
        bootfiles.copy(found.raw, found.boot, copy)
        record = Record(**{**asdict(record), "before": bootfiles.listing(copy)})
        _run_mount(["--options", "bind", "--", copy, at], undo)
        if not write:
            run(["mount", "--options", "remount,bind,ro", "--", at])
    files.write_whole(folder / _RECORD, json.dumps(asdict(record)), mode=0o600)
    return record


def _run_mount(words: list[str | Path], undo: ExitStack) -> None:
    run(["mount", *words])
    undo.callback(run, ["umount", "--", words[-1]], check=False)


def umount(folder: Path, record: Record, monitor: Monitor) -> None:
    """Unmount an image, write back what was changed in a copy of its boot files, forget it.

    Raises HostError naming who still uses it; nothing is lost then, and it can be done again.
    """
    place = Path(record.place)
    if not os.path.ismount(place):
        why = "the machine was restarted" if record.start != _this_boot() else "by hand, it seems"
        monitor.say(f"{record.image} is no longer mounted ({why}); clearing up")
    for point in (record.boot_place, record.place):
        if point is not None and os.path.ismount(point):
            _unmount(Path(point))
    if record.boot == "copy" and record.write:
        _write_back(folder, record, monitor)
    if record.made and place.is_dir() and not any(place.iterdir()):
        place.rmdir()
    shutil.rmtree(folder)


def _write_back(folder: Path, record: Record, monitor: Monitor) -> None:
    raw, copy = Path(record.raw), folder / "boot"
    if not copy.is_dir():
        return
    if not raw.exists():
        raise ImageError(
            f"{raw} is gone, what was changed in its boot files is still here: {copy}",
            hint=f"put the image back, or forget the changes: rm -r {folder}",
        )
    changes = bootfiles.write_back(raw, _boot(record), copy, record.before)
    for name in changes.left_out:
        monitor.warn(f"{name} was left out: a FAT file system cannot hold it")
    if changes:
        monitor.say(f"boot files written back into {raw.name}: {changes}")


def _boot(record: Record) -> Partition:
    from glovebox.card.table import Partition  # noqa: PLC0415

    return Partition(number=1, start=record.boot_start, size=record.boot_size, kind="c")


def _unmount(point: Path) -> None:
    try:
        # Never a lazy one: it would leave the image in use, and its last writes to chance.
        run(["umount", "--", point])
    except CommandError as error:
        users = users_of(point)
        who = f" by {', '.join(users)}" if users else ""
        raise HostError(
            f"{point} is in use{who}: {error.tail}",
            hint="leave that folder, close its files, and umount again",
        ) from error


def users_of(point: Path) -> list[str]:
    """Name the processes that work below a mount, by name and number."""
    found = []
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            links = [process / "cwd", process / "root", process / "exe", *process.glob("fd/*")]
            places = [link.readlink() for link in links if link.is_symlink()]
            if any(place.is_relative_to(point) for place in places):
                found.append(f"{(process / 'comm').read_text().strip()} ({process.name})")
        except OSError:  # it ended meanwhile
            continue
    return found


def records() -> Iterator[tuple[Path, Record]]:
    """Give every record and its folder; what a crash left half-written is cleared away."""
    folder = state_folder()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            yield path, Record(**json.loads((path / _RECORD).read_text()))
        except FileNotFoundError:
            _clear(path)
        except (ValueError, TypeError) as error:
            raise GloveboxError(
                f"{path / _RECORD} cannot be read: {error}",
                hint="umount by hand what `mount` lists, then remove that folder",
            ) from error


def _clear(folder: Path) -> None:
    """Remove what a mount left that was killed before its record was written."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[3].startswith(str(folder)):
            return  # its copy is still shown somewhere
    shutil.rmtree(folder, ignore_errors=True)


def find(name: Path) -> tuple[Path, Record] | None:
    """Find a mount by its image or by its place."""
    wanted = {str(name.absolute()), str(name.resolve())}
    return next(
        (found for found in records() if wanted & {found[1].image, found[1].place, found[1].raw}),
        None,
    )


def kernel_knows(kind: str) -> bool:
    """Tell whether the kernel has a file system, loading its module if it is one."""

    def listed() -> bool:
        return f"\t{kind}\n" in Path("/proc/filesystems").read_text()

    if not listed() and shutil.which("modprobe"):
        run(["modprobe", "--quiet", kind], check=False)
    return listed()


def _prepare_place(target: Path) -> bool:
    """Make the folder of a mount; tells whether it had to be made."""
    if os.path.ismount(target):
        raise HostError(f"something is mounted on {target}", hint="choose a place: --at FOLDER")
    if target.is_dir():
        if any(target.iterdir()):
            raise HostError(f"{target} is not empty", hint="choose another place: --at FOLDER")
        return False
    if target.exists():
        raise HostError(f"{target} is no folder", hint="choose another place: --at FOLDER")
    target.mkdir(parents=True)
    return True


def _safe_point(root: Path) -> Path | None:
    """Give where the boot partition belongs, None where the image has no folder for it.

    A link there might lead out of the image, onto the host.
    """
    point = root / system.boot_point(root)
    return (
        point if inside.place(root, system.boot_point(root)) == point and point.is_dir() else None
    )


def _stem(image: Path) -> str:
    name = image.name
    for suffix in (".xz", ".zst", ".gz", ".bz2", ".zip", ".img", ".wic"):
        name = name.removesuffix(suffix)
    return name


def _how(record: Record) -> str:
    return "writable" if record.write else "read-only"


def _this_boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
