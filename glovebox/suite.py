"""The project's own tests, in rings: what takes seconds, what needs root, what boots boards."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox import project
from glovebox.errors import VerifyError
from glovebox.run import PATH, CommandError, stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glovebox.monitor import Monitor

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
    _pytest(monitor, "service tests", ["tests/service"], checkout)
    _pytest(monitor, "root tests", ["tests/root"], checkout)
    for board in BOARDS:
        monitor.say(f"board {board}")
        opened = project.open_project(
            monitor, config=checkout / "image.yaml", overrides=[f"board={board}"], out=out
        )
        project.build_image(opened)
        project.verify_target(opened, "emulated")


def _scripts(checkout: Path) -> list[Path]:
    return [
        checkout / "invoke",
        checkout / ".ci/run",
        *checkout.glob("stages/*/*/*.sh"),
        *checkout.glob("stages/**/initramfs-tools/hooks/*"),
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
    env |= {name: os.environ[name] for name in ("CI", "GLOVEBOX_STORE") if name in os.environ}
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
