"""Files written whole or appended, and flushed to the medium before anybody relies on them.

``Disk`` is the one way in which numbers and journal touch files, so a test can give them a disk
that is full, fails, forgets what was not flushed, or cuts a write in the middle.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Disk(Protocol):
    """What is asked of a disk; each call raises OSError if it did not happen."""

    def read(self, path: Path) -> bytes | None:
        """Give the content, None if there is no such file."""

    def read_at(self, path: Path, offset: int, size: int) -> bytes:
        """Give up to ``size`` bytes from ``offset`` on."""

    def size(self, path: Path) -> int:
        """Give the size, 0 if there is no such file."""

    def write(self, path: Path, content: bytes) -> None:
        """Write whole and durably: after a cut there is the old content or the new one."""

    def append(self, path: Path, content: bytes) -> None:
        """Append durably; if it raises, or the power goes, a part may stand there."""

    def truncate(self, path: Path, size: int) -> None:
        """Cut the file to ``size``, durably."""

    def remove(self, path: Path) -> None:
        """Remove the file if it is there, durably."""


class RealDisk:
    """The disk of this machine."""

    def read(self, path: Path) -> bytes | None:
        """See Disk."""
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None

    def read_at(self, path: Path, offset: int, size: int) -> bytes:
        """See Disk."""
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def size(self, path: Path) -> int:
        """See Disk."""
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return 0

    def write(self, path: Path, content: bytes) -> None:
        """See Disk."""
        _replace(path, content, durable=True)

    def append(self, path: Path, content: bytes) -> None:
        """See Disk."""
        new = not path.exists()
        with path.open("ab", buffering=0) as file:
            written = 0
            while written < len(content):
                written += file.write(content[written:])
            os.fsync(file.fileno())
        if new:
            write_through(path.parent)

    def truncate(self, path: Path, size: int) -> None:
        """See Disk."""
        with path.open("r+b") as file:
            file.truncate(size)
            os.fsync(file.fileno())

    def remove(self, path: Path) -> None:
        """See Disk."""
        path.unlink(missing_ok=True)
        write_through(path.parent)


class AsideDisk:
    """A disk whose writes are waited for elsewhere: a card may take seconds for one."""

    def __init__(self, disk: Disk, aside: Callable[[Callable[[], None]], None]) -> None:
        """Take the disk, and what does a piece of work and comes back when it is done."""
        self._disk = disk
        self._aside = aside

    def read(self, path: Path) -> bytes | None:
        """See Disk."""
        return self._disk.read(path)

    def read_at(self, path: Path, offset: int, size: int) -> bytes:
        """See Disk."""
        return self._disk.read_at(path, offset, size)

    def size(self, path: Path) -> int:
        """See Disk."""
        return self._disk.size(path)

    def write(self, path: Path, content: bytes) -> None:
        """See Disk."""
        self._aside(lambda: self._disk.write(path, content))

    def append(self, path: Path, content: bytes) -> None:
        """See Disk."""
        self._aside(lambda: self._disk.append(path, content))

    def truncate(self, path: Path, size: int) -> None:
        """See Disk."""
        self._aside(lambda: self._disk.truncate(path, size))

    def remove(self, path: Path) -> None:
        """See Disk."""
        self._aside(lambda: self._disk.remove(path))


def write_whole(path: Path, text: str, *, durable: bool) -> None:
    """Write beside the file and rename; ``durable`` also waits until the medium has it."""
    _replace(path, text.encode(), durable=durable)


def _replace(path: Path, content: bytes, *, durable: bool) -> None:
    beside = path.with_name(f".{path.name}.new")
    with beside.open("wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    beside.replace(path)
    if durable:
        write_through(path.parent)


def write_through(path: Path) -> None:
    """Wait until the medium has a file, or the names in a folder, new and gone; see fsync(2)."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
