"""Read stages: folders in pi-gen's stage format, with a few additions that are visible by name.

A stage is a folder of sub-stages; each sub-stage is a folder of numbered actions and becomes one
layer. The additions of ours: `NN-sources`, `NN-tools`, `NN-libraries`, `NN-on-tools.sh`,
`NN-wheels`, `NN-overlay/` and `NN-templates/`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.errors import ConfigError
from glovebox.host import cage, files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class Kind(StrEnum):
    """What an action does; the order here is the order of actions with the same number."""

    SOURCES = "sources"
    TOOLS = "tools"
    LIBRARIES = "libraries"
    ON_TOOLS = "on-tools.sh"
    DEBCONF = "debconf"
    PACKAGES_NR = "packages-nr"
    PACKAGES = "packages"
    WHEELS = "wheels"
    PATCHES = "patches"
    OVERLAY = "overlay"
    TEMPLATES = "templates"
    RUN = "run.sh"
    RUN_CHROOT = "run-chroot.sh"
    # The only one without a number: it stands in the stage's own folder and runs before the others.
    PRERUN = "prerun.sh"


# Folders of files that are none: the kernel makes them up, some without an end.
_KERNELS = ("/proc", "/sys", "/dev")
CAPABILITIES = "CAPABILITIES"
_ORDER = {kind: place for place, kind in enumerate(Kind)}
_NUMBERED = re.compile(r"(\d\d)-(.+)")
_FOLDERS = (Kind.PATCHES, Kind.OVERLAY, Kind.TEMPLATES)
# What tells the runner something, and a script nothing.
_MARKS = frozenset({"SKIP", "SKIP_IMAGES", "EXPORT_IMAGE", "EXPORT_NOOBS", "NEEDS"})
# Functions of pi-gen's scripts/common, which its stages find here as well.
_PI_GENS = frozenset({
    "log", "bootstrap", "copy_previous", "unmount", "unmount_image", "on_chroot", "update_issue",
    "ensure_next_loopdev", "ensure_loopdev_partitions",
})  # fmt: skip
# A script that lists all variables, or one whose name it computes, can read any of them.
_READS_ALL = re.compile(
    rb"\$\{!|(?<![/\w])(?:env|printenv|envsubst)\b|declare +-[a-z]*[px]|export +-p"
    rb"|os\.environ\b(?!\[)"
)


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
    volatile: bool = False
    # Not one of the checkout's own stages: nobody knows what its scripts rely on.
    foreign: bool = False
    # Its lists and scripts install by network, as in pi-gen: nothing of that is locked.
    network: bool = False

    @property
    def stage(self) -> str:
        """The stage it belongs to: what its name begins with."""
        return self.name.partition("/")[0]

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What its scripts may do in the root beside the usual: the names in CAPABILITIES."""
        path = self.path / CAPABILITIES
        return tuple(path.read_text(errors="replace").split()) if path.is_file() else ()

    def of(self, *kinds: Kind) -> tuple[Action, ...]:
        """Give the actions of these kinds."""
        return tuple(action for action in self.actions if action.kind in kinds)

    def beside(self, action: Action, kind: Kind) -> Action | None:
        """Give the action of another kind with the same number."""
        found = [one for one in self.of(kind) if one.number == action.number]
        return found[0] if found else None

    def others(self) -> list[Path]:
        """Give what stands beside the actions, for their scripts to read."""
        actions = {action.path for action in self.actions}
        beside = [path for path in sorted(self.path.iterdir()) if path not in actions]
        if self.of(Kind.PRERUN):
            return shared(self.path)
        return beside

    def linked(self) -> dict[str, Path]:
        """Give what links inside its folders lead to, elsewhere beside its stage, by a name.

        Links in what they lead to count as well. Absolute ones mean the image; those of an overlay
        are laid as links, and nobody reads through them.
        """
        return {
            f"{os.path.relpath(link, self.path)} → {os.path.relpath(target, self.path.resolve())}":
            target
            for link, target in self._followed()
            if target.is_relative_to(self.base)
        }  # fmt: skip

    def led_out(self) -> list[tuple[Path, Path]]:
        """Give the links that lead out of the folder that holds the stages, and where to."""
        return [
            (link, target)
            for link, target in self._followed()
            if not target.is_relative_to(self.base)
        ]

    def _followed(self) -> Iterator[tuple[Path, Path]]:
        """Give each link that a script could read through, and what it leads to."""
        here = self.path.resolve()
        laid = {action.path for action in self.of(Kind.OVERLAY, Kind.TEMPLATES)}
        roots = [*(action.path for action in self.actions), *self.others(), *self.shared()]
        known = [path.resolve() for path in roots if path.resolve() != here]
        waiting = [link for root in roots if root not in laid for link in _links(root)]
        for link in waiting:  # it grows while it is gone through
            target = (link.parent / link.readlink()).resolve()
            if link.readlink().is_absolute() or not target.exists():
                continue
            if any(target.is_relative_to(one) for one in known) or here.is_relative_to(target):
                continue
            yield link, target
            known.append(target)
            if target.is_relative_to(self.base):
                waiting += _links(target)

    @property
    def base(self) -> Path:
        """The folder that holds the stages."""
        return self.stage_path.resolve().parent

    @property
    def stage_path(self) -> Path:
        """The folder of its stage."""
        return self.path if self.of(Kind.PRERUN) else self.path.parent

    def common(self) -> Path | None:
        """Give the fork's scripts/common where its scripts call functions that pi-gen has not."""
        path = self.base / "scripts" / "common"
        if not self.foreign or not path.is_file():
            return None
        functions = re.findall(
            rb"^\s*(?:function\s+)?([A-Za-z_]\w*)\s*\(\)", path.read_bytes(), re.MULTILINE
        )
        own = {name for name in functions if name.decode() not in _PI_GENS}
        scripts = [one.path.read_bytes() for one in self.of(Kind.RUN, Kind.PRERUN)]
        used = {name for text in scripts for name in re.findall(rb"[A-Za-z_]\w*", text)}
        return path if own & used else None

    def read_again(self) -> SubStage:
        """Give the sub-stage as its folder is now."""
        if self.of(Kind.PRERUN):
            return self
        return replace(self, actions=read_sub_stage(self.path, self.name).actions)

    def shared(self) -> list[Path]:
        """Give what its scripts may read of the stage's own folder, if they look there."""
        if self.of(Kind.PRERUN):
            return []
        looks = any(
            re.search(rb"\bSTAGE_DIR\b|\.\./", action.path.read_bytes())
            for action in self.of(Kind.RUN, Kind.RUN_CHROOT)
        )
        return shared(self.path.parent) if looks else []


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage and its sub-stages in order; none when it is skipped."""

    name: str
    path: Path
    sub_stages: tuple[SubStage, ...]

    @property
    def needs(self) -> tuple[str, ...]:
        """The stages that have to come before it, by its file NEEDS: their names, a line each."""
        path = self.path / "NEEDS"
        lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
        return tuple(one for line in lines if (one := line.partition("#")[0].strip()))

    @property
    def exports(self) -> bool:
        """Tell whether an image is made of what there is after it; a skipped stage can say so."""
        return (self.path / "EXPORT_IMAGE").is_file() and not (self.path / "SKIP_IMAGES").is_file()

    @property
    def skipped(self) -> bool:
        """Tell whether the stage is left out."""
        return is_skipped(self.path)


def is_skipped(folder: Path) -> bool:
    """Tell whether a stage or a sub-stage is left out."""
    return (folder / "SKIP").is_file()


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


def read(
    path: Path, *, volatile: bool = False, foreign: bool = False, network: bool = False
) -> Stage:
    """Read a stage folder; with ``volatile`` its sub-stages run in every build."""
    stage = path.name
    subs: list[SubStage] = []
    wide = [] if is_skipped(path) else list(_wide_links(path))
    if wide:
        message = "\n".join(
            f"{one}: all of that would be read as input of the stage" for one in wide
        )
        hint = "link to the one file or folder that is meant, or copy it"
        raise ConfigError(
            message, hint=hint, each=[f"{one}; hint: {hint}" for one in message.splitlines()]
        )
    if not is_skipped(path):
        prerun = path / Kind.PRERUN
        if os.access(prerun, os.X_OK) and prerun.is_file():
            action = Action(number="", kind=Kind.PRERUN, path=prerun)
            subs.append(
                SubStage(
                    name=f"{stage}/{prerun.name}", path=path, actions=(action,), volatile=volatile
                )
            )
        subs += [
            read_sub_stage(entry, f"{stage}/{entry.name}", volatile=volatile)
            for entry in folders(path)
            if not is_skipped(entry)
        ]
    told = (replace(sub, foreign=foreign, network=network) for sub in subs if sub.actions)
    return Stage(name=stage, path=path, sub_stages=tuple(told))


def folders(path: Path) -> list[Path]:
    """Give the folders of a stage that a shell's ``*`` finds: hidden ones are none."""
    return [
        entry
        for entry in sorted(path.iterdir())
        if entry.is_dir() and not entry.name.startswith(".")
    ]


