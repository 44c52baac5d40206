"""A build that the kill test can end anywhere: real layers, mounts and chroots, harmless work.

Started as a program: ``small_build.py STORE SALT TOKEN``; another salt gives other keys.
Each script waits for ``$PAUSE_S`` seconds at its end, for a test that must catch it running.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox import chroot, mounts, sandbox
from glovebox.build import Builder
from glovebox.lock import Lock
from glovebox.monitor import Monitor
from glovebox.plan import Plan, Step, StepKind
from glovebox.run import stream
from glovebox.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

STORE, SALT, TOKEN = sys.argv[1:] if __name__ == "__main__" else ("", "", "")
NAMES = ("base", "left", "right", "top")
FILES = 12
# Writes its files one by one, and leaves a process that would outlive a careless build.
SCRIPT = f"""
sleep 3600 &
mkdir /$1
for number in $(seq {FILES}); do echo "$number" >/$1/$number; sleep 0.01; done
sleep "$PAUSE_S"
"""


def key(name: str, salt: str) -> str:
    """Give the key of a step."""
    return f"{salt}-{name}"


class SmallBuilder(Builder):
    """Fills layers with files that a script in a chroot of the machine's own programs writes."""

    def _fill(self, step: Step, tree: Path, scratch: Path, line: Callable[[str], None]) -> None:
        if step.below is None:
            (tree / "usr").mkdir()
            for name in ("bin", "sbin", "lib", "lib64"):
                (tree / name).symlink_to(f"usr/{name}")
            return
        with (
            self._mounted(step, tree, scratch) as root,
            mounts.bind(Path("/usr"), root / "usr", read_only=True),
        ):
            pause_s = os.environ.get("PAUSE_S", "0")
            env = {"PATH": "/usr/bin", "TOKEN": TOKEN, "PAUSE_S": pause_s}
            stream(chroot.command(root, ["sh", "-ec", SCRIPT, "sh", step.name], env), line=line)


def plan(salt: str) -> Plan:
    """Plan four layers, one on the other."""
    steps: dict[str, Step] = {}
    below = None
    for name in NAMES:
        steps[name] = Step(name=name, kind=StepKind.UNPACK, below=below, key=key(name, salt))
        below = name
    return Plan(steps=steps, disk_id="0", arch="arm64", epoch=1_700_000_000, variables={})


def main() -> None:
    """Build."""
    sandbox.enter("the small build")
    SmallBuilder(
        plan=plan(SALT),
        lock=Lock(suite="trixie", epoch=0, chains={}),
        store=Store(root=Path(STORE)).open(),
        monitor=Monitor(),
        checkout=Path(STORE),
    ).build([NAMES[-1]])


if __name__ == "__main__":
    main()
