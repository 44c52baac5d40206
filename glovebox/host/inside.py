"""Names inside a root file system: followed as a chroot would, so no link leads to the host.

Everything that reads or writes a root goes through here. The kernel resolves a name best, by
openat2(2) with RESOLVE_IN_ROOT. It has no wrapper in Python or glibc, so it is asked here by its
number; where a kernel or a sandbox lacks it, and for names that are still to be made, the links are
walked one by one.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections import deque
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from glovebox.errors import ImageError
from glovebox.host import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

# No text file of a system is longer; a sparse one of terabytes would fill the memory.
MOST = 64 << 20
_MAX_LINKS = 40  # as the kernel has it
# What openat2(2) says where it is not: no such call, forbidden by a sandbox, or too old for a flag.
_LACKING = frozenset({errno.ENOSYS, errno.EPERM, errno.EINVAL, errno.E2BIG})
# Still to be made; or the kernel could not be sure of a ".." while something else was renamed or
# mounted anywhere on the machine, several times.
_LEFT_TO_US = (FileNotFoundError, NotADirectoryError, BlockingIOError)
_TRIES = 16
_OPENAT2 = 437  # the same number on every processor, as of all calls since Linux 5.1
_NO_MAGIC_LINKS, _IN_ROOT = 0x02, 0x10


class _How(ctypes.Structure):
    """What openat2(2) is asked: ``struct open_how``."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def place(root: Path, name: str | os.PathLike[str]) -> Path:
    """Give the place of a name in ``root``, all its links followed; it need not be there.

    Raises ImageError when links go round in circles.
    """
    asked = os.fspath(name)
    if _kernel_resolves():
        with suppress(*_LEFT_TO_US):
            return _by_kernel(root, asked)
        path = PurePosixPath(asked)
        with suppress(*_LEFT_TO_US):
            target = _by_kernel(root, os.fspath(path.parent)) / path.name
            if path.name not in ("", "..") and _status(target) is None:
                return target
    return walked(root, asked)


def entry(root: Path, name: str | os.PathLike[str]) -> Path:
    """Give the place of a name in ``root`` where its last part is taken as it is, link or not."""
    path = PurePosixPath(name)
    last = path.name
    if last in ("", ".."):
        return place(root, path)
    return place(root, path.parent) / last


def walked(root: Path, name: str | os.PathLike[str]) -> Path:
    """Do as ``place`` without the kernel's help."""
    parts = deque(PurePosixPath(name).parts)
    here, links = root, 0
    while parts:
        part = parts.popleft()
        if part.startswith("/"):  # "//" is a part of its own
            here = root
        elif part == "..":
            here = here.parent if here != root else root
        elif _is_link(here / part):
            links += 1
            if links > _MAX_LINKS:
                raise ImageError(f"/{os.fspath(name).lstrip('/')}: links go round in circles")
            parts.extendleft(reversed(PurePosixPath((here / part).readlink()).parts))
        else:
            here /= part
    return here


def exists(root: Path, name: str | os.PathLike[str]) -> bool:
    """Tell whether there is something at a name."""
    return _status(place(root, name)) is not None


def is_file(root: Path, name: str | os.PathLike[str]) -> bool:
    """Tell whether a plain file is at a name."""
    status = _status(place(root, name))
    return status is not None and stat.S_ISREG(status.st_mode)


def is_folder(root: Path, name: str | os.PathLike[str]) -> bool:
    """Tell whether a folder is at a name."""
    status = _status(place(root, name))
    return status is not None and stat.S_ISDIR(status.st_mode)


def text(root: Path, name: str | os.PathLike[str], *, most: int = MOST) -> str:
    """Give what a file of the root says, nothing when there is no plain file."""
    return data(root, name, most=most).decode(errors="replace")


