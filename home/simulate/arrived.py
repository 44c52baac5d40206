"""What a home made of all that was sent: its landing, and the days built from it.

The landing is read here with a reading of its own, not with `home.lines`: what is compared should
share as little as may be with what compares.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from home.simulate import compare

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from home.simulate.mishaps import Truth

PAUSE_S = 0.5


def in_home(folder: Path, truth: Truth, *, wait_s: float) -> list[str]:
    """Compare a home's landing with the truth, until both agree or for so long nothing changes."""
    size, until = -1, time.monotonic() + wait_s
    while True:
        try:
            now = _size(folder)
            if now != size:
                differences = landed(folder, truth)
                if not differences:
                    return []
                size, until = now, time.monotonic() + wait_s
        except FileNotFoundError:
            continue  # segments were merged meanwhile: look again
        if time.monotonic() > until:
            return differences
        time.sleep(PAUSE_S)


def landed(folder: Path, truth: Truth) -> list[str]:
    """Compare the lines of the landing once."""
    lines = list(_lines(folder))
    return [
        *compare.records(truth, (raw for dead, raw in lines if not dead), once=False).lines(),
        *compare.letters(truth, (raw for dead, raw in lines if dead)).lines(),
    ]


def _lines(folder: Path) -> Iterator[tuple[bool, bytes]]:
    """Give whether each line is a dead letter, and the bytes that once arrived."""
    for segment in _segments(folder):
        for line in segment.read_bytes().split(b"\n"):
            if line.startswith(b'{"dead":'):
                yield True, json.loads(line)["dead"].encode("utf-8", "surrogateescape")
            elif line.startswith(b"["):
                yield False, line


def _segments(folder: Path) -> list[Path]:
    landing = folder / "landing"
    if not landing.is_dir():
        return []
    files = [*landing.glob("kafka/**/*.lines"), *landing.glob("http/**/*.lines")]
    return sorted(file for file in files if not file.name.startswith("."))


def _size(folder: Path) -> int:
    return sum(segment.stat().st_size for segment in _segments(folder))
