"""Run `postrun.sh` after the images are written, as pi-gen does: it stands beside the stages."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from glovebox.errors import StepError
from glovebox.host import chroot
from glovebox.host.run import PATH, CommandError, stream
from glovebox.stage import pi_gen

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.project.opened import Project


def run_all(project: Project) -> None:
    """Run it once for each folder that stages come from; raises StepError with its last words."""
    folders = dict.fromkeys(one.path.parent for one in project.plan.stages)
    for script in (folder / "postrun.sh" for folder in folders):
        if script.is_file() and os.access(script, os.X_OK):
            _run(script, project)


def _run(script: Path, project: Project) -> None:
    out = project.out.resolve()
    places = dict.fromkeys(pi_gen.PLACES, "") | {
        "BASE_DIR": str(script.parent),
        "SCRIPT_DIR": str(script.parent / "scripts"),
        "DEPLOY_DIR": str(out),
        "LOG_FILE": str(out / "build.log"),
    }
    plan = project.plan
    env = {
        **chroot.environment(plan.arch, plan.epoch, places | dict(plan.variables)),
        "IMG_SUFFIX": plan.chosen.suffix,
        "PATH": PATH,
    }
    with project.monitor.step("postrun.sh", f"running {script}") as line:
        try:
            stream([str(script)], line=line, cwd=script.parent, env=env)
        except CommandError as error:
            raise StepError(
                f"{script} failed, its last lines:\n{error.tail}",
                hint="the images are written; a build runs it again once there is a new one",
            ) from error
