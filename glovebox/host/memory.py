"""Watch how much memory the programs take that this process starts.

PSS, sampled: what is shared is counted once. A cgroup's peak would count the page cache too, which
the kernel gives back at any time.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERVAL_S = 0.25
_PROC = Path("/proc")


@dataclass(kw_only=True)
class Peak:
    """The most memory that was seen, in bytes."""

    bytes: int = 0


@contextmanager
def watched() -> Iterator[Peak]:
    """Watch all descendants of this process while the block runs."""
    peak, done = Peak(), Event()

    def watch() -> None:
        while not done.wait(INTERVAL_S):
            peak.bytes = max(peak.bytes, sum(_pss(pid) for pid in descendants(os.getpid())))

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def descendants(of: int) -> list[int]:
    """Give the children of a process, and theirs."""
    parents: dict[int, int] = {}
    for path in _PROC.iterdir():
        if path.name.isdigit():
            try:
                # The name in brackets may hold anything; what follows it are numbers.
                fields = (path / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended
                continue
            parents[int(path.name)] = int(fields[1])
    found = [of]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def _pss(pid: int) -> int:
    try:
        told = (_PROC / str(pid) / "smaps_rollup").read_text()
    except OSError:  # it ended
        return 0
    found = re.search(r"^Pss:\s+(\d+) kB", told, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
