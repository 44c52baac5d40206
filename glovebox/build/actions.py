"""Run the actions of one sub-stage in the root file system it changes."""

from __future__ import annotations

import os
import re
import stat
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.build import failure, modes, patches, wheel, workdir
from glovebox.build.accelerator import HOME
from glovebox.card import system
from glovebox.errors import GloveboxError, StepError
from glovebox.host import chroot, files, inside
from glovebox.host.run import CommandError, stream
from glovebox.lock import archive, lock
from glovebox.plan.plan import TARGET
from glovebox.stage import check as stage_check, stage, wordlist

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from glovebox.build.site import Site
    from glovebox.plan.plan import Step
    from glovebox.stage.template import Rendered

# Mounts what a script on the host expects, and holds the functions pi-gen offers to it.
_SITE = Path(__file__).with_name("stage_site.sh")
# Said by a script's end, which is not reached when a command in it read the rest of the script.
_NOT_LOCATED = (
    r"Unable to locate package|has no installation candidate|package (files|lists) .*empty"
)
_END = "glovebox: the script's end"
_AT_END = f'\n_status=$?; echo "{_END}"; exit $_status\n'


def run_sub_stage(step: Step, site: Site) -> None:
    """Run every action in order; raises StepError naming the file that failed."""
    sub = step.sub_stage
    if sub is None:
        message = f"{step.name} is no sub-stage"
        raise AssertionError(message)
    workdir.bring_in(site.work, site.at.name, site.root)
    for action in sub.actions:
        site.line(f"--- {site.at.name}/{action.path.relative_to(site.at.path)}")
        begun = time.monotonic()
        try:
            _run_action(action, step, sub, site)
        except CommandError as error:
            script = action.kind in (stage.Kind.RUN, stage.Kind.RUN_CHROOT, stage.Kind.PRERUN)
            text = action.path.read_text(errors="replace") if script else ""
            raise failure.located(
                f"{sub.name}/{action.path.name}",
                action.path,
                error,
                line=failure.Watch(root=site.root).line(text, error.tail) if script else None,
                seconds=time.monotonic() - begun,
                known=_not_located(sub, error, script=script),
            ) from error
    workdir.take_out(site.work, site.at.name, site.root)


def _not_located(sub: stage.SubStage, error: CommandError, *, script: bool) -> str | None:
    """Say what helps a stage whose apt finds no such package."""
    if not re.search(_NOT_LOCATED, error.tail):
        return None
    if sub.network:
        return (
            "no archive that the image names at this point has it, or a script added one and did"
            " not call apt-get update"
        )
    if not script:
        return None
    return (
        "its script installs by apt, which finds the packages of NN-packages lists alone: name"
        " them in such a list, where they are locked; or let the stage install by network, as"
        f" pi-gen does: stages: [{{path: {sub.stage_path}, network: true}}]"
    )


def _run_action(action: stage.Action, step: Step, sub: stage.SubStage, site: Site) -> None:
    match action.kind:
        case stage.Kind.PACKAGES | stage.Kind.PACKAGES_NR:
            _install(action, sub, site)
        case stage.Kind.DEBCONF:
            _debconf(action, site)
        case stage.Kind.WHEELS:
            _install_wheels(f"{sub.name}/{action.path.name}", site)
        case stage.Kind.PATCHES:
            patches.apply(action, site)
        case stage.Kind.OVERLAY:
            lay(action.path, site.root)
            modes.give(action.path, site.root)
        case stage.Kind.TEMPLATES:
            write(step.rendered[action.number], site.root)
            modes.give(action.path, site.root, rendered=True)
        case stage.Kind.RUN | stage.Kind.PRERUN:
            _run_on_host(action, sub, site)
        case stage.Kind.RUN_CHROOT:
            _run_in_chroot(action, sub, site)
        case stage.Kind.SOURCES | stage.Kind.TOOLS | stage.Kind.LIBRARIES | stage.Kind.ON_TOOLS:
            pass  # a step of its own has done it


