"""Run commands inside a root file system, with nothing of the host around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glovebox.host import clock
from glovebox.host.arch import ARCHES
from glovebox.host.run import PATH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

HOST_NAME = "glovebox-build"
_BITS_32 = 32


def environment(arch: str, epoch: int, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give the environment of every command in a foreign root."""
    stated = {
        "PATH": PATH,
        "LANG": "C.UTF-8",
        "HOME": "/root",
        "DEBIAN_FRONTEND": "noninteractive",
        "DEBCONF_NONINTERACTIVE_SEEN": "true",
        "SOURCE_DATE_EPOCH": str(epoch),
        # The kernel's package would make an initramfs, its firmware's another: the stage `boot`
        # makes one, once.
        "INITRD": "No",
        # Compiling the hardware database takes 15 s emulated; nothing on these boards asks it.
        "SYSTEMD_HWDB_UPDATE_BYPASS": "1",
        **clock.passed_on(),
        **(extra or {}),
    }
    stated |= emulator_settings(arch)
    return stated


def emulator_settings(arch: str) -> dict[str, str]:
    """Give what qemu-user is told of a processor by its environment; mostly nothing."""
    model = ARCHES[arch].qemu_cpu if arch in ARCHES else ""
    return {"QEMU_CPU": model} if model else {}


def as_pi_gen(arch: str, variables: Mapping[str, str]) -> list[str]:
    """Give the words with which pi-gen's on_chroot enters a root, before ``chroot`` itself.

    Without cap_setfcap no file gets capabilities: packages then fall back to the set-user-ID bit.
    """
    # setarch(8): a 64-bit kernel then tells programs that it is the 32-bit one they are made for.
    personality = ["setarch", "linux32"] if ARCHES[arch].bits == _BITS_32 else []
    kept = variables.get("SETFCAP") == "1"
    return [*personality, *([] if kept else ["setpriv", "--bounding-set=-setfcap"])]


def command(
    root: Path,
    words: list[str],
    env: Mapping[str, str],
    *,
    network: bool = False,
    by: Sequence[str] = (),
) -> list[str]:
    """Give the command that runs ``words`` inside ``root``.

    It gets its own processes (whatever it leaves running ends with it), its own host name and,
    unless ``network``, no network. ``by`` are words that start chroot(8) in another way.
    """
    private = [
        "unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child=SIGKILL",
        f"--mount-proc={root}/proc", *([] if network else ["--net"]), "--",
    ]  # fmt: skip
    # The shell stays: as first process of a PID namespace the command itself would not be ended by
    # Ctrl-C, nor by any signal it has no handler for. Without a trap the shell would end with it.
    script = f'trap : INT; echo {HOST_NAME} > /proc/sys/kernel/hostname && "$@"; exit $?'
    named = ["sh", "-c", script, "sh"]
    inside = [*by, "chroot", str(root), "/usr/bin/env", "-i", *(f"{k}={v}" for k, v in env.items())]
    return [*private, *named, *inside, *words]
