"""Where the actions of a sub-stage run, and what their scripts find in their environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping  # noqa: TC003  a dataclass field's hint
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003  likewise
from typing import TYPE_CHECKING

from glovebox.build import workdir
from glovebox.host import chroot

if TYPE_CHECKING:
    from glovebox.lock.lock import Lock
    from glovebox.plan.plan import Plan
    from glovebox.stage import stage


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where a sub-stage runs."""

    root: Path
    # WORK_DIR, and the place it is shown at to scripts: the same in every build.
    work: Path
    place: Path
    scratch: Path
    at: stage.Stage
    before: stage.Stage | None
    # The root as the stage before left it.
    previous: Path | None
    plan: Plan
    lock: Lock
    pool: Path
    wheels: Path
    results: Mapping[str, Path]
    quilt: Path | None
    accelerated: bool
    line: Callable[[str], None]
    warn: Callable[[str], None]

    def environment(self) -> dict[str, str]:
        """Give what scripts find in their environment."""
        work = self.place / self.at.name
        base = self.at.path.parent
        places = {
            "BASE_DIR": base,
            "SCRIPT_DIR": base / "scripts",
            "WORK_DIR": self.place,
            "DEPLOY_DIR": self.place / workdir.DEPLOY,
            "LOG_FILE": self.place / workdir.LOG,
            "EXPORT_CONFIG_DIR": base / "export-image",
            "STAGE": self.at.name,
            "STAGE_DIR": self.at.path,
            "STAGE_WORK_DIR": work,
            "ROOTFS_DIR": work / "rootfs",
            "STAGE_LIST": " ".join(str(one.path) for one in self.plan.stages),
        }
        if self.before:  # a first stage knows of none before it
            places["PREV_STAGE"] = self.before.name
            places["PREV_STAGE_DIR"] = self.before.path
            places["PREV_ROOTFS_DIR"] = self.place / self.before.name / "rootfs"
        given = {**{name: str(value) for name, value in places.items()}, **self.plan.variables}
        return chroot.environment(self.plan.arch, self.plan.epoch, given)
