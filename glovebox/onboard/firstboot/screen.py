"""The picture at HDMI, by which a board without a name is found: it ends when the board is set up.

The firmware reads the file at each start, so the next one is dark.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.onboard.firstboot.disk import Disk

FILE = "glovebox-screen.txt"
_LINE = re.compile(rb"^[a-z]", re.MULTILINE)
# Of a file that is no longer ours nothing further is read.
_LONGEST = 4096


def put_out(boot: Path, disk: Disk) -> None:
    """Make each line a comment: one byte each, so that a cut leaves a file the firmware reads."""
    path = boot / FILE
    if not path.is_file():
        return
    with path.open("rb") as file:
        text = file.read(_LONGEST)
    for found in _LINE.finditer(text):
        disk.overwrite(path, found.start(), b"#")
