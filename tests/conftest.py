"""What tests may ask of the machine: each says so with a marker, a skip names what was missing."""

from __future__ import annotations

import os
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from glovebox.host.run import PATH
from glovebox.verify.verify import LONG
from tests.needs import missing

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_configure() -> None:
    """Let Ctrl-C stop a program under test, from wherever the tests are started.

    A shell ignores SIGINT in what it puts into the background, and all children inherit that.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Look for what the test's markers say it needs."""
    if item.get_closest_marker("long") and not os.environ.get(LONG):
        pytest.skip("takes long; to run it: ./invoke test --long")
    if item.get_closest_marker("root") and os.geteuid() != 0:
        missing("needs root: it mounts file systems")
    lacking = [name for name in _programs(item) if shutil.which(name, path=PATH) is None]
    if lacking:
        missing(f"needs the programs {', '.join(lacking)}")


def _programs(item: pytest.Item) -> Iterator[str]:
    for marker in item.iter_markers("needs"):
        yield from marker.args
