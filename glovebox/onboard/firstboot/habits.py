"""What people put beside our file out of habit: files by which other systems are set up.

They are no mistakes. What is in them is not read (those that are: see `forms`); but they may hold a
password, so they are wiped, and a file of notes says what to write instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NOTES = "glovebox-notes.txt"
_USER = "the user and who may log in are set in glovebox.yaml: user.name, user.ssh_keys"
_USER = f"{_USER} and, for sudo, user.password_hash"
_WIFI = "Wi-Fi is set in glovebox.yaml: wifi.country and wifi.networks"
# The list is also in /usr/lib/glovebox/anything-new, which has no Python.
HABITS = {
    "ssh": "not needed, SSH is on; who may log in is set in glovebox.yaml: user.ssh_keys",
    "ssh.txt": "not needed, SSH is on; who may log in is set in glovebox.yaml: user.ssh_keys",
    "userconf": _USER,
    "userconf.txt": _USER,
    "wpa_supplicant.conf": _WIFI,
    "vendor-data": "commands and packages of a vendor's; nothing of the kind is done on this board",
}


def on(boot: Path) -> list[str]:
    """Name the files of other systems that lie on the boot partition."""
    return [name for name in HABITS if (boot / name).is_file()]


def told(names: Iterable[str]) -> str:
    """Give what an owner reads about them."""
    lines = [
        "These files are for other systems. This board does not use them: they were",
        "overwritten and removed, since such files often hold a password. This is no mistake.",
        "",
        *(f"{name}: {HABITS[name]}" for name in names),
    ]
    return _text(lines)


def told_of_forms(notes: Iterable[str]) -> str:
    """Give what an owner reads about what was taken over in part."""
    lines = [
        "What Raspberry Pi Imager, or you, wrote onto the card was taken over and wiped, but for",
        "this. It is no mistake; what can be set otherwise is set in glovebox.yaml.",
        "",
        *notes,
    ]
    return _text(lines)


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\r\n" for line in lines)
