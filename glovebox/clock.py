"""Run a build under another time of day, to prove that its bytes do not depend on it.

`reproduce` alone uses this. Programs of the build machine, on the host and in every root, are
answered by libfaketime; those of the target, emulated, by `clock.c`. Both lie at the same path but
for `$LIB`, which each processor's own loader expands. The kernel's stamps on files stay true; a
layer's files get the build's time anyway. QEMU itself and other static programs are not reached.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# The folder with the libraries, for the builds that shall run under another time.
FOLDER = "GLOVEBOX_CLOCK"
LIBRARY = "faketime/libfaketime.so.1"


def environment(folder: Path, days: int) -> dict[str, str]:
    """Give the environment of a build that takes today for ``days`` later."""
    return {FOLDER: str(folder), **_asked(days)}


def passed_on() -> Mapping[str, str]:
    """Give what every program of a build gets, in whatever root; nothing in a usual build."""
    if FOLDER not in os.environ:
        return {}
    names = ("LD_PRELOAD", "FAKETIME", "FAKETIME_DONT_FAKE_MONOTONIC", "NO_FAKE_STAT")
    return {name: os.environ[name] for name in names if name in os.environ}


def lay(root: Path) -> None:
    """Put the libraries into a throw-away layer or root; does nothing in a usual build."""
    if FOLDER in os.environ:
        shutil.copytree(Path(os.environ[FOLDER]), root, dirs_exist_ok=True)


def _asked(days: int) -> dict[str, str]:
    return {
        "LD_PRELOAD": f"/usr/$LIB/{LIBRARY}",
        "FAKETIME": f"+{days}d",
        # Waiting for a span of time must stay possible.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # What stands on the disk stays what it is.
        "NO_FAKE_STAT": "1",
    }
