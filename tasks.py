"""What a person types: each task is a verb, its docstring's first line is the help."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

CHECKOUT = Path(__file__).resolve().parent
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "app")]

from invoke import Context, Exit, task

from glovebox import project, sandbox
from glovebox.errors import GloveboxError
from glovebox.monitor import Monitor

OUT = CHECKOUT / "out"


@task(iterable=["set"])
def build_image(
    _c: Context, set: list[str] | None = None, config: str = "image.yaml", no_accelerator: bool = False, no_cache: bool = False, refresh: bool = False, out: str = str(OUT)
) -> None:
    """Build the image of image.yaml, verify it and say how to flash it."""
    try:
        sandbox.enter("build-image")
        monitor = Monitor(log_file=Path(out) / "build.log")
        opened = project.open_project(monitor, config=Path(config), overrides=set or [], accelerate=not no_accelerator, refresh=refresh, out=Path(out))
        image = project.build_image(opened, fresh=no_cache)
        print(image)
    except GloveboxError as error:
        raise Exit(f"error: {error}", code=error.exit_code) from error
