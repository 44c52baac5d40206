"""The numbers of records: each is given once per installation, for ever, whatever is cut off when.

They are reserved in blocks, on the medium, before the first of a block is used. After a clean stop
the next run goes on without a gap; after a cut it begins behind the block, because a number may
have been published whose record the medium lost. The same file is the high-water mark: it stands
outside the queue and tells an empty queue from a lost one.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from zlib import crc32

from telematics.record import Gap

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from telematics.files import Disk

# 100 s at 1 Hz: one small write to the card in that time, and at most so many numbers skipped.
BLOCK = 100
INSTALLATION_DIGITS = 6
# No vowels and nothing that looks alike: it is read aloud and never spells a word.
ALPHABET = "23456789bcdfghjkmnpqrstvwxz"

NO_GAP = Gap()

log = logging.getLogger(__name__)


class NumbersError(Exception):
    """No number can be given: a block cannot be reserved on the medium."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """What stands in the file. ``last`` is the newest record, as text, when it was written."""

    installation: str
    reserved: int = 0
    acked: int = 0
    clean: bool = True
    last: str = ""

    def encode(self) -> bytes:
        """Give the file's content, guarded by a checksum."""
        body = json.dumps(
            [self.installation, self.reserved, self.acked, self.clean, self.last]
        ).encode()
        return b"%08x %s\n" % (crc32(body), body)


def read(content: bytes | None) -> Mark | None:
    """Read a mark back; None if there is none, or a bit of it is wrong."""
    if content is None:
        return None
    crc, _, body = content.rstrip(b"\n").partition(b" ")
    if crc != b"%08x" % crc32(body):
        return None
    try:
        installation, reserved, acked, clean, last = json.loads(body)
    except (ValueError, TypeError):
        return None
    return Mark(installation=installation, reserved=reserved, acked=acked, clean=clean, last=last)


def new_installation() -> str:
    """Give an identifier that no other installation has."""
    import secrets  # noqa: PLC0415  brings OpenSSL, a second of a Zero; needed once in a card's life

    return "".join(secrets.choice(ALPHABET) for _ in range(INSTALLATION_DIGITS))


class Numbers:
    """Gives numbers; not for threads."""

    def __init__(
        self, disk: Disk, path: Path, *, make: Callable[[], str] = new_installation
    ) -> None:
        """Read the mark, and its second copy if the first is damaged.

        OSError if neither can be read: to begin anew would forget what may be read in a moment.
        """
        self.problem = ""
        self._disk = disk
        self._paths = (path, path.with_suffix(".copy"))
        self._unreadable: OSError | None = None
        marks = [mark for mark in map(self._read, self._paths) if mark is not None]
        if self._unreadable is not None and not marks:
            raise self._unreadable
        # The copy is written second, so it may be one block behind.
        best = max(marks, key=lambda mark: mark.reserved, default=None)
        self._mark = best or Mark(installation=make())
        self.made_anew = best is None
        self._next: int | None = None
        self._pending = NO_GAP
        if self.made_anew:
            with suppress(NumbersError):  # then the first number cannot be given either
                self._write(self._mark)

    @property
    def installation(self) -> str:
        """Give this installation's identifier."""
        return self._mark.installation

    @property
    def mark(self) -> Mark:
        """Give what stood in the file, or stands there now."""
        return self._mark

    @property
    def last(self) -> int:
        """Give the highest number that was given, or may have been."""
        if self._next is None:
            return self._mark.acked if self._mark.clean else self._mark.reserved
        return self._next - 1

    def begin(self, known: int) -> None:
        """Settle where to go on; ``known`` is the highest number that queue and journal hold.

        What lies between ``known`` and the first number becomes the gap of the next record.
        """
        last = max(known, self.last)
        lost = max(0, self._mark.acked - known)
        self._pending = Gap(lost=lost, skipped=last - known - lost)
        if lost:
            log.error("the queue lost its last %d records or more: they will be announced", lost)
        self._next = last + 1

    @property
    def begun(self) -> bool:
        """Tell whether the first number is settled."""
        return self._next is not None

    def lose(self, count: int) -> None:
        """Note that ``count`` records between the last one and the next are gone."""
        self._next = self.last + 1 + count
        self._pending = Gap(lost=self._pending.lost + count + self._pending.skipped, skipped=0)

    def take(self, *, acked: int, last: str) -> tuple[int, Gap | None]:
        """Give the next number and the gap before it; reserves a block when one is used up.

        NumbersError if the medium refuses: a number that is not reserved could be given twice.
        """
        seq, gap = self.last + 1, self._pending
        if seq > self._mark.reserved or self._mark.clean:
            self._write(
                replace(self._mark, reserved=seq + BLOCK - 1, acked=acked, clean=False, last=last)
            )
        self._next, self._pending = seq + 1, NO_GAP
        return seq, (gap if gap is not NO_GAP and gap.size else None)

    def close(self, *, acked: int, last: str) -> None:
        """Note a clean stop after number ``acked``: all that was given is on the medium."""
        if self._next is None or acked != self._next - 1 or self._pending.size:
            return  # something is open: the next run shall begin behind the block
        with suppress(NumbersError):
            self._write(replace(self._mark, reserved=acked, acked=acked, clean=True, last=last))

    def _write(self, mark: Mark) -> None:
        try:
            for path in self._paths:
                self._disk.write(path, mark.encode())
        except OSError as error:
            self.problem = f"numbers cannot be reserved: {error.strerror or error}"
            raise NumbersError(self.problem) from error
        self._mark, self.problem = mark, ""

    def _read(self, path: Path) -> Mark | None:
        try:
            content = self._disk.read(path)
        except OSError as error:
            log.warning("%s: %s", path, error.strerror)
            self._unreadable = error
            return None
        mark = read(content)
        if mark is None and content:
            log.error("%s is damaged", path)
        return mark
