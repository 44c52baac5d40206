"""Files that are there whole or not at all, and on the medium before anybody relies on them."""

from __future__ import annotations

import fcntl
import itertools
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from home.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PID_WIDTH = 20
_numbers = itertools.count()


def hidden(path: Path) -> Path:
    """Give the name under which a file is written before it is there."""
    return path.with_name(f".{path.name}.{os.getpid()}.{next(_numbers)}")


def write(path: Path, content: bytes) -> None:
    """Write a file durably under its name; if it raises there is no such file."""
    beside = hidden(path)
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
        flush_names(path.parent)
    except BaseException:
        # Neither name may stay: nobody was told that it is there.
        for each in (beside, path):
            with suppress(OSError):
                each.unlink()
        raise


def make_folder(path: Path) -> None:
    """Make a folder and those above it, durably."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    flush_names(path.parent)


def flush(path: Path) -> None:
    """Wait until the medium has a file's content."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def flush_names(folder: Path) -> None:
    """Wait until the medium has a folder's names, new and gone; see fsync(2)."""
    flush(folder)


@contextmanager
def locked(path: Path, what: str, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock that ends with this process; BusyError says whose it is."""
    make_folder(path.parent)
    opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            pid = os.pread(opened, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise BusyError(
                f"{path.parent}: {what} is done by another process, pid {pid}; "
                "hint: one home a folder: stop that one, or name another folder"
            ) from None
        with suppress(OSError):  # a full disk keeps nobody from the lock
            os.pwrite(opened, f"{os.getpid()}".ljust(PID_WIDTH).encode(), 0)
        yield
    finally:
        os.close(opened)
