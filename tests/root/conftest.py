"""These tests mount file systems: the session moves into a mount namespace of its own first."""

from __future__ import annotations

import ctypes
import functools
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox import native, store
from glovebox.run import PATH, run

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLONE_NEWNS = 0x00020000
# From here on `mke2fs -d` takes every time from SOURCE_DATE_EPOCH.
SAME_BYTES_FROM = (1, 47, 2)


@dataclass(frozen=True)
class HostTools:
    """Stands for a native root where none was built: the host's own programs."""

    def command(self, program: str) -> list[str]:
        """Give the words that start a program."""
        return [shutil.which(program, path=PATH) or program]


@pytest.fixture(autouse=True, scope="session")
def _private_mounts() -> None:
    """Keep every mount of these tests from the rest of the machine; it ends with the session."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNS) != 0:
            pytest.exit(f"no mount namespace: {os.strerror(ctypes.get_errno())}")
        run(["mount", "--make-rprivate", "/"])


@functools.cache
def built_tools() -> native.Root | None:
    """Find a native root among the layers of the caller's own store."""
    layers = store.default_root() / "layers"
    for path in sorted(layers.glob("*/meta.json")) if layers.is_dir() else ():
        tree = path.parent / "tree"
        if json.loads(path.read_text()).get("name") == "tools" and (tree / "usr/sbin").is_dir():
            return native.Root(tree=tree)
    return None


@pytest.fixture
def tools() -> native.Root | HostTools:
    """Give programs that make file systems: of the native root, else of the host."""
    return built_tools() or HostTools()


def mke2fs_version(tools: native.Root | HostTools) -> tuple[int, ...]:
    """Tell how old a mke2fs is."""
    said = run([*tools.command("mke2fs"), "-V"]).stderr
    found = re.search(r"mke2fs (\d+)\.(\d+)\.(\d+)", said)
    return tuple(int(number) for number in found.groups()) if found else (0,)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Give a folder in which overlayfs can keep its upper layers, and look that none stay mounted."""
    yield tmp_path
    left = [line for line in Path("/proc/self/mounts").read_text().splitlines()
            if str(tmp_path) in line]  # fmt: skip
    assert left == []
