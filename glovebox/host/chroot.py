"""Run commands inside a root file system, with nothing of the host around them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.host import cage, clock, host_view
from glovebox.host.arch import ARCHES
from glovebox.host.run import PATH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    """Give the options of the cage that make it what pi-gen's on_chroot enters.

    Without cap_setfcap no file gets capabilities: packages then fall back to the set-user-ID bit.
    """
    # personality(2): a 64-bit kernel then tells programs that it is the 32-bit one they are for.
    personality = ["--linux32"] if ARCHES[arch].bits == _BITS_32 else []
    kept = variables.get("SETFCAP") == "1"
    return [*personality, *([] if kept else ["--drop", "setfcap"])]


def program() -> list[str]:
    """Give the words that start the cage, before the root."""
    return _started(cage.__file__)


def _started(file: str) -> list[str]:
    # By their real names: a link to either may lie in a /tmp that is not shown. No package of a
    # virtual environment is needed.
    return [os.path.realpath(sys.executable), "-I", "-S", os.path.realpath(file)]


def on_host(words: Sequence[str], *, write: Sequence[Path], need: Sequence[Path]) -> list[str]:
    """Give the command that runs ``words`` with the machine read-only but for ``write``.

    ``need`` are what it reads; they are shown also where they lie below /tmp.
    """
    places = [word for path in write for word in ("--write", str(path))]
    # Its own interpreter, and what starts the cage.
    own = (Path(sys.base_prefix), Path(__file__).resolve().parent.parent)
    places += [word for path in (*need, *own) for word in ("--need", str(path))]
    return [*_started(host_view.__file__), *places, "--", *words]


def command(
    root: Path,
    words: Sequence[str],
    *,
    network: bool = False,
    options: Sequence[str] = (),
    may: Sequence[str] = (),
) -> list[str]:
    """Give the command that runs ``words`` inside ``root``, in a cage (see cage.py).

    Its environment is the one this command is started with. Unless ``network`` it has no network;
    ``may`` names capabilities it keeps beside the usual ones.
    """
    keep = [word for name in may for word in ("--keep", name)]
    shared = ["--network"] if network else []
    return [*program(), str(root), *shared, *options, *keep, "--", *words]
