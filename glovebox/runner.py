"""Run the actions of one sub-stage in the root file system it changes."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glovebox import chroot, failure, mounts, stage
from glovebox.accelerator import HOME
from glovebox.run import CommandError, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from glovebox.plan import Plan, Step

# The package index and the packages, as a chroot sees them.
_REPOSITORY = "run/glovebox"
_APT_CONF = """\
Dir::State::lists "/run/glovebox/lists";
Dir::Cache "/run/glovebox/cache";
Dir::Etc::sourcelist "/run/glovebox/sources.list";
Dir::Etc::sourceparts "-";
Dir::Log "/run/glovebox/log";
APT::Sandbox::User "root";
Acquire::Languages "none";
DPkg::Use-Pty "0";
DPkg::Options { "--force-unsafe-io"; "--force-confdef"; "--force-confold"; };
"""
# What pi-gen offers to run.sh; a script reads the same words here.
_ON_CHROOT = """() {
 unshare --mount --pid --fork --kill-child --mount-proc="$ROOTFS_DIR/proc" -- \\
  chroot "$ROOTFS_DIR" /bin/bash -e "$@"
}"""


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where a sub-stage runs."""

    root: Path
    work: Path
    plan: Plan
    index: str
    pool: Path
    results: Mapping[str, Path]
    accelerated: bool
    line: Callable[[str], None]

    def environment(self) -> dict[str, str]:
        """Give what scripts inside the root find in their environment."""
        return chroot.environment(self.plan.arch, self.plan.epoch, self.plan.variables)


def run_sub_stage(step: Step, site: Site) -> None:
    """Run every action in order; raises StepError naming the file that failed."""
    sub = step.sub_stage
    if sub is None:
        message = f"{step.name} is no sub-stage"
        raise AssertionError(message)
    for action in sub.actions:
        site.line(f"--- {sub.name}/{action.path.name}")
        begun = time.monotonic()
        try:
            _run_action(action, step, site)
        except CommandError as error:
            script = action.kind in (stage.Kind.RUN, stage.Kind.RUN_CHROOT)
            text = action.path.read_text() if script else ""
            raise failure.located(
                f"{sub.name}/{action.path.name}",
                action.path,
                error,
                line=failure.Watch(root=site.root).line(text, error.tail) if script else None,
                seconds=time.monotonic() - begun,
            ) from error


def _run_action(action: stage.Action, step: Step, site: Site) -> None:
    match action.kind:
        case stage.Kind.PACKAGES | stage.Kind.PACKAGES_NR:
            _install(action, site)
        case stage.Kind.DEBCONF:
            _debconf(action, site)
        case stage.Kind.OVERLAY:
            lay(action.path, site.root)
        case stage.Kind.TEMPLATES:
            for one in step.rendered[action.number]:
                _write(site.root / one.name, one.text, program=one.program)
        case stage.Kind.RUN:
            _run_on_host(action, step, site)
        case stage.Kind.RUN_CHROOT:
            watch = failure.Watch(root=site.root).environment("/bin/bash", inside=True)
            script = action.path.read_text()
            _in_chroot(site, ["/bin/bash", "-e"], script=script, network=True, extra=watch)
        case stage.Kind.SOURCES | stage.Kind.ON_TOOLS:
            pass  # a step of its own has done it


def lay(folder: Path, root: Path) -> None:
    """Lay a folder of files over a root: owner root, mode by the executable bit, links as links."""
    for path in sorted(folder.rglob("*")):
        target = root / path.relative_to(folder)
        if path.is_symlink():
            target.unlink(missing_ok=True)
            target.symlink_to(path.readlink())
        elif path.is_dir():
            target.mkdir(exist_ok=True)
        else:
            _write(target, path.read_bytes(), program=bool(path.stat().st_mode & 0o100))


def _write(target: Path, data: bytes | str, *, program: bool) -> None:
    for folder in reversed(target.parents):
        if not folder.exists():
            folder.mkdir()
            folder.chmod(0o755)  # whatever the umask
    target.unlink(missing_ok=True)
    target.write_bytes(data.encode() if isinstance(data, str) else data)
    target.chmod(0o755 if program else 0o644)


def _install(action: stage.Action, site: Site) -> None:
    packages = stage.words_of(action.path.read_text(), site.plan.variables)
    if not packages:
        return
    words = ["install", "--yes"]
    if not action.recommends:
        words.append("--no-install-recommends")
    with ExitStack() as stack:
        folder = site.root / _REPOSITORY
        for name in ("pool", "lists/partial", "cache/archives/partial", "log"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        stack.callback(shutil.rmtree, folder)
        stack.enter_context(mounts.bind(site.pool, folder / "pool", read_only=True))
        (folder / "Packages").write_text(site.index)
        (folder / "sources.list").write_text(f"deb [trusted=yes] file:/{_REPOSITORY} ./\n")
        dpkg = f'Dir::Bin::dpkg "/{HOME}/dpkg";\n' if site.accelerated else ""
        (folder / "apt.conf").write_text(_APT_CONF + dpkg)
        env = {"APT_CONFIG": f"/{_REPOSITORY}/apt.conf"}
        _in_chroot(site, ["apt-get", "--quiet", "update"], extra=env)
        _in_chroot(site, ["apt-get", "--quiet", *words, "--", *packages], extra=env)


def _debconf(action: stage.Action, site: Site) -> None:
    # pi-gen pastes the file into a script, so variables in it are expanded by the chroot's shell.
    script = f"debconf-set-selections <<SELECTIONS\n{action.path.read_text()}\nSELECTIONS\n"
    _in_chroot(site, ["/bin/bash", "-e"], script=script)


def _in_chroot(
    site: Site,
    words: list[str],
    *,
    script: str | None = None,
    extra: Mapping[str, str] | None = None,
    network: bool = False,
) -> None:
    env = {**site.environment(), **(extra or {})}
    stream(chroot.command(site.root, words, env, network=network), line=site.line, input=script)


def _run_on_host(action: stage.Action, step: Step, site: Site) -> None:
    if not os.access(action.path, os.X_OK):
        site.line(f"Skip {action.path.name} (not executable)")
        return
    env = {
        **site.environment(),
        "STAGE": step.name.partition("/")[0],
        "STAGE_DIR": str(action.path.parent.parent),
        "STAGE_WORK_DIR": str(site.work),
        "WORK_DIR": str(site.work.parent),
        "ROOTFS_DIR": str(site.root),
        "BASH_FUNC_on_chroot%%": _ON_CHROOT,
        **failure.Watch(root=site.root).environment(str(action.path), inside=False),
    }
    for number, path in site.results.items():
        env[f"TOOLS_OUT_{number}"] = str(path)
        env.setdefault("TOOLS_OUT", str(path))
    stream([str(action.path)], line=site.line, cwd=action.path.parent, env=env)
