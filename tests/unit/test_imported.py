"""A base image is known by its bytes, whatever the store remembers of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox.build import imported
from glovebox.host.files import sha256_file
from glovebox.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "damage",
    [b"", b"[]", b"null", b"\xff", b"{", b'{"a":' * 100_000, b'{"NAME": 7}', b'{"NAME": "x"}'],
)  # fmt: skip
def test_a_damaged_memory_is_none(tmp_path: Path, damage: bytes) -> None:
    """The sum is taken again, and remembered; nothing else is believed."""
    store = Store(root=tmp_path / "store").open()
    image = tmp_path / "card.img"
    image.write_bytes(b"image")
    status = image.stat()
    name = f"{image.resolve()} {status.st_size} {status.st_mtime_ns}"
    (store.root / "digests.json").write_bytes(damage.replace(b"NAME", name.encode()))

    assert imported._digest(image, store) == sha256_file(image)
    assert sha256_file(image) in (store.root / "digests.json").read_text()
