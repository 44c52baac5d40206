"""The project's own tests, in rings: what takes seconds, what needs root, what boots boards."""

from __future__ import annotations

import os
import random
import re
import sys
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.errors import VerifyError
from glovebox.host.mounts import chroot_mounts
from glovebox.host.run import PATH, CommandError, end, run, start, stream
from glovebox.plan import plan
from glovebox.project import story
from glovebox.project.opened import Project, lock_file, open_project
from glovebox.store.store import Store, default_root
from glovebox.trials import bench, reproduce
from glovebox.trials.parts import Part, choose, try_all
from glovebox.verify.verify import LONG

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from glovebox.host.monitor import Monitor

# One recipe, two processors; both have a machine in QEMU.
BOARDS = ("zero-w", "3")
# A car on a stand-in for Raspberry Pi's image.
CAR = "tests/stock_images/test_car.py"
_SHELL = re.compile(rb"#!\s*/(usr/)?bin/(env\s+)?(ba|da)?sh\b")
_FED = re.compile(r"stages/.*\.sh$")
# What another program wrote, and what stands for another's packages: kept as they have it.
_THEIRS = re.compile(r"tests/(imager|stock/packages)/")
MORE_CUTS = ("--moments", "300", "--starts", "25")


def lint(monitor: Monitor, checkout: Path) -> None:
    """Check types, style and shell; raises VerifyError with what was found."""
    try_all(monitor, _lint(monitor, checkout), again=_again)


def quick(monitor: Monitor, checkout: Path, *, only: Sequence[str] = ()) -> None:
    """Run the ring for every save."""
    try_all(monitor, choose(_quick(monitor, checkout), only=only), again=_again)


def everything(
    monitor: Monitor, checkout: Path, out: Path, *, only: Sequence[str] = (), long: bool = False
) -> None:
    """Run every test there is; those that take longer than an hour only if they are asked for.

    What is to run only then is a part with ``long=True``, or a test with pytest's marker ``long``.
    """
    quickly = _quick(monitor, checkout)
    parts = choose([*quickly, *_boards(monitor, checkout, out)], only=only, long=long)
    if long:
        os.environ[LONG] = "1"  # pytest's tests see it
    seconds = {part.name for part in quickly}
    way = " --long" if long else ""

    def again(name: str) -> str:
        return _again(name) if name in seconds else f"./invoke test{way} --only {name}"

    try_all(monitor, parts, again=again)


def fuzz(monitor: Monitor, checkout: Path, minutes: float) -> None:
    """Give every reader inputs by chance for so long together; the seed makes them again."""
    folder = "tests/fuzz"
    listed = run([sys.executable, "-m", "pytest", folder, "--collect-only", "-q"], cwd=checkout)
    readers = {line.partition("[")[2].partition("-")[2] for line in listed.stdout.splitlines()}
    seconds = minutes * 60 / max(1, len(readers - {""}))
    seed = random.SystemRandom().randrange(1 << 32)
    monitor.say(f"seed {seed}: pytest {folder} --fuzz-seed {seed} --fuzz-seconds {seconds:.0f}")
    words = [folder, "--fuzz-seed", str(seed), "--fuzz-seconds", f"{seconds:.0f}"]
    _pytest(monitor, "fuzzers", words, checkout)


def _again(name: str) -> str:
    return f"./invoke test --quick --only {name}"


def _lint(monitor: Monitor, checkout: Path) -> list[Part]:
    python = [sys.executable, "-m"]
    commands = {
        "style": [*python, "ruff", "check", "."],
        "format": [*python, "ruff", "format", "--check", "."],
        "types": [*python, "mypy"],
        "rooms": ["lint-imports", "--no-cache"],
    }

    def shell() -> None:
        command = ["shellcheck", "--shell=bash", *scripts(checkout)]
        _check(monitor, "shell", command, checkout)

    return [
        *(
            Part(name=name, run=partial(_check, monitor, name, command, checkout))
            for name, command in commands.items()
        ),
        Part(name="shell", run=shell),
    ]


def _quick(monitor: Monitor, checkout: Path) -> list[Part]:
    words = ["tests/unit", "-m", "not thorough"]
    unit = partial(_pytest, monitor, "unit tests", words, checkout)
    return [*_lint(monitor, checkout), Part(name="unit", run=unit)]


