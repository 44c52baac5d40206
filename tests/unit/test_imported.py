"""A base image is known by its bytes, whatever the store remembers of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox.build import imported
from glovebox.host.files import sha256_file
from glovebox.lock import apt
from glovebox.plan.base import Base
from glovebox.store.store import Layer, Store

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


@pytest.mark.parametrize(
    ("machine_id", "stays"),
    [
        ("uninitialized\n", True),
        ("", True),
        ("0123456789abcdef0123456789abcdef\n", False),
    ],
)
def test_an_image_stays_as_it_came(tmp_path: Path, machine_id: str, *, stays: bool) -> None:
    """Of all its files only the id goes that a system has once it ran; first-boot words stay."""
    files = ("etc/resolv.conf", "var/log/dpkg.log", "var/cache/apt/pkgcache.bin", "etc/passwd-")
    for name in (*files, "etc/machine-id"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(machine_id if name == "etc/machine-id" else name)

    imported._forget_its_id(tmp_path)

    assert [name for name in files if not (tmp_path / name).is_file()] == []
    assert (tmp_path / "etc/machine-id").exists() is stays


@pytest.mark.parametrize("end", ["com", "org"])
def test_a_mirror_of_raspberry_pis_archive(tmp_path: Path, end: str) -> None:
    """Named, it is asked in place of the one in the image, and proven by the image's own key."""
    key = tmp_path / "usr/share/keyrings/raspberrypi.gpg"
    sources = tmp_path / "etc/apt/sources.list"
    for path in (key, sources):
        path.parent.mkdir(parents=True)
    key.write_bytes(b"key")
    sources.write_text(
        "deb http://example.org/other trixie main\n"
        "deb [signed-by=/usr/share/keyrings/raspberrypi.gpg]"
        f" http://archive.raspberrypi.{end}/debian/ trixie main\n"
    )
    base = Base(
        layer=Layer(key="k", path=tmp_path), digest="", arch="arm64", suite="trixie", boot=""
    )
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("usr", "etc"):
        (tmp_path / name).rename(tree / name)
    debian = apt.Mirror(main="http://m/debian", security="http://m/sec")

    found = imported.archives(base, debian, raspberry_pis="http://127.0.0.1:8/debian")

    assert [one.url for one in found] == ["http://example.org/other", "http://127.0.0.1:8/debian"]
    assert found[1].keyring == tree / "usr/share/keyrings/raspberrypi.gpg"
