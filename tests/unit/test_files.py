"""Digests that know what counts, and files that are written whole."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

import pytest

from glovebox.host import files
from glovebox.host.run import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def tree(root: Path) -> Path:
    """Make a small tree with one of each kind."""
    (root / "empty").mkdir(parents=True)
    (root / "sub").mkdir()
    (root / "sub/file").write_text("text")
    (root / "run").write_text("#!/bin/sh")
    (root / "run").chmod(0o755)
    (root / "link").symlink_to("sub/file")
    return root


def relink(root: Path) -> None:
    """Point the link elsewhere."""
    (root / "link").unlink()
    (root / "link").symlink_to("run")


def unlink(root: Path) -> None:
    """Put the file in the place of the link to it."""
    (root / "link").unlink()
    (root / "link").write_text("text")


COUNTS: dict[str, Callable[[Path], object]] = {
    "bytes": lambda root: (root / "sub/file").write_text("texT"),
    "a name": lambda root: (root / "sub/file").rename(root / "sub/File"),
    "a file's folder": lambda root: (root / "sub/file").rename(root / "file"),
    "a new file": lambda root: (root / "new").touch(),
    "an empty folder": lambda root: (root / "empty").rmdir(),
    "an empty folder's name": lambda root: (root / "empty").rename(root / "void"),
    "the executable bit": lambda root: (root / "run").chmod(0o644),
    "where a link points": relink,
    "a link being one": unlink,
}
DOES_NOT: dict[str, Callable[[Path], object]] = {
    "times": lambda root: [os.utime(path, (1, 1)) for path in root.rglob("*")],
    "a umask": lambda root: ((root / "run").chmod(0o700), (root / "sub/file").chmod(0o600)),
    "a folder's mode": lambda root: (root / "sub").chmod(0o700),
    "the place": lambda root: root.rename(root.with_name("elsewhere")),
    "bytecode": lambda root: (root / "sub/__pycache__").mkdir(),
}


def digest(root: Path) -> str:
    """Digest the tree, wherever it went."""
    return files.digest_tree(root if root.exists() else root.with_name("elsewhere"))


@pytest.mark.parametrize("name", COUNTS)
def test_counts(tmp_path: Path, name: str) -> None:
    """Names, bytes, executable bits, link targets and empty folders decide a digest."""
    root = tree(tmp_path / "tree")
    before = digest(root)

    COUNTS[name](root)

    assert digest(root) != before


@pytest.mark.parametrize("name", DOES_NOT)
def test_does_not_count(tmp_path: Path, name: str) -> None:
    """Times, owners, umask, the tree's place and Python's bytecode do not."""
    root = tree(tmp_path / "tree")
    before = digest(root)

    DOES_NOT[name](root)

    assert digest(root) == before


def test_a_file_has_a_digest_too(tmp_path: Path) -> None:
    """A single file counts with its name, bytes and executable bit."""
    path = tmp_path / "file"
    path.write_text("text")
    before = files.digest_tree(path)

    path.chmod(0o755)

    assert files.digest_tree(path) != before


def test_parts_cannot_run_together() -> None:
    """Where one part ends and the next begins counts."""
    texts = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc")]

    assert len({files.digest(*parts) for parts in texts}) == len(texts)


def test_json_has_one_form() -> None:
    """The order in which a mapping was filled does not count, that of a list does."""
    assert files.digest_json({"a": 1, "b": [1, 2]}) == files.digest_json({"b": [1, 2], "a": 1})
    assert files.digest_json([1, 2]) != files.digest_json([2, 1])


def test_walk_is_sorted_parents_first(tmp_path: Path) -> None:
    """Every run sees the same order, and a folder before what is in it; links are not entered."""
    tree(tmp_path)
    (tmp_path / "around").symlink_to(".")

    found = [str(path.relative_to(tmp_path)) for path in files.walk(tmp_path)]

    assert found == ["around", "empty", "link", "run", "sub", "sub/file"]


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755])
def test_write_whole(tmp_path: Path, mode: int) -> None:
    """The file has its bytes and exactly its mode, whatever the umask; folders are made."""
    path = tmp_path / "deep/er/file"
    old = os.umask(0o027)
    try:
        files.write_whole(path, "ü", mode=mode)
    finally:
        os.umask(old)

    assert path.read_bytes() == "ü".encode()
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("fails", ["fsync", "fchmod"])
def test_a_failed_write_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """On an error the old file stands and no temporary one is left beside it."""
    path = tmp_path / "file"
    path.write_text("old")

    def full(*_: object) -> None:
        message = "no space"
        raise OSError(message)

    monkeypatch.setattr(os, fails, full)
    with pytest.raises(OSError, match="no space"):
        files.write_whole(path, "new")

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("size", [0, 1, 5000, (3 << 20) + 17])
def test_copy_data(tmp_path: Path, size: int) -> None:
    """A file is copied to its place in another, holes staying holes, nothing around it touched."""
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        file.truncate(size)
        if size > 1 << 20:
            file.seek(2 << 20)
            file.write(b"data")
        elif size:
            file.write(b"d" * size)
    target.write_bytes(b"before" + bytes(size) + b"after")

    files.copy_data(source, target, to=6)

    assert target.read_bytes() == b"before" + source.read_bytes() + b"after"


def test_copy_data_of_a_part(tmp_path: Path) -> None:
    """Of a larger file only the part that is asked for is copied."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"headpartrest")
    target.touch()

    files.copy_data(source, target, start=4, size=4)

    assert target.read_bytes() == b"part"


@pytest.mark.parametrize("part", [(0, None), (0, 100), (5000, 3 << 20), (2 << 20, 1), (9 << 20, 0)])
def test_sha256_of_a_file_with_holes(tmp_path: Path, part: tuple[int, int | None]) -> None:
    """Holes count as the zeros they stand for, before, between and after the data."""
    path = tmp_path / "file"
    with path.open("wb") as file:
        for place in (2 << 20, (5 << 20) + 4096):
            file.seek(place)
            file.write(b"data" * 2000)
        file.truncate((9 << 20) + 17)
    start, size = part
    whole = path.read_bytes()

    told = files.sha256_file(path, start=start, size=size)

    end = len(whole) if size is None else start + size
    assert told == hashlib.sha256(whole[start:end]).hexdigest()


def test_holes_are_not_read(tmp_path: Path) -> None:
    """A file of holes is digested without a page of it in the kernel's memory."""
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(16 << 20)

    told = files.sha256_file(path)

    assert told == hashlib.sha256(bytes(16 << 20)).hexdigest()
    assert resident(path) == 0


def resident(path: Path) -> int:
    """Count the bytes of a file that the kernel holds in memory."""
    return int(run(["fincore", "--bytes", "--noheadings", "--output", "RES", path]).stdout)
