"""Enter a root file system and run one command there, in a cage: a program of its own.

    python3 -I -S cage.py ROOT [--network] [--linux32] [--drop NAME] [--keep NAME] -- COMMAND …

The command sees the root and nothing else. Its processes, mounts, host name and, unless it has the
network, its network are its own and end with it. /proc/sys and what else of /proc acts on the
machine are read-only; of the capabilities there are those that Docker gives a container: packages
install with these, and none of them reaches the host. No device opens but those bound into /dev.
What stands in this program's environment is the command's, so no variable shows up in `ps`.

chroot(8) alone is no cage: root leaves it by a second chroot. unshare(1) and setpriv(1) can do most
of this, but cannot take the old root away once the new one is entered: its umount(8) is of another
processor, or is not there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import stat
import struct
import sys

HOST_NAME = b"glovebox-build"
# As in linux/capability.h.
CAPABILITIES = (
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid",
    "setpcap", "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw",
    "ipc_lock", "ipc_owner", "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct",
    "sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config", "mknod",
    "lease", "audit_write", "audit_control", "setfcap", "mac_override", "mac_admin", "syslog",
    "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf", "checkpoint_restore",
)  # fmt: skip
KEPT = frozenset({
    "chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
    "net_bind_service", "net_raw", "sys_chroot", "mknod", "audit_write", "setfcap",
})  # fmt: skip
# What of /proc acts on the whole machine.
ACTING = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi", "mtrr")
NOT_FOUND, NOT_STARTED = 127, 126
_USAGE = 2

_MOUNTS, _UTS, _IPC, _PIDS, _NET = 0x00020000, 0x04000000, 0x08000000, 0x20000000, 0x40000000
_RDONLY, _NOSUID, _NODEV, _NOEXEC = 1, 2, 4, 8
_REMOUNT, _BIND, _REC, _PRIVATE = 32, 4096, 16384, 1 << 18
_DETACH = 2
_PR_PDEATHSIG, _PR_CAPBSET_DROP = 1, 24
_CAP_VERSION_3 = 0x20080522
_PER_LINUX32 = 8

libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *words: object) -> None:
    if getattr(libc, name)(*words) < 0:
        code = ctypes.get_errno()
        said = f"{name}: {os.strerror(code)}"
        raise OSError(code, said)


def _mount(source: str, target: str, *, kind: str | None = None, flags: int = 0) -> None:
    _call("mount", os.fsencode(source), os.fsencode(target), kind.encode() if kind else None,
          ctypes.c_ulong(flags), None)  # fmt: skip


def main(words: list[str]) -> int:
    """Run the command that the words tell; give its status."""
    cut = words.index("--")
    root, options, command = words[0], words[1:cut], words[cut + 1 :]
    kept, network, linux32 = set(KEPT), False, False
    for option, value in zip(options, (*options[1:], ""), strict=False):
        match option:
            case "--network":
                network = True
            case "--linux32":
                linux32 = True
            case "--drop":
                kept.discard(value)
            case "--keep":
                kept.add(value)
            case _:
                pass
    os.get_exec_path()  # loads what execvp needs of Python, while that can still be read
    # What Ctrl-C does to the command is the command's: it had a say in that before this program.
    stopped = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _call("unshare", _MOUNTS | _UTS | _IPC | _PIDS | (0 if network else _NET))
    _mount("none", "/", flags=_REC | _PRIVATE)
    alive, ours = os.pipe()
    child = os.fork()
    if child:
        os.close(alive)
        return _status(os.waitpid(child, 0)[1])
    os.close(ours)
    # First process of the namespace: all end with it, and it with the program that waits for it.
    _call("prctl", _PR_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    os.set_blocking(alive, False)
    with contextlib.suppress(BlockingIOError):
        os.read(alive, 1)  # nobody holds the other end any more
        return 1
    os.close(alive)
    _furnish(root)
    return _attend(command, kept, linux32=linux32, stopped=stopped is not signal.SIG_IGN)


def _furnish(root: str) -> None:
    """Make the root this process's own, with a /proc that acts on nothing outside."""
    _call("sethostname", HOST_NAME, len(HOST_NAME))
    kept = os.statvfs(root).f_flag & (_RDONLY | _NOSUID | _NOEXEC)
    _mount(root, root, flags=_BIND | _REC)
    _mount("none", root, flags=_REMOUNT | _BIND | _NODEV | kept)
    os.chdir(root)
    if not stat.S_ISDIR(os.lstat("proc").st_mode):
        said = "/proc of the root is no folder"
        raise OSError(said)
    _mount("proc", "proc", kind="proc", flags=_NOSUID | _NOEXEC | _NODEV)
    for name in ACTING:
        place = f"proc/{name}"
        if os.path.lexists(place):
            _mount(place, place, flags=_BIND | _REC)
            _mount("none", place, flags=_REMOUNT | _BIND | _RDONLY | _NOSUID | _NOEXEC | _NODEV)
    # pivot_root(2): "." for both lays the old root over the new one, and it is taken off again.
    _call("pivot_root", b".", b".")
    _call("umount2", b".", _DETACH)
    os.chdir("/")


def _attend(command: list[str], kept: set[str], *, linux32: bool, stopped: bool) -> int:
    """Start the command and wait for it, and for all that lose their parent."""
    child = os.fork()
    if not child:
        _become(command, kept, linux32=linux32, stopped=stopped)
    while True:
        ended, status = os.wait()
        if ended == child:
            return _status(status)


def _become(command: list[str], kept: set[str], *, linux32: bool, stopped: bool) -> None:
    """Turn into the command; never returns."""
    status = NOT_STARTED
    try:
        # As they were: Python has its own ways with these.
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        if stopped:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        if linux32:
            libc.personality(_PER_LINUX32)
        _drop(kept)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.execvp(command[0], command)  # noqa: S606  to be that command is what it is for
    except FileNotFoundError:
        status = NOT_FOUND
        sys.stderr.write(f"{command[0]}: not found in the root, or its loader is not\n")
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror or error}\n")
    except BaseException as error:  # noqa: BLE001  whatever it is, this copy of the program ends here
        sys.stderr.write(f"cage: {error!r}\n")
    sys.stderr.flush()
    os._exit(status)


def _drop(kept: set[str]) -> None:
    """Leave this process, and all it starts, these capabilities."""
    mask = 0
    for number, name in enumerate(CAPABILITIES):
        if name in kept:
            mask |= 1 << number
        else:
            libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)  # an older kernel has not all of them
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = struct.pack("=Ii", _CAP_VERSION_3, 0)
    now = ctypes.create_string_buffer(24)
    _call("capget", header, now)
    had_low, _, _, had_high, _, _ = struct.unpack("=6I", now.raw)
    low, high = low & had_low, high & had_high
    # Inheritable ones would come back to root by exec, whatever the bounding set says.
    _call("capset", header, struct.pack("=6I", low, low, 0, high, high, 0))


def _status(told: int) -> int:
    code = os.waitstatus_to_exitcode(told)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    try:
        ended = main(sys.argv[1:])
    except OSError as error:
        sys.stderr.write(f"the root cannot be entered: {error.strerror or error}\n")
        ended = NOT_STARTED
    sys.stderr.flush()
    os._exit(ended)
