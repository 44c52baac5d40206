"""What of the builder's own code decides a result.

A key counts the code itself: a number that somebody has to raise is forgotten, and a store then
gives out what an earlier builder made. Comments count too; whoever edits these rooms builds anew.
"""

from __future__ import annotations

import functools
from pathlib import Path

from glovebox.host import files

# What a step runs on the build machine: its actions, what they read and write a root with, and how
# the files of a stage are understood.
ROOMS = ("build", "host", "stage")
_SOURCES = (".c", ".py", ".sh")


def digest(package: Path) -> str:
    """Give the sha256 of the names and bytes of the sources in these rooms of ``package``."""
    found = (
        (room, path.relative_to(package / room).as_posix(), path.read_bytes())
        for room in ROOMS
        for path in sorted((package / room).rglob("*"))
        if path.suffix in _SOURCES
    )
    return files.digest(*(part for one in found for part in one))


@functools.cache
def of_this_builder() -> str:
    """Give the digest of the code that runs."""
    return digest(Path(__file__).parents[1])
