"""Name what an image holds beside Debian's packages, with its version: compiled, or a wheel."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glovebox.config.schema import RECORDER_STAGE
from glovebox.plan.inputs import InputKind
from glovebox.project.packages import COMPILED, WHEEL
from telematics import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from glovebox.config.schema import Config
    from glovebox.lock.lock import Lock
    from glovebox.plan.plan import Step

_DESCRIPTION = re.compile(r"(?P<name>[a-z0-9][a-z0-9+.-]*)_(?P<version>[^_/]+)\.dsc")


_VERSION = re.compile(r"^Version: (\S+)$", re.MULTILINE)
_FETCHED = "url:"  # how a plan calls a source that is an address


@dataclass(frozen=True, kw_only=True)
class Made:
    """Something in an image that is no package of Debian's."""

    name: str
    version: str
    kind: str  # compiled, or wheel
    source_version: str = ""  # where it is compiled from a source of Debian's
    sha256: str = ""  # of its source, or of the wheel
    licence: str = ""


def parts(config: Config, lock: Lock, steps: Iterable[Step], fetched: Path) -> list[Made]:
    """Give all of it, sorted; ``fetched`` is the folder with the sources, by their sums.

    A source that a stage fetches by its address has a file's name, and its sum for a version.
    """
    found = {
        Made(
            name=told["name"], version=told["version"], kind=COMPILED, sha256=one.sha256,
            source_version=_whole(fetched / one.sha256) or told["version"],
        )
        for group in lock.sources.values()
        for one in group
        if (told := _DESCRIPTION.fullmatch(one.name))
    }  # fmt: skip
    found |= {
        Made(
            name=one.label.removeprefix(_FETCHED), version=f"sha256:{one.digest}", kind=COMPILED,
            sha256=one.digest,
        )
        for step in steps
        for one in step.inputs.values()
        if one.kind is InputKind.DOWNLOAD and one.label.startswith(_FETCHED)
    }  # fmt: skip
    if lock.wheels is not None:
        found |= {
            Made(name=one.name, version=one.version, kind=WHEEL, sha256=one.sha256)
            for one in lock.wheels.all()
        }
    if any(entry.path == RECORDER_STAGE for entry in config.stages):
        found.add(Made(name="telematics", version=__version__, kind=COMPILED, licence="MIT"))
    return sorted(found, key=lambda one: (one.name, one.version, one.kind))


def _whole(description: Path) -> str:
    """Give the version that a source says of itself: a file's name has no epoch."""
    if not description.is_file():
        return ""
    told = _VERSION.search(description.read_text(errors="replace"))
    return told[1] if told else ""


def listed(made: Iterable[Made]) -> str:
    """Give name, version and `compiled` or `wheel`, a line each, as the list of packages has it."""
    return "".join(sorted({f"{_line(one)}\n" for one in made}))


def _line(one: Made) -> str:
    line = f"{one.name} {one.version} {one.kind}"
    if one.source_version in ("", one.version):
        return line
    return f"{line} {one.name} ({one.source_version})"
