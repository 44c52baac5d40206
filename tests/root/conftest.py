"""These tests mount file systems: the session moves into a mount namespace of its own first."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.host.run import run

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLONE_NEWNS = 0x00020000


@pytest.fixture(autouse=True, scope="session")
def _private_mounts() -> None:
    """Keep every mount of these tests from the rest of the machine; it ends with the session."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNS) != 0:
            pytest.exit(f"no mount namespace: {os.strerror(ctypes.get_errno())}")
        run(["mount", "--make-rprivate", "/"])


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Give a folder that can hold overlayfs layers, and look that none stay mounted."""
    yield tmp_path
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    assert [line for line in mounts if str(tmp_path) in line] == []
