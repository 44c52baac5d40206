"""Build in a process of its own, in a copy of the checkout and a store of its own.

What proves or measures a build uses this: two builds then share downloads, and nothing else.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from glovebox.checkout import CHECKOUT
from glovebox.errors import HostError
from glovebox.host import files
from glovebox.host.run import run, stream
from glovebox.lock import apt, lock
from glovebox.plan import plan
from glovebox.project.opened import lock_file, mirror_of, secret_file
from glovebox.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from glovebox.project.opened import Project

_LEFT_OUT = (".git", ".venv", "out", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache")


@contextmanager
def workplace(store: Store, name: str) -> Iterator[Path]:
    """Give an empty folder beside the store; what another run left in it is gone.

    What is in it afterwards stays. Raises HostError while another process has it.
    """
    work = store.root.with_name(f"{store.root.name}-{name}")
    with (store.root / "locks" / name).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HostError(
                f"another `{name}` works in {work}",
                hint="wait until it has ended, or give this one a store of its own: GLOVEBOX_STORE",
            ) from None
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True, mode=0o700)
        yield work


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """A place to build in: checkout, configuration, store and folder for the image."""

    checkout: Path
    config: Path
    store: Store
    out: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def build(
        self,
        *options: str,
        line: Callable[[str], None],
        before: Sequence[str] = (),
    ) -> None:
        """Run ``build-image`` here, locked; ``before`` are words to start it with."""
        self.run("build-image", "--locked", *options, line=line, before=before)

    def run(
        self,
        verb: str,
        *options: str,
        line: Callable[[str], None],
        before: Sequence[str] = (),
    ) -> None:
        """Run a verb on this configuration; raises CommandError when it fails."""
        command = [
            *before, sys.executable, "-m", "invoke", verb,
            "--config", str(self.config), "--out", str(self.out), *options,
        ]  # fmt: skip
        caller = {name: os.environ[name] for name in ("HOME", "SUDO_USER") if name in os.environ}
        env = {**caller, "GLOVEBOX_STORE": str(self.store.root), **self.env}
        stream(command, line=line, cwd=self.checkout, env=env)


def prepare(
    opened: Project,
    config: Path,
    work: Path,
    *,
    copy_checkout: bool = True,
    env: Mapping[str, str] | None = None,
) -> Workplace:
    """Make an empty store with the downloads there are, and the lock beside a configuration."""
    work.mkdir(parents=True, exist_ok=True)
    checkout = CHECKOUT
    if copy_checkout:
        checkout = work / "checkout"
        _copy(CHECKOUT, checkout)
    # The lock lies beside the configuration: so a copy of that is built.
    place = work / "config"
    place.mkdir()
    for path in (config, config.with_name(f"{config.stem}.local{config.suffix}")):
        if path.exists():
            shutil.copy(path, place)
    add_lock(opened, place / config.name)
    store = Store(root=work / "store").open()
    share_downloads(opened.store, store)
    return Workplace(
        checkout=checkout,
        config=place / config.name,
        store=store,
        out=work / "out",
        env=env or {},
    )


def add_lock(opened: Project, config: Path) -> None:
    """Write the lock of an opened project beside another configuration."""
    files.write_whole(lock_file(config, opened.board), opened.lock.dump())


def share_downloads(source: Store, target: Store) -> None:
    """Give a store the packages and sources of another, as hard links."""
    for name in ("debs", "sources"):
        for path in (source.root / name).iterdir():
            if path.is_file() and not (target.root / name / path.name).exists():
                os.link(path, target.root / name / path.name)


def share_secret(source: Store, target: Store) -> None:
    """Let a store name results as another does: keys of settings hold an HMAC with its secret."""
    shutil.copy(secret_file(source), secret_file(target))


def share_layers(source: Store, target: Store, keys: Iterable[str]) -> None:
    """Give a store finished results of another, as hard links; nothing may change them."""
    for key in keys:
        found = source.find(key)
        if found is not None and target.find(key) is None:
            _link(found.path, target.root / "layers" / key)


def add_compiler(opened: Project, root: Path, *, arch: str) -> None:
    """Extract a native compiler over a root of ``arch``; it needs no configuring to compile."""
    requests = (
        lock.Request(name="base", packages=plan.BASE_PACKAGES),
        lock.Request(name="compiler", packages=("gcc", "libc6-dev")),
    )
    found = lock.resolve(
        opened.store,
        suite=opened.lock.suite,
        mirror=mirror_of(opened.loaded.config),
        chains=(lock.Chain(name="compiler", arch=arch, requests=requests),),
        sources=(),
    )
    packages = found.chains["compiler"]["compiler"]
    apt.fetch([one.download() for one in packages], opened.store.root / "debs")
    for one in packages:
        run(["dpkg-deb", "--extract", opened.store.root / "debs" / one.sha256, root])


def _link(source: Path, target: Path) -> None:
    """Copy a tree by hard links; it has its name when it is whole."""
    part = target.with_name(f".{target.name}.part")
    run(["cp", "--archive", "--link", "--", source, part])
    part.rename(target)


def _copy(source: Path, target: Path) -> None:
    """Copy what a clone has, with times of its own, and the modes a narrow umask leaves."""
    for path in files.walk(source):
        inside = path.relative_to(source)
        if any(part in _LEFT_OUT for part in inside.parts):
            continue
        copy = target / inside
        if path.is_symlink():
            copy.symlink_to(path.readlink())
        elif path.is_dir():
            copy.mkdir(parents=True, mode=0o700)
        else:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            copy.chmod(path.stat().st_mode & 0o700)
