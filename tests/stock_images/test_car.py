"""Profile car on Raspberry Pi OS: image.yaml as it is shipped, with another base.

The images are stand-ins (tests/stock_image.py), fetched from a server on the loopback.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox.checkout import CHECKOUT
from glovebox.host.monitor import Monitor
from glovebox.project import story
from glovebox.project.opened import Project, open_project
from glovebox.project.show import first_start
from glovebox.store.store import Store, default_root

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.raspios_server import Server

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("mmdebstrap", "gpg", "xz", "mke2fs", "mformat", "sfdisk"),
]
# Images, and what was seen of them, beside those of other boards.
OUT = CHECKOUT / "out" / "raspios"
# What another base can have changed; a board's whole session takes three times as long.
SELECT = "test_boot or test_disk or test_raspios or test_first_boot or test_gnss or test_telematics"


@pytest.fixture(scope="session")
def car(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Project]:
    """Give what opens a car on the newest image of a release."""

    def opened(board: str, *, suite: str) -> Project:
        config = tmp_path_factory.mktemp("car") / "image.yaml"
        config.write_text((CHECKOUT / "image.yaml").read_text())
        overrides = [
            f"board={board}", "base=raspios", f"suite={suite}", f"raspios.server={server.url}",
            f"raspios.archive={server.url}/debian", "user.name=driver",  # its own is pi
        ]  # fmt: skip
        store = Store(root=default_root()).open()
        return open_project(Monitor(), store=store, config=config, overrides=overrides, out=OUT)

    return opened


@pytest.fixture(scope="session")
def built(car: Callable[..., Project]) -> Project:
    """Build the newest, and verify it in a chroot."""
    project = car("3", suite="trixie")
    with project.store.in_use():
        story.build_image(project)
    return project


def test_it_is_built_and_verified_in_a_chroot(built: Project) -> None:
    """All tests of an image that mean something in a chroot hold on Raspberry Pi OS too.

    The plan names what the stock image would have done by itself.
    """
    assert built.image.is_file()
    told = "\n".join(first_start(built))
    assert "growth: word resize, unit rpi-resize.service" in told
    assert "glovebox-grow.service grows the data partition" in told


def test_it_starts_and_records(built: Project) -> None:
    """The emulated board starts from it, takes over its owner's settings, and has its receiver."""
    with built.store.in_use():
        story.verify_target(built, "emulated", select=["-k", SELECT])
