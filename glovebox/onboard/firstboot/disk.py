"""The two partitions as they are written to; one class, so that a test can cut the power anywhere.

Each call is on the medium when it returns.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from telematics.files import RealDisk, write_through

if TYPE_CHECKING:
    from pathlib import Path


class Disk(Protocol):
    """What is asked of the disk; each call raises OSError if it did not happen."""

    def write(self, path: Path, content: bytes) -> None:
        """Write whole: after a cut there is the old content or the new one."""

    def remove(self, path: Path) -> None:
        """Remove the file if it is there."""

    def rename(self, path: Path, to: Path) -> None:
        """Give a file or folder another name; a file of that name is replaced."""

    def make_folder(self, path: Path) -> None:
        """Make a folder, and those above it, if they are not there."""

    def clear(self, folder: Path) -> None:
        """Remove a folder with all that is in it, if it is there."""

    def overwrite(self, path: Path, offset: int, content: bytes) -> None:
        """Write where a file's bytes lie now."""

    def truncate(self, path: Path, size: int) -> None:
        """Cut the file to ``size``."""

    def read_only(self, path: Path) -> bool:
        """Tell whether the boot partition cannot be written, as usual."""

    def remount(self, path: Path, *, writable: bool) -> None:
        """Let the boot partition be written, or no longer."""


class CardDisk(RealDisk):
    """The card in this board."""

    def write(self, path: Path, content: bytes) -> None:
        """See Disk."""
        self.make_folder(path.parent)
        try:
            super().write(path, content)
        except OSError:
            # Half of it under another name would lie there for ever, and take its room.
            with suppress(OSError):
                path.with_name(f".{path.name}.new").unlink(missing_ok=True)
            raise

    def rename(self, path: Path, to: Path) -> None:
        """See Disk."""
        path.replace(to)
        write_through(to.parent)

    def make_folder(self, path: Path) -> None:
        """See Disk."""
        for folder in reversed([each for each in (path, *path.parents) if not each.is_dir()]):
            folder.mkdir()
            write_through(folder.parent)

    def clear(self, folder: Path) -> None:
        """See Disk."""
        if folder.exists():
            shutil.rmtree(folder)
            write_through(folder.parent)

    def overwrite(self, path: Path, offset: int, content: bytes) -> None:
        """See Disk."""
        with path.open("r+b", buffering=0) as file:
            file.seek(offset)
            done = 0
            while done < len(content):
                done += file.write(content[done:])
            os.fsync(file.fileno())

    def read_only(self, path: Path) -> bool:
        """See Disk."""
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)

    def remount(self, path: Path, *, writable: bool) -> None:
        """See Disk."""
        options = f"remount,{'rw' if writable else 'ro'}"
        try:
            subprocess.run(
                ["/usr/bin/mount", "--options", options, path], check=True, capture_output=True
            )  # fmt: skip
        except subprocess.CalledProcessError as error:
            message = f"{path}: {options}: {error.stderr.decode(errors='replace').strip()}"
            raise OSError(message) from error
