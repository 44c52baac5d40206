"""The store: layers and other results, each in a folder named by the key of the step that made it.

A result is filled under a temporary name, flushed to the disk and renamed; what carries its final
name is whole. Anything under ``tmp/`` belongs to nobody once no build runs. ``plans/`` says what
the last plan of each configuration and board needs, ``meta.json``'s time when a result was last
used.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glovebox.errors import GloveboxError, HostError
from glovebox.host import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

FORMAT = 1
META = "meta.json"
UNPACKED = "unpacked"  # images that came packed, see packing.py
_IN_USE = "in-use"
# What is kept of a result's stamp, and under which names in its description.
_STAMPS = {"stamp": "entries", "attributes": "attributes"}
WHEELS = "wheels"
_DOWNLOADS = ("debs", "sources", WHEELS, "apt")
# A socket in a folder below it, and what ssh adds to its name, must come to 107 bytes at most.
_LONGEST = 60
# File systems that cannot hold overlayfs upper folders, by their magic numbers (statfs(2)).
UNFIT = {0x794C7630: "overlayfs", 0x6969: "NFS", 0x4D44: "FAT", 0x65735546: "FUSE"}


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One finished result: ``tree`` holds the files, ``meta`` how it came to be."""

    key: str
    path: Path
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tree(self) -> Path:
        """The files of the result; for a layer, the upper folder of its overlay mount."""
        return self.path / "tree"

    @property
    def work(self) -> Path:
        """What a stage left in STAGE_WORK_DIR beside the root file system."""
        return self.path / "work"


