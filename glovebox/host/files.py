"""Write files whole, and digest them: what several modules need of the file system."""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import json
import os
import stat
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glovebox.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator


BYTECODE = "__pycache__"
_CHUNK = 1 << 20
# What copies and removes trees calls itself for each folder, and Python has an end to that.
_DEEPEST = 400
# So many mistakes of one folder are enough to know what it is.
_MANY = 20
_ZEROS = memoryview(bytes(_CHUNK))
# How the name of a file ends that is not whole yet.
_HALF = ".half"
# What a host labels its own files with is no part of a tree.
_LABELS = frozenset({"security.selinux", "security.ima", "security.evm"})


def write_whole(
    path: Path, data: bytes | str, *, mode: int = 0o644, owner: tuple[int, int] | None = None
) -> None:
    """Write a file so that readers see the old one or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, mode=mode, owner=owner) as half:
        half.write_bytes(data.encode() if isinstance(data, str) else data)


@contextmanager
def replacing(
    path: Path, *, mode: int = 0o644, owner: tuple[int, int] | None = None
) -> Iterator[Path]:
    """Give a file to fill that takes the name ``path`` when the block ends well.

    What killed processes left of earlier ones is removed first. It belongs to ``owner``, a user
    and a group, where that is not who runs this.
    """
    sweep_halves(path.parent, path.name)
    descriptor, half = _locked_half(path)
    try:
        os.fchmod(descriptor, mode)
        if owner is not None:
            os.fchown(descriptor, *owner)
        yield half
        os.fsync(descriptor)
        half.replace(path)
    except BaseException:
        half.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    fsync_folder(path.parent)


def read_object(path: Path) -> dict[str, Any] | None:
    """Read a JSON object of ours; None where there is none, or what is there is damaged."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except (ValueError, RecursionError):  # no JSON, no UTF-8, or deeper than any we write
        return None
    return found if isinstance(found, dict) else None


def sweep_halves(folder: Path, name: str | None = None) -> int:
    """Remove half-written files, or those of ``name``, that killed processes left; count them."""
    removed = 0
    for half in folder.glob(f".{'*' if name is None else glob.escape(name)}.*{_HALF}"):
        with suppress(FileNotFoundError):
            descriptor = os.open(half, os.O_RDONLY)
            try:
                # Whoever still writes it holds this lock.
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                half.unlink()
                removed += 1
            except BlockingIOError:
                pass
            finally:
                os.close(descriptor)
    return removed


def _locked_half(path: Path) -> tuple[int, Path]:
    while True:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_HALF)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, Path(name)
        os.close(descriptor)  # somebody swept it before it was locked


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
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(descriptor)


def copy_data(
    source: Path, target: Path, *, start: int = 0, size: int | None = None, to: int = 0
) -> None:
    """Copy ``size`` bytes from ``start`` on into another file at ``to``, leaving holes holes."""
    with source.open("rb") as inside, target.open("rb+") as outside:
        end = source.stat().st_size if size is None else start + size
        for begin, until in data(inside.fileno(), start, end):
            inside.seek(begin)
            outside.seek(to + begin - start)
            at = begin
            while at < until:
                block = inside.read(min(_CHUNK, until - at))
                outside.write(block)
                at += len(block)


