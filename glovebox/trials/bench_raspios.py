"""Measure how a stock image becomes the lowest layer, against leaving it packed out and mounted.

The image is a stand-in of the tests, since Raspberry Pi's servers could not be reached; where it is
not there yet it is made first, which takes minutes.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.build import imported
from glovebox.card import media
from glovebox.card.packing import packing_of, unpack
from glovebox.checkout import CHECKOUT
from glovebox.errors import HostError
from glovebox.host import files
from glovebox.host.run import run
from glovebox.store.store import Store
from glovebox.trials.measures import Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glovebox.trials.desk import Bench

_STAND_IN = "trixie-arm64"
_GOAL_S = 20.0


def raspios(bench: Bench) -> list[Row]:
    """Read a stock image as the lowest layer; the same left unpacked, and mounted."""
    image = _stand_in()
    whole: list[_Took] = []
    mounted: list[_Took] = []
    for number in range(bench.rounds):
        folder = bench.work / f"raspios-{number}"
        store = Store(root=folder).open()
        begun = _now()
        made = imported.bring_in(image, store, bench.monitor, arch="arm64")
        whole.append(_since(begun))
        mounted.append(_mounted(image, folder))
        store.remove(made.layer)
    size = image.stat().st_size / 1e6
    return [
        Row(name="reading a stock image as the lowest layer", unit="s",
            values=tuple(one.seconds for one in whole), goal=_GOAL_S, key="raspios layer",
            note=f"stand-in {_STAND_IN}, {size:.0f} MB packed; {_processor(whole)}"),
        Row(name="the same, unpacked and mounted `ro,noload` where it lies", unit="s",
            values=tuple(one.seconds for one in mounted), key="raspios mounted",
            note=f"its boot files are not in it; {_processor(mounted)}"),
    ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Took:
    """How long something took, and how much of it the processors worked on it."""

    seconds: float
    processor: float


def _now() -> _Took:
    used = os.times()
    processor = used.user + used.system + used.children_user + used.children_system
    return _Took(seconds=time.monotonic(), processor=processor)


def _since(begun: _Took) -> _Took:
    now = _now()
    return _Took(seconds=now.seconds - begun.seconds, processor=now.processor - begun.processor)


def _processor(found: Sequence[_Took]) -> str:
    """Tell what does not depend on who else was busy on the machine."""
    return f"{statistics.median(one.processor for one in found):.1f} s of processor time"


def _mounted(image: Path, folder: Path) -> _Took:
    """Unpack an image and mount its root: all that a layer without a copy would take."""
    raw, root = folder / "card.img", folder / "root"
    root.mkdir()
    packing = packing_of(image)
    if packing is None:
        message = f"{image} is not packed"
        raise AssertionError(message)
    begun = _now()
    unpack(image, packing, raw, digest=True)
    files.syncfs(folder)
    with media.mounted(media.examine(image, raw, packing), root):
        took = _since(begun)
    raw.unlink()
    root.rmdir()
    return took


def _stand_in() -> Path:
    command = [sys.executable, "-m", "tests.stock_image", _STAND_IN]
    said = run(command, cwd=CHECKOUT, env={"PYTHONPATH": f"{CHECKOUT / 'app'}:{CHECKOUT}"})
    found = Path(said.stdout.splitlines()[-1].partition("  ")[0])
    if not found.is_file():
        raise HostError(f"tests/stock_image.py made no image: {said.stderr.strip()}")
    return found
