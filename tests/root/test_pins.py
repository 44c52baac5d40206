"""What an image's apt prefers decides what is resolved on it, and keeps nothing of that out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox.errors import LockError
from glovebox.host import chroot, files, mounts
from glovebox.host.arch import host_arch
from glovebox.host.run import run
from glovebox.lock import apt, archive, lock
from tests.root.tools import suite_tools

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.root, pytest.mark.needs("apt-get", "dpkg-deb", "mount", "unshare")]
OLD = "Package: thing\nPin: version 1*\nPin-Priority: 1001\n"
NONE = "Package: *\nPin: release *\nPin-Priority: -1\n"


def packages(folder: Path) -> str:
    """Make two versions of a package, each under its sum; give their index."""
    index = []
    for version in ("1.0", "2.0"):
        tree = folder / version
        (tree / "DEBIAN").mkdir(parents=True)
        control = f"Package: thing\nVersion: {version}\nArchitecture: all\nMaintainer: x <x@y.z>\n"
        (tree / "DEBIAN/control").write_text(f"{control}Description: a thing\n")
        made = folder / "made.deb"
        run(["dpkg-deb", "--root-owner-group", "--build", tree, made])
        digest, size = files.sha256_file(made), made.stat().st_size
        (folder / "pool").mkdir(exist_ok=True)
        made.rename(folder / "pool" / digest)
        index.append(
            f"{control}Filename: ./pool/{digest}\nSize: {size}\nSHA256: {digest}\n"
            "Description: a thing\n"
        )
    return "\n".join(index)


def test_a_pin_decides_what_is_resolved(tmp_path: Path) -> None:
    """The version it asks for; where it rules all out, the image is named and not the mirror."""
    (tmp_path / "Packages").write_text(packages(tmp_path))
    state = apt.Apt(folder=tmp_path / "state", arch=host_arch())
    state.prepare()
    entry = f"deb [trusted=yes] file:{tmp_path} ./\n"
    (state.folder / "sources.list").write_text(entry)
    state._run("apt-get", "update")

    def resolved(pins: str) -> list[str]:
        request = lock.Request(name="00-packages", packages=("thing",))
        chain = lock.Chain(name="target", arch=host_arch(), requests=(request,), pins=pins)
        return [one.version for one in lock._resolve_chain(state, chain)["00-packages"]]

    assert resolved("") == ["2.0"]
    assert resolved(OLD) == ["1.0"]
    with pytest.raises(LockError, match="no installation candidate") as caught:
        resolved(NONE)
    assert caught.value.message.startswith("00-packages: apt cannot resolve thing ")
    assert "starts from pins packages" in (caught.value.hint or "")


def test_a_pin_is_read_as_apt_does(tmp_path: Path) -> None:
    """From all files that apt takes, and through no link out of the root."""
    (tmp_path / "etc/apt/preferences.d").mkdir(parents=True)
    (tmp_path / "etc/apt/preferences").write_text("Package: c\n")
    for name in ("b", "a.pref", "x.bak"):
        (tmp_path / "etc/apt/preferences.d" / name).write_text(f"Package: {name}\n")

    assert apt.pins_of(tmp_path) == "Package: a.pref\n\nPackage: b\n\nPackage: c"


def test_what_was_resolved_is_installed(folder: Path) -> None:
    """Whatever the root's own preferences say: the lock is the archive."""
    index = packages(folder)
    for name in ("scratch", "upper", "root"):
        (folder / name).mkdir()
    tree = suite_tools().tree
    with mounts.overlay(
        [tree], folder / "root", scratch=folder / "scratch", upper=folder / "upper"
    ) as root:
        (root / "etc/apt/preferences.d").mkdir(parents=True, exist_ok=True)
        (root / "etc/apt/preferences.d/none").write_text(NONE)
        with archive.shown(root, index, folder / "pool") as env:
            for words in (["update"], ["install", "--yes", "thing"]):
                run(chroot.command(root, ["apt-get", "--quiet", *words]), env=dict(env))
        found = (root / "var/lib/dpkg/status").read_text()

    assert "Package: thing\nStatus: install ok installed\n" in found
