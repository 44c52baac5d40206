"""What a board lacks with an image that it starts: drivers and firmware that are not in there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from glovebox.boards.boards import BOARDS
from glovebox.card import system
from glovebox.host import inside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from glovebox.boards.firmware import Verdict

_MODULES = "lib/modules"
# Upstream's driver, and Raspberry Pi's own, which is built in.
_RP1 = re.compile(r"/(rp1_pci|rp1)\.ko\b")
_FIRMWARE = ("lib/firmware/brcm", "usr/lib/firmware/brcm")


def of(root: Path, verdict: Verdict) -> tuple[str, ...]:
    """Say what does not work on a board for want of a file; nothing of one that does not start."""
    if not verdict.boots:
        return ()
    return (*_of_its_ports(root, verdict), *_of_its_wifi(root, verdict))


def _of_its_ports(root: Path, verdict: Verdict) -> Iterator[str]:
    if not verdict.model.has_rp1:
        return
    version = (verdict.kernel or "").rpartition("/")[2].removeprefix("vmlinuz-")
    known = system.kernels(root)
    versions = [version] if version in known else known
    listed = (
        inside.text(root, f"{_MODULES}/{each}/{name}")
        for each in versions
        for name in ("modules.dep", "modules.builtin")
    )
    if not any(_RP1.search(text) for text in listed):
        yield "no USB and no network port: its kernel has no driver for RP1"


def _of_its_wifi(root: Path, verdict: Verdict) -> Iterator[str]:
    lacking = next(
        (one.wifi_lacks for one in BOARDS.values() if one.model.name == verdict.model.name), ()
    )
    if not lacking:
        return
    names = [
        path.name
        for folder in _FIRMWARE
        if inside.is_folder(root, folder)
        for path in inside.place(root, folder).iterdir()
    ]
    if not any(name.startswith(lacking) for name in names):
        yield f"no Wi-Fi on most of them: firmware {' or '.join(lacking)} is not there"
