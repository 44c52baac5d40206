"""The store: layers and other results, each in a folder named by the key of the step that made it.

A result is filled under a temporary name, flushed to the disk and renamed; what carries its final
name is whole. Anything under ``tmp/`` belongs to nobody once no build runs.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glovebox import files
from glovebox.errors import GloveboxError, HostError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FORMAT = 1
META = "meta.json"
UNPACKED = "unpacked"  # images that came packed, see packing.py
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

    def open(self) -> Store:
        """Make the folders, readable by their owner alone, and sweep what killed builds left."""
        for name in ("layers", "tmp", "debs", "sources", "locks", "apt"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        # Layers may hold Wi-Fi keys; nobody else may look.
        self.root.chmod(0o700)
        stamp = self.root / "format"
        if not stamp.exists():
            files.write_whole(stamp, f"{FORMAT}\n")
        elif stamp.read_text().strip() != str(FORMAT):
            raise HostError(
                f"{self.root} was made by another version of Glovebox"
                f" (store format {stamp.read_text().strip()}, this one is {FORMAT})",
                hint=f"set GLOVEBOX_STORE to another folder, or remove this one: rm -r {self.root}",
            )
        self.sweep()
        return self

    def sweep(self) -> int:
        """Remove temporary folders of builds that no longer run; give their number."""
        removed = 0
        with self.exclusive("sweep"):
            for folder in (self.root / "tmp").iterdir():
                with _try_lock(folder) as free:
                    if free:
                        _remove(folder)
                        removed += 1
        return removed

    def find(self, key: str) -> Layer | None:
        """Give the finished result of this key, if there is one."""
        path = self.root / "layers" / key
        try:
            meta = json.loads((path / META).read_text())
        except FileNotFoundError:
            return None
        except ValueError:  # a damaged result is as good as none
            self._discard(path)
            return None
        return Layer(key=key, path=path, meta=meta)

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
            os.close(lock)
            _remove(path)

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Hold the lock ``name``: another build that wants the same thing waits here."""
        with (self.root / "locks" / name).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def commit(self, key: str, folder: Path, meta: Mapping[str, Any]) -> Layer:
        """Give the filled ``folder`` its final name: the moment the result exists."""
        files.write_whole(folder / META, json.dumps({**meta, "made": int(time.time())}, indent=1))
        files.syncfs(folder)
        final = self.root / "layers" / key
        if final.exists():
            self._discard(final)
        folder.rename(final)
        files.fsync_folder(final.parent)
        found = self.find(key)
        if found is None:
            raise GloveboxError(f"the layer {key} vanished from {self.root} while it was written")
        return found

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
        with self.scratch() as trash:
            path.rename(trash / "gone")

    def clear(self, *, downloads: bool) -> int:
        """Remove every result that no running build holds; give the bytes freed."""
        self.sweep()
        freed = 0
        for layer in self.layers():
            freed += size_of(layer.path)
            self.remove(layer)
        unpacked = self.root / UNPACKED
        if unpacked.exists():
            freed += size_of(unpacked)
            _remove(unpacked)
        if downloads:
            for name in ("debs", "sources", "apt"):
                freed += size_of(self.root / name)
                _remove(self.root / name)
            self.open()
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


@contextmanager
def _try_lock(folder: Path) -> Iterator[bool]:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=False) if path.exists() else None
