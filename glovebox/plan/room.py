"""Ask before a build whether the disks can hold what it makes: a full one would say so too late."""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from glovebox.errors import GloveboxError, HostError
from glovebox.host import hints
from glovebox.plan.plan import TARGET, StepKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from glovebox.lock.lock import Lock, Package
    from glovebox.plan.plan import Step

_KIB = 1024
# Lists of packages, bytecode, an initramfs: what a root has beside the files of its packages.
_MORE = 1.2
# With less than this free, bytes, a step that fails most likely does so for want of room.
_TIGHT = 32_000_000


def installed_size(packages: Iterable[Package]) -> int:
    """Give the bytes that packages take when they are installed, by Debian's own count."""
    found = (re.search(r"^Installed-Size: (\d+)", one.stanza, re.MULTILINE) for one in packages)
    return sum(int(one[1]) * _KIB for one in found if one)


def needed(steps: Sequence[Step], lock: Lock) -> tuple[int, int]:
    """Give about how many bytes the results of these steps take, and an image of all packages."""
    target = lock.chains.get(TARGET, {})
    results = 0
    for step in steps:
        match step.kind:
            case StepKind.NATIVE_ROOT:
                results += sum(map(installed_size, lock.chains.get(step.name, {}).values()))
            case StepKind.EXTRACT | StepKind.UNPACK:
                results += installed_size(target.get("base", ()))
            case StepKind.SUB_STAGE:
                results += sum(
                    installed_size(target.get(one.request[1], ()))
                    for one in step.inputs.values()
                    if one.request is not None
                )
            case _:
                pass
    makes_image = any(step.kind is StepKind.IMAGE for step in steps)
    image = sum(map(installed_size, target.values())) if makes_image else 0
    return int(results * _MORE), int(image * _MORE)


def require(
    steps: Sequence[Step], lock: Lock, *, downloads: int, store: Path, out: Path | None
) -> None:
    """Raise HostError when the disk of ``store`` or that of ``out`` cannot hold the results.

    ``downloads``: the bytes still to be fetched.
    """
    results, image = needed(steps, lock)
    wanted = {store: results + downloads}
    if out is not None:
        place = next(one for one in (out, *out.parents) if one.exists())
        # On one disk both have to fit together.
        shared = store if place.stat().st_dev == store.stat().st_dev else place
        wanted[shared] = wanted.get(shared, 0) + image
    for place, size in wanted.items():
        free = shutil.disk_usage(place).free
        if size > free:
            raise HostError(
                f"{place}: this build needs about {_gigabytes(size)}, {_gigabytes(free)} are free",
                hint="make room, or ./invoke clean --keep SIZE, or set GLOVEBOX_STORE (and --out)"
                " to another disk; what is done stands",
            )


@contextmanager
def blamed(place: Path) -> Iterator[None]:
    """Say that the disk is full where it is, since programs that fail for it often do not."""
    try:
        yield
    except GloveboxError as error:
        free = shutil.disk_usage(place).free
        if free < _TIGHT and hints.DISK_FULL not in (error.hint or ""):
            more = f"\n        {error.hint}" if error.hint else ""
            error.hint = f"{free / 1e6:.0f} MB are free in {place}: {hints.DISK_FULL}{more}"
        raise


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
