"""What all parts of a benchmark share: where it builds, what it measures with, and its boards."""

from __future__ import annotations

import json
import time
from collections.abc import Callable  # noqa: TC003  a method's hint
from dataclasses import dataclass, field, replace
from pathlib import Path  # noqa: TC003  a dataclass field's hint
from typing import TYPE_CHECKING

from glovebox.host.monitor import steps_beside
from glovebox.trials import elsewhere

if TYPE_CHECKING:
    from glovebox.build.builder import Builder
    from glovebox.host.monitor import Monitor
    from glovebox.project.opened import Project
    from glovebox.trials.elsewhere import Workplace
    from glovebox.trials.measures import StepTime

# One recipe, two processors; both have a machine in QEMU.
BOARDS = ("zero-w", "3")
SMALL, LARGE = BOARDS
MB = 1e6


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How one build went: wall-clock seconds, and what it said of its parts."""

    seconds: float
    parts: dict[str, float]


@dataclass(kw_only=True)
class Bench:
    """One run: where it builds, and what it found."""

    monitor: Monitor
    opened: dict[str, Project]
    site: Workplace
    work: Path
    rounds: int
    quick: bool
    steps: list[StepTime] = field(default_factory=list)
    salt: int = 0

    def build(self, board: str, *options: str) -> Timing:
        """Run ``build-image`` once and time it."""
        steps = steps_beside(self.site.out / "build.log")
        steps.unlink(missing_ok=True)
        begun = time.monotonic()
        self.site.build("--set", f"board={board}", *options, line=self.monitor.note)
        seconds = time.monotonic() - begun
        told = json.loads(steps.read_text()) if steps.exists() else []
        return Timing(seconds=seconds, parts={step["step"]: step["seconds"] for step in told})

    def warm(self, board: str) -> None:
        """See to it that a board's image is there."""
        opened = self.opened[board]
        keys = [step.key for step in opened.plan.steps.values()]
        elsewhere.share_layers(opened.store, self.site.store, keys)
        self.build(board, "--no-verify")

    def builder(self, board: str) -> Builder:
        """Give what knows the layers that were built here."""
        return replace(self.opened[board].builder(), store=self.site.store)

    def median_of(self, what: Callable[[], float]) -> tuple[float, ...]:
        """Measure as often as this run does."""
        return tuple(what() for _ in range(self.rounds))