def data(descriptor: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Give where a file has data between two places; the rest of it are holes."""
    at = start
    while at < end:
        try:
            begin = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        if begin >= end:
            return
        at = min(os.lseek(descriptor, begin, os.SEEK_HOLE), end)
        yield begin, at


def digest(*parts: str | bytes) -> str:
    """Give the sha256 of the parts, each with its length so that they cannot run together."""
    total = hashlib.sha256()
    for part in parts:
        # As the file system has them: a name need not be UTF-8.
        data = part.encode(errors="surrogateescape") if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big"))
        total.update(data)
    return total.hexdigest()


def digest_json(value: Any) -> str:  # noqa: ANN401  JSON is any value
    """Give the sha256 of a value in its canonical JSON form."""
    return digest(json.dumps(value, sort_keys=True, separators=(",", ":")))


def sha256_file(path: Path, *, start: int = 0, size: int | None = None) -> str:
    """Give the sha256 of a file's bytes, or of ``size`` of them from ``start`` on."""
    total = hashlib.sha256()
    for chunk in chunks(path, start=start, size=size):
        total.update(chunk)
    return total.hexdigest()


def chunks(path: Path, *, start: int = 0, size: int | None = None) -> Iterator[memoryview]:
    """Give a file's bytes piece by piece; a piece is another one's once the next is asked for.

    Holes are not read: the kernel would fill its memory with their zeros, and an image has many.
    """
    block = memoryview(bytearray(_CHUNK))
    with path.open("rb", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size if size is None else start + size
        at = start
        for begin, until in (*data(file.fileno(), start, end), (end, end)):
            for length in _pieces(begin - at):
                yield _ZEROS[:length]
            file.seek(begin)
            at = begin
            while at < until:
                read = file.readinto(block[: until - at])
                if not read:
                    message = f"{path} became shorter while it was read"
                    raise OSError(message)
                yield block[:read]
                at += read


def _pieces(length: int) -> Iterator[int]:
    """Give the sizes of the chunks that make up ``length``."""
    for at in range(0, length, _CHUNK):
        yield min(_CHUNK, length - at)


def clear(path: Path) -> None:
    """Remove whatever is at a place, a folder with all it holds; a link is not followed."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        remove_tree(path)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all it holds, however deep that is: shutil's calls itself each time."""
    for path in reversed(list(walk(folder))):
        if stat.S_ISDIR(path.lstat().st_mode):
            path.rmdir()
        else:
            path.unlink()
    folder.rmdir()


def walk(root: Path) -> Iterator[Path]:
    """Give every file, link and folder below ``root``, sorted, parents first."""
    for entry in _entries(root):
        yield Path(entry.path)


def _entries(root: Path) -> Iterator[os.DirEntry[str]]:
    """Give what ``walk`` gives, however deep it is: no function calls itself here."""
    waiting = [_sorted(root)]
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
            continue
        yield entry
        if entry.is_dir(follow_symlinks=False):
            waiting.append(_sorted(entry))


def _sorted(folder: Path | os.DirEntry[str]) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return iter(sorted(found, key=lambda entry: entry.name))


def kind_of(mode: int) -> str:
    """Say what is no plain file, folder or link, by its mode."""
    kinds = {stat.S_IFIFO: "a pipe (FIFO)", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def digest_tree(root: Path) -> str:
    """Give the sha256 of a file or folder: names, bytes, executable bits and link targets.

    Times, owners, umask and the place of the folder do not count, nor does what Python leaves
    beside its sources.
    """
    if not root.is_dir():
        # A link is given in place of the file it leads to: what is read is that.
        return digest(*_entry(root.resolve() if root.exists() else root, root.name))
    found = ((path, path.relative_to(root)) for path in walk(root))
    return digest(
        *(
            part
            for path, inside in found
            if BYTECODE not in inside.parts
            for part in _entry(path, str(_near(path, inside)))
        )
    )


def _near(path: Path, inside: Path) -> Path:
    """Raise ConfigError where a file lies deeper than what copies and removes it can go."""
    if len(inside.parts) > _DEEPEST:
        raise ConfigError(
            f"…/{'/'.join(path.parts[-3:])} lies more than {_DEEPEST} folders deep",
            hint="no system has such a file: is it a link in a circle that was followed?",
        )
    return inside


def require_plain(root: Path) -> None:
    """Raise ConfigError naming all that ``digest_tree`` would refuse; no file is read."""
    entries = walk(root) if root.is_dir() else [root.resolve()]
    wrong: list[str] = []
    for path in (one for one in entries if os.path.lexists(one)):
        try:
            _near(path, path.relative_to(root) if root.is_dir() else Path(path.name))
            _require_bytes(path)
        except ConfigError as error:
            wrong += error.each
            if len(wrong) > _MANY:
                break
    if wrong:
        raise ConfigError("\n".join(wrong), each=wrong)


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """What a tree looks like without reading its files: two digests."""

    # Names, kinds, modes, owners, sizes and times.
    entries: str
    # Extended attributes: file capabilities, access lists, what overlayfs keeps.
    attributes: str


def stamp_tree(root: Path) -> Stamp:
    """Give what tells a tree from one that was changed: quick, no file is read.

    Numbers of inodes do not count, so a copied tree has the same.
    """
    entries, attributes = hashlib.sha256(), hashlib.sha256()

    def note(path: str, name: str) -> None:
        for attribute in sorted(os.listxattr(path, follow_symlinks=False)):
            if attribute not in _LABELS:
                value = os.getxattr(path, attribute, follow_symlinks=False)
                told = f"{name}\0{attribute}\0{value.hex()}\0"
                attributes.update(told.encode(errors="surrogateescape"))

    note(str(root), "")
    start = len(os.fspath(root))
    for entry in _entries(root):
        status = entry.stat(follow_symlinks=False)
        name = entry.path[start:]
        # How large a folder is depends on the file system.
        size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
        told = (status.st_mode, status.st_uid, status.st_gid, size, status.st_mtime_ns)
        entries.update(f"{name}\0{told}\0".encode(errors="surrogateescape"))
        note(entry.path, name)
    return Stamp(entries=entries.hexdigest(), attributes=attributes.hexdigest())


def _entry(path: Path, name: str) -> tuple[str, ...]:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return (name, "link", str(path.readlink()))
    if stat.S_ISDIR(mode):
        return (name, "folder")
    _require_bytes(path)
    return (name, "program" if mode & 0o100 else "file", sha256_file(path))


def _require_bytes(path: Path) -> None:
    mode = path.lstat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
        raise ConfigError(
            f"{path} is {kind_of(mode)}: it has no bytes that could be taken",
            hint="remove it; what the board needs of that kind a script of the stage can make",
        )
