"""Run a build under another time of day, to prove that its bytes do not depend on it.

`reproduce` alone uses this. A preloaded library answers what programs ask, on the host and in every
root, native and emulated: `clock.c`, compiled for both processors, lies at the same path but for
`$LIB`, which each processor's own loader expands. The kernel's stamps on files stay true; a layer's
files get the build's time anyway. QEMU itself and other static programs are not reached.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.errors import GloveboxError

if TYPE_CHECKING:
    from collections.abc import Mapping

# The folder with the libraries, for the builds that shall run under another time.
FOLDER = "GLOVEBOX_CLOCK"
# Where it is shown: every system has this folder; what a package makes there ends with the step.
# (In /mnt it kept base-files from making that folder.)
PLACE = Path("run/lock")
LIBRARY = "clock.so"
SOURCE = Path(__file__).with_name("clock.c")
_DAYS = "GLOVEBOX_CLOCK_DAYS"


def environment(folder: Path, days: int) -> dict[str, str]:
    """Give the environment of a build that takes today for ``days`` later."""
    return {FOLDER: str(folder), _DAYS: str(days), "LD_PRELOAD": f"/{PLACE}/$LIB/{LIBRARY}"}


def passed_on() -> Mapping[str, str]:
    """Give what every program of a build gets, in whatever root; nothing in a usual build."""
    if FOLDER not in os.environ:
        return {}
    return {name: os.environ[name] for name in (_DAYS, "LD_PRELOAD") if name in os.environ}


def lay(root: Path) -> None:
    """Put the libraries into the /run of a root that is mounted; nothing in a usual build."""
    if FOLDER in os.environ:
        try:
            shutil.copytree(Path(os.environ[FOLDER]), root / PLACE, dirs_exist_ok=True)
        except shutil.Error as error:
            raise GloveboxError(f"{FOLDER}: {error}") from error
