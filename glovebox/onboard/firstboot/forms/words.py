"""Words that such tools put behind those of cmdline.txt: found, and taken off again.

They keep nothing from starting: see stages/boot/01-quick for the one that would.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from glovebox.onboard.firstboot.forms.asked import Asked

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.onboard.firstboot.disk import Disk

FILE = "cmdline.txt"
# The list is also in /usr/lib/glovebox/anything-new, which has no Python.
_WORD = re.compile(
    rb"(?<!\S)(?:systemd\.run=|systemd\.run_success_action=|systemd\.run_failure_action="
    rb"|systemd\.unit=kernel-command-line\.target|ds=nocloud|cfg80211\.ieee80211_regdom=)\S*"
)
_COUNTRY = re.compile(rb"(?<!\S)cfg80211\.ieee80211_regdom=(\S+)")


def read(text: bytes, source: str) -> Asked:
    """Read the one value there is: the country that Wi-Fi is used in."""
    asked = Asked(source=source)
    found = _COUNTRY.findall(text)
    if found:
        asked.put("wifi.country", found[-1].decode(errors="replace").upper(), 1)
    return asked


def theirs(text: bytes) -> bool:
    """Tell whether there are any."""
    return _WORD.search(text) is not None


def take_off(path: Path, text: bytes, disk: Disk) -> None:
    """Write blanks over each word, where it stands.

    Nothing of the file moves, so wherever the power goes it is a command line that starts.
    """
    for found in _WORD.finditer(text):
        disk.overwrite(path, found.start(), b" " * len(found[0]))
