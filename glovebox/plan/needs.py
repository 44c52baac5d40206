"""What a plan is made from: every download, by its sum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glovebox.plan.inputs import InputKind

if TYPE_CHECKING:
    from glovebox.lock.lock import Lock
    from glovebox.plan.plan import Plan


def downloads(plan: Plan, lock: Lock) -> list[str]:
    """Give the sha256 of each package, source, firmware file and image that a plan is made from."""
    sums = [one.sha256 for chain in lock.chains for one in lock.packages(chain)]
    sums += [one.sha256 for group in lock.sources.values() for one in group]
    sums += [
        one.digest
        for step in plan.steps.values()
        for one in step.inputs.values()
        if one.kind is InputKind.DOWNLOAD
    ]
    if lock.wheels is not None:
        sums += [one.sha256 for one in lock.wheels.all()]
    if lock.raspios is not None:
        sums.append(lock.raspios.sha256)
    return sums
