"""Killed at any moment, a build leaves nothing behind, and the next one goes on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
import uuid
from pathlib import Path
from subprocess import TimeoutExpired
from typing import TYPE_CHECKING

import pytest

from glovebox.host.files import sha256_file
from glovebox.host.run import start
from glovebox.store.store import Store
from tests.root import small_world
from tests.root.small_build import FILES, IMAGE, NAMES, key
from tests.root.tools import same_bytes_tools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from subprocess import Popen

pytestmark = [pytest.mark.root, pytest.mark.needs("mount", "umount", "unshare")]

CHECKOUT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("GLOVEBOX_KILLS") or (50 if os.environ.get("CI") else 10))
SEED = int(os.environ.get("GLOVEBOX_SEED") or random.SystemRandom().randrange(2**32))
# Only so that a fault ends the test instead of hanging it.
PATIENCE_S = 60
# Builds of their own; once more when each has had its turn, from nothing.
SALTS = [f"run{number}" for number in range(4)]
PAPERS = {
    IMAGE,
    f"{IMAGE}.bmap",
    f"{IMAGE}.sha256",
    *(f"{IMAGE.removesuffix('.img')}.{kind}"
      for kind in ("manifest.json", "packages.txt", "rpi-imager-manifest")),
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a folder with a store and a place for images, and serve what the small build asks for.

    With other tools the same trees would not give the same bytes.
    """
    same_bytes_tools()
    folder = tmp_path_factory.mktemp("world")
    with small_world.made(folder):
        yield folder


@pytest.fixture(scope="module")
def undisturbed(world: Path) -> str:
    """Give the sha256 of the image as a build makes it that nobody disturbs."""
    finish(world, "undisturbed")
    return sha256_file(world / "out" / IMAGE)


def begin(folder: Path, salt: str, token: str = "", *, pause_s: int = 0) -> Popen[bytes]:
    """Start the small build."""
    program = Path(__file__).with_name("small_build.py")
    env = {"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'app'}", "TOKEN": token, "PAUSE_S": str(pause_s)}
    return start([sys.executable, program, folder, salt, token], env=env)


def finish(folder: Path, salt: str) -> str:
    """Run the small build to its end, and give what it said."""
    process = begin(folder, salt)
    said = process.communicate(timeout=PATIENCE_S)[0].decode()
    assert process.returncode == 0, said
    return said


def processes() -> Iterator[Path]:
    """Give every process, in whichever namespace."""
    return (path for path in Path("/proc").iterdir() if path.name.isdigit())


def holding(folder: Path, token: str) -> list[str]:
    """Name the processes that belong to a build: by what they inherited, or what they work on."""
    found = []
    for path in processes():
        try:
            words = (path / "cmdline").read_bytes()
            if token.encode() in (path / "environ").read_bytes() or str(folder).encode() in words:
                found.append(words.decode(errors="replace").replace("\0", " "))
        except OSError:  # it ended meanwhile, or is a zombie
            continue
    return found


def loops(folder: Path) -> list[str]:
    """Name the loop devices with a file in the folder."""
    files = Path("/sys/block").glob("loop*/loop/backing_file")
    return [str(path) for path in files if str(folder) in path.read_text()]


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


def kept_layers(store: Path, salt: str) -> dict[str, int]:
    """Give the finished layers by name, and what tells one from another of the same name."""
    found = {}
    for name in NAMES:
        path = store / "layers" / key(name, salt)
        if path.exists():
            layer = Store(root=store).find(key(name, salt))
            assert layer is not None
            assert layer.meta["name"] == name
            assert Store(root=store).is_intact(layer)
            if name != NAMES[0]:
                files = {one.name: one.read_text() for one in (path / "tree" / name).iterdir()}
                assert files == {str(n): f"{n}\n" for n in range(1, FILES + 1)}
            found[name] = path.stat().st_ino
    return found


def halves(folder: Path) -> list[Path]:
    """Give what is only half-done, but for downloads, which are resumed."""
    store = folder / "store"
    places = [folder / "out", store, *(store / name for name in ("plans", "apt"))]
    return [*(store / "tmp").glob("*"), *(path for one in places for path in one.glob(".*"))]


def check_image(folder: Path, sha256: str) -> None:
    """Look at what lies there for a user: an image is whole, its papers are its own."""
    out = folder / "out"
    image, paper = out / IMAGE, out / f"{IMAGE}.sha256"
    if image.exists():
        assert sha256_file(image) == sha256
    if paper.exists():
        assert paper.read_text().split()[0] == sha256
    assert {path.name for path in out.glob("[!.]*")} <= PAPERS


