"""The spill journal: where records go while the queue is dead or full.

One record per line, appended and flushed; each record guards itself by its checksum. It is drained
from its beginning before anything else enters the queue again, so the order stays. What the repair
before the queue's start saved from a damaged queue (`repair.py`) is older and is drained first.

Records are found by their checksums and not by the lines: whatever is damaged, each that is whole
counts, also where the damage ate the end of a line.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from telematics.record import REACH, RecordError, decode, records_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from telematics.files import Disk

# 400,000 records, 4.6 days without a pause at 1 Hz.
SIZE_MAX = 64 << 20
CHUNK = 64 << 10
NAME = "spill.journal"
SALVAGED = "salvaged.journal"

log = logging.getLogger(__name__)


class JournalError(Exception):
    """The journal did not take what it was given."""


class Journal:
    """Records on the medium outside the queue; not for threads."""

    def __init__(self, disk: Disk, folder: Path, *, size_max: int = SIZE_MAX) -> None:
        """Find what an earlier run left, and cut a torn end off."""
        self._disk = disk
        self._path = folder / NAME
        self._salvaged = folder / SALVAGED
        self._size_max = size_max
        self._offset = 0
        self._salvaging = False
        self._sound = True
        self._last = b""
        self._size = disk.size(self._path)
        if self._size:
            self._look_through()
        self.reopen()

    @property
    def empty(self) -> bool:
        """Tell whether there is nothing to drain."""
        return not self._salvaging and self._offset >= self._size

    @property
    def _reading(self) -> Path:
        return self._salvaged if self._salvaging else self._path

    @property
    def newest(self) -> bytes:
        """Give the newest record that waits here; empty if none does."""
        if self.empty:
            return b""
        if self._size:
            return self._last
        return self.salvaged

    @property
    def salvaged(self) -> bytes:
        """Give the newest record that the repair saved; empty if there is none."""
        return self._last_of(self._salvaged)

    def reopen(self) -> None:
        """See whether the repair left something, which comes first."""
        if not self._salvaging and self._disk.size(self._salvaged):
            self._salvaging, self._offset = True, 0

    def append(self, records: Sequence[bytes]) -> None:
        """Have all the records on the medium, or raise JournalError and hold none of them."""
        content = b"".join(raw + b"\n" for raw in records)
        try:
            if not self._sound:
                self._disk.truncate(self._path, self._size)
                self._sound = True
            if self._size + len(content) > self._size_max:
                message = f"the spill journal is full: {self._size >> 20} MiB"
                raise JournalError(message)
            self._sound = False
            self._disk.append(self._path, content)
        except OSError as error:
            raise JournalError(f"the spill journal: {error.strerror or error}") from error
        self._sound = True
        self._size += len(content)
        self._last = records[-1]

    def peek(self, count: int) -> tuple[list[bytes], int]:
        """Give up to ``count`` of the oldest records, and where in the file they end.

        What is damaged between them is passed over: the record behind it announces the number.
        """
        records: list[bytes] = []
        start, data = self._offset, b""
        while True:
            chunk = self._read_on(start + len(data))
            data += chunk
            # A record that begins in the last bytes is looked at with the next chunk.
            limit = len(data) - REACH if chunk else len(data)
            end = 0
            for place, raw in records_in(data):
                if place >= limit:
                    break
                records.append(raw)
                end = place + len(raw)
                if len(records) == count:
                    end += len(data) - end - len(data[end:].lstrip(b"\n"))
                    return records, start + end
            cut = max(end, limit)
            start, data = start + cut, data[cut:]
            if not chunk:
                return records, start

    def drained(self, end: int) -> None:
        """Forget what lies before ``end``: it stands in the queue."""
        self._offset = end
        size = self._disk.size(self._salvaged) if self._salvaging else self._size
        if self._offset < size:
            return
        try:
            self._disk.remove(self._reading)
        except OSError as error:
            # It stays and is drained again after a restart: the queue knows its records by number.
            log.warning("%s: %s", self._reading, error.strerror)
            if not self._salvaging:
                return
        if not self._salvaging:
            self._size = 0
        self._salvaging, self._offset = False, 0

    def _read_on(self, offset: int) -> bytes:
        """Give the next bytes of what is drained; none behind what was acknowledged."""
        try:
            chunk = self._disk.read_at(self._reading, offset, CHUNK)
        except OSError as error:
            raise JournalError(f"the spill journal: {error.strerror or error}") from error
        return chunk if self._salvaging else chunk[: max(0, self._size - offset)]

    def _look_through(self) -> None:
        """Find the newest record, and cut off what a power cut left behind it."""
        self._last, sound = self._newest_in(self._path)
        # With its end of line if that is there; without it the record counts as well.
        sound += self._disk.read_at(self._path, sound, 1) == b"\n"
        if sound < self._size:
            log.warning("the spill journal has a torn end: %d bytes cut", self._size - sound)
            self._disk.truncate(self._path, sound)
            self._size = sound

    def _last_of(self, path: Path) -> bytes:
        try:
            return self._newest_in(path)[0]
        except OSError as error:
            log.warning("%s: %s", path, error.strerror)
            return b""

    def _newest_in(self, path: Path) -> tuple[bytes, int]:
        """Give the last whole record of a file and where it ends; looks from the end backwards."""
        offset = self._disk.size(path)
        while offset > 0:
            offset = max(0, offset - CHUNK)
            # A record may reach into what was looked through before.
            tail = self._disk.read_at(path, offset, CHUNK + REACH)
            place, raw = max(records_in(tail), default=(0, b""))
            if raw:
                return raw, offset + place + len(raw)
        return b"", 0


def seq_of(raw: bytes, *, installation: str) -> int:
    """Give the number of a record if it is of this installation, else 0."""
    try:
        record = decode(raw)
    except RecordError:
        return 0
    return record.seq if record.identity.installation == installation else 0
