"""What these tests start: a home's image in QEMU, and a car's root file system."""

from __future__ import annotations

from pathlib import Path

import pytest

from glovebox.emulator.emulator import Qemu, find_qemu
from tests.needs import missing


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that the suite gives."""
    parser.addoption("--image", type=Path, help="the home's image, for board 3")
    parser.addoption("--car-root", type=Path, help="a car's root, which may be written to")
    parser.addoption("--qemu-root", type=Path, help="native root that has qemu-system-aarch64")
    parser.addoption("--key", type=Path, help="private SSH key of the first user of the image")
    parser.addoption("--user", default="pi", help="the first user")


def _given(config: pytest.Config, name: str) -> Path:
    path: Path | None = config.getoption(f"--{name}")
    if path is None or not path.exists():
        missing(f"needs --{name}: run ./invoke test --only home-card")
    return path


@pytest.fixture(scope="session")
def image(pytestconfig: pytest.Config) -> Path:
    """Give the home's image, which is not written."""
    return _given(pytestconfig, "image")


@pytest.fixture(scope="session")
def car(pytestconfig: pytest.Config) -> Path:
    """Give the root of a car's image."""
    return _given(pytestconfig, "car-root")


@pytest.fixture(scope="session")
def qemu(pytestconfig: pytest.Config) -> Qemu:
    """Give QEMU."""
    return find_qemu(pytestconfig.getoption("qemu_root"))
