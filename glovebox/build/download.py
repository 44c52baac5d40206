"""Fetch what a compiling program asks for by its address and sum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glovebox.errors import LockError
from glovebox.lock import apt

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.stage.sources import Source


def fetch(source: Source, folder: Path, *, wanted_by: str) -> None:
    """Bring a file into ``folder``, from the first of its addresses that has it whole.

    Raises LockError naming who asked for it when none has.
    """
    said: list[str] = []
    for url in source.urls:
        one = apt.Download(url=url, name=source.what, size=0, sha256=source.sha256)
        try:
            apt.fetch([one], folder)
        except LockError as error:
            said.append(f"{url}:\n{error.message.partition(chr(10))[2]}")
        else:
            return
    raise LockError(
        f"{wanted_by}: {source.what} could not be fetched whole (sha256 {source.sha256}):\n"
        + "\n".join(said),
        hint="look at the address and the sum in the list; further addresses may stand before it",
    )
