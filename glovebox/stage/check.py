"""Say what pi-gen passes over in silence: things in a stage that do not do what they look like."""

from __future__ import annotations

import os
import re
from functools import partial
from typing import TYPE_CHECKING

from glovebox.errors import ConfigError
from glovebox.host import files
from glovebox.stage import host_tools, modes, pi_gen, sources, stage, wheel_list, wordlist
from glovebox.stage.stage import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from glovebox.errors import Mistakes

_SCRIPTS = (Kind.PRERUN, Kind.RUN, Kind.RUN_CHROOT)
# Set by the shell, or by whoever starts it.
_SHELLS = frozenset(
    [
        "PATH",
        "HOME",
        "LANG",
        "PWD",
        "OLDPWD",
        "SHELL",
        "USER",
        "LOGNAME",
        "TERM",
        "EUID",
        "UID",
        "PPID",
        "RANDOM",
        "SECONDS",
        "LINENO",
        "IFS",
        "OSTYPE",
        "HOSTTYPE",
        "MACHTYPE",
        "HOSTNAME",
        "OPTARG",
        "OPTIND",
        "REPLY",
        "BASH_SOURCE",
        "BASH_VERSION",
        "FUNCNAME",
        "PIPESTATUS",
        "TMPDIR",
        "DEBIAN_FRONTEND",
        "SOURCE_DATE_EPOCH",
        "DEBCONF_NONINTERACTIVE_SEEN",
        "INITRD",
        "SOURCES",
        "OUT",
        "JOBS",
        "SYSROOT",
        "LIBRARIES",
        "TOOLS_OUT",
        "QEMU_CPU",
        "SETFCAP",
        "COLUMNS",
        "LINES",
    ]
)
_USED = re.compile(r"(?<!\\)\$(?:([A-Z_][A-Z0-9_]{2,})\b|\{([A-Z_][A-Z0-9_]{2,})(?!\w)([:+=?-]?))")
_SET = re.compile(
    r"(?:^|[\s;(&|{])(?:(?:export|local|declare|readonly|typeset)\s+(?:-\w+\s+)*)?([A-Z_]\w*)\+?="
    r"|\b(?:for|read(?:\s+-\w+)*|mapfile|readarray|printf\s+-v)\s+([A-Z_]\w*)",
    re.MULTILINE,
)
_LOOKED_AT = 1 << 16
_OTHER_FILES = re.compile(r"^\s*(?:\.|source)\s+\S", re.MULTILINE)
# Commands that read the standard input when nothing is said of it.
_READERS = re.compile(
    r"^\s*(?:(?:cat|tee|bash|sh|python3?|perl|chpasswd|tar x\S*)(?:\s+-)?\s*(?:$|[;&>]|\|\|)"
    r"|read\b(?!.*<)|(?:ssh|ffmpeg|mplayer)\s)"
)
_REDIRECTED = re.compile(r"<|\|\s*(?:cat|tee|bash|sh|python3?|perl|chpasswd|tar|read|while)\b")


def warnings(
    stages: Sequence[stage.Stage],
    given: Mapping[str, str],
    exports: Sequence[pi_gen.Export] = (),
) -> list[str]:
    """Give a sentence for each; ``given`` are the variables that stages find."""
    found: list[str] = []
    for one in stages:
        found += _of_stage(one)
        for sub in one.sub_stages:
            found += _of_sub_stage(sub, given)
    found += host_tools.missing(list(stage.all_of(stages)))
    if exports:
        names = [one.name for one in stages[:-1]]
        late = names[names.index(exports[-1].stage) + 1 :]
        if late:
            found.append(
                f"stages: {', '.join(late)}: after the last EXPORT_IMAGE (in {exports[-1].stage}):"
                " nothing of it gets into an image, so it does not run; a file SKIP_IMAGES beside"
                " that EXPORT_IMAGE makes the image of all stages instead"
            )
    return found


def _of_stage(one: stage.Stage) -> Iterator[str]:
    prerun = one.path / Kind.PRERUN
    if prerun.is_file() and not os.access(prerun, os.X_OK):
        yield _not_executable(prerun)
    for folder in (one.path, *stage.folders(one.path)):
        inside = stage.folders(folder) if folder == one.path else [folder]
        if stage.is_skipped(folder) and any(
            stage.read_sub_stage(entry, entry.name).actions for entry in inside
        ):
            yield (
                f"{folder}/SKIP: nothing of it gets into the image; pi-gen's way to keep what an"
                " earlier build left is not needed here, where finished steps are kept anyway:"
                " remove the file to have them"
            )
    for folder in stage.folders(one.path):
        if not stage.is_skipped(one.path) and not stage.is_skipped(folder):
            yield from _passed_over(folder)
    scripts = [action.path for sub in one.sub_stages for action in sub.of(*_SCRIPTS)]
    yield from _unused(one.path / "files", scripts)


def examine(
    stages: Sequence[stage.Stage], given: Mapping[str, str], found: Mistakes, *, checkout: Path
) -> None:
    """Gather everything in files of stages that would end the build when it is reached."""
    for sub in stage.all_of(stages):
        for look in _looks(sub, given, checkout):
            with found.gathered():
                look()