def _boards(monitor: Monitor, checkout: Path, out: Path) -> list[Part]:
    """Give what builds and boots, in an order in which each finds what it needs."""

    @cache
    def board(name: str) -> Project:
        return _open(monitor, checkout, out, f"board={name}")

    def build(name: str) -> None:
        monitor.say(f"board {name}: build and verify in a chroot")
        story.build_image(board(name))

    def boot(name: str) -> None:
        monitor.say(f"board {name}: boot, plug in a receiver, drive")
        story.verify_target(board(name), "emulated")

    @cache
    def home(name: str) -> Project:
        config = checkout / "images/home-base.yaml"
        return _open(monitor, checkout, out / "home", f"board={name}", config=config)

    def build_home(name: str) -> None:
        monitor.say("the home's card: build and verify in a chroot")
        story.build_image(home(name))

    def busy(name: str) -> None:
        with _kept_busy():
            boot(name)

    one, other = BOARDS
    return [
        Part(
            name="thorough",
            run=lambda: _pytest(
                monitor, "thorough unit tests", ["tests/unit", "-m", "thorough"], checkout
            ),
        ),
        *(Part(name=f"build-{name}", run=partial(build, name)) for name in BOARDS),
        Part(
            name="offline",
            run=lambda: _locked_and_offline(monitor, checkout, out, board(one)),
            needs=(f"build-{one}",),
        ),
        Part(
            name="base",
            run=lambda: _image_as_base(monitor, checkout, out, board(one)),
            needs=(f"build-{one}",),
        ),
        Part(
            name="bytes",
            run=lambda: _same_bytes(monitor, checkout, board(one)),
            needs=(f"build-{one}",),
        ),
        # Small and once: it shows that every part of it still runs.
        Part(
            name="bench",
            run=lambda: bench.measure(
                monitor, checkout / "image.yaml", quick=True, out=out / "bench"
            ),
        ),
        # They take their mke2fs from the native root that a build made, and put faults into a copy
        # of its image.
        Part(
            name="root",
            run=lambda: _pytest(monitor, "root tests", ["tests/root"], checkout),
            needs=(f"build-{one}",),
        ),
        Part(
            name="stock",
            run=lambda: _pytest(
                monitor,
                "images on Raspberry Pi OS",
                ["tests/stock_images", f"--ignore={CAR}"],
                checkout,
            ),
        ),
        Part(
            name="build-raspios",
            run=lambda: _pytest(
                monitor, "a car on Raspberry Pi OS", [CAR, "-k", "chroot"], checkout
            ),
        ),
        Part(
            name="service",
            run=lambda: _pytest(monitor, "service tests", ["tests/service"], checkout),
        ),
        Part(name="fuzz", run=lambda: _pytest(monitor, "fuzzers", ["tests/fuzz"], checkout)),
        Part(
            name="home",
            run=lambda: _pytest(monitor, "tests of the home", ["tests/home"], checkout),
        ),
        # One after the other: an emulated board that has to share its processor runs at a fraction
        # of its speed, and its clock with it, which a receiver's time then overtakes.
        *(
            Part(name=f"emulated-{name}", run=partial(boot, name), needs=(f"build-{name}",))
            for name in BOARDS
        ),
        Part(
            name="emulated-raspios",
            run=lambda: _pytest(
                monitor, "a board that starts from it", [CAR, "-k", "starts"], checkout
            ),
            needs=("build-raspios",),
            long=True,
        ),
        Part(
            name="cuts",
            run=lambda: _cuts(monitor, checkout, board(other)),
            needs=(f"build-{other}",),
        ),
        # The second image: the builder is not made for one.
        Part(name="build-home", run=partial(build_home, other)),
        Part(
            name="home-card",
            run=lambda: _home_card(monitor, checkout, home(other), board(other)),
            needs=("build-home", f"build-{other}"),
            long=True,
        ),
        Part(
            name="cuts-more",
            run=lambda: _cuts(monitor, checkout, board(other), *MORE_CUTS),
            needs=(f"build-{other}",),
            long=True,
        ),
        *(
            Part(name=f"busy-{name}", run=partial(busy, name), needs=(f"build-{name}",), long=True)
            for name in BOARDS
        ),
    ]


