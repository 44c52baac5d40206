"""Run a stage's host script with the machine read-only around it; a program of its own.

    python3 -I -S host_view.py [--write FOLDER] [--need PATH] -- COMMAND …

All that is mounted becomes read-only for the command, but for the folders it may write to; /tmp and
/var/tmp are empty and its own, with what it needs of them shown again. A slip in a script (an
absolute link of the root that is followed, a variable that is empty before a slash) so ends in
"Read-only file system" and not on the machine. It is a guard rail and no wall: pi-gen's scripts
mount and unmount as root, so this one could undo it on purpose.
"""

# pathlib takes longer to load than all of this takes to run.
# ruff: noqa: PTH103, PTH109, PTH112, PTH114, PTH120, PTH123

from __future__ import annotations

import ctypes
import errno
import os
import re
import stat
import sys

_MOUNTS = 0x00020000
_BIND, _REC, _PRIVATE = 4096, 16384, 1 << 18
_MOUNT_SETATTR, _AT_FDCWD, _ATTR_RDONLY = 442, -100, 1  # the number is that of every processor
_OWN = ("/tmp", "/var/tmp")  # noqa: S108  these are what is laid over
# A mount below another one is out of reach, and need not be changed.
_HIDDEN = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.ELOOP, errno.EACCES})
_NOT_STARTED = 126

libc = ctypes.CDLL(None, use_errno=True)


def _failed(what: str) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, f"{what}: {os.strerror(code)}")


def _mount(source: str, target: str, *, kind: str = "", flags: int = 0, data: str = "") -> None:
    if libc.mount(os.fsencode(source), os.fsencode(target), kind.encode() or None,
                  ctypes.c_ulong(flags), data.encode() or None) < 0:  # fmt: skip
        raise _failed(f"mount {target}")


def _forbid_writing(place: str) -> None:
    attributes = (ctypes.c_uint64 * 4)(_ATTR_RDONLY, 0, 0, 0)
    if libc.syscall(ctypes.c_long(_MOUNT_SETATTR), _AT_FDCWD, os.fsencode(place), 0,
                    ctypes.byref(attributes), ctypes.sizeof(attributes)) < 0:  # fmt: skip
        error = _failed(f"mount_setattr {place}")
        if error.errno not in _HIDDEN:
            raise error


def main(words: list[str]) -> None:
    """Narrow the view, and become the command."""
    cut = words.index("--")
    options, command = words[:cut], words[cut + 1 :]
    write, need = (
        [os.path.realpath(options[n + 1]) for n, word in enumerate(options) if word == name]
        for name in ("--write", "--need")
    )
    here = os.getcwd()
    if libc.unshare(_MOUNTS) < 0:
        raise _failed("unshare")
    _mount("none", "/", flags=_REC | _PRIVATE)
    for place in write:
        _mount(place, place, flags=_BIND | _REC)
    laid = _lay_own([*write, *need, here])
    for place in _mounts():
        writable = any(place == one or place.startswith(f"{one}/") for one in write)
        if not writable and place not in laid:
            _forbid_writing(place)
    os.chdir(here)  # it may lie below what is mounted by now
    os.execvp(command[0], command)  # noqa: S606  to be that command is what it is for


def _lay_own(places: list[str]) -> list[str]:
    """Lay an empty folder over those for temporary files; what is needed of them is shown again."""
    laid = [own for own in _OWN if os.path.isdir(own) and not os.path.islink(own)]
    below = [one for one in sorted(set(places)) if any(one.startswith(f"{own}/") for own in laid)]
    opened = [(one, os.open(one, os.O_PATH | os.O_CLOEXEC)) for one in below]
    for own in laid:
        _mount("tmpfs", own, kind="tmpfs", data="mode=1777")
    for place, handle in opened:
        if not os.path.lexists(place):
            if stat.S_ISDIR(os.fstat(handle).st_mode):
                os.makedirs(place)
            else:
                os.makedirs(os.path.dirname(place), exist_ok=True)
                os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC))
            _mount(f"/proc/self/fd/{handle}", place, flags=_BIND | _REC)
        os.close(handle)
    return laid


def _mounts() -> list[str]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        places = [line.split(" ")[4] for line in file]
    return [re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), place) for place in places]


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as error:
        sys.stderr.write(f"the script cannot be started: {error.strerror or error}\n")
        sys.exit(_NOT_STARTED)
