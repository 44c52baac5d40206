"""`invoke chroot`: a shell, or one command, in the system of an image, through QEMU if need be.

Nothing of the image is changed unless that is asked for: what is written goes to a folder that ends
with the command. All mounts live in a namespace of their own and end with it, however it ends.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.card import bootfiles, media, system
from glovebox.host import chroot, inside, mounts
from glovebox.host.arch import is_foreign, require_emulation
from glovebox.host.run import PATH, attach

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from glovebox.host.monitor import Monitor
    from glovebox.store.store import Store

_RESOLV = Path("/etc/resolv.conf")


def enter(
    image: Path,
    words: Sequence[str],
    *,
    store: Store,
    monitor: Monitor,
    write: bool = False,
    output: Path | None = None,
    network: bool = False,
) -> int:
    """Run a command in an image (a shell without ``words``) and give its status.

    Changes go nowhere, into the image itself (``write``), or into a copy (``output``).
    """
    found = media.look(image, store, monitor)
    if output is not None:
        with media.new_image(found, output, monitor) as part:
            copied = media.examine(part, part, None)
            return _enter(copied, words, store, monitor, into=output, network=network)
    if write:
        media.require_writable(found)
    return _enter(found, words, store, monitor, into=image if write else None, network=network)


def _enter(
    found: media.Card,
    words: Sequence[str],
    store: Store,
    monitor: Monitor,
    *,
    into: Path | None,
    network: bool,
) -> int:
    with ExitStack() as stack:
        stack.enter_context(_patient())
        scratch = stack.enter_context(store.scratch())
        for name in ("below", "above", "root", "empty"):
            (scratch / name).mkdir()
        if into is not None:
            root = stack.enter_context(media.mounted(found, scratch / "root", writable=True))
        else:
            below = stack.enter_context(media.mounted(found, scratch / "below"))
            root = stack.enter_context(
                mounts.overlay([below], scratch / "root", scratch=scratch, upper=scratch / "above")
            )
        arch = system.arch(root)
        require_emulation(arch)
        with monitor.slow("chroot", "copying the boot files"):
            boot, before = _boot_files(found, scratch, root, stack)
        stack.enter_context(_surroundings(root, scratch, network=network, foreign=is_foreign(arch)))
        # A command's output is its own: nothing of ours may stand between its lines.
        if not words:
            monitor.say(_greeting(root, arch, into=into, network=network))
        status = _run(root, words, arch, network=network)
        if into is not None:
            with monitor.slow("chroot", "writing the boot files back"):
                changes = bootfiles.write_back(found.raw, found.boot, boot, before)
            if changes and not words:
                monitor.say(f"boot files written back: {changes}")
    return status


def _boot_files(
    found: media.Card, scratch: Path, root: Path, stack: ExitStack
) -> tuple[Path, dict[str, str]]:
    """Show the boot files, as a copy, where the system mounts them."""
    boot = scratch / "boot"
    bootfiles.copy(found.raw, found.boot, boot)
    before = bootfiles.listing(boot)
    name = system.boot_point(root)
    if inside.is_folder(root, name):
        mounts.require_plain(root, name)
        stack.enter_context(mounts.bind(boot, root / name))
    return boot, before


@contextmanager
def _surroundings(root: Path, scratch: Path, *, network: bool, foreign: bool) -> Iterator[None]:
    """Give the root what programs expect of a running system, and take it away again."""
    with ExitStack() as stack:
        stack.enter_context(mounts.chroot_mounts(root))
        if network and _RESOLV.is_file():
            stack.enter_context(_shown(_RESOLV.read_text(), "etc/resolv.conf", root, scratch))
        if foreign and system.text(root, "etc/ld.so.preload").strip():
            # Raspberry Pi OS preloads a library by the processor's name, and QEMU tells another.
            stack.enter_context(_shown("", "etc/ld.so.preload", root, scratch))
        yield


@contextmanager
def _shown(text: str, name: str, root: Path, scratch: Path) -> Iterator[None]:
    """Show a text as a file of the root; the file itself stays as it was, or as absent."""
    source = scratch / name.rpartition("/")[2]
    source.write_text(text)
    target = inside.place(root, name)
    made = not target.exists()
    if made:
        inside.write(root, target.relative_to(root), "")
    try:
        with mounts.bind(source, target):
            yield
    finally:
        if made:
            target.unlink()


def _greeting(root: Path, arch: str, *, into: Path | None, network: bool) -> str:
    name = system.os_release(root).get("PRETTY_NAME", "a system")
    kept = f"changes go into {into}" if into else "changes end with this shell"
    through = " through QEMU" if is_foreign(arch) else ""
    net = "with the host's network" if network else "no network (--network)"
    return f"{name} ({arch}{through}); {kept}; {net}; leave with `exit`"


def _run(root: Path, words: Sequence[str], arch: str, *, network: bool) -> int:
    env = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/root", "USER": "root", "LOGNAME": "root"}
    # An empty HISTFILE: what is typed here is not to stay in the image.
    env |= {"TERM": os.environ.get("TERM", "dumb"), "HISTFILE": ""}
    if is_foreign(arch):
        env |= chroot.emulator_settings(arch)
    # dash would look for the process group it came from, which is not in its own PID namespace.
    bash = inside.is_file(root, "bin/bash")
    shell = ["/bin/bash", "-i"] if bash else ["/bin/sh", "-i", "+m"]
    command = chroot.command(root, list(words) or shell, network=network)
    sys.stdout.flush()
    return attach(command, env=env)


@contextmanager
def _patient() -> Iterator[None]:
    """Leave Ctrl-C to the command; we wait until it ends, write back and clear up.

    A handler of ours is, unlike ignoring the signal, not handed down to the command.
    """
    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
