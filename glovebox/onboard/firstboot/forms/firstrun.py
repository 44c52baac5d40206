"""firstrun.sh: the script that Imager writes for `init_format: systemd`, read and never run.

Each value stands in it as an argument of a program of Raspberry Pi OS; those lines are understood.
A script from a card would run as root with whatever is in it, on a root that forgets it all.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from glovebox.config.problem import Problem
from glovebox.onboard.firstboot.forms.asked import (
    KEYS_ALONE,
    NO_COMMANDS,
    NO_CONNECT,
    SUDO_ASKS,
    Asked,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FILE = "firstrun.sh"
_LINE = re.compile(
    r"\s*(/usr/lib/raspberrypi-sys-mods/imager_custom|/usr/lib/userconf-pi/userconf)\s+(.*)"
)
# The name of a network that is not UTF-8, for a program that this board has not.
_BYTES = re.compile(r"\s*ssid=hex:")


def read(text: bytes, source: str) -> Asked:
    """Read such a script."""
    asked = Asked(source=source)
    try:
        told = text.decode()
    except UnicodeDecodeError:
        asked.note(NO_COMMANDS)
        return asked
    known = False
    joined = False
    for number, line in enumerate(told.splitlines(), 1):
        found = _LINE.fullmatch(line)
        if found:
            known = True
            joined |= found[2].startswith("set_wlan ")
            _take(asked, found[1].rpartition("/")[2], found[2], number)
        elif _BYTES.match(line) and not joined:
            what = "is the name of a network that is not UTF-8, which this board cannot join"
            _wrong(asked, what, "give the network a name in UTF-8", number)
        elif "NOPASSWD" in line:
            asked.note(SUDO_ASKS)
        elif "rpi-connect" in line:
            asked.note(NO_CONNECT)
    if not known and not _only_the_frame(told):
        asked.note(f"what Imager's dialog sets is not in it; {NO_COMMANDS}")
    return asked


def _take(asked: Asked, program: str, arguments: str, line: int) -> None:
    try:
        words = shlex.split(arguments)
    except ValueError:
        _wrong(asked, "a quote is opened and not closed", "let Imager write it again", line)
        return
    if program == "userconf":
        words = ["userconf", *words]
    match words:
        case ["set_hostname", name]:
            asked.put_hostname(name, line)
        case ["enable_ssh", "-k", *keys]:
            asked.put_list("user.ssh_keys", [asked.text(key, line) for key in keys], line)
        case ["enable_ssh"]:
            asked.note(KEYS_ALONE)
        case ["userconf", name, hashed]:
            asked.put("user.name", name, line)
            asked.put("user.password_hash", hashed, line)
        case ["set_wlan", *rest]:
            _network(asked, rest, line)
        case ["set_keymap", layout]:
            asked.put("keyboard", layout, line)
        case ["set_timezone", zone]:
            asked.put("timezone", zone, line)
        case _:
            asked.note(f"{words[0] if words else program} is not done on this board")


def _network(asked: Asked, words: Sequence[str], line: int) -> None:
    plain = [word for word in words if word not in {"-h", "-p"}]
    ssid, key, country = [*plain, "", "", ""][:3]
    asked.put_network(ssid, key, line, hidden="-h" in words)
    asked.put("wifi.country", country, line)


def _only_the_frame(text: str) -> bool:
    """Tell a script of the dialog's that sets nothing: a country alone stands in cmdline.txt."""
    return "rm -f /boot/firstrun.sh" in text and "FIRSTUSER" in text


def _wrong(asked: Asked, what: str, cure: str, line: int) -> None:
    asked.problems.append(Problem(path="", what=what, cure=cure, source=asked.source, line=line))


READERS: Mapping[str, Callable[[bytes, str], Asked]] = {FILE: read}
