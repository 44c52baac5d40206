"""Mount things as context managers; every mount lives in the build's own mount namespace."""

from __future__ import annotations

import errno
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.errors import ImageError
from glovebox.host import inside, kernel
from glovebox.host.kernel import Flag
from glovebox.host.run import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

PATIENCE_S = 5.0
_PAUSE_S = 0.02
# For an ext4 of somebody else: its superblock may ask to panic when an error is found, and neither
# its programs' special rights nor its devices are the host's.
GUARDED = "errors=remount-ro,nosuid,nodev"
# Stated, because the defaults depend on how the host's kernel was configured.
OVERLAY_OPTIONS = "redirect_dir=off,metacopy=off,index=off,xino=off"


@contextmanager
def mount(
    source: Path | str, target: Path, *, kind: str | None = None, options: str = ""
) -> Iterator[Path]:
    """Mount ``source`` on ``target`` until the block ends."""
    command = ["mount"]
    if kind:
        command += ["--types", kind]
    if options:
        command += ["--options", options]
    run([*command, "--", source, target])
    try:
        yield target
    finally:
        _umount(target)


@contextmanager
def bind(source: Path, target: Path, *, read_only: bool = False) -> Iterator[Path]:
    """Show the folder or file ``source`` at ``target`` as well."""
    with _by_kernel(source, target, flags=Flag.BIND):
        if read_only:
            kernel.mount(source, target, flags=Flag.REMOUNT | Flag.BIND | Flag.RDONLY)
        yield target


@contextmanager
def _by_kernel(
    source: Path | str,
    target: Path,
    *,
    kind: str | None = None,
    flags: Flag = Flag.NONE,
    data: str | None = None,
) -> Iterator[Path]:
    """Mount without starting mount(8), until the block ends."""
    kernel.mount(source, target, kind=kind, flags=flags, data=data)
    try:
        yield target
    finally:
        _umount(target)


@contextmanager
def overlay(
    lower: Sequence[Path], target: Path, *, scratch: Path, upper: Path | None = None
) -> Iterator[Path]:
    """Mount the layers ``lower`` (lowest first) on ``target``; changes go to ``upper``.

    Without ``upper`` the mount is read-only. ``scratch`` is a folder on the file system of
    ``upper`` for overlayfs to work in.
    """
    # mount(2) takes one page of options: short links instead of long paths hold ~400 layers.
    links = scratch / "l"
    links.mkdir(exist_ok=True)
    for number, path in enumerate(lower):
        (links / str(number)).symlink_to(path)
    stack = ":".join(str(number) for number in reversed(range(len(lower))))
    options = f"{OVERLAY_OPTIONS},lowerdir={stack}"
    if upper is not None:
        work = scratch / "overlay-work"
        work.mkdir(exist_ok=True)
        # Links here too: a comma in a path would end the option.
        (links / "upper").symlink_to(upper)
        (links / "work").symlink_to(work)
        options += ",upperdir=upper,workdir=work"
    else:
        options += ",ro"
        if len(lower) == 1:  # overlayfs wants two layers when there is no upper one
            empty = scratch / "empty"
            empty.mkdir(exist_ok=True)
            (links / "empty").symlink_to(empty)
            options = options.replace("lowerdir=", "lowerdir=empty:")
    run(
        ["mount", "--types", "overlay", "--options", options, "overlay", target],
        cwd=links,
        # fsconfig(2), which util-linux uses from 2.39 on, takes 256 bytes of an option: 80 layers.
        env={"LIBMOUNT_FORCE_MOUNT2": "always"},
    )
    try:
        yield target
    finally:
        _umount(target)


def _umount(target: Path) -> None:
    """Unmount really, never lazily: what still uses the mount must be noticed.

    Programs that were just killed, and those that ran for them, are given a moment to end.
    """
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            kernel.umount(target)
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > until:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


@contextmanager
def chroot_mounts(root: Path) -> Iterator[Path]:
    """Give ``root`` what programs expect of a running system: proc, sys, dev, run and tmp.

    The host's /dev is not shown: a program in the chroot sees seven harmless devices.
    """
    with ExitStack() as stack:
        for name in ("proc", "sys", "dev", "run", "tmp"):
            require_plain(root, name)
            (root / name).mkdir(exist_ok=True)
        closed = Flag.NOSUID | Flag.NOEXEC
        stack.enter_context(
            _by_kernel("proc", root / "proc", kind="proc", flags=closed | Flag.NODEV)
        )
        stack.enter_context(
            _by_kernel("sysfs", root / "sys", kind="sysfs", flags=closed | Flag.RDONLY)
        )
        dev = stack.enter_context(_tmpfs(root / "dev", "mode=755,size=1m"))
        for name in ("null", "zero", "full", "random", "urandom", "tty"):
            (dev / name).touch()
            stack.enter_context(bind(Path("/dev") / name, dev / name))
        for name, to in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"),
                         ("stderr", "fd/2"), ("ptmx", "pts/ptmx")):  # fmt: skip
            (dev / name).symlink_to(to)
        for name in ("pts", "shm"):
            (dev / name).mkdir()
        terminals = "newinstance,ptmxmode=666,mode=620"
        stack.enter_context(_by_kernel("devpts", dev / "pts", kind="devpts", data=terminals))
        stack.enter_context(_tmpfs(dev / "shm", "mode=1777", flags=Flag.NONE))
        stack.enter_context(_tmpfs(root / "run", "mode=755"))
        (root / "run/lock").mkdir()
        stack.enter_context(_tmpfs(root / "tmp", "mode=1777"))
        yield root


def require_plain(root: Path, name: str) -> None:
    """Raise ImageError when a mount at this place would land elsewhere, on the host maybe."""
    if inside.place(root, name) != root / name:
        raise ImageError(
            f"/{name} is a link in this root; a system has a folder there",
            hint="take the image, or the stage, that made it so out",
        )


def _tmpfs(target: Path, data: str, *, flags: Flag = Flag.NOSUID) -> AbstractContextManager[Path]:
    return _by_kernel("tmpfs", target, kind="tmpfs", flags=flags, data=data)