@dataclass(frozen=True, kw_only=True)
class Store:
    """A folder of layers, downloads and locks."""

    root: Path

    def open(self, say: Callable[[str], None] = lambda _: None) -> Store:
        """Make the folders, readable by their owner alone, and sweep what killed builds left.

        What had to be swept or cleared is told to ``say``. Raises HostError when the store is of a
        newer version, or of an older one that still builds in it.
        """
        for name in ("layers", "tmp", *_DOWNLOADS, "locks", "plans"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        # Layers may hold Wi-Fi keys; nobody else may look.
        self.root.chmod(0o700)
        stamp = self.root / "format"
        if not stamp.exists():
            files.write_whole(stamp, f"{FORMAT}\n")
        found = stamp.read_text(errors="replace").strip()
        if found != str(FORMAT):
            say(self._replace_format(found))
        swept = self.sweep()
        if swept:
            say(f"resuming after a killed build: swept {swept} leftover{'s' * (swept > 1)}")
        return self

    def _replace_format(self, found: str) -> str:
        """Clear results of an older format; downloads carry their hashes as names and stay."""
        way_out = f"set GLOVEBOX_STORE to another folder, or remove this one: rm -r {self.root}"
        if not re.fullmatch(r"[0-9]{1,9}", found):
            raise HostError(f"{self.root / 'format'} is damaged: it holds no number", hint=way_out)
        if int(found) > FORMAT:
            raise HostError(
                f"{self.root} was made by another version of Glovebox"
                f" (store format {found}, this one is {FORMAT})",
                hint=way_out,
            )
        with self.alone():
            old = sorted((self.root / "layers").iterdir())
            for path in old:
                self._discard(path)
            for path in (self.root / "plans").iterdir():
                path.unlink()
            # Last: a run that is killed before this line begins again.
            files.write_whole(self.root / "format", f"{FORMAT}\n")
        return (
            f"the store was made by an older version (format {found}, now {FORMAT}):"
            f" its {len(old)} results were removed, downloads are kept"
        )

    def sweep(self) -> int:
        """Remove what builds that no longer run left half-done; give the number of such things."""
        removed = 0
        with self.exclusive("sweep"):
            for folder in (self.root / "tmp").iterdir():
                removed += _remove_if_free(folder)
            for folder in (self.root, self.root / "plans", *_folders(self.root / "apt")):
                removed += files.sweep_halves(folder)
        return removed

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep others from removing results while the block runs."""
        with (self.root / "locks" / _IN_USE).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep builds out while the block runs; raises HostError when one runs now."""
        with (self.root / "locks" / _IN_USE).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise HostError(
                    f"a build, a boot or a verification is using {self.root}",
                    hint="try again when it has ended",
                ) from error
            yield

    def find(self, key: str) -> Layer | None:
        """Give the finished result of this key, if there is one."""
        path = self.root / "layers" / key
        # A damaged result is as good as none. It is left where it is: another command may be making
        # a whole one of this name at this moment, and takes it away when that is done.
        meta = files.read_object(path / META)
        if meta is None or not _is_folder(path / "tree"):
            return None
        return Layer(key=key, path=path, meta=meta)

    def is_intact(self, layer: Layer) -> bool:
        """Tell whether a result is as it was made, by all but the bytes of its files.

        What was not yet kept when it was made counts as intact.
        """
        if not _is_folder(layer.tree):
            return False
        try:
            found = asdict(files.stamp_tree(layer.tree))
        except FileNotFoundError:  # it went while it was looked at
            return False
        return all(layer.meta.get(name) in (None, found[what]) for name, what in _STAMPS.items())

    @contextmanager
    def hold(self, layers: Iterable[Layer]) -> Iterator[None]:
        """Keep the files of results as long as the block runs, also when others replace them.

        Raises GloveboxError when one is gone.
        """
        with ExitStack() as stack:
            for layer in layers:
                try:
                    handle = os.open(layer.path, os.O_RDONLY | os.O_DIRECTORY)
                    stack.callback(os.close, handle)
                    fcntl.flock(handle, fcntl.LOCK_SH)
                    if not os.path.sameopenfile(handle, _opened(stack, layer.path)):
                        raise FileNotFoundError  # noqa: TRY301  as if it had gone before
                except FileNotFoundError as error:
                    raise GloveboxError(
                        f"the result of {layer.meta.get('name', layer.key)} was removed from"
                        f" {self.root} by another command",
                        hint="the next build makes it again",
                    ) from error
            yield

    def touch(self, keys: Iterable[str]) -> None:
        """Note that these results are used now, for those who make room."""
        for key in keys:
            with suppress(FileNotFoundError):
                os.utime(self.root / "layers" / key / META)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a temporary folder on the store's file system that ends with the block."""
        # No other build sweeps between the making and the locking.
        with self.exclusive("sweep"):
            path = Path(tempfile.mkdtemp(dir=self.root / "tmp"))
            lock = os.open(path, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_SH)
        try:
            yield path
        finally:
            # Unlocked, it would be another command's to sweep, while this one removes it too.
            try:
                _remove(path)
            finally:
                os.close(lock)

    @contextmanager
    def temporary(self) -> Iterator[None]:
        """Let temporary files of this process lie in the store, where they are swept."""
        with self.scratch() as scratch:
            if len(str(scratch)) <= _LONGEST:
                tempfile.tempdir = str(scratch)
            try:
                yield
            finally:
                tempfile.tempdir = None

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Hold the lock ``name``: another build that wants the same thing waits here."""
        with (self.root / "locks" / name).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def commit(self, key: str, folder: Path, meta: Mapping[str, Any]) -> Layer:
        """Give the filled ``folder`` its final name: the moment the result exists."""
        (folder / "tree").mkdir(exist_ok=True)
        found = asdict(files.stamp_tree(folder / "tree"))
        stamps = {name: found[what] for name, what in _STAMPS.items()}
        known = {**meta, "made": int(time.time()), **stamps}
        files.write_whole(folder / META, json.dumps(known, indent=1))
        files.syncfs(folder)
        final = self.root / "layers" / key
        if os.path.lexists(final):
            self._discard(final)
        folder.rename(final)
        files.fsync_folder(final.parent)
        made = self.find(key)
        if made is None:
            raise GloveboxError(f"the layer {key} vanished from {self.root} while it was written")
        return made

    def layers(self) -> Iterator[Layer]:
        """Give every finished result."""
        for path in sorted((self.root / "layers").iterdir()):
            layer = self.find(path.name)
            if layer is not None:
                yield layer

    def remove(self, layer: Layer) -> None:
        """Remove a result, its name first, so that half of it is never found."""
        self._discard(layer.path)

    def _discard(self, path: Path) -> None:
        """Take a result's name away, then its files; those wait for whoever still holds them."""
        with self.exclusive("sweep"):
            gone = Path(tempfile.mkdtemp(dir=self.root / "tmp"))
            try:
                path.rename(gone)
            except FileNotFoundError:  # another command was quicker
                gone.rmdir()
                return
            except IsADirectoryError:  # no result at all: a file, or a link
                gone.rmdir()
                path.unlink(missing_ok=True)
                return
            _remove_if_free(gone)

    def clear(self, *, downloads: bool) -> int:
        """Remove every result; give the bytes freed. Raises HostError while a build runs."""
        with self.alone():
            self.sweep()
            freed = 0
            for path in sorted((self.root / "layers").iterdir()):
                freed += size_of(path)
                self._discard(path)
            # Emptied, not removed: another command that waits here has made them already.
            for name in (UNPACKED, *(_DOWNLOADS if downloads else ())):
                folder = self.root / name
                for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                    freed += size_of(path)
                    _remove(path)
        return freed


def default_root() -> Path:
    """Give the store's place: $GLOVEBOX_STORE, else the user's cache folder."""
    chosen = os.environ.get("GLOVEBOX_STORE")
    if chosen:
        return Path(chosen).resolve()
    cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(cache) / "glovebox"


def size_of(path: Path) -> int:
    """Give the bytes a folder takes on the disk."""
    total = path.lstat().st_blocks * 512
    if path.is_dir() and not path.is_symlink():
        total += sum(size_of(Path(entry.path)) for entry in os.scandir(path))
    return total


def _remove_if_free(folder: Path) -> bool:
    """Remove a folder that nobody holds; tell whether it was there and is gone."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its owner may have removed it before the lock was free.
        if not os.fstat(handle).st_nlink or not folder.exists():
            return False
        _remove(folder)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _opened(stack: ExitStack, path: Path) -> int:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    stack.callback(os.close, handle)
    return handle


def _is_folder(path: Path) -> bool:
    """Tell whether there is a folder, and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def _folders(root: Path) -> list[Path]:
    return [root, *(path for path in root.iterdir() if path.is_dir())]


def _remove(path: Path) -> None:
    files.clear(path)
