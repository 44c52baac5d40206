"""Print what a person asked to see: tables on a terminal, JSON for programs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from glovebox.card.first_start import INSTEAD, Job
from glovebox.plan.plan import RASPIOS_STAGE, TARGET
from glovebox.store.store import size_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from glovebox.doctor import Check
    from glovebox.project.opened import Project


def findings(found: Sequence[Check], *, as_json: bool) -> None:
    """Print what the doctor found."""
    if as_json:
        _json([one.as_json() for one in found])
        return
    console = _console()
    for one in found:
        if one.good:
            console.print(f"  ✓ {one.what}", style="dim", markup=False)
        else:
            console.print(f"  ✗ {one.what}", style="red", markup=False)
            console.print(f"      cure: {one.cure}", markup=False)
    bad = sum(not one.good for one in found)
    console.print("All is well." if not bad else f"{bad} of {len(found)} are not right.")


def steps(project: Project, *, as_json: bool) -> None:
    """Print the plan: each step, its key, whether its result is there and how big that is."""
    rows = []
    for step in project.plan.steps.values():
        layer = project.store.find(step.key)
        rows.append(
            {
                "step": step.name,
                "kind": str(step.kind),
                "key": step.key,
                "cached": layer is not None,
                "bytes": size_of(layer.tree) if layer else None,
                "volatile": step.volatile,
                "untracked": list(step.untracked),
            }
        )
    if as_json:
        _json(rows)
        return
    table = Table("step", "kind", "key", "", "MB", box=None, header_style="bold")
    table.columns[-1].justify = "right"
    for row in rows:
        size = row["bytes"]
        table.add_row(
            str(row["step"]),
            str(row["kind"]),
            str(row["key"])[:12],
            _state(row),
            f"{size / 1e6:.1f}" if isinstance(size, int) else "",
        )
    console = _console()
    console.print(table)
    for line in first_start(project):
        console.print(line, markup=False)
    if any(row["untracked"] and not row["volatile"] for row in rows):
        console.print("? its scripts have inputs that cannot be tracked: ./invoke why STEP")


def first_start(project: Project) -> list[str]:
    """Say what the image below does by itself when it starts, and what becomes of that."""
    found = project.plan.first_start
    if not found.doers:
        return []
    replaced = any(stage.name == RASPIOS_STAGE for stage in project.plan.stages)
    lines = ["", "What the base does by itself at a start, as it was found, and what does it here:"]
    for job, doers in found.jobs.items():
        instead = INSTEAD[Job(job)] if replaced else "the same"
        lines += [f"  {job}: {', '.join(doers)}", f"      here: {instead}"]
    return lines


def _state(row: Mapping[str, object]) -> str:
    if row["volatile"]:
        return "volatile"
    mark = " ?" if row["untracked"] else ""
    return ("cached" if row["cached"] else "to do") + mark


def lock_written(project: Project, path: Path) -> None:
    """Say what was locked."""
    packages = len(project.lock.packages(TARGET))
    base = project.lock.raspios
    _console().print(
        f"{path}: {packages} packages of the image, {len(project.lock.sources)} sources"
        f"{f', on {base.name}' if base else ''}; build with --locked",
        markup=False,
    )


def _json(value: object) -> None:
    json.dump(value, sys.stdout, indent=1)
    sys.stdout.write("\n")


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)
