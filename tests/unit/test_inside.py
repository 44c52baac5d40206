"""No name inside a root file system leads to the host, whatever links the root has."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings, strategies as st

from glovebox.errors import ImageError
from glovebox.host import inside, kernel

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS = ("a", "b", "c", "..", "/")


@pytest.fixture(params=["the kernel", "a walk"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a root beside a host's file, resolved in one way and in the other."""
    if request.param == "a walk":
        monkeypatch.setattr(inside, "_kernel_resolves", lambda: False)
    (tmp_path / "host").write_text("the host's")
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def test_links_lead_nowhere_else(root: Path, tmp_path: Path) -> None:
    """Absolute links, and those that climb above the root, mean the root's own files."""
    (root / "absolute").symlink_to(tmp_path / "host")
    (root / "climbing").symlink_to("../host")
    (root / "folder").symlink_to(tmp_path)

    assert inside.text(root, "absolute") == ""
    assert inside.text(root, "climbing") == ""
    assert inside.text(root, "folder/host") == ""
    assert inside.text(root, "../host") == ""
    assert inside.place(root, "climbing") == root / "host"

    inside.write(root, "folder/host", "the root's")
    inside.write(root, "../climbed/host", "the root's", mode=0o755)

    assert (tmp_path / "host").read_text() == "the host's"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["host", "root"]
    assert (root / tmp_path.relative_to("/") / "host").read_text() == "the root's"
    assert (root / "climbed/host").stat().st_mode & 0o777 == 0o755


def test_what_is_written_replaces_a_link(root: Path, tmp_path: Path) -> None:
    """A file or a link takes the place of a link of that name, not of what that points to."""
    for name in ("file", "link"):
        (root / name).symlink_to(tmp_path / "host")

    inside.write(root, "file", "new")
    inside.link(root, "link", "file")

    assert (tmp_path / "host").read_text() == "the host's"
    assert (root / "file").read_text() == "new"
    assert not (root / "file").is_symlink()
    assert inside.text(root, "link") == "new"


@pytest.mark.parametrize("name", ["pipe", "device", "folder", "gone", "gone/deeper", "file/x"])
def test_only_plain_files_are_read(root: Path, name: str) -> None:
    """A pipe or a device is not opened, and what is not there says nothing."""
    os.mkfifo(root / "pipe")
    (root / "folder").mkdir()
    (root / "file").touch()
    (root / "device").symlink_to("/dev/zero")

    assert inside.text(root, name) == ""
    assert not inside.is_file(root, name)


def test_a_huge_file_is_a_sentence(root: Path) -> None:
    """A sparse file of 64 GiB is named, and none of it read."""
    with (root / "passwd").open("wb") as file:
        file.truncate(64 << 30)

    with pytest.raises(ImageError, match=r"/passwd has 68719476736 bytes"):
        inside.text(root, "passwd")


def test_circles_are_named(root: Path) -> None:
    """Links in a circle end in a sentence."""
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")

    with pytest.raises(ImageError, match=r"/a/x: links go round in circles"):
        inside.place(root, "a/x")

    (root / "a").unlink()  # pytest cannot clear circles away


def test_a_folder_in_the_way_is_named(root: Path) -> None:
    """A folder does not become a file, nor a file a folder: the place is said, with a cure."""
    (root / "var/log").mkdir(parents=True)
    (root / "etc").write_text("a file")

    with pytest.raises(ImageError, match="/var/log is a folder"):
        inside.write(root, "var/log", "x")
    with pytest.raises(ImageError, match="/etc is no folder"):
        inside.write(root, "etc/passwd", "x")

    assert (root / "etc").read_text() == "a file"


def test_a_busy_machine_changes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel cannot be sure, as others rename files meanwhile, the links are walked."""
    (root / "usr").mkdir()
    (root / "a").symlink_to("../../usr")

    def unsure(*_: object) -> int:
        raise BlockingIOError

    monkeypatch.setattr(kernel, "syscall", unsure)

    assert inside.place(root, "a/x") == root / "usr/x"


@pytest.mark.thorough
@settings(max_examples=300, deadline=None)
@given(
    links=st.dictionaries(
        st.sampled_from(["a", "b", "c", "a/b", "b/c", "c/a"]),
        st.lists(st.sampled_from(PARTS), min_size=1, max_size=5),
        max_size=5,
    ),
    folders=st.lists(st.sampled_from(["a", "b", "c", "a/b", "a/c", "b/a", "b/c", "c/a"])),
    name=st.lists(st.sampled_from(PARTS), min_size=1, max_size=6),
)
def test_kernel_and_walk_agree(
    links: dict[str, list[str]], folders: list[str], name: list[str]
) -> None:
    """Whatever links a tree has, both ways give the same place, and one inside the root."""
    # pytest's own folders cannot be cleared of links in circles.
    with TemporaryDirectory() as made:
        root = Path(made) / "root"
        root.mkdir()
        for one in folders:
            (root / one).mkdir(parents=True, exist_ok=True)
        for one, to in links.items():
            with suppress(FileExistsError, FileNotFoundError):
                if not any(path.is_symlink() for path in (root / one, (root / one).parent)):
                    (root / one).symlink_to("/".join(to).replace("//", "/"))
        asked = "/".join(name).replace("//", "/")

        found = [_resolved(way, root, asked) for way in (inside.place, inside.walked)]

    assert found[0] == found[1]
    assert found[0] is None or found[0].is_relative_to(root)


def _resolved(way: Callable[[Path, str], Path], root: Path, name: str) -> Path | None:
    try:
        return way(root, name)
    except ImageError:
        return None
