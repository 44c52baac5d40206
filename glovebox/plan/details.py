"""What lies behind a step's inputs: the packages and files by name, so that `why` can name them.

A step's key has one digest for a list of packages, one for a folder; these are kept beside a result
and compared when the digest differs. They are no part of any key. What settings render stays out:
it may hold secrets, and each file of it is an input of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from glovebox.host import files
from glovebox.plan.plan import TARGET, StepKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from glovebox.lock.lock import Lock, Package
    from glovebox.plan.plan import Step

Details = dict[str, dict[str, str]]


def of(step: Step, lock: Lock, checkout: Path) -> Details:
    """Give for each input of a step, where it is made of several things, what each of them is."""
    found: Details = {}
    for name in step.inputs:
        packages = _packages(step, name, lock)
        folder = _folder(step, name, checkout)
        if packages:
            found[name] = {one.name: f"{one.version} {one.sha256[:12]}" for one in packages}
        elif folder is not None and folder.is_dir():
            found[name] = _contents(folder)
    return found


def differences(now: Mapping[str, str], then: Mapping[str, str]) -> list[str]:
    """Say what differs, a few words each."""
    said = []
    for name in sorted(set(now) | set(then)):
        if name not in then:
            said.append(f"{name}{_version(now[name])} is new")
        elif name not in now:
            said.append(f"{name}{_version(then[name])} is gone")
        elif now[name] != then[name]:
            before, after = _version(then[name]), _version(now[name])
            said.append(f"{name}:{before} →{after}" if before != after else f"{name} changed")
    return said


def _version(told: str) -> str:
    # A package tells version and digest, a file its digest alone.
    version, _, digest = told.partition(" ")
    return f" {version}" if digest else ""


def _packages(step: Step, name: str, lock: Lock) -> Sequence[Package]:
    target = lock.chains.get(TARGET, {})
    if step.sub_stage is not None:
        return target.get(f"{step.sub_stage.name}/{name}", ())
    if step.kind is StepKind.EXTRACT and name == "packages":
        return target.get("base", ())
    if step.kind is StepKind.NATIVE_ROOT:
        return lock.chains.get(step.name, {}).get(name.removeprefix("packages of "), ())
    return ()


def _folder(step: Step, name: str, checkout: Path) -> Path | None:
    if name.startswith("overlay ") and step.overlays:
        return step.overlays[int(name.removeprefix("overlay "))]
    if name.startswith("path:"):
        return checkout / name.removeprefix("path:")
    return step.sub_stage.path / name if step.sub_stage is not None else None


def _contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): files.digest_tree(path)
        for path in files.walk(folder)
        if (path.is_symlink() or not path.is_dir()) and files.BYTECODE not in path.parts
    }