@contextmanager
def _kept_busy() -> Iterator[None]:
    """Give every processor of this machine something else to do as well."""
    loops = [start(["sh", "-c", "while :; do :; done"]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for loop in loops:
            end(loop, grace_s=1)


def _cuts(monitor: Monitor, checkout: Path, board: Project, *more: str) -> None:
    """Cut the first start of an arm64 board; a machine without its slow parts stands in for it."""
    builder = board.builder()
    builder.build([plan.EMULATOR])
    qemu = builder.native(plan.EMULATOR).tree
    words = ["tests/cuts", "--image", str(board.image), "--qemu-root", str(qemu)]
    _pytest(monitor, "cuts", [*words, *more], checkout)


def _home_card(monitor: Monitor, checkout: Path, home: Project, car: Project) -> None:
    """Boot the home's card, kill it while it takes records, and let a car publish to it."""
    home.builder().build([plan.EMULATOR])
    qemu = home.builder().native(plan.EMULATOR).tree
    key = ["--key", str(home.access.private)] if home.access.private else []
    builder = car.builder()
    builder.build([car.plan.top.name])
    with builder.merged(car.plan.top.name, writable=True) as root, chroot_mounts(root):
        words = [
            "tests/home_card", "--image", str(home.image), "--qemu-root", str(qemu),
            "--car-root", str(root), "--user", home.loaded.config.user.name, *key,
        ]  # fmt: skip
        _pytest(monitor, "home-card", words, checkout)


def _open(
    monitor: Monitor,
    checkout: Path,
    out: Path,
    *overrides: str,
    config: Path | None = None,
) -> Project:
    store = Store(root=default_root()).open(monitor.say)
    return open_project(
        monitor, store=store, config=config or checkout / "image.yaml", overrides=overrides, out=out
    )


def _locked_and_offline(monitor: Monitor, checkout: Path, out: Path, board: Project) -> None:
    """Build by a lock file where no network is: all that is needed was fetched by then."""
    config = checkout / "image.yaml"
    existed = lock_file(config, board.board).exists()
    path = story.write_lock(board, config)
    try:
        command = ["unshare", "--net", sys.executable, "-m", "invoke", "build-image", "--locked"]
        options = ["--set", "hostname=offline", "--no-verify", "--out", str(out)]
        _check(monitor, "locked, offline", [*command, *options], checkout)
    finally:
        if not existed:
            path.unlink()


def _same_bytes(monitor: Monitor, checkout: Path, board: Project) -> None:
    """Build a board again from empty layers under other circumstances; compare with the first."""
    monitor.say("the same bytes, another time, umask, folder and number of processors")
    reproduce.reproduce(
        board,
        checkout / "image.yaml",
        [f"board={board.board.name}"],
        circumstances=reproduce.OTHERWISE,
        first_cached=True,
    )


def _image_as_base(monitor: Monitor, checkout: Path, out: Path, board: Project) -> None:
    """Take a packed image as base of another, as one would somebody else's."""
    monitor.say("base: an image in a packed file")
    plain, packed = out / "base.img", out / "base.img.xz"
    try:
        with monitor.step("xz", "packing the image of the first board"):
            plain.unlink(missing_ok=True)
            plain.hardlink_to(board.image)
            run(["xz", "-0", "--threads=0", "--force", "--", plain])
        opened = _open(
            monitor, checkout, out, f"base={packed}", "stages=[telematics]", "hostname=second"
        )
        story.build_image(opened)
    finally:
        for path in (plain, packed):
            path.unlink(missing_ok=True)


def scripts(checkout: Path) -> list[str]:
    """Give every shell script of the checkout, by its first line, wherever it lies.

    What a stage feeds to a shell in the chroot has none.
    """
    listed = run(["git", "ls-files", "-z"], cwd=checkout).stdout.split("\0")
    return sorted(
        name
        for name in listed
        if name and not _THEIRS.match(name) and (_FED.match(name) or _is_shell(checkout / name))
    )


def _is_shell(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return _SHELL.match(file.readline()) is not None


def _pytest(monitor: Monitor, name: str, words: Sequence[str], checkout: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider"]
    _check(monitor, name, [*command, *words], checkout, last_line=True)


def _check(
    monitor: Monitor, name: str, command: Sequence[str], checkout: Path, *, last_line: bool = False
) -> None:
    said: list[str] = []
    env = {
        "PYTHONPATH": f"{checkout}:{checkout / 'app'}",
        "PATH": f"{Path(sys.executable).parent}:{PATH}",
    }
    env |= {
        name: os.environ[name]
        for name in ("CI", "GLOVEBOX_STORE", "HOME", LONG)
        if name in os.environ
    }
    try:
        with monitor.step(name, "running") as line:

            def keep(text: str) -> None:
                said.append(text)
                line(text)

            stream(command, line=keep, cwd=checkout, env=env)
    except CommandError as error:
        raise VerifyError(f"{name}:\n" + "\n".join(said[-60:])) from error
    if last_line and said:
        monitor.say(f"      {said[-1]}")