def data(root: Path, name: str | os.PathLike[str], *, most: int = MOST) -> bytes:
    """Give the bytes of a file of the root, nothing when there is no plain file.

    Raises ImageError when it has more than ``most``: nothing that is read whole here does.
    """
    with opened(root, name) as descriptor:
        if descriptor is None:
            return b""
        if os.fstat(descriptor).st_size > most:
            raise ImageError(
                f"/{os.fspath(name).lstrip('/')} has {os.fstat(descriptor).st_size} bytes:"
                " no system's file of that name does",
                hint="the image is damaged, or made to harm",
            )
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(most)


@contextmanager
def opened(root: Path, name: str | os.PathLike[str]) -> Iterator[int | None]:
    """Open a plain file of the root for reading; None where there is none.

    A pipe or a device is never opened: the one waits for ever, the other does who knows what.
    """
    try:
        handle = os.open(place(root, name), os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            raise
        yield None
        return
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            yield None
            return
        descriptor = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(handle)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def folder(root: Path, name: str | os.PathLike[str]) -> Path:
    """Make a folder of the root, and those around it; one that is there, or a link to it, stays.

    Raises ImageError when something else is in its place.
    """
    target = place(root, name)
    missing = []
    here = target
    while here != root and (status := _status(here)) is None:
        missing.append(here)
        here = here.parent
    if here != root and status is not None and not stat.S_ISDIR(status.st_mode):
        raise ImageError(
            f"/{os.fspath(name).lstrip('/')} cannot be made in the root:"
            f" /{here.relative_to(root)} is no folder there",
            hint="choose another place for it, or let a script of the stage remove that first",
        )
    for one in reversed(missing):
        one.mkdir()
        one.chmod(0o755)  # whatever the umask
    return target


def write(
    root: Path, name: str | os.PathLike[str], content: bytes | str, *, mode: int = 0o644
) -> Path:
    """Write a file of the root in place of whatever has its name, a folder excepted."""
    target = cleared(root, name)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(target, flags, 0o600), "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        os.fchmod(file.fileno(), mode)
    return target


def link(root: Path, name: str | os.PathLike[str], to: str | os.PathLike[str]) -> Path:
    """Make a link of the root in place of whatever has its name, a folder excepted."""
    target = cleared(root, name)
    target.symlink_to(to)
    return target


def cleared(root: Path, name: str | os.PathLike[str]) -> Path:
    """Give the place for a new entry of the root: its folder is made, what has its name is gone.

    Raises ImageError when a folder has it.
    """
    path = PurePosixPath(name)
    folder(root, path.parent)
    target = entry(root, path)
    status = _status(target)
    if status is not None:
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(
                f"/{os.fspath(name).lstrip('/')} is a folder in the root, and cannot become a file"
                " or a link",
                hint="let a script of an earlier sub-stage remove that folder",
            )
        target.unlink()
    return target


def _by_kernel(root: Path, name: str) -> Path:
    """Ask the kernel for a place; raises FileNotFoundError where it is still to be made."""
    start = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = _openat2(start, name)
        try:
            # By these two links, and not by ``root``: that may itself be a link, or end in a slash.
            top, whole = (Path(f"/proc/self/fd/{one}").readlink() for one in (start, found))
        finally:
            os.close(found)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ImageError(f"/{name.lstrip('/')}: links go round in circles") from error
        raise
    finally:
        os.close(start)
    return root / whole.relative_to(top)


def _openat2(start: int, name: str) -> int:
    how = _How(flags=os.O_PATH | os.O_CLOEXEC, mode=0, resolve=_IN_ROOT | _NO_MAGIC_LINKS)
    for _ in range(_TRIES):
        with suppress(BlockingIOError):
            return kernel.syscall(
                _OPENAT2, start, os.fsencode(name or "."), ctypes.byref(how), ctypes.sizeof(how)
            )
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


@cache
def _kernel_resolves() -> bool:
    """Tell whether this kernel has openat2, and lets us call it."""
    start = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        os.close(_openat2(start, "."))
    except OSError as error:
        if error.errno in _LACKING:
            return False
        raise
    finally:
        os.close(start)
    return Path("/proc/self/fd").is_dir()


def _is_link(path: Path) -> bool:
    status = _status(path)
    return status is not None and stat.S_ISLNK(status.st_mode)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            return None
        raise
