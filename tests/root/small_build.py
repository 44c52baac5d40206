"""A build that the kill test can end anywhere: download, mmdebstrap, layers, assembly and export.

Started as a program: ``small_build.py FOLDER SALT TOKEN``; another salt gives other keys and the
same image. ``FOLDER/world.json`` says what to install and from where (tests/root/test_killed.py
writes it). Each script waits for ``$PAUSE_S`` seconds at its end, for a test that must catch it
running.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Exit

import tasks
from glovebox.boards.boards import BOARDS
from glovebox.build import failure
from glovebox.build.builder import Builder
from glovebox.config.access import AccessKeys
from glovebox.config.build import BuildConfig
from glovebox.config.schema import BoardName, Disk, FirmwareFile
from glovebox.host import chroot, mounts, native, sandbox
from glovebox.host.arch import host_arch
from glovebox.host.run import CommandError, stream
from glovebox.lock.lock import Lock, Package
from glovebox.plan.plan import TARGET, Made, Plan, Step, StepKind
from glovebox.project import show, story
from glovebox.project.load import Loaded
from glovebox.project.opened import Project
from glovebox.store.store import Store
from tests.root import small_world, tools as its_tools

if TYPE_CHECKING:
    from collections.abc import Callable

    from glovebox.build.snapshot import Snapshots
    from glovebox.host.monitor import Monitor

FOLDER, SALT, TOKEN = sys.argv[1:] if __name__ == "__main__" else ("", "", "")
NAMES = ("base", "left", "right", "top")
FILES = 12
EPOCH = 1_700_000_000
IMAGE = "glovebox-3.img"
# Writes its files one by one, and leaves a process that would outlive a careless build.
SCRIPT = f"""
sleep 3600 &
mkdir /$1
for number in $(seq {FILES}); do echo "$number" >/$1/$number; sleep 0.01; done
sleep "$PAUSE_S"
test "$1" != "$FAILS"
"""


def key(name: str, salt: str) -> str:
    """Give the key of a step."""
    return f"{salt}-{name}"


class SmallBuilder(Builder):
    """Fills layers with files that a script in a chroot of the machine's own programs writes."""

    def native(self, name: str = "tools") -> native.Root:
        """Give the tools the test chose."""
        del name
        tree = json.loads((Path(FOLDER) / "world.json").read_text())["tools"]
        return native.Root(tree=Path(tree)) if tree else its_tools.HostTools()  # type: ignore[return-value]  it has what is used

    def _fill(
        self,
        step: Step,
        tree: Path,
        scratch: Path,
        line: Callable[[str], None],
        copies: Snapshots,
    ) -> None:
        if step.kind is StepKind.EXTRACT:
            super()._fill(step, tree, scratch, line, copies)
            return
        with (
            self._mounted(step, tree, scratch) as root,
            mounts.bind(Path("/usr"), root / "usr", read_only=True),
        ):
            pause_s = os.environ.get("PAUSE_S", "0")
            fails = os.environ.get("FAILS", "")
            env = {"PATH": "/usr/bin", "TOKEN": TOKEN, "PAUSE_S": pause_s, "FAILS": fails}
            try:
                command = chroot.command(root, ["sh", "-ec", SCRIPT, "sh", step.name])
                stream(command, line=line, env=env)
            except CommandError as error:
                failed = failure.located(step.name, Path(FOLDER), error, line=None, seconds=0)
                self._open_shell(root, env, failed)
                raise failed from error


@dataclass(frozen=True, kw_only=True)
class SmallProject(Project):
    """A project whose steps are the small ones."""

    def builder(self, *, shell: bool = False) -> Builder:
        """Give what runs them."""
        return SmallBuilder(
            plan=self.plan,
            lock=self.lock,
            store=self.store,
            monitor=self.monitor,
            checkout=Path(FOLDER),
            shell=shell,
            out=self.out,
        )


def plan(salt: str, firmware: FirmwareFile) -> Plan:
    """Plan four layers, one on the other, and the image."""
    steps: dict[str, Step] = {}
    below = None
    for name in NAMES:
        steps[name] = Step(
            name=name,
            kind=StepKind.UNPACK if below else StepKind.EXTRACT,
            below=below,
            key=key(name, salt),
            firmware=() if below else (firmware,),
        )
        below = name
    steps["image"] = Step(name="image", kind=StepKind.IMAGE, below=below, key=key("image", salt))
    arch = host_arch()
    image = Made(step="image", disk_id="01234567")
    return Plan(
        steps=steps, disk_id=image.disk_id, arch=arch, epoch=EPOCH, variables={},
        images=(image,), chosen=image,
    )  # fmt: skip


def opened(monitor: Monitor) -> SmallProject:
    """Give the project."""
    world = json.loads((Path(FOLDER) / "world.json").read_text())
    packages = tuple(Package(**one) for one in world["packages"])
    digest = hashlib.sha256(small_world.firmware(SALT)).hexdigest()
    config = BuildConfig(board=BoardName.PI_3, disk=Disk(boot=64 << 20, root=128 << 20))
    return SmallProject(
        config=Path(FOLDER) / "world.json",
        loaded=Loaded(config=config, origins={}, warnings=()),
        board=BOARDS[config.board],
        lock=Lock(suite="trixie", epoch=EPOCH, chains={TARGET: {"base": packages}}),
        plan=plan(SALT, FirmwareFile(url=f"{world['url']}/{SALT}", sha256=digest)),
        access=AccessKeys(public=(), private=None, origin="none"),
        store=Store(root=Path(FOLDER) / "store").open(monitor.say),
        monitor=monitor,
        out=Path(FOLDER) / "out",
    )


def run(monitor: Monitor, verb: str) -> None:
    """Do what a verb does: build, or say how things stand."""
    if verb == "build-image":
        sandbox.enter("the small build")
    made = opened(monitor)
    with made.store.in_use(), made.store.temporary():
        match verb:
            case "build-image":
                story.build_image(made, verify=False, shell="SHELL_ON_FAILURE" in os.environ)
            case "plan":
                show.steps(made, as_json=False)
            case "why":
                for name in NAMES:
                    monitor.say("\n".join(story.reasons(made, name)))


def main() -> None:
    """Run the verb, and end as a task does."""
    try:
        with tasks._ending() as monitor:
            run(monitor, os.environ.get("VERB", "build-image"))
    except Exit as end:
        print(end.message)  # noqa: T201  what a person would see
        sys.exit(end.code)


if __name__ == "__main__":
    main()
