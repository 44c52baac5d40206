"""A home's folder with records in it, without a process."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from home import days, engine, index
from home.config import Config
from home.landing import Landing, Offsets
from home.lines import landed, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

TOPIC = "kafka/telematics~1"


def land(folder: Path, raws: Sequence[bytes], *, size: int = 1000) -> list[str]:
    """Land what came in this order, as Kafka's receiver does; give the segments' names."""
    landing = Landing(folder / "landing").open()
    names = []
    for at in range(0, len(raws), size):
        part = raws[at : at + size]
        entry = index.Entry()
        lines = []
        for raw in part:
            line, found = landed(raw, now=1)
            entry.add(line, found)
            lines.append(line)
        first = landing.next_offset(TOPIC, 0) or 0
        names.append(f"{TOPIC}/{Offsets(0, first, first + len(part)).name}")
        landing.put(names[-1], lines, entry)
    landing.close()
    return names


def land_lines(folder: Path, name: str, lines: Sequence[bytes]) -> None:
    """Land lines that are ready, such as polled positions."""
    landing = Landing(folder / "landing").open()
    entry = index.Entry()
    for line in lines:
        entry.add(line, read(line))
    landing.put(name, lines, entry)
    landing.close()


def built(folder: Path, raws: Sequence[bytes], *, size: int = 1000) -> Path:
    """Land and build."""
    land(folder, raws, size=size)
    days.build(folder)
    return folder


def rows(folder: Path, query: str, *, time_zone: str = "UTC") -> list[tuple[Any, ...]]:
    """Ask the views."""
    with engine.connect(Config(folder=folder, time_zone=time_zone)) as base:
        found: list[tuple[Any, ...]] = base.execute(query).fetchall()
        return found


def digests(folder: Path, days_: Iterable[str] = ("*",)) -> dict[str, str]:
    """Give the digest of each of the days' Parquet files."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for day in days_
        for path in sorted((folder / "days").glob(f"{day}/*.parquet"))
    }
