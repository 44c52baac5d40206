"""Copies of the files that steps are made of, shown in place of the originals while they run.

A key names what a file was when the plan was made; a person may edit it while the build runs. So
each step works on a copy, whose digest is compared with the key's. The copy has what the key
knows and nothing else: kinds, bytes and executable bits. Modes are 0644 and 0755 whatever the
umask of the checkout was, times are the build's.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import ExitStack
from threading import Lock
from typing import TYPE_CHECKING, Self

from glovebox.errors import ConfigError, StepError
from glovebox.host import files, mounts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from types import TracebackType


class Snapshots:
    """The copies of one build: each file or folder is copied at its first use, and then stays."""

    def __init__(self, folder: Path, *, epoch: int) -> None:
        """Keep copies in ``folder``; their times are ``epoch``."""
        self.folder = folder
        self._epoch = epoch
        self._shown: dict[Path, Path] = {}
        self._stack = ExitStack()
        self._guard = Lock()

    def __enter__(self) -> Self:
        """Begin with none."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """Show the originals again."""
        self._stack.close()

    def show(self, paths: Iterable[Path]) -> None:
        """Show copies of these files and folders where they lie."""
        with self._guard:
            for path in paths:
                place = path.resolve()
                if not place.exists() or any(place.is_relative_to(one) for one in self._shown):
                    continue
                copied = self.folder / str(len(self._shown)) / place.name
                copied.parent.mkdir(parents=True)
                copy(place, copied, epoch=self._epoch)
                self._stack.enter_context(mounts.bind(copied, place))
                self._shown[place] = copied

    def require_shown(self, paths: Iterable[Path], *, step: str) -> None:
        """Raise StepError where a copy is shown no more: its original's folder was replaced."""
        for path in paths:
            copied = self._shown.get(path.resolve())
            if copied is not None and not (path.exists() and path.samefile(copied)):
                raise StepError(_changed(step, [str(path)]), hint=_AGAIN)


_AGAIN = "build again: what is finished is kept"


def require_same(planned: Mapping[str, str], now: Mapping[str, str], *, step: str) -> None:
    """Raise StepError when what a step reads is not what its key was made of."""
    names = [name for name in sorted({*planned, *now}) if planned.get(name) != now.get(name)]
    if names:
        raise StepError(_changed(step, names), hint=_AGAIN)


def _changed(step: str, names: list[str]) -> str:
    return f"{step}: changed while the build ran: {', '.join(names)}"


def copy(source: Path, target: Path, *, epoch: int) -> None:
    """Copy a file or a folder: kinds, bytes and executable bits; not what Python leaves beside."""
    mode = source.lstat().st_mode
    if stat.S_ISLNK(mode):
        target.symlink_to(source.readlink())
    elif stat.S_ISDIR(mode):
        target.mkdir()
        target.chmod(0o755)
        for entry in sorted(os.scandir(source), key=lambda one: one.name):
            if entry.name != files.BYTECODE:
                copy(source / entry.name, target / entry.name, epoch=epoch)
    elif stat.S_ISREG(mode):
        shutil.copyfile(source, target)
        target.chmod(0o755 if mode & 0o100 else 0o644)
    else:
        raise ConfigError(
            f"{source} is neither file, folder nor link", hint="a stage keeps no others: remove it"
        )
    os.utime(target, (epoch, epoch), follow_symlinks=False)
