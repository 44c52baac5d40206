"""Name what an image holds beside Debian's packages, with its version: compiled, or a wheel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from glovebox.config.schema import RECORDER_STAGE
from glovebox.plan.inputs import InputKind
from telematics import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from glovebox.config.schema import Config
    from glovebox.lock.lock import Lock
    from glovebox.plan.plan import Step

_DESCRIPTION = re.compile(r"(?P<name>[a-z0-9][a-z0-9+.-]*)_(?P<version>[^_/]+)\.dsc")


_FETCHED = "url:"  # how a plan calls a source that is an address


def listed(config: Config, lock: Lock, steps: Iterable[Step]) -> str:
    """Give name, version and `compiled` or `wheel`, a line each, sorted.

    A source that a stage fetches by its address has a file's name, and its sum for a version.
    """
    found = {
        f"{told['name']} {told['version']} compiled\n"
        for group in lock.sources.values()
        for one in group
        if (told := _DESCRIPTION.fullmatch(one.name))
    }
    found |= {
        f"{one.label.removeprefix(_FETCHED)} sha256:{one.digest} compiled\n"
        for step in steps
        for one in step.inputs.values()
        if one.kind is InputKind.DOWNLOAD and one.label.startswith(_FETCHED)
    }
    if lock.wheels is not None:
        found |= {f"{one.name} {one.version} wheel\n" for one in lock.wheels.all()}
    if any(entry.path == RECORDER_STAGE for entry in config.stages):
        found.add(f"telematics {__version__} compiled\n")
    return "".join(sorted(found))