def shared(path: Path) -> list[Path]:
    """Give what in a stage's own folder is neither sub-stage nor mark: files for all of them."""
    return [
        entry
        for entry in sorted(path.iterdir())
        if entry.name not in _MARKS
        and entry.name != Kind.PRERUN
        and not entry.name.startswith(".")
        and not (entry.is_dir() and read_sub_stage(entry, entry.name).actions)
    ]


def read_sub_stage(path: Path, name: str, *, volatile: bool = False) -> SubStage:
    """Read a sub-stage folder; what has no meaning in the format is left alone."""
    actions: list[Action] = []
    for entry in path.iterdir():
        found = _NUMBERED.fullmatch(entry.name)
        if found is None or found[2] not in set(Kind) - {Kind.PRERUN}:
            continue
        kind = Kind(found[2])
        # As pi-gen's `-f` and `-d`: a link to nothing, a pipe or a device is neither.
        if entry.is_dir() if kind in _FOLDERS else entry.is_file():
            actions.append(Action(number=found[1], kind=kind, path=entry))
    actions.sort(key=lambda action: (action.number, _ORDER[action.kind]))
    # Whoever edits patches while they are applied changes what the sub-stage's key was made of.
    edited = any(
        (action.path / "EDIT").exists() for action in actions if action.kind is Kind.PATCHES
    )
    return SubStage(name=name, path=path, actions=tuple(actions), volatile=volatile or edited)


