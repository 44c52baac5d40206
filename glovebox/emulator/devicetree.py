"""A board's device tree with the overlays that config.txt names, applied as the firmware would.

fdtoverlay (device-tree-compiler) does the work. It knows nothing of parameters, neither of
``dtparam=`` nor of those behind an overlay's name: Raspberry Pi's device trees have them, Debian's
have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from glovebox.errors import ImageError
from glovebox.host.run import CommandError, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from glovebox.boards.firmware import Reading

_PREFIX = "overlays/"


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """An overlay that is asked for; ``file`` is relative to the boot partition."""

    file: str
    parameters: tuple[str, ...]
    place: str  # of its line


def overlays(reading: Reading) -> tuple[Overlay, ...]:
    """Give the overlays a model loads, in their order; an empty name only ends the one before."""
    prefix = reading.values.get("overlay_prefix", _PREFIX)
    found = []
    for line in reading.certain:
        if line.key == "dtoverlay" and line.value:
            # `NAME,parameter=x` and, as older files have it, `NAME:parameter=x`.
            name, *parameters = line.value.replace(":", ",").split(",")
            found.append(
                Overlay(
                    file=f"{prefix}{name.strip()}.dtbo",
                    parameters=tuple(parameters),
                    place=f"{line.file}:{line.number}",
                )
            )
    return tuple(found)


def apply(dtb: Path, folder: Path, target: Path, *, reading: Reading, by: Sequence[str]) -> Path:
    """Apply to ``dtb`` what ``reading`` asks for, out of the files in ``folder``; give the result.

    ``by`` starts fdtoverlay. Without any overlay the device tree itself is given. Raises ImageError
    naming an overlay that is not there or does not fit, where the firmware would go on without it.
    """
    chosen = overlays(reading)
    if not chosen:
        return dtb
    for one in chosen:
        if not (folder / one.file).is_file():
            raise ImageError(
                f"{one.place} asks for {one.file}, which is not on the boot partition",
                hint="the firmware goes on without it: bring the file, or leave out the line",
            )
    files = [folder / one.file for one in chosen]
    try:
        run([*by, "-i", dtb, "-o", target, *files])
    except CommandError as error:
        names = ", ".join(one.file for one in chosen)
        message = f"{names}: do not fit {dtb.name}: {error.tail}"
        raise ImageError(message, hint="which labels it has: fdtdump, __symbols__") from error
    return target
