"""Lay the stages of image.yaml out for pi-gen: what is an addition of ours becomes files it knows.

An overlay and rendered templates are laid by an `NN-run.sh`, as the last thing before the one that
was there. Compiled programs and locked wheels have no counterpart: a stage with them is left out.
"""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003  a dataclass field's hint
from typing import TYPE_CHECKING

from glovebox.boards.boards import BOARDS
from glovebox.build import actions
from glovebox.checkout import CHECKOUT
from glovebox.config.access import AccessKeys
from glovebox.errors import ConfigError
from glovebox.host import files
from glovebox.plan import plan
from glovebox.stage import modes, pi_gen, stage, template
from glovebox.stage.stage import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from glovebox.config.build import BuildConfig
    from glovebox.stage.stage import Action, Stage, SubStage

CONFIG = "config"
# No root of pi-gen has what compiles for it, and it asks its mirror what to install.
_WITHOUT_COUNTERPART = (Kind.SOURCES, Kind.TOOLS, Kind.LIBRARIES, Kind.ON_TOOLS, Kind.WHEELS)
# They make Debian's own system; pi-gen's root is Raspberry Pi's, with its kernel and network.
_DEBIANS = frozenset({"base", "boot"})
_LAID = (Kind.OVERLAY, Kind.TEMPLATES)
_BEFORE = "stage0 stage1 stage2"
_SUFFIX = "-glovebox"
_PRERUN = """\
#!/bin/bash -e
if [ ! -d "$ROOTFS_DIR" ]; then
  copy_previous
fi
"""
# tar inside the root follows its links as the board does; on_chroot hands its input on.
_LAY = """\
tar --create --directory {folder} --owner=root:0 --group=root:0 . |
  on_chroot -c "tar --extract --directory / --keep-directory-symlink --no-overwrite-dir"
"""


@dataclass(frozen=True, kw_only=True)
class LaidOut:
    """What was laid out: the stages' folders in order, and why others were left out."""

    config: Path
    stages: tuple[Path, ...]
    left_out: dict[str, str]


