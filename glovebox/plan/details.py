"""What lies behind a step's inputs: the packages and files by name, so that `why` can name them.

A step's key has one digest for a list of packages, one for a folder; these are kept beside a result
and compared when the digest differs. They are no part of any key. What settings render stays out:
it may hold secrets, and each file of it is an input of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from glovebox.host import files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from glovebox.lock.lock import Lock
    from glovebox.plan.plan import Step

Details = dict[str, dict[str, str]]


def of(step: Step, lock: Lock) -> Details:
    """Give for each input of a step, where it is made of several things, what each of them is."""
    found: Details = {}
    for one in step.inputs.values():
        if one.request is not None:
            chain, request = one.request
            packages = lock.chains.get(chain, {}).get(request, ())
            found[one.label] = {
                package.name: f"{package.version} {package.sha256[:12]}" for package in packages
            }
        elif one.listing:
            found[one.label] = {
                wheel.name: f"{wheel.version} {wheel.sha256[:12]}"
                for wheel in lock.wheels_of(one.listing)
            }
        elif one.path is not None and one.path.is_dir():
            found[one.label] = _contents(one.path)
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


def _contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): files.digest_tree(path)
        for path in files.walk(folder)
        if (path.is_symlink() or not path.is_dir()) and files.BYTECODE not in path.parts
    }
