"""What can befall the queue's files, one function each: the fault table of the contract.

The files are those of a queue whose base holds the first half of its records, and whose increment
the second half. Each fault says how many records it destroys; all others have to come through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from telematics.repair import FOLDER, MANIFEST, records_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RECORDS = 1000
HALF = RECORDS // 2
PAGE = 4096


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault and the most records it destroys."""

    name: str
    do: Callable[[Path], None]
    destroys: int


def base(queue: Path) -> Path:
    """Give the base."""
    return next((queue / FOLDER).glob("*.base.*"))


def increment(queue: Path) -> Path:
    """Give the newest increment."""
    return max((queue / FOLDER).glob("*.incr.aof"), key=lambda each: each.stat().st_mtime_ns)


def cut(path: Path, size: int) -> None:
    """Cut bytes off the end."""
    with path.open("r+b") as file:
        file.truncate(max(0, path.stat().st_size - size))


def zero(path: Path, size: int) -> None:
    """Turn the end into zeros, as delayed allocation does."""
    with path.open("r+b") as file:
        file.seek(max(0, path.stat().st_size - size))
        file.write(b"\0" * min(size, path.stat().st_size))


def append(path: Path, content: bytes) -> None:
    """Append what nobody wrote."""
    with path.open("ab") as file:
        file.write(content)


def flip(path: Path, place: int) -> None:
    """Change one bit."""
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def flip_in_record(path: Path) -> None:
    """Change one bit in the middle of a record, which no format notices."""
    found = list(records_in(path))
    offset, raw, _ = found[len(found) // 2]
    flip(path, offset + len(raw) // 2)


def half_a_rewrite(queue: Path) -> None:
    """Leave what a rewrite leaves that was cut off: half a new base under a temporary name."""
    half = base(queue).read_bytes()[: base(queue).stat().st_size // 2]
    (queue / FOLDER / "temp-rewriteaof-bg-77.aof").write_bytes(half)
    (queue / FOLDER / f"temp-{MANIFEST}").write_bytes(b"file appendonly.aof.2.base.rdb se")


FAULTS = (
    Fault(name="kill -9", do=lambda _: None, destroys=0),
    Fault(name="increment cut within a record", do=lambda q: cut(increment(q), 60), destroys=1),
    Fault(name="increment cut by 4 KiB", do=lambda q: cut(increment(q), PAGE), destroys=30),
    Fault(name="4 KiB of zeros behind", do=lambda q: append(increment(q), bytes(PAGE)), destroys=0),
    Fault(name="last 4 KiB are zeros", do=lambda q: zero(increment(q), PAGE), destroys=30),
    Fault(
        name="garbage appended",
        do=lambda q: append(increment(q), b"\xfe*3\r\n$9\r\n" * 99),
        destroys=0,
    ),
    Fault(name="bit flipped in a record", do=lambda q: flip_in_record(increment(q)), destroys=1),
    Fault(name="bit flipped in the base", do=lambda q: flip_in_record(base(q)), destroys=1),
    Fault(name="bit flipped between records", do=lambda q: flip(increment(q), 7), destroys=1),
    Fault(name="increment empty", do=lambda q: increment(q).write_bytes(b""), destroys=HALF),
    Fault(name="increment missing", do=lambda q: increment(q).unlink(), destroys=HALF),
    Fault(name="base empty", do=lambda q: base(q).write_bytes(b""), destroys=HALF),
    Fault(name="base missing", do=lambda q: base(q).unlink(), destroys=HALF),
    Fault(name="manifest empty", do=lambda q: manifest(q).write_bytes(b""), destroys=0),
    Fault(name="manifest all zeros", do=lambda q: zero(manifest(q), PAGE), destroys=0),
    Fault(name="manifest missing", do=lambda q: manifest(q).unlink(), destroys=0),
    Fault(name="half a rewrite", do=half_a_rewrite, destroys=0),
)


def manifest(queue: Path) -> Path:
    """Give the manifest."""
    return queue / FOLDER / MANIFEST
