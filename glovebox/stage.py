"""Read stages: folders in pi-gen's stage format, with a few additions that are visible by name.

A stage is a folder of sub-stages; each sub-stage is a folder of numbered actions and becomes one
layer. The additions of ours: `NN-sources`, `NN-on-tools.sh`, `NN-overlay/` and `NN-templates/`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from glovebox.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(StrEnum):
    """What an action does; the order here is the order of actions with the same number."""

    SOURCES = "sources"
    ON_TOOLS = "on-tools.sh"
    DEBCONF = "debconf"
    PACKAGES_NR = "packages-nr"
    PACKAGES = "packages"
    OVERLAY = "overlay"
    TEMPLATES = "templates"
    RUN = "run.sh"
    RUN_CHROOT = "run-chroot.sh"


_ORDER = {kind: place for place, kind in enumerate(Kind)}
_ACTION = re.compile(r"(\d\d)-(.+)")


@dataclass(frozen=True, kw_only=True)
class Action:
    """One numbered file or folder of a sub-stage."""

    number: str
    kind: Kind
    path: Path

    @property
    def recommends(self) -> bool:
        """Tell whether recommended packages are installed too."""
        return self.kind is Kind.PACKAGES


@dataclass(frozen=True, kw_only=True)
class SubStage:
    """One sub-stage: a name like ``gnss/00-gpsd`` and its actions in order."""

    name: str
    path: Path
    actions: tuple[Action, ...]

    def of(self, *kinds: Kind) -> tuple[Action, ...]:
        """Give the actions of these kinds."""
        return tuple(action for action in self.actions if action.kind in kinds)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage and its sub-stages in order."""

    name: str
    path: Path
    sub_stages: tuple[SubStage, ...]


def find(name: str, checkout: Path) -> Path:
    """Give the folder of a stage: a path, or a name below ``stages/``."""
    given = Path(name).expanduser()
    path = given if os.sep in name else checkout / "stages" / name
    if not path.is_dir():
        raise ConfigError(
            f"stages: {name}: there is no folder {path}",
            hint="give a name below stages/ or the path of a stage folder",
        )
    return path


def read(path: Path) -> Stage:
    """Read a stage folder."""
    stage = path.name
    subs = tuple(
        read_sub_stage(entry, f"{stage}/{entry.name}")
        for entry in sorted(path.iterdir())
        if entry.is_dir() and not (entry / "SKIP").exists()
    )
    if (path / "SKIP").exists():
        subs = ()
    return Stage(name=stage, path=path, sub_stages=subs)


def read_sub_stage(path: Path, name: str) -> SubStage:
    """Read a sub-stage folder; what has no meaning in the format is left alone."""
    actions: list[Action] = []
    for entry in path.iterdir():
        found = _ACTION.fullmatch(entry.name)
        if found is None or found[2] not in set(Kind):
            continue
        actions.append(Action(number=found[1], kind=Kind(found[2]), path=entry))
    actions.sort(key=lambda action: (action.number, _ORDER[action.kind]))
    return SubStage(name=name, path=path, actions=tuple(actions))


def words_of(text: str, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Give the words of a package or source list, variables put in and comments left out.

    pi-gen's quirk is kept: in a file of one line nothing is a comment.
    """
    lines = text.splitlines()
    if len(lines) > 1:
        lines = [line.partition("#")[0] for line in lines]
    return tuple(Template(" ".join(lines)).safe_substitute(variables).split())


def variables_read(sub_stage: SubStage, variables: Mapping[str, str]) -> dict[str, str]:
    """Give the variables that a file of the sub-stage names: those can decide its result."""
    names: set[bytes] = set()
    for path in _files(sub_stage.path):
        names.update(re.findall(rb"[A-Za-z_]\w*", path.read_bytes()))
    return {name: value for name, value in variables.items() if name.encode() in names}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
