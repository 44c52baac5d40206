"""Two trees: the same to the last attribute, or the first difference is named."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from glovebox.trials import compare

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TIME = 1_600_000_000


def tree(folder: Path) -> Path:
    """Make a tree with one of everything that needs no root."""
    (folder / "etc").mkdir(parents=True)
    (folder / "usr").mkdir()
    (folder / "etc/hostname").write_text("truck\n")
    (folder / "etc/link").symlink_to("hostname")
    (folder / "usr/big").write_bytes(bytes(300_000))
    (folder / "usr/one").write_bytes(b"one")
    (folder / "usr/two").hardlink_to(folder / "usr/one")
    settle(folder)
    return folder


def settle(folder: Path) -> None:
    """Give everything one time."""
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (TIME, TIME), follow_symlinks=False)


def change_bytes(folder: Path) -> None:
    """Change one byte in the middle."""
    with (folder / "usr/big").open("rb+") as file:
        file.seek(200_000)
        file.write(b"x")
    settle(folder)


def unlink_twin(folder: Path) -> None:
    """Make two files of one with two names."""
    (folder / "usr/two").unlink()
    (folder / "usr/two").write_bytes(b"one")
    settle(folder)


def other_link(folder: Path) -> None:
    """Let the link point elsewhere."""
    (folder / "etc/link").unlink()
    (folder / "etc/link").symlink_to("elsewhere")
    settle(folder)


def added(folder: Path) -> None:
    """Add a file."""
    (folder / "etc/more").touch()
    settle(folder)


def other_kind(folder: Path) -> None:
    """Put a folder where a file was."""
    (folder / "etc/hostname").unlink()
    (folder / "etc/hostname").mkdir()
    settle(folder)


@pytest.mark.parametrize(
    ("plant", "named"),
    [
        (change_bytes, "/usr/big: the bytes differ from byte 200000 on (300000 and 300000 bytes)"),
        (unlink_twin, "/usr/two: is a hard link to /usr/one in the first, to /usr/two"),
        (other_link, "/etc/link: points to hostname in the first, to elsewhere in the second"),
        (added, "/etc/more: is only in the second"),
        (other_kind, "/etc/hostname: is a file in the first, a folder in the second"),
        (lambda it: (it / "etc/hostname").chmod(0o600), "/etc/hostname: mode: 0o644 in the first"),
        (lambda it: os.utime(it / "usr", (1, 1)), f"/usr: modification time: {TIME}000000000 in"),
        (lambda it: os.setxattr(it / "etc", "user.note", b"x"), "/etc: attributes: {} in the"),
    ],
)
def test_a_planted_difference_is_named(
    tmp_path: Path, plant: Callable[[Path], object], named: str
) -> None:
    """Whatever is changed in one of two equal trees, its path and kind are told, and no other."""
    one, other = tree(tmp_path / "one"), tree(tmp_path / "other")
    assert list(compare.trees(one, other)) == []

    plant(other)

    found = [str(each) for each in compare.trees(one, other)]
    assert len(found) == 1
    assert found[0].startswith(named)


def test_the_first_byte_may_be_where_one_file_ends(tmp_path: Path) -> None:
    """A file that is the other's beginning differs from it at its end."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"abc")
    other.write_bytes(b"abcd")

    assert compare.first_byte(one, other) == 3
    assert compare.first_byte(one, other, end=3) is None
