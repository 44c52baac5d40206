"""Programs that make file systems: those of a native root if one was built, else the host's."""

from __future__ import annotations

import functools
import json
import re
import shutil
from dataclasses import dataclass

from glovebox.errors import HostError
from glovebox.host import native
from glovebox.host.run import PATH, run
from glovebox.store import store
from tests.needs import missing

# From here on `mke2fs -d` takes every time from SOURCE_DATE_EPOCH.
SAME_BYTES_FROM = (1, 47, 2)


@dataclass(frozen=True)
class HostTools:
    """Stands for a native root where none was built."""

    def command(self, program: str) -> list[str]:
        """Give the words that start a program."""
        return [shutil.which(program, path=PATH) or program]


@functools.cache
def built() -> native.Root | None:
    """Find a native root among the layers of the caller's own store."""
    layers = store.default_root() / "layers"
    for path in sorted(layers.glob("*/meta.json")) if layers.is_dir() else ():
        root = native.Root(tree=path.parent / "tree")
        if json.loads(path.read_text()).get("name") == "tools":
            try:
                root.command("mke2fs")
            except HostError:
                continue
            return root
    return None


def suite_tools() -> native.Root:
    """Give the native root, for what the host's own programs may be too old or too new for."""
    found = built()
    if found is None:
        missing("needs a native root in the store: run invoke build-image once")
    return found


def any_tools() -> native.Root | HostTools:
    """Give the programs at hand."""
    return built() or HostTools()


def same_bytes_tools() -> native.Root | HostTools:
    """Give programs that make the same bytes of the same tree."""
    tools = any_tools()
    said = run([*tools.command("mke2fs"), "-V"]).stderr
    found = re.search(r"mke2fs (\d+)\.(\d+)\.(\d+)", said)
    version = tuple(int(number) for number in found.groups()) if found else (0,)
    if version < SAME_BYTES_FROM:
        missing(
            f"needs mke2fs {'.'.join(map(str, SAME_BYTES_FROM))} or a native root in the store"
            f" (this one is {'.'.join(map(str, version))})"
        )
    return tools
