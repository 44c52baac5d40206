"""Build an image twice from empty layers, under other circumstances, and compare the bytes.

The second build runs in a copy of the checkout with a store elsewhere, as if on another machine:
another date, umask and number of processors. Both use the same lock and the same downloads.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.errors import VerifyError
from glovebox.host import chroot, clock, files, mounts, native
from glovebox.host.arch import ARCHES, host_arch
from glovebox.host.run import CommandError, run
from glovebox.plan.plan import StepKind
from glovebox.project import story
from glovebox.trials import compare, compare_image, elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from glovebox.build.builder import Builder
    from glovebox.plan.plan import Plan
    from glovebox.project.opened import Project
    from glovebox.store.store import Store

DAYS = 400
UMASK = 0o077
# What another's shell, or a CI, may have set; none of it may reach a build.
_OTHER_SHELL = {
    "CI": "true", "TZ": "Asia/Tokyo", "LC_ALL": "tr_TR.UTF-8", "CFLAGS": "-O0 -g",
    "MAKEFLAGS": "--keep-going", "SOURCE_DATE_EPOCH": "1", "PYTHONHASHSEED": "7",
}  # fmt: skip
# Tools of the build, not part of an image: logs and caches in them may differ.
_NOT_IN_IMAGE = {StepKind.NATIVE_ROOT, StepKind.ACCELERATOR, StepKind.IMAGE}
_SHOWN = 5
_DAY_S = 86400


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What is different in a build."""

    days: int = 0
    umask: int | None = None
    cpus: str = ""
    others_shell: bool = False
    accelerator: bool = True

    def __str__(self) -> str:
        """Give them as a person reads them."""
        told = ["in another folder"]
        told += [f"{self.days} days later"] if self.days else []
        told += [f"umask {self.umask:03o}"] if self.umask is not None else []
        told += ["on one processor"] if self.cpus else []
        told += ["from another's shell"] if self.others_shell else []
        told += [] if self.accelerator else ["without the accelerator"]
        return ", ".join(told)


OTHERWISE = Circumstances(days=DAYS, umask=UMASK, cpus="0", others_shell=True)
WITHOUT_ACCELERATOR = Circumstances(accelerator=False)


@dataclass(frozen=True, kw_only=True)
class Built:
    """One of the two builds."""

    store: Store
    image: Path
    keys: dict[str, str]

    def tree(self, step: str) -> Path | None:
        """Give the files of a step's result."""
        found = self.store.find(self.keys.get(step, "-"))
        return found.tree if found else None


def reproduce(
    opened: Project,
    config: Path,
    overrides: Sequence[str],
    *,
    circumstances: Circumstances,
    first_cached: bool = False,
) -> str:
    """Build twice and compare; give the sha256, or raise VerifyError naming what differs.

    With ``first_cached`` the first build takes what the store has.
    """
    with elsewhere.workplace(opened.store, "reproduce") as work:
        try:
            if first_cached:
                first = _built(opened.store, _build_here(opened, work / "first/out"), opened)
            else:
                usual = Circumstances()
                first = _build(opened, config, overrides, work / "first", usual)
            second = _build(opened, config, overrides, work / "second", circumstances, first=first)
            differences = _differences(opened, first, second)
            digest = files.sha256_file(first.image)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        if differences:
            raise VerifyError(
                "two builds of the same inputs differ\n" + "\n".join(differences),
                hint=f"the second: {circumstances}; both are kept in {work}",
            )
        shutil.rmtree(work)
        return digest


def _build_here(opened: Project, out: Path) -> Path:
    """Build in this process, with the store as it is."""
    return story.build_image(replace(opened, out=out), verify=False)


