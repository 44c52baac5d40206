"""Mount things as context managers; every mount lives in the build's own mount namespace."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.run import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
        # A real unmount, never a lazy one: what still uses the mount must be noticed.
        run(["umount", "--", target])


@contextmanager
def bind(source: Path, target: Path, *, read_only: bool = False) -> Iterator[Path]:
    """Show the folder or file ``source`` at ``target`` as well."""
    with mount(source, target, options="bind"):
        if read_only:
            run(["mount", "--options", "remount,bind,ro", "--", target])
        yield target


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
        run(["umount", "--", target])


@contextmanager
def chroot_mounts(root: Path) -> Iterator[Path]:
    """Give ``root`` what programs expect of a running system: proc, sys, dev, run and tmp.

    The host's /dev is not shown: a program in the chroot sees seven harmless devices.
    """
    with ExitStack() as stack:
        for name in ("proc", "sys", "dev", "run", "tmp"):
            (root / name).mkdir(exist_ok=True)
        stack.enter_context(
            mount("proc", root / "proc", kind="proc", options="nosuid,noexec,nodev")
        )
        stack.enter_context(mount("sysfs", root / "sys", kind="sysfs", options="ro,nosuid,noexec"))
        dev = stack.enter_context(
            mount("tmpfs", root / "dev", kind="tmpfs", options="mode=755,nosuid,size=1m")
        )
        for name in ("null", "zero", "full", "random", "urandom", "tty"):
            (dev / name).touch()
            stack.enter_context(bind(Path("/dev") / name, dev / name))
        for name, to in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"),
                         ("stderr", "fd/2"), ("ptmx", "pts/ptmx")):  # fmt: skip
            (dev / name).symlink_to(to)
        for name in ("pts", "shm"):
            (dev / name).mkdir()
        stack.enter_context(
            mount("devpts", dev / "pts", kind="devpts", options="newinstance,ptmxmode=666,mode=620")
        )
        stack.enter_context(mount("tmpfs", dev / "shm", kind="tmpfs", options="mode=1777"))
        stack.enter_context(mount("tmpfs", root / "run", kind="tmpfs", options="mode=755,nosuid"))
        (root / "run/lock").mkdir()
        stack.enter_context(mount("tmpfs", root / "tmp", kind="tmpfs", options="mode=1777,nosuid"))
        yield root
