"""What two trees differ in, and what of a copied boot partition has to be written back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from glovebox.card import bootfiles
from glovebox.images import diff as differ, show as show_image

if TYPE_CHECKING:
    from pathlib import Path


def test_mappings() -> None:
    """Values that came, went and changed are told apart; what is the same has no entry."""
    one = {"a": "1", "b": "2", "c": "3"}

    assert differ.mappings(one, {"a": "1", "b": "9", "d": "4"}) == {
        "added": {"d": "4"},
        "removed": {"c": "3"},
        "changed": {"b": ["2", "9"]},
    }
    assert differ.mappings(one, one) == {}


def test_lines_keep_their_order() -> None:
    """Lines that moved count, since the firmware reads from the top."""
    assert differ.lines(["a", "b"], ["a", "c", "b"]) == ["+ c"]
    assert differ.lines(["a", "b"], ["b", "a"]) != []
    assert differ.lines(["a"], ["a"]) == []


def made(path: Path, *, mode: int = 0o644, text: str = "x") -> Path:
    """Make a file with a mode."""
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_file_is_compared_by_all_that_it_is(tmp_path: Path) -> None:
    """Mode, size, kind, target of a link and attributes are told; the time is not."""
    made(tmp_path / "plain")
    twin = made(tmp_path / "twin")
    made(tmp_path / "program", mode=0o755, text="xy")
    link, other = tmp_path / "link", tmp_path / "other"
    link.symlink_to("plain")
    other.symlink_to("twin")
    marked = made(tmp_path / "marked")
    os.setxattr(marked, "user.note", b"1")
    os.utime(twin, (1, 1))
    seen = {path.name: differ.entry(path) for path in tmp_path.iterdir()}

    assert differ.differences(seen["plain"], seen["twin"]) == []
    assert differ.differences(seen["plain"], seen["program"]) == ["mode 0644 → 0755", "size 1 → 2"]
    assert differ.differences(seen["plain"], seen["link"]) == ["file → link"]
    assert differ.differences(seen["link"], seen["other"]) == ["link plain → twin"]
    assert differ.differences(seen["plain"], seen["marked"]) == ["attribute user.note"]


def test_a_whole_folder_is_one_line() -> None:
    """A folder that came is listed with the number of what is in it, not file by file."""
    changes = [
        {"path": path, "what": what, "how": how, "package": None}
        for path, what, how in (
            ("/etc/x", "changed", ("mode 0644 → 0600",)),
            ("/opt/app", "added", ("folder",)),
            ("/opt/app/bin", "added", ("folder",)),
            ("/opt/app/bin/run", "added", ("file",)),
            ("/opt/apple", "removed", ("file",)),
        )
    ]

    lines = show_image._file_lines([{**one, "how": list(one["how"])} for one in changes])

    assert lines == ["~ /etc/x  mode 0644 → 0600", "+ /opt/app/  (2 inside)", "- /opt/apple"]


@pytest.fixture
def boot(tmp_path: Path) -> Path:
    """Give a folder of boot files."""
    (tmp_path / "overlays").mkdir()
    for name in ("config.txt", "kernel8.img", "overlays/a.dtbo", "overlays/b.dtbo"):
        (tmp_path / name).write_text(name)
    return tmp_path


def test_what_is_written_back(boot: Path) -> None:
    """Exactly what was changed is named, in an order that works."""
    before = bootfiles.listing(boot)
    (boot / "config.txt").write_text("other")
    (boot / "Kernel8.img").write_text("in capitals")
    (boot / "kernel8.img").unlink()
    for name in ("a", "b"):
        (boot / f"overlays/{name}.dtbo").unlink()
    (boot / "overlays").rmdir()
    (boot / "overlays").write_text("now a file")
    (boot / "new/deep").mkdir(parents=True)
    (boot / "new/deep/file").touch()

    found = bootfiles.compare(before, boot)

    # First what goes, deepest first, then folders, then files: FAT knows no case.
    assert found.removed == ("overlays/a.dtbo", "overlays/b.dtbo", "kernel8.img", "overlays")
    assert found.folders == ("new", "new/deep")
    assert found.written == ("Kernel8.img", "config.txt", "new/deep/file", "overlays")


def test_nothing_changed_is_nothing_to_write(boot: Path) -> None:
    """A copy that was only read costs the image no write."""
    assert not bootfiles.compare(bootfiles.listing(boot), boot)


def test_what_fat_cannot_hold_is_left_out(boot: Path) -> None:
    """Links, pipes and names FAT does not know are named and not written."""
    before = bootfiles.listing(boot)
    (boot / "link").symlink_to("config.txt")
    os.mkfifo(boot / "pipe")
    (boot / "what?.txt").touch()

    found = bootfiles.compare(before, boot)

    assert found.left_out == ("link", "pipe", "what?.txt")
    assert not found


def test_only_lost_and_found_itself_is_left_out(tmp_path: Path) -> None:
    """What fsck found is not compared; a name that merely begins like its folder is."""
    for name in ("lost+found/x", "lost+foundry/x"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()

    assert sorted(differ.entries(tmp_path)) == ["lost+foundry", "lost+foundry/x"]