def require_capabilities(sub_stage: SubStage) -> None:
    """Raise ConfigError where CAPABILITIES names what the kernel does not know."""
    unknown = sorted(set(sub_stage.capabilities) - set(cage.CAPABILITIES))
    if unknown:
        raise ConfigError(
            f"{sub_stage.path / CAPABILITIES}: no capability is called {', '.join(unknown)}",
            hint="their names are those of capabilities(7), in small letters, without CAP_",
        )


def _wide_links(stage: Path) -> Iterator[str]:
    """Say which links of a stage lead to the whole machine: nothing reads through those."""
    for folder in (stage, *folders(stage)):
        for entry in sorted(folder.iterdir()) if not is_skipped(folder) else ():
            if not entry.is_symlink() or not entry.is_dir():
                continue
            meant = entry.resolve()
            holds_it = folder.resolve().is_relative_to(meant)
            if holds_it or any(meant.is_relative_to(kernels) for kernels in _KERNELS):
                yield f"{entry} is a link to {meant}"


def all_of(stages: Sequence[Stage]) -> Iterator[SubStage]:
    """Give the sub-stages of stages, in order."""
    for stage in stages:
        yield from stage.sub_stages


def variables_read(sub_stage: SubStage, variables: Mapping[str, str]) -> dict[str, str]:
    """Give the variables that a file of the sub-stage names: those can decide its result."""
    names: set[bytes] = set()
    for path in files_of(sub_stage):
        data = path.read_bytes()
        if _READS_ALL.search(data):
            return dict(variables)
        names.update(re.findall(rb"[A-Za-z_]\w*", data))
    return {name: value for name, value in variables.items() if name.encode() in names}


def files_of(sub_stage: SubStage) -> list[Path]:
    """Give every file of a sub-stage, and what it reads of its stage's folder."""
    found: list[Path] = []
    for path in (*(action.path for action in sub_stage.actions), *sub_stage.others(),
                 *sub_stage.shared(), *sub_stage.linked().values()):  # fmt: skip
        if not path.is_dir():
            found += [path] if path.is_file() else []
            continue
        found += [one for one in files.walk(path) if one.is_file() and not one.is_symlink()]
    return found


def _links(root: Path) -> Iterator[Path]:
    """Give the links below a folder, not itself."""
    for path in sorted(root.rglob("*")) if root.is_dir() else ():
        if path.is_symlink():
            yield path
