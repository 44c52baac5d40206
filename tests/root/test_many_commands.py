"""Any number of commands work on one store, while builds run there and are killed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from subprocess import TimeoutExpired
from typing import TYPE_CHECKING

import pytest

from glovebox.host.run import PATH, start
from glovebox.store.store import Store
from tests.root import small_card, small_world
from tests.root.small_build import IMAGE
from tests.root.tools import same_bytes_tools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from subprocess import Popen

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("losetup", "mcopy", "mformat", "mke2fs", "mount", "sfdisk", "unshare", "xz"),
]

CHECKOUT = Path(__file__).resolve().parents[2]
# `invoke test --long` takes the whole minute.
SECONDS = 60 if os.environ.get("GLOVEBOX_LONG") else 12
SEED = int(os.environ.get("GLOVEBOX_SEED") or random.SystemRandom().randrange(2**32))
# Only so that a fault ends the test instead of hanging it.
PATIENCE_S = 120
BUILDS = 2
REFUSED, KILLED = 3, -signal.SIGKILL
SALTS = ("one", "two", "three")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a folder with what the small build asks for, and two images, one of them packed."""
    same_bytes_tools()
    folder = tmp_path_factory.mktemp("many")
    small_card.make(folder / "card.img", small_card.LAYOUTS["trixie"], arch="arm64")
    shutil.copyfile(folder / "card.img", folder / "other.img")
    with small_world.made(folder):
        yield folder


class Crowd:
    """Commands that run at the same time; each that ends is looked at and starts again."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        """Start none yet."""
        self.folder, self.chance = folder, chance
        self.running: dict[str, Popen[bytes]] = {}
        self.ended: dict[str, int] = {}
        self.wrong: list[str] = []
        self.env = {
            "PATH": f"{Path(sys.executable).parent}:{PATH}",
            "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'app'}",
            "GLOVEBOX_STORE": str(folder / "store"),
            "HOME": str(folder),
        }

    def verbs(self) -> Mapping[str, Callable[[], Popen[bytes]]]:
        """Give what runs, and how it is started."""
        card, other = self.folder / "card.img", self.folder / "other.img"
        return {
            **{f"build-image {n}": lambda: self.small("build-image") for n in range(BUILDS)},
            "plan": lambda: self.small("plan"),
            "why": lambda: self.small("why"),
            "info": lambda: self.invoke("info", card),
            "diff": lambda: self.invoke("diff", card, other),
            "chroot": lambda: self.invoke("chroot", card, "--", "dash", "-c", "true"),
            "doctor": lambda: self.invoke("doctor", "--store"),
            "clean": lambda: self.invoke("clean", "--keep", self.chance.choice(["0G", "1T"])),
            "sweep": self.sweeps,
        }

    def small(self, verb: str) -> Popen[bytes]:
        """Start a verb on the small build."""
        program = Path(__file__).with_name("small_build.py")
        words = [sys.executable, program, self.folder, self.chance.choice(SALTS), ""]
        return start(words, env={**self.env, "VERB": verb})

    def invoke(self, *words: str | Path) -> Popen[bytes]:
        """Start a task."""
        command = [sys.executable, "-m", "invoke", *map(str, words)]
        return start(command, env=self.env, cwd=CHECKOUT)

    def sweeps(self) -> Popen[bytes]:
        """Start what every command begins with, again and again."""
        code = (
            "import sys, pathlib; from glovebox.store.store import Store\n"
            "for _ in range(300): Store(root=pathlib.Path(sys.argv[1])).open()"
        )
        return start([sys.executable, "-c", code, self.folder / "store"], env=self.env)

    def keep_busy(self, seconds: float) -> None:
        """Let all of them run again and again; kill a build now and then."""
        verbs = self.verbs()
        until = time.monotonic() + seconds
        while time.monotonic() < until or not verbs.keys() <= self.ended.keys():
            for name, begin in verbs.items():
                if name not in self.running:
                    self.running[name] = begin()
            time.sleep(0.05)
            if self.chance.random() < 0.02:  # every few seconds
                self.running["build-image 0"].kill()
            self.look()
        self.finish()

    def look(self) -> None:
        """Look at those that have ended."""
        for name, process in list(self.running.items()):
            if process.poll() is not None:
                self._ended(name, self.running.pop(name))

    def finish(self) -> None:
        """Wait for those that still run."""
        deadline = time.monotonic() + PATIENCE_S
        while self.running and time.monotonic() < deadline:
            time.sleep(0.05)
            self.look()
        for name, process in self.running.items():
            process.kill()
            self.wrong.append(f"{name} did not end")

    def _ended(self, name: str, process: Popen[bytes]) -> None:
        said = process.communicate(timeout=PATIENCE_S)[0].decode(errors="replace")
        refused = process.returncode == REFUSED and "is using" in said and name == "clean"
        killed = process.returncode == KILLED and name == "build-image 0"
        if not (process.returncode == 0 or refused or killed) or "Traceback" in said:
            self.wrong.append(f"{name}: status {process.returncode}\n{said}")
        self.ended[name] = self.ended.get(name, 0) + (not killed)


def test_many_commands_on_one_store(world: Path) -> None:
    """Eight verbs at once, beside builds of which some are killed: none fails, nothing is left."""
    print(f"GLOVEBOX_SEED={SEED}")  # noqa: T201  pytest shows it when the test fails
    crowd = Crowd(world, random.Random(SEED))  # noqa: S311  moments, not secrets

    crowd.keep_busy(SECONDS)

    assert crowd.wrong == []
    store = Store(root=world / "store").open()
    assert list((store.root / "tmp").iterdir()) == []
    assert all(store.is_intact(layer) for layer in store.layers())
    process = crowd.small("build-image")
    try:
        said = process.communicate(timeout=PATIENCE_S)[0].decode()
    except TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 0, said
    assert (world / "out" / IMAGE).exists()
