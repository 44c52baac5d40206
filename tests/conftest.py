"""What tests may ask of the machine: each says so with a marker, a skip names what was missing.

With CI=true nothing is skipped: there a missing thing is a failure.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, NoReturn

import pytest

from glovebox.run import PATH

if TYPE_CHECKING:
    from collections.abc import Iterator


def missing(what: str) -> NoReturn:
    """Skip the test, or fail it where everything has to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have it: {what}", pytrace=False)
    pytest.skip(what)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Look for what the test's markers say it needs."""
    if item.get_closest_marker("root") and os.geteuid() != 0:
        missing("needs root: it mounts file systems")
    lacking = [name for name in _programs(item) if shutil.which(name, path=PATH) is None]
    if lacking:
        missing(f"needs the programs {', '.join(lacking)}")


def _programs(item: pytest.Item) -> Iterator[str]:
    for marker in item.iter_markers("needs"):
        yield from marker.args
