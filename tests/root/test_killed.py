"""Killed at any moment, a build leaves nothing behind, and the next one goes on."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import uuid
from pathlib import Path
from subprocess import TimeoutExpired
from typing import TYPE_CHECKING

import pytest

from glovebox.run import start
from tests.root.small_build import FILES, NAMES, key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from subprocess import Popen

pytestmark = [pytest.mark.root, pytest.mark.needs("mount", "umount", "unshare")]

CHECKOUT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("GLOVEBOX_KILLS", "10"))
SEED = int(os.environ.get("GLOVEBOX_SEED") or random.SystemRandom().randrange(2**32))
# Only so that a fault ends the test instead of hanging it.
PATIENCE_S = 30


def begin(store: Path, salt: str, token: str, *, pause_s: int = 0) -> Popen[bytes]:
    """Start the small build."""
    program = Path(__file__).with_name("small_build.py")
    env = {"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'app'}", "TOKEN": token, "PAUSE_S": str(pause_s)}
    # A shell gives what it runs in the background an ignored SIGINT, and children inherit that.
    awake = ["env", "--default-signal=INT"]
    return start([*awake, sys.executable, program, store, salt, token], env=env)


def finish(store: Path, salt: str, token: str) -> str:
    """Run the small build to its end, and give what it said."""
    process = begin(store, salt, token)
    said = process.communicate(timeout=PATIENCE_S)[0].decode()
    assert process.returncode == 0, said
    return said


def processes() -> Iterator[Path]:
    """Give every process, in whichever namespace."""
    return (path for path in Path("/proc").iterdir() if path.name.isdigit())


def holding(token: str) -> list[str]:
    """Name the processes that were started by a build."""
    found = []
    for path in processes():
        try:
            if token.encode() in (path / "environ").read_bytes():
                found.append((path / "cmdline").read_text().replace("\0", " "))
        except (OSError, UnicodeDecodeError):  # it ended meanwhile, or is a zombie
            continue
    return found


def mounted(store: Path) -> set[str]:
    """Give the mounts below a store, in whichever namespace."""
    found: set[str] = set()
    for path in processes():
        try:
            text = (path / "mountinfo").read_text(errors="replace")
        except OSError:
            continue
        found.update(line for line in text.splitlines() if str(store) in line)
    return found


def in_time(none_left: Callable[[], object]) -> None:
    """Wait until nothing is left: the kernel ends processes a moment after the killed one."""
    deadline = time.monotonic() + PATIENCE_S
    while none_left() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not none_left()


def whole_layers(store: Path, salt: str) -> set[str]:
    """Name the finished layers; each must have all that its step wrote."""
    found = set()
    for name in NAMES:
        path = store / "layers" / key(name, salt)
        if path.exists():
            assert json.loads((path / "meta.json").read_text())["name"] == name
            if name != NAMES[0]:
                files = {one.name: one.read_text() for one in (path / "tree" / name).iterdir()}
                assert files == {str(n): f"{n}\n" for n in range(1, FILES + 1)}
            found.add(name)
    return found


def inner(process: Popen[bytes]) -> int:
    """Give the first process inside the build's namespaces, the outer one before there is any."""
    pid = process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children")
    words = children.read_text().split() if children.exists() else []
    return int(words[0]) if words else pid


def test_killed_anywhere(tmp_path: Path) -> None:
    """No mount, no process and no half layer is left; what was whole is kept, the rest is made."""
    print(f"GLOVEBOX_SEED={SEED}")  # noqa: T201  pytest shows it when the test fails
    chance = random.Random(SEED)  # noqa: S311  moments, not secrets
    store = tmp_path / "store"
    began = time.monotonic()
    finish(store, "whole", uuid.uuid4().hex)
    length_s = time.monotonic() - began

    killed = 0
    for number in range(KILLS):
        salt, token = f"run{number}", uuid.uuid4().hex
        moment_s, deep = chance.uniform(0, length_s), chance.random() < 0.5
        print(f"kill {number}: after {moment_s:.3f} s, {'inside' if deep else 'outside'}")  # noqa: T201  as above
        process = begin(store, salt, token)
        try:
            process.wait(moment_s)
        except TimeoutExpired:
            os.kill(inner(process) if deep else process.pid, signal.SIGKILL)
            killed += 1
        process.communicate(timeout=PATIENCE_S)

        in_time(lambda token=token: holding(token))  # type: ignore[misc]  bound in this round
        in_time(lambda: mounted(store))
        kept = whole_layers(store, salt)
        made = {name: (store / "layers" / key(name, salt)).stat().st_ino for name in kept}
        finish(store, salt, token)
        assert whole_layers(store, salt) == set(NAMES)
        assert {name: (store / "layers" / key(name, salt)).stat().st_ino for name in kept} == made
        assert list((store / "tmp").iterdir()) == []
        in_time(lambda token=token: holding(token))  # type: ignore[misc]  bound in this round

    assert killed > 0


def test_ended_politely(tmp_path: Path) -> None:
    """SIGTERM and SIGINT to the build itself end it with nothing left either."""
    store = tmp_path / "store"
    finish(store, "whole", uuid.uuid4().hex)
    for number, asked in enumerate((signal.SIGTERM, signal.SIGINT)):
        salt, token = f"run{number}", uuid.uuid4().hex
        # Longer than this test waits: it is running when it is asked to stop.
        process = begin(store, salt, token, pause_s=2 * PATIENCE_S)
        in_time(lambda store=store: not list((store / "tmp").iterdir()))  # type: ignore[misc]  bound in this round
        in_time(lambda token=token: len(holding(token)) < 4)  # type: ignore[misc]  bound in this round
        os.kill(inner(process), asked)
        process.communicate(timeout=PATIENCE_S)

        assert process.returncode != 0
        in_time(lambda token=token: holding(token))  # type: ignore[misc]  bound in this round
        assert mounted(store) == set()
        whole_layers(store, salt)
        finish(store, salt, token)
        assert whole_layers(store, salt) == set(NAMES)


def test_two_builds_at_once(tmp_path: Path) -> None:
    """Two builds of the same plan share a store: both end well, each layer is made once."""
    store, token = tmp_path / "store", uuid.uuid4().hex

    both = [begin(store, "shared", token) for _ in range(2)]
    said = [process.communicate(timeout=PATIENCE_S)[0].decode() for process in both]

    assert [process.returncode for process in both] == [0, 0], said
    assert whole_layers(store, "shared") == set(NAMES)
    assert list((store / "tmp").iterdir()) == []
    made = [line.split()[1] for text in said for line in text.splitlines() if "✓" in line
            and "(cached)" not in line]  # fmt: skip
    assert sorted(made) == sorted(NAMES)
