"""What a board wrote to its card, in order: QEMU's log of writes, in the format of dm-log-writes.

QEMU's driver ``blklogwrites`` puts each write behind the one before, with its place and its bytes.
A card of QEMU has no cache that could be lost, so the card after any number of these writes is one
that a cut could have left. The log can be read while it grows.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glovebox.errors import VerifyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECTOR = 512
# sector, number of sectors, flags; QEMU does not use the fourth number, the length of the data.
_ENTRY = struct.Struct("<QQQQ")
_DISCARD, _FLAGS = 4, 15  # a discard has no data behind it; no other flags are known


@dataclass(frozen=True, kw_only=True)
class Write:
    """One write: where on the card, in bytes, and what."""

    start: int
    data: bytes

    @property
    def end(self) -> int:
        """Give the first byte behind it."""
        return self.start + len(self.data)


def drive(card: str, log: str) -> str:
    """Give QEMU's option for a card whose writes are logged, without what it is plugged into.

    Both files exist, the log empty; a comma in a name is doubled.
    """
    return (
        f"driver=blklogwrites,file.driver=raw,file.file.driver=file,file.file.filename={card},"
        f"log.driver=file,log.filename={log},log-sector-size={SECTOR}"
    )


class Log:
    """A log that may still grow; each call of ``more`` gives what came since the last."""

    def __init__(self, path: Path) -> None:
        """Begin at the first write."""
        self._path = path
        self._at = SECTOR  # behind the superblock

    def more(self) -> Iterator[Write]:
        """Give the whole writes that are new."""
        with self._path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            while self._at + SECTOR <= size:
                file.seek(self._at)
                sector, count, flags, _ = _ENTRY.unpack(file.read(_ENTRY.size))
                if flags & ~_FLAGS:
                    raise VerifyError(f"{self._path} is no log of writes, from byte {self._at} on")
                length = 0 if flags & _DISCARD else count * SECTOR
                if self._at + SECTOR + length > size:
                    return  # it is being written
                place = self._at + SECTOR
                self._at = place + length  # before the write is given: nobody has to ask for more
                if length:
                    file.seek(place)
                    yield Write(start=sector * SECTOR, data=file.read(length))