def lay_out(config: BuildConfig, folder: Path) -> LaidOut:
    """Write the stages and a config file for pi-gen into a new folder."""
    folder = folder.resolve()
    if " " in str(folder):
        raise ConfigError(f"{folder}: pi-gen takes no stage with a space in its path")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is there already", hint="name a new folder, or an empty one")
    # The settings are pi-gen's own affair: user, name and locale stand in its config.
    stages = plan.read_stages(config, CHECKOUT)[:-1]
    left_out = _left_out(stages)
    taken = [one for one in stages if one.name not in left_out and one.sub_stages]
    if not taken:
        said = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise ConfigError(f"stages: none of them can run in pi-gen: {said}")
    half = folder.with_name(f".{folder.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    for one in taken:
        _stage(one, half / one.name, config)
    _export(half / taken[-1].name)
    places = tuple(folder / one.name for one in taken)
    files.write_whole(half / CONFIG, _config(config, places), mode=0o600)
    if folder.exists():
        folder.rmdir()
    half.rename(folder)
    return LaidOut(config=folder / CONFIG, stages=places, left_out=left_out)


def _left_out(stages: Sequence[Stage]) -> dict[str, str]:
    """Say which stages pi-gen cannot run, and why; what needs one of them can as little."""
    found: dict[str, str] = {}
    for one in stages:
        named = [
            str(action.path.relative_to(one.path))
            for sub in one.sub_stages
            for action in sub.of(*_WITHOUT_COUNTERPART)
        ]
        needed = [name for name in one.needs if name in found]
        if one.name in _DEBIANS and one.path.parent == CHECKOUT / "stages":
            found[one.name] = "it is made for base debian, and pi-gen's root has all that"
        elif named:
            found[one.name] = f"pi-gen has nothing for {', '.join(named)}"
        elif needed:
            found[one.name] = f"it needs {', '.join(needed)}"
    return found


def _stage(one: Stage, target: Path, config: BuildConfig) -> None:
    target.mkdir()
    for entry in (*stage.shared(one.path), *(one.path / name for name in ("EXPORT_IMAGE",))):
        if entry.exists():
            _copy(entry, target / entry.name)
    prerun = one.path / Kind.PRERUN
    if prerun.is_file():
        _copy(prerun, target / Kind.PRERUN)
    else:
        _program(target / Kind.PRERUN, _PRERUN)
    for sub in one.sub_stages:
        if not sub.of(Kind.PRERUN):
            _sub_stage(sub, target / sub.path.name, config)


def _sub_stage(sub: SubStage, target: Path, config: BuildConfig) -> None:
    target.mkdir()
    for number in sorted({action.number for action in sub.actions}):
        those = [action for action in sub.actions if action.number == number]
        laid = [line for action in those if action.kind in _LAID
                for line in _lay(action, target, config)]  # fmt: skip
        for action in (action for action in those if action.kind not in _LAID):
            name = action.path.name
            if action.kind is Kind.RUN and laid:
                # Its own name would be the one that lays; pi-gen passes over another.
                name = f"{number}-then-run.sh"
                laid.append(f"./{name}\n")
            _copy(action.path, target / name)
        if laid:
            _program(target / f"{number}-{Kind.RUN}", "".join(["#!/bin/bash -e\n", *laid]))
    for entry in sub.others():
        if not entry.name.endswith(".modes"):
            _copy(entry, target / entry.name)


def _lay(action: Action, target: Path, config: BuildConfig) -> Iterator[str]:
    """Copy what an action lays, modes as an image has them, and give the lines that lay it."""
    place = target / action.path.name
    place.mkdir()
    rendered = action.kind is Kind.TEMPLATES
    if rendered:
        board = BOARDS[config.board]
        nobody = AccessKeys(public=(), private=None, origin="pi-gen")
        actions.write(
            template.render(action.path, plan.context(config, board, nobody, boot=plan.BOOT)), place
        )
    else:
        actions.lay(action.path, place)
    yield _LAY.format(folder=shlex.quote(action.path.name))
    given = [
        line
        for one in modes.read(action.path, rendered=rendered)
        if (place / one.path).exists() or (place / one.path).is_symlink()
        for line in _given(one)
    ]
    if given:  # a user's number is the root's to tell
        yield "\n".join(["on_chroot <<'EOF'", *given, "EOF", ""])


def _given(one: modes.Mode) -> Iterator[str]:
    path = shlex.quote(f"/{one.path}")
    if one.user is not None:
        owner = one.user if one.group is None else f"{one.user}:{one.group}"
        yield f"chown --no-dereference {shlex.quote(owner)} {path}"
    if one.mode is not None:
        yield f"chmod {one.mode:04o} {path}"


def _export(last: Path) -> None:
    """Have pi-gen make an image of what there is after the last stage."""
    if not (last / "EXPORT_IMAGE").exists():
        files.write_whole(last / "EXPORT_IMAGE", f'IMG_SUFFIX="{_SUFFIX}"\n')


def _config(config: BuildConfig, places: Sequence[Path]) -> str:
    """Give what pi-gen's build.sh takes with -c: its own variables, and those our stages read."""
    given = pi_gen.variables(config, BOARDS[config.board])
    mine = ("PI_GEN", "PI_GEN_REPO", "PI_GEN_RELEASE", "GIT_HASH", "ARCH", "CAPSH_ARG",
            "PUBKEY_ONLY_SSH")  # fmt: skip
    lines = [
        "# Written by ./invoke pi-gen; for pi-gen: ./build.sh -c THIS",
        *(f"export {name}={shlex.quote(text)}" for name, text in given.items() if name not in mine),
        f'STAGE_LIST="{_BEFORE} {" ".join(map(str, places))}"',
    ]
    return "\n".join(lines) + "\n"


def _copy(source: Path, target: Path) -> None:
    """Copy a file or folder: a link to it is followed, those inside a folder stay."""
    if source.is_dir():
        shutil.copytree(source.resolve(), target, symlinks=True)
    else:
        shutil.copy(source, target)


def _program(path: Path, text: str) -> None:
    files.write_whole(path, text)
    path.chmod(0o755)
