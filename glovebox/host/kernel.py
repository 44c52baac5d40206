"""What Linux can do and Python 3.11 has no name for: mounts, namespaces, a death with the parent.

Starting mount(8) takes 3 ms; one root needs fifteen mounts, and a build several such roots.
"""

from __future__ import annotations

import ctypes
import os
import signal
from enum import IntFlag
from functools import cache

_SET_PDEATHSIG = 1  # prctl(2)


class Space(IntFlag):
    """Namespaces of unshare(2)."""

    MOUNT = 0x00020000
    IPC = 0x08000000
    PID = 0x20000000


class Flag(IntFlag):
    """Flags of mount(2)."""

    NONE = 0
    RDONLY = 1
    NOSUID = 2
    NODEV = 4
    NOEXEC = 8
    REMOUNT = 32
    BIND = 4096
    REC = 16384
    PRIVATE = 1 << 18


def unshare(spaces: Space) -> None:
    """Move this process, or its children where they are of processes, into new namespaces."""
    _call("unshare", int(spaces))


def mount(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    kind: str | None = None,
    flags: Flag = Flag.NONE,
    data: str | None = None,
) -> None:
    """Mount something; raises OSError with the target's name."""
    _call(
        "mount", os.fsencode(source), os.fsencode(target), kind.encode() if kind else None,
        ctypes.c_ulong(flags), data.encode() if data else None, about=target,
    )  # fmt: skip


def umount(target: str | os.PathLike[str]) -> None:
    """Unmount what is mounted last at ``target``; raises OSError while something uses it."""
    _call("umount2", os.fsencode(target), 0, about=target)


def die_with_parent() -> None:
    """Have this process killed when the thread that made it ends, whatever ends that."""
    _call("prctl", _SET_PDEATHSIG, int(signal.SIGKILL))


def syscall(number: int, *words: object) -> int:
    """Make a system call by its number and give what it returns; raises OSError."""
    call = _libc().syscall
    call.restype = ctypes.c_long
    said = int(call(ctypes.c_long(number), *words))
    if said < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return said


def _call(name: str, *words: object, about: str | os.PathLike[str] | None = None) -> None:
    if getattr(_libc(), name)(*words) != 0:
        number = ctypes.get_errno()
        # As the program of that name would say it: hints know these words.
        said = f"{name}: {os.strerror(number)}"
        raise OSError(number, said, os.fspath(about)) if about else OSError(number, said)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