def inner(process: Popen[bytes]) -> int:
    """Give the first process of a build's namespaces, or the one outside as long as it is alone."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    words = children.read_text().split() if children.exists() else []
    return int(words[0]) if words else process.pid


def end_somehow(process: Popen[bytes], chance: random.Random) -> tuple[str, bool]:
    """End a build as users, terminals and out-of-memory killers do; tell how, and if politely."""
    match chance.randrange(4):
        case 0:
            os.kill(process.pid, signal.SIGKILL)
            return "SIGKILL outside", False
        case 1:
            os.kill(inner(process), signal.SIGKILL)
            return "SIGKILL inside", False
        case 2:
            os.kill(process.pid, signal.SIGINT)
            return "SIGINT", True
        case _:
            os.kill(process.pid, signal.SIGTERM)
            return "SIGTERM", True


def test_killed_anywhere(world: Path, undisturbed: str) -> None:
    """No process, mount or half result is left, what was whole is kept, the image is the same."""
    print(f"GLOVEBOX_SEED={SEED}")  # noqa: T201  pytest shows it when the test fails
    chance = random.Random(SEED)  # noqa: S311  moments, not secrets
    store, out = world / "store", world / "out"
    began = time.monotonic()
    finish(world, "timed")
    length_s = time.monotonic() - began

    killed, images, salt = 0, 0, SALTS[0]
    before: dict[str, int] = {}
    left: list[Path] = []
    while killed < KILLS or left or before:
        token, moment_s = uuid.uuid4().hex, chance.uniform(0, length_s)
        process = begin(world, salt, token)
        try:
            process.wait(moment_s if killed < KILLS else None)
            how, polite = "not at all", False
        except TimeoutExpired:
            how, polite = end_somehow(process, chance)
        said = process.communicate(timeout=PATIENCE_S)[0].decode()
        print(f"{salt} after {moment_s:.3f} s: {how}, status {process.returncode}")  # noqa: T201  as above

        in_time(lambda token=token: holding(world, token))  # type: ignore[misc]  bound in this round
        in_time(lambda: mounted(world))
        assert loops(world) == []
        now = kept_layers(store, salt)
        assert before.items() <= now.items(), "a finished layer was made again"
        check_image(world, undisturbed)
        if process.returncode != 0:
            assert how != "not at all", said
            killed, before = killed + 1, now
            assert not polite or set(halves(world)) <= set(left), said
            left = halves(world)
            continue
        assert "resuming after a killed build" in said or not left, said
        assert halves(world) == []
        assert list((store / "sources").glob(".*")) == []
        assert {path.name for path in out.iterdir()} == PAPERS
        assert sha256_file(out / IMAGE) == undisturbed
        images += 1
        salt, before, left = SALTS[images % len(SALTS)], {}, []
        shutil.rmtree(out)
        for path in (store / "layers").glob(f"{salt}-*"):
            shutil.rmtree(path)

    assert killed >= KILLS


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("deep", [False, True], ids=["outside", "inside"])
def test_ended_politely(world: Path, asked: signal.Signals, *, deep: bool) -> None:
    """A build that is asked to stop in the middle of a chroot ends at once, with nothing left."""
    salt, token = f"asked-{asked.name}-{deep}", uuid.uuid4().hex
    # Longer than this test waits: it is running when it is asked to stop.
    process = begin(world, salt, token, pause_s=2 * PATIENCE_S)
    in_time(lambda: "left" not in str(list((world / "store" / "tmp").glob("*/*/*/left/12"))))
    os.kill(inner(process) if deep else process.pid, asked)
    said = process.communicate(timeout=PATIENCE_S)[0].decode()

    assert process.returncode == (130 if asked is signal.SIGINT else 128 + asked), said
    assert "Traceback" not in said
    in_time(lambda: holding(world, token))
    assert mounted(world) == set()
    assert halves(world) == []
    assert kept_layers(world / "store", salt).keys() == {"base"}


def test_two_builds_at_once(world: Path, undisturbed: str) -> None:
    """Two builds of one plan share store and folder: both end well, each layer is made once."""
    both = [begin(world, "shared") for _ in range(2)]
    said = [process.communicate(timeout=PATIENCE_S)[0].decode() for process in both]

    assert [process.returncode for process in both] == [0, 0], said
    assert kept_layers(world / "store", "shared").keys() == set(NAMES)
    assert halves(world) == []
    check_image(world, undisturbed)
    assert {path.name for path in (world / "out").iterdir()} == PAPERS
    made = [line.split()[1] for text in said for line in text.splitlines()
            if "✓" in line and "(cached)" not in line]  # fmt: skip
    assert sorted(set(made) & set(NAMES)) == sorted(name for name in made if name in NAMES)
