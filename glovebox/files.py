"""Write files whole, and digest them: what several modules need of the file system."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


BYTECODE = "__pycache__"
_CHUNK = 1 << 20


def write_whole(path: Path, data: bytes | str, *, mode: int = 0o644) -> None:
    """Write a file so that readers see the old one or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def fsync_folder(path: Path) -> None:
    """Make a rename in this folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync(path: Path) -> None:
    """Flush one file to the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def syncfs(path: Path) -> None:
    """Flush the whole file system that holds ``path``: one call a layer, not one a file."""
    import ctypes  # noqa: PLC0415  the standard library has no syncfs; loaded only where needed

    descriptor = os.open(path, os.O_RDONLY)
    try:
        ctypes.CDLL(None, use_errno=True).syncfs(descriptor)
    finally:
        os.close(descriptor)


def copy_data(
    source: Path, target: Path, *, start: int = 0, size: int | None = None, to: int = 0
) -> None:
    """Copy ``size`` bytes from ``start`` on into another file at ``to``, leaving holes holes."""
    with source.open("rb") as inside, target.open("rb+") as outside:
        end = source.stat().st_size if size is None else start + size
        at = start
        while at < end:
            try:
                begin = os.lseek(inside.fileno(), at, os.SEEK_DATA)
            except OSError:  # only a hole is left
                break
            at = min(os.lseek(inside.fileno(), begin, os.SEEK_HOLE), end)
            inside.seek(begin)
            outside.seek(to + begin - start)
            while begin < at:
                block = inside.read(min(_CHUNK, at - begin))
                outside.write(block)
                begin += len(block)


def digest(*parts: str | bytes) -> str:
    """Give the sha256 of the parts, each with its length so that they cannot run together."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big"))
        total.update(data)
    return total.hexdigest()


def digest_json(value: Any) -> str:  # noqa: ANN401  JSON is any value
    """Give the sha256 of a value in its canonical JSON form."""
    return digest(json.dumps(value, sort_keys=True, separators=(",", ":")))


def sha256_file(path: Path) -> str:
    """Give the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def walk(root: Path) -> Iterator[Path]:
    """Give every file, link and folder below ``root``, sorted, parents first."""
    for entry in sorted(os.scandir(root), key=lambda found: found.name):
        path = Path(entry.path)
        yield path
        if entry.is_dir(follow_symlinks=False):
            yield from walk(path)


def digest_tree(root: Path) -> str:
    """Give the sha256 of a file or folder: names, bytes, executable bits and link targets.

    Times, owners, umask and the place of the folder do not count, nor does what Python leaves
    beside its sources.
    """
    if not root.is_dir():
        return digest(*_entry(root, root.name))
    found = ((path, path.relative_to(root)) for path in walk(root))
    return digest(
        *(
            part
            for path, inside in found
            if BYTECODE not in inside.parts
            for part in _entry(path, str(inside))
        )
    )


def _entry(path: Path, name: str) -> tuple[str, ...]:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return (name, "link", str(path.readlink()))
    if stat.S_ISDIR(mode):
        return (name, "folder")
    return (name, "program" if mode & 0o100 else "file", sha256_file(path))