def lay(folder: Path, root: Path) -> None:
    """Lay a folder of files over a root: owner root, mode by the executable bit, links as links.

    Names are followed as the board would: what lies below var/run lands in /run of the root.
    """
    for path in files.walk(folder):
        name = path.relative_to(folder)
        mode = path.lstat().st_mode
        if not (stat.S_ISLNK(mode) or stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            raise StepError(f"{path} is {files.kind_of(mode)}", hint="an image's files are plain")
        try:
            if stat.S_ISLNK(mode):
                inside.link(root, name, path.readlink())
            elif stat.S_ISDIR(mode):
                inside.folder(root, name)
            else:
                _write(root, name, path.read_bytes(), program=bool(mode & 0o100))
        except (GloveboxError, OSError) as error:
            said = error.message if isinstance(error, GloveboxError) else error.strerror
            raise StepError(
                f"{path} cannot be laid over the image: {said}",
                hint="give it the kind it has there, or let a script before remove that",
            ) from error


def write(made: Iterable[Rendered], root: Path) -> None:
    """Write what templates came to below a root."""
    for one in made:
        _write(root, one.name, one.text, program=one.program)


def _write(root: Path, name: Path | str, data: bytes | str, *, program: bool) -> None:
    inside.write(root, name, data, mode=0o755 if program else 0o644)


def _install(action: stage.Action, sub: stage.SubStage, site: Site) -> None:
    request = f"{sub.name}/{action.path.name}"
    packages = wordlist.words_of(action.path, site.plan.variables)
    if not packages:
        return
    if sub.network:
        _install_by_network(packages, action, site)
        return
    # Said either way: the root's own configuration may have another default.
    words = ["install", "--yes", f"--{'' if action.recommends else 'no-'}install-recommends"]
    index = lock.repository(site.lock, TARGET, until=request)
    dpkg = f"/{HOME}/dpkg" if site.accelerated else None
    # That one lays native programs over the root's, by mounts of its own, while it configures.
    may = ("sys_admin",) if site.accelerated else ()
    known = system.installed(inside.text(site.root, "var/lib/dpkg/status"))
    exact = site.lock.exact(
        TARGET, request, packages, installed=frozenset(name for name, _ in known)
    )
    with archive.shown(site.root, index, site.pool, dpkg=dpkg) as env:
        for command in (["update"], [*words, "--", *exact]):
            _in_chroot(site, ["apt-get", "--quiet", *command], extra=env, may=may)


def _install_wheels(request: str, site: Site) -> None:
    """Lay what wheels hold over the root, where its Python looks for it, with its bytecode."""
    wheels = site.lock.wheels_of(request)
    if not wheels or site.lock.wheels is None:
        return
    python = site.lock.wheels.python
    there = inside.entry(site.root, f"usr/bin/python{python.short}")
    if not there.exists():
        raise StepError(
            f"{request}: the image has no Python {python.short} yet",
            hint="name python3 in an NN-packages list of this sub-stage, or of one before",
        )
    with tempfile.TemporaryDirectory(dir=site.scratch) as name:
        folder = Path(name)
        for one in wheels:
            site.line(f"{one.name} {one.version}")
            wheel.unpack(site.wheels / one.sha256, one.file, folder, python=python.short)
        lay(folder, site.root)
        modules = [f"/{path.relative_to(folder)}" for path in files.walk(folder)
                   if path.suffix == ".py"]  # fmt: skip
    # Not by modification time: the root of a car is read-only, and files get the build's time. A
    # module for other versions of Python need not compile: pip goes on, too.
    words = [
        "/bin/sh",
        "-c",
        "python3 -m compileall -q --invalidation-mode unchecked-hash -i - || :",
    ]
    _in_chroot(site, words, script="".join(f"{one}\n" for one in modules))


def _install_by_network(packages: Sequence[str], action: stage.Action, site: Site) -> None:
    """Install as pi-gen does: from whatever archives the root knows at this moment."""
    dpkg = [f"--option=Dir::Bin::dpkg=/{HOME}/dpkg"] if site.accelerated else []
    options = ["--quiet", "--option=Acquire::Retries=3", "--option=APT::Sandbox::User=root", *dpkg]
    more = [] if action.recommends else ["--no-install-recommends"]
    words = ["apt-get", *options, "install", "--yes", *more, "--", *packages]
    may = ("sys_admin",) if site.accelerated else ()
    _in_chroot(site, words, network=True, may=may)


def _debconf(action: stage.Action, site: Site) -> None:
    # pi-gen pastes the file into a script, so variables in it are expanded by the chroot's shell.
    text = action.path.read_text(errors="surrogateescape")
    script = f"debconf-set-selections <<SELECTIONS\n{text}\nSELECTIONS\n"
    _in_chroot(site, ["/bin/bash", "-e"], script=script)


def _run_in_chroot(action: stage.Action, sub: stage.SubStage, site: Site) -> None:
    """Feed a script to a shell in the root; say so when something in it read the rest of it."""
    # Byte for byte as it stands there, in whatever encoding.
    script = action.path.read_text(errors="surrogateescape")
    # Where a reader is known it shall get what it gets elsewhere: the rest, and no line of ours.
    watched = ends_openly(script) and not any(stage_check.reads_input(action.path))
    said: list[str] = []

    def line(text: str) -> None:
        # A script's last words may lack the end of their line.
        before = text.removesuffix(_END)
        if before != text:
            said.append(_END)
        if before or before == text:
            site.line(before)

    _in_chroot(
        site, ["/bin/bash", "-e"], script=script + _AT_END if watched else script,
        network=True, line=line, may=sub.capabilities,
        extra=failure.Watch(root=site.root).environment("/bin/bash", inside=True),
    )  # fmt: skip
    if watched and _END not in said:
        site.warn(
            f"{sub.name}/{action.path.name} stopped before its last line without an error: a"
            " command in it read the rest of the script from its standard input; give it"
            " </dev/null"
        )


def ends_openly(script: str) -> bool:
    """Tell whether a line put behind a script is one of its commands, and always reached.

    It is not where a here-document is left open, and may not be where the script says exit or exec.
    """
    if re.search(r"(^|[;&|({]|\bthen\b|\belse\b|\bdo\b)\s*(exit|exec)\b", script, re.MULTILINE):
        return False
    lines = script.splitlines()
    for number, line in enumerate(lines):
        for found in re.finditer(r"(?<!<)<<(?!<)-?\s*[\"'\\]?(\w+)", line):
            if found[1] not in {later.strip("\t") for later in lines[number + 1 :]}:
                return False
    return not script.rstrip("\n").endswith("\\")


def _in_chroot(
    site: Site,
    words: list[str],
    *,
    script: str | None = None,
    extra: Mapping[str, str] | None = None,
    network: bool = False,
    may: Sequence[str] = (),
    line: Callable[[str], None] | None = None,
) -> None:
    env = {**site.environment(), **(extra or {})}
    options = chroot.as_pi_gen(site.plan.arch, site.plan.variables)
    command = chroot.command(site.root, words, network=network, options=options, may=may)
    stream(command, line=line or site.line, input=script, env=env)


def _cage_options(sub: stage.SubStage, site: Site) -> list[str]:
    """Give what on_chroot of a host script enters the root with: it has the machine's network."""
    given = chroot.as_pi_gen(site.plan.arch, site.plan.variables)
    kept = [word for name in sub.capabilities for word in ("--keep", name)]
    return ["--network", *given, *kept]


def _run_on_host(action: stage.Action, sub: stage.SubStage, site: Site) -> None:
    if not os.access(action.path, os.X_OK):
        site.line(f"Skip {action.path.name} (not executable)")
        return
    env = {
        **site.environment(),
        "GLOVEBOX_WORK": str(site.work),
        "GLOVEBOX_ROOT": str(site.root),
        "GLOVEBOX_PREVIOUS": str(site.previous or ""),
        "GLOVEBOX_PRERUN": "yes" if action.kind is stage.Kind.PRERUN else "no",
        # One word a line: a folder's name may have spaces.
        "GLOVEBOX_CAGE": "\n".join(chroot.program()),
        "GLOVEBOX_CAGE_OPTIONS": "\n".join(_cage_options(sub, site)),
        **failure.Watch(root=site.root).environment(str(action.path), inside=False),
    }
    common = sub.common()
    if common is not None:
        env["GLOVEBOX_COMMON"] = str(common)
    for number, path in site.results.items():
        env[f"TOOLS_OUT_{number}"] = str(path)
        env.setdefault("TOOLS_OUT", str(path))
    command = chroot.on_host(
        ["/bin/bash", str(_SITE), str(action.path)],
        write=(site.root, site.work, site.place),
        need=(site.at.path.parent, *site.results.values(), *filter(None, [site.previous])),
    )
    stream(command, line=site.line, cwd=action.path.parent, env=env)
    made = site.work / site.at.name / "rootfs"
    if made.is_dir() and any(made.iterdir()):
        raise StepError(
            f"{sub.name}: it filled ROOTFS_DIR by itself, which is not kept",
            hint="let it call copy_previous or bootstrap, which bring the layer below",
        )
