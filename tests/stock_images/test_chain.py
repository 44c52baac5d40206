"""The verbs of the owner's card as a chain, as docs/images.md has it: run as it stands there."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.checkout import CHECKOUT
from glovebox.host.monitor import Monitor
from glovebox.host.run import environment, run
from glovebox.images import inventory
from glovebox.store import store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stock_image import Stock

pytestmark = [pytest.mark.root, pytest.mark.needs("losetup", "mcopy", "resize2fs", "sfdisk")]
PAGE = CHECKOUT / "docs/images.md"
SECTION = "## From a stock image to your own, by hand"
GIB = 1 << 30


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[Path]:
    """Give the name of the owner's image, and take it from its place whatever happens."""
    image = tmp_path / f"chain-{os.getpid()}.img"
    yield image
    run([*_invoke(), "umount", image], check=False, cwd=CHECKOUT)
    assert not Path("/mnt", image.stem).exists()


def _invoke() -> list[str]:
    return [sys.executable, "-m", "invoke"]


def chain(stock: Stock, mine: Path) -> list[str]:
    """Give the commands of the page, for images that lie elsewhere."""
    section = PAGE.read_text().partition(f"{SECTION}\n")[2].partition("\n## ")[0]
    names = {
        "./invoke": " ".join(_invoke()),
        "raspios-lite.img.xz": str(stock.folder / stock.packed.name),
        "/mnt/mine/": f"/mnt/{mine.stem}/",
        "mine.img": str(mine),
    }
    pattern = re.compile("|".join(map(re.escape, names)))
    commands = re.findall(r"^\$ (.+)$", section, re.MULTILINE)
    return [pattern.sub(lambda found: names[found[0]], one) for one in commands]


def test_the_chain_of_the_page(newest: tuple[Stock, ...], mine: Path) -> None:
    """Each command works after the one before, and the image holds what each of them did.

    The image that was given stays as it is, though apt ran in a copy of it with a network.
    """
    stock = newest[0]
    before = stock.packed.stat()
    path = f"{Path(sys.executable).parent}:{environment()['PATH']}"
    said = {
        one: run(["bash", "-c", one], check=False, cwd=CHECKOUT, env={"PATH": path})
        for one in chain(stock, mine)
    }
    *changes, last = said.items()

    assert [one for one, done in changes if done.returncode != 0] == []
    assert last[1].returncode == 1  # as diff(1): they differ
    assert "+ gpsd" in last[1].stdout
    assert "+ dtoverlay=disable-bt" in last[1].stdout
    assert mine.stat().st_size == 4 * GIB
    opened = store.Store(root=store.default_root()).open()
    with inventory.viewed(mine, opened, Monitor(quiet=True)) as view:
        assert (view.root / "usr/sbin/gpsd").is_file()
        assert (view.boot_text("config.txt") or "").endswith("\ndtoverlay=disable-bt\n")
        assert view.card.system.clean
    after = stock.packed.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
