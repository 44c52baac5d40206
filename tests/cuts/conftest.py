"""What these tests start: an image for an arm64 board, and QEMU."""

from __future__ import annotations

from pathlib import Path

import pytest

from glovebox.emulator.emulator import Qemu, find_qemu
from tests.needs import missing
from tests.root.conftest import _private_mounts

__all__ = ["_private_mounts"]  # these tests mount too

CHECKOUT = Path(__file__).resolve().parent.parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that the suite gives."""
    parser.addoption("--image", type=Path, default=CHECKOUT / "out/glovebox-3.img")
    parser.addoption("--qemu-root", type=Path, help="native root that has qemu-system-arm")
    parser.addoption("--moments", type=int, default=24, help="cuts of which the disk is looked at")
    parser.addoption("--starts", type=int, default=5, help="of these, whole systems started after")


@pytest.fixture(scope="session")
def image(pytestconfig: pytest.Config) -> Path:
    """Give the image, which is not written."""
    path: Path = pytestconfig.getoption("image")
    if not path.exists():
        missing(f"needs {path}: run invoke build-image --set board=3")
    return path


@pytest.fixture(scope="session")
def qemu(pytestconfig: pytest.Config) -> Qemu:
    """Give QEMU."""
    return find_qemu(pytestconfig.getoption("qemu_root"))
