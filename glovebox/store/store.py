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
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
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
        for name in ("layers", "tmp", "debs", "sources", "locks", "apt", "plans"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        # Layers may hold Wi-Fi keys; nobody else may look.
        self.root.chmod(0o700)
        stamp = self.root / "format"
        if not stamp.exists():
            files.write_whole(stamp, f"{FORMAT}\n")
        elif stamp.read_text().strip() != str(FORMAT):
            say(self._replace_format(stamp.read_text().strip()))
        swept = self.sweep()
        if swept:
            say(f"resuming after a killed build: swept {swept} leftover{'s' * (swept > 1)}")
        return self

    def _replace_format(self, found: str) -> str:
        """Clear results of an older format; downloads carry their hashes as names and stay."""
        if not found.isdecimal() or int(found) > FORMAT:
            raise HostError(
                f"{self.root} was made by another version of Glovebox"
                f" (store format {found}, this one is {FORMAT})",
                hint=f"set GLOVEBOX_STORE to another folder, or remove this one: rm -r {self.root}",
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
                with _try_lock(folder) as free:
                    if free:
                        _remove(folder)
                        removed += 1
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
        try:
            meta = json.loads((path / META).read_text())
        except FileNotFoundError:
            return None
        except ValueError:  # a damaged result is as good as none
            self._discard(path)
            return None
        if not (path / "tree").is_dir():
            self._discard(path)
            return None
        return Layer(key=key, path=path, meta=meta)

    def is_intact(self, layer: Layer) -> bool:
        """Tell whether names, modes, owners, sizes and times are those of the moment it was made.

        Results made before this was kept count as intact.
        """
        stamp = layer.meta.get("stamp")
        return stamp is None or stamp == files.stamp_tree(layer.tree)

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
            os.close(lock)
            _remove(path)

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
        known = {**meta, "made": int(time.time()), "stamp": files.stamp_tree(folder / "tree")}
        files.write_whole(folder / META, json.dumps(known, indent=1))
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
        """Remove every result; give the bytes freed. Raises HostError while a build runs."""
        with self.alone():
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


def _folders(root: Path) -> list[Path]:
    return [root, *(path for path in root.iterdir() if path.is_dir())]


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=False) if path.exists() else None