def _build(
    opened: Project,
    config: Path,
    overrides: Sequence[str],
    work: Path,
    how: Circumstances,
    *,
    first: Built | None = None,
) -> Built:
    """Build in a process of its own, from empty layers."""
    env = dict(_OTHER_SHELL) if how.others_shell else {}
    if how.days and first:
        _prepare_clock(work / "clock", opened, _builder(opened, first).native())
        _prove_clock(work / "clock", opened, first, how.days)
        env |= clock.environment(work / "clock", how.days)
    is_second = first is not None
    site = elsewhere.prepare(opened, config, work / "site", copy_checkout=is_second, env=env)
    before = [
        *(["taskset", "--cpu-list", how.cpus] if how.cpus else []),
        *([] if how.umask is None else ["sh", "-c", f'umask {how.umask:o}; exec "$@"', "sh"]),
    ]
    options = [
        "--no-verify",
        *([] if how.accelerator else ["--no-accelerator"]),
        *(word for one in overrides for word in ("--set", one)),
    ]
    what = "as usual" if first is None else str(how)
    with ExitStack() as stack:
        line = stack.enter_context(
            opened.monitor.step(work.name, f"building from empty layers, {what}")
        )
        if clock.FOLDER in env:
            stack.enter_context(mounts.bind(work / "clock", "/" / clock.PLACE))
        try:
            site.build(*options, line=line, before=before)
        except CommandError as error:
            raise VerifyError(f"the {work.name} build failed:\n{error.tail}") from error
    return _built(site.store, site.out / opened.image.name, opened)


def _built(store: Store, image: Path, opened: Project) -> Built:
    papers = image.with_name(f"{opened.name}.manifest.json")
    return Built(store=store, image=image, keys=json.loads(papers.read_text())["steps"])


def _prepare_clock(folder: Path, opened: Project, tools: native.Root) -> None:
    """Fill ``folder`` with what answers another time: for this processor and for the board's."""
    compilers = {host_arch(): "gcc", opened.board.arch: f"{ARCHES[opened.board.arch].triplet}-gcc"}
    with opened.store.scratch() as scratch, tools.enter(scratch / "tools") as root:
        elsewhere.add_compiler(opened, root, arch=host_arch())
        shutil.copy(clock.SOURCE, root / "run")
        for arch, compiler in compilers.items():
            words = [f"/usr/bin/{compiler}", "-O2", "-Wall", "-shared", "-fPIC"]
            run(chroot.command(root, [*words, "-o", "/run/clock.so", "/run/clock.c"]))
            target = folder / "lib" / ARCHES[arch].triplet / clock.LIBRARY
            target.parent.mkdir(parents=True)
            shutil.copy(root / "run/clock.so", target)
    for visited, _, _ in os.walk(folder):
        Path(visited).chmod(0o755)


def _prove_clock(folder: Path, opened: Project, first: Built, days: int) -> None:
    """Ask a program of the finished root what day it is: a library that is not loaded says nothing.

    Raises VerifyError when it is today.
    """
    env = chroot.environment(opened.board.arch, opened.plan.epoch, clock.environment(folder, days))
    with _builder(opened, first).merged(opened.plan.top.name, writable=True) as root:
        shutil.copytree(folder, root / clock.PLACE, dirs_exist_ok=True)
        (root / "proc").mkdir(exist_ok=True)
        said = run(chroot.command(root, ["date", "+%s"]), env=env).stdout
    shifted = (int(said) - time.time()) / _DAY_S
    if round(shifted) != days:
        raise VerifyError(f"programs of the target are {shifted:.1f} days ahead, not {days}")


def _builder(opened: Project, built: Built) -> Builder:
    return replace(opened.builder(), store=built.store)


def _differences(opened: Project, first: Built, second: Built) -> list[str]:
    """Name the first differing key, the first differing files of layers, and the structure."""
    tools = _builder(opened, first).native()
    with opened.monitor.step("compare", "the images, byte by byte"):
        said = compare_image.difference(first.image, second.image, tools)
    if said is None:
        return []
    return [*differing_layers(opened.plan, first, second), f"  image: {said}"]


def differing_layers(plan: Plan, first: Built, second: Built) -> Iterator[str]:
    """Name the first layer, in the order they are built, with files that differ, and some of them.

    A layer of another key is named too: its inputs differ, not only its bytes.
    """
    for step in plan.steps.values():
        if step.kind in _NOT_IN_IMAGE:
            continue
        one, other = first.tree(step.name), second.tree(step.name)
        if one is None or other is None:
            yield f"  layer {step.name}: has another key"
            continue
        found = list(compare.trees(one, other))
        for difference in found[:_SHOWN]:
            yield f"  layer {step.name}: {difference}"
        if found:
            yield f"  layer {step.name}: {len(found)} paths differ"
            return
