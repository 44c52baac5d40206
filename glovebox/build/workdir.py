"""WORK_DIR: what stages leave beside the root file system, kept in layers like the root itself.

A sub-stage finds there what the ones before it left, also when those are cached. With it goes what
stands in /run and /tmp of the root, which pi-gen keeps mounted until the stage ends.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from glovebox.build import failure
from glovebox.host import mounts
from glovebox.host.files import clear
from glovebox.host.run import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LOG = "build.log"
DEPLOY = "deploy"
_KEPT = ("run", "tmp")
_CHROOT = ".chroot"


@contextmanager
def mounted(below: Sequence[Path], upper: Path, scratch: Path) -> Iterator[Path]:
    """Show what the layers ``below`` hold, lowest first; changes go to ``upper``."""
    upper.mkdir()
    if not below:
        yield upper
    else:
        place = scratch / "work-place"
        (place / "shown").mkdir(parents=True)
        with mounts.overlay(below, place / "shown", scratch=place, upper=upper) as shown:
            yield shown
    _tidy(upper)


def bring_in(work: Path, stage: str, root: Path) -> None:
    """Fill /run and /tmp with what an earlier sub-stage of the stage left there."""
    for name in _KEPT:
        kept = work / _CHROOT / stage / name
        if kept.is_dir():
            run(["cp", "--archive", "--no-target-directory", kept, root / name])


def take_out(work: Path, stage: str, root: Path) -> None:
    """Keep what stands in /run and /tmp for the next sub-stage of the stage."""
    kept = work / _CHROOT / stage
    shutil.rmtree(kept, ignore_errors=True)
    clear(root / failure.PLACE)
    for name in _KEPT:
        # What packages leave there are empty folders.
        if any(not path.is_dir() or path.is_symlink() for path in (root / name).rglob("*")):
            kept.mkdir(parents=True, exist_ok=True)
            run(["cp", "--archive", "--no-target-directory", root / name, kept / name])


def _tidy(upper: Path) -> None:
    """Take out what stood there for a moment: places of mounts, the log, folders left empty."""
    (upper / LOG).unlink(missing_ok=True)
    for stage in [path for path in upper.iterdir() if path.is_dir()]:
        for folder in (stage / "rootfs", stage):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    if not any(upper.iterdir()):
        upper.rmdir()
