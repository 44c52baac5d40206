"""Raspberry Pi OS as base, from the list to the lowest layer, with a small card as its image.

The cards have the layouts of Raspberry Pi OS. Nobody signed them, so their signature is not asked
here: what it proves is shown in tests/unit/test_raspios.py.
"""

from __future__ import annotations

import json
import lzma
from typing import TYPE_CHECKING

import pytest

from glovebox.boards.boards import BOARDS
from glovebox.config.schema import BoardName
from glovebox.errors import LockError
from glovebox.host.files import sha256_file
from glovebox.host.monitor import Monitor
from glovebox.lock import lock, signature
from glovebox.project import opened
from glovebox.project.load import load
from glovebox.store.store import Store
from tests.raspios_server import FOLDER, Server, entry, listing, serving
from tests.root import small_card

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from glovebox.plan.base import Base

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("sfdisk", "mformat", "mcopy", "mtype", "mke2fs", "xz"),
]
QUIET = Monitor(quiet=True)


@pytest.fixture
def store(folder: Path) -> Store:
    """Give an empty store."""
    return Store(root=folder / "store").open()


@pytest.fixture
def server() -> Iterator[Server]:
    """Run a stand-in for Raspberry Pi's server."""
    with serving() as running:
        yield running


def publish(
    server: Server,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    suite: str,
    holds: str = "",
    raw_sha256: str = "",
) -> Path:
    """List and serve a small card as the newest image of a release; give the card."""
    monkeypatch.setattr(signature, "require", lambda *_, **__: None)
    card = small_card.make(folder / "card.img", small_card.LAYOUTS[holds or suite])
    packed = folder / f"2026-09-15-raspios-{suite}-arm64-lite.img.xz"
    packed.write_bytes(lzma.compress(card.read_bytes(), preset=0))
    server.serve(
        list=json.dumps(
            listing(
                entry(
                    packed.name,
                    extract_size=card.stat().st_size,
                    extract_sha256=raw_sha256 or sha256_file(card),
                    image_download_size=packed.stat().st_size,
                    image_download_sha256=sha256_file(packed),
                )
            )
        ).encode(),
    )
    server.files[f"/{FOLDER}/{packed.name}"] = packed.read_bytes()
    server.files[f"/{FOLDER}/{packed.name}.sig"] = b"none"
    return card


def lowest(server: Server, store: Store, folder: Path, *, suite: str, locked: bool = False) -> Base:
    """Open the lowest layer of a configuration; without a lock, write one."""
    config = folder / "image.yaml"
    config.write_text(
        f"board: '3'\nbase: raspios\nprofile: bench\nstages: [telematics]\nsuite: {suite}\n"
        f"raspios: {{server: '{server.url}'}}\n"
    )
    board = BOARDS[BoardName.PI_3]
    file = opened.lock_file(config, board)
    image, base = opened._lowest(
        load(config).config, store, QUIET, board, by=file if locked else None, refresh=False
    )
    assert base is not None
    if not locked:
        file.write_text(lock.Lock(suite=suite, epoch=1, chains={}, raspios=image).dump())
    return base


@pytest.mark.parametrize("suite", ["trixie", "bookworm"])
def test_from_the_list_to_the_layer(
    server: Server, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch, suite: str
) -> None:
    """Both partitions lie in the layer, where the image has them; locked, no network is asked."""
    publish(server, folder, monkeypatch, suite=suite)
    server.moods = ["drop", "drop"]

    base = lowest(server, store, folder, suite=suite)

    assert (base.suite, base.arch, base.boot) == (suite, "arm64", "boot/firmware")
    tree = base.layer.tree
    assert (tree / "etc/hostname").read_text() == "raspberrypi\n"
    assert (tree / "boot/firmware/config.txt").read_text().startswith("dtparam=audio=on\n")
    assert "Package: libc6\n" in base.status
    asked = len(server.asked)
    assert lowest(server, store, folder, suite=suite, locked=True) == base
    assert len(server.asked) == asked


def test_the_same_image_by_its_path_is_the_same_layer(
    server: Server, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who fetched it by hand builds on the very layer: what lies above has the same keys."""
    publish(server, folder, monkeypatch, suite="trixie")
    official = lowest(server, store, folder, suite="trixie")
    config = folder / "by-hand.yaml"
    packed = next(folder.glob("*.img.xz"))
    config.write_text(f"board: '3'\nbase: {packed}\nprofile: bench\nstages: [telematics]\n")

    image, base = opened._lowest(
        load(config).config, store, QUIET, BOARDS[BoardName.PI_3], by=None, refresh=False
    )

    assert image is None
    assert base == official


def test_an_image_of_another_release(
    server: Server, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listed, and still not what its name says: it is refused."""
    publish(server, folder, monkeypatch, suite="trixie", holds="bookworm")

    with pytest.raises(LockError, match="holds a system of bookworm, by its name it is one of tri"):
        lowest(server, store, folder, suite="trixie")


def test_what_comes_out_is_not_what_is_listed(
    server: Server, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that unpacks to another sum than the listed one gives no layer."""
    publish(server, folder, monkeypatch, suite="trixie", raw_sha256="5e" * 32)

    with pytest.raises(LockError, match=f"{'5e' * 32} is pinned"):
        lowest(server, store, folder, suite="trixie")
    assert list(store.layers()) == []
