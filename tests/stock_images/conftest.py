"""Whole images on stand-ins for Raspberry Pi OS: they mount, so they have mounts of their own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from glovebox.lock import signature
from glovebox.verify.verify import LONG
from tests import stock_image
from tests.raspios_server import Server, serving
from tests.root.conftest import _private_mounts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stock_image import Stock

__all__ = ["_private_mounts"]


@pytest.fixture(scope="session")
def newest(_private_mounts: None) -> tuple[Stock, ...]:
    """Give the stand-ins that are listed: trixie's, and bookworm's where there is the time."""
    names = ("trixie", "bookworm") if os.environ.get(LONG) else ("trixie",)
    return tuple(stock_image.stock(name, "arm64") for name in names)


@pytest.fixture(scope="session")
def server(newest: tuple[Stock, ...]) -> Iterator[Server]:
    """Run a stand-in for Raspberry Pi's server, whose key counts as Raspberry Pi's."""
    with serving() as running, pytest.MonkeyPatch.context() as patch:
        running.publish(*newest)
        patch.setattr(signature, "FINGERPRINT", newest[0].fingerprint)
        yield running
