"""The project's own tests, in rings: what takes seconds, what needs root, what boots boards."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.errors import VerifyError
from glovebox.host.run import PATH, CommandError, run, stream
from glovebox.plan import plan
from glovebox.project import story
from glovebox.project.opened import Project, lock_file, open_project
from glovebox.store.store import Store, default_root
from glovebox.trials import bench, reproduce

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glovebox.host.monitor import Monitor

# One recipe, two processors; both have a machine in QEMU.
BOARDS = ("zero-w", "3")


def lint(monitor: Monitor, checkout: Path) -> None:
    """Check types, style and shell; raises VerifyError with what was found."""
    python = [sys.executable, "-m"]
    _check(monitor, "ruff check", [*python, "ruff", "check", "."], checkout)
    _check(monitor, "ruff format", [*python, "ruff", "format", "--check", "."], checkout)
    _check(monitor, "mypy", [*python, "mypy"], checkout)
    scripts = sorted(str(path.relative_to(checkout)) for path in _scripts(checkout))
    _check(monitor, "shellcheck", ["shellcheck", "--shell=bash", *scripts], checkout)


def quick(monitor: Monitor, checkout: Path) -> None:
    """Run the ring for every save."""
    lint(monitor, checkout)
    _pytest(monitor, "unit tests", ["tests/unit"], checkout)


def everything(monitor: Monitor, checkout: Path, out: Path) -> None:
    """Run every test there is."""
    quick(monitor, checkout)
    boards = []
    for name in BOARDS:
        monitor.say(f"board {name}: build and verify in a chroot")
        boards.append(_open(monitor, checkout, out, f"board={name}"))
        story.build_image(boards[-1])
    _locked_and_offline(monitor, checkout, out, boards[0])
    _image_as_base(monitor, checkout, out, boards[0])
    _same_bytes(monitor, checkout, boards[0])
    # Small and once: it shows that every part of it still runs.
    bench.measure(monitor, checkout / "image.yaml", quick=True, out=out / "bench")
    # They take their mke2fs from the native root that the builds made.
    _pytest(monitor, "root tests", ["tests/root"], checkout)
    _pytest(monitor, "service tests", ["tests/service"], checkout)
    # One after the other: an emulated board that has to share its processor runs at a fraction of
    # its speed, and its clock with it, which a receiver's time then overtakes.
    for board in boards:
        monitor.say(f"board {board.board.name}: boot, plug in a receiver, drive")
        story.verify_target(board, "emulated")
    _cuts(monitor, checkout, boards[-1])


def _cuts(monitor: Monitor, checkout: Path, board: Project) -> None:
    """Cut the first start of an arm64 board; a machine without its slow parts stands in for it."""
    builder = board.builder()
    builder.build([plan.EMULATOR])
    qemu = builder.native(plan.EMULATOR).tree
    words = ["tests/cuts", "--image", str(board.image), "--qemu-root", str(qemu)]
    _pytest(monitor, "cuts", words, checkout)


def _open(monitor: Monitor, checkout: Path, out: Path, *overrides: str) -> Project:
    store = Store(root=default_root()).open(monitor.say)
    return open_project(
        monitor, store=store, config=checkout / "image.yaml", overrides=overrides, out=out
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


def _scripts(checkout: Path) -> list[Path]:
    return [
        checkout / "invoke",
        checkout / ".ci/run",
        *checkout.glob("tests/bench/*.sh"),
        *checkout.glob("stages/*/*/*.sh"),
        checkout / "glovebox/build/stage_site.sh",
        checkout / "tests/conformance/compare",
        *checkout.glob("stages/**/initramfs-tools/hooks/*"),
        *checkout.glob("stages/**/initramfs-tools/scripts/*/*"),
        *(
            path
            for path in checkout.glob("stages/**/usr/lib/glovebox/*")
            if os.access(path, os.X_OK)
        ),
        *checkout.glob("stages/**/usr/sbin/*"),
    ]


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
        name: os.environ[name] for name in ("CI", "GLOVEBOX_STORE", "HOME") if name in os.environ
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
