"""Name what an image holds beside Debian's packages: what was compiled for it, with its version."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from glovebox.config.schema import RECORDER_STAGE
from telematics import __version__

if TYPE_CHECKING:
    from glovebox.config.schema import Config
    from glovebox.lock.lock import Lock

_DESCRIPTION = re.compile(r"(?P<name>[a-z0-9][a-z0-9+.-]*)_(?P<version>[^_/]+)\.dsc")


def listed(config: Config, lock: Lock) -> str:
    """Give name, version and `compiled`, a line each, sorted."""
    found = {
        f"{told['name']} {told['version']} compiled\n"
        for group in lock.sources.values()
        for one in group
        if (told := _DESCRIPTION.fullmatch(one.name))
    }
    if any(entry.path == RECORDER_STAGE for entry in config.stages):
        found.add(f"telematics {__version__} compiled\n")
    return "".join(sorted(found))