def _looks(
    sub: stage.SubStage, given: Mapping[str, str], checkout: Path
) -> Iterator[Callable[[], object]]:
    read = (*(action.path for action in sub.actions), *sub.others(), *sub.shared())
    yield from (partial(files.require_plain, path) for path in (*read, *sub.linked().values()))
    yield partial(stage.require_capabilities, sub)
    for action in sub.of(*_SCRIPTS, Kind.ON_TOOLS):
        yield partial(_require_line_ends, action.path)
    for action in sub.of(Kind.PACKAGES, Kind.PACKAGES_NR, Kind.TOOLS, Kind.LIBRARIES):
        yield partial(wordlist.words_of, action.path, given)
    for action in sub.of(Kind.WHEELS):
        yield partial(wheel_list.requirements_of, action.path)
    for action in sub.of(Kind.SOURCES):
        yield partial(sources.require_there, action, given, checkout)
    for action in sub.of(Kind.OVERLAY):
        yield partial(modes.read, action.path)
    for action in sub.of(Kind.TEMPLATES):
        yield partial(modes.read, action.path, rendered=True)
    if not sub.of(Kind.PRERUN):
        yield partial(modes.read, sub.path / "files")


def _require_line_ends(script: Path) -> None:
    if b"\r\n" in script.read_bytes()[:_LOOKED_AT]:
        raise ConfigError(
            f"{script}: it has the line ends of Windows (CRLF), which no shell reads",
            hint=f"sed -i 's/\\r$//' {script}",
        )


def _passed_over(folder: Path) -> Iterator[str]:
    """Say which entries look like actions and are none, since they are of another kind."""
    for entry in sorted(folder.iterdir()):
        found = re.fullmatch(r"\d\d-(.+)", entry.name)
        if found is None or found[1] not in set(Kind) - {Kind.PRERUN}:
            continue
        wants_folder = found[1] in (Kind.PATCHES, Kind.OVERLAY, Kind.TEMPLATES)
        if not entry.exists():
            yield f"{entry}: a link to nothing ({entry.readlink()}), so it is passed over"
        elif entry.is_dir() != wants_folder:
            kind, wanted = ("a file", "a folder") if wants_folder else ("a folder", "a file")
            yield f"{entry}: it is {kind}, so it is passed over; {wanted} of that name is meant"


def _of_sub_stage(sub: stage.SubStage, given: Mapping[str, str]) -> Iterator[str]:
    laid = [action.path for action in sub.of(Kind.OVERLAY)]
    for folder in (*laid, *([] if sub.of(Kind.PRERUN) else [sub.path / "files"])):
        yield from modes.warnings(folder)
    if not sub.of(Kind.PRERUN):
        used = (*_SCRIPTS, Kind.ON_TOOLS)
        yield from _unused(sub.path / "files", [action.path for action in sub.of(*used)])
    for action in sub.actions:
        if action.kind in (Kind.RUN, Kind.ON_TOOLS) and not os.access(action.path, os.X_OK):
            yield _not_executable(action.path)
        if action.kind is Kind.RUN_CHROOT:
            yield from reads_input(action.path)
        if action.kind in (Kind.PACKAGES, Kind.PACKAGES_NR):
            names: Collection[str] = wordlist.names_in(action.path.read_text(errors="replace"))
        elif action.kind in (*_SCRIPTS, Kind.DEBCONF):
            names = _unset(action.path.read_text(errors="replace"))
        else:
            continue
        for name in dict.fromkeys(names):
            if name not in {*given, *pi_gen.PLACES, *pi_gen.UNSET, *_SHELLS}:
                yield f"{action.path}: ${name} is never set; in image.yaml: environment: {name}: …"


def _unset(script: str) -> list[str]:
    """Give the variables a script uses and does not set; none when it reads other files."""
    if _OTHER_FILES.search(script):
        return []
    code = "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("#"))
    set_here = {name for found in _SET.findall(code) for name in found if name}
    used = [
        found[1] or found[2]
        for found in _USED.finditer(code)
        if (found[3] or "") not in set(":+=?-")
    ]
    return [name for name in used if name not in set_here and not name.startswith("TOOLS_OUT_")]


def reads_input(path: Path) -> Iterator[str]:
    """Give a sentence for each command of a script for the root that is known to read its rest."""
    end = None
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
        if end is not None:  # a here-document
            end = None if line.strip("\t") == end else end
            continue
        opened = re.search(r"(?<!<)<<(?!<)-?\s*[\"'\\]?(\w+)", line)
        if opened:
            end = opened[1]
        elif _READERS.search(line) and not _REDIRECTED.search(line):
            yield (
                f"{path}:{number}: this command reads its standard input, which is the rest of"
                " this script; give it </dev/null"
            )


def _unused(folder: Path, scripts: Sequence[Path]) -> Iterator[str]:
    if folder.is_dir() and any(folder.iterdir()):
        if any(b"files" in script.read_bytes() for script in scripts):
            return
        yield f"{folder}: no script names it, and nothing copies it by itself"


def _not_executable(path: Path) -> str:
    return f"{path}: it is not executable, so it does not run; chmod +x {path}"
