"""The judge of the other tests: it knows damage, twice, and holes by kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telematics.record import Gap, Identity
from tests.contract_model import epoch, maker
from tests.judge import Book, Ledger, read

if TYPE_CHECKING:
    from pathlib import Path

IDENTITY = Identity(device="t", installation="k3x9w2", boot="1f0c9a")


def raw(seq: int, gap: Gap | None = None, installation: str = "k3x9w2") -> bytes:
    """Make the bytes of a record."""
    identity = IDENTITY._replace(installation=installation)
    return maker(identity)(epoch(seq), seq, 1, gap).encode()


def kinds(ledger: Ledger, *records: bytes) -> list[object]:
    """Give what a ledger makes of records: numbers, and gaps as kind, first and last."""
    told: list[object] = []
    for each in records:
        for line in ledger.take(each):
            gap = line.get("gap")
            if isinstance(gap, dict) and "from" in gap:
                told.append((gap["kind"], gap["from"], gap["to"]))
            else:
                told.append(line.get("seq", "damaged"))
    return told


def test_judge_reads_what_was_written_and_no_flipped_bit() -> None:
    """Its own reading of the documentation agrees with the service's writing, bit for bit."""
    made = raw(345, Gap(lost=1, skipped=2))
    named = maker(IDENTITY)(epoch(345), 345, 1, Gap(lost=1, skipped=2)).named()

    assert read(made) == named
    for at in range(len(made) * 8):
        changed = bytearray(made)
        changed[at // 8] ^= 1 << at % 8
        assert read(bytes(changed)) is None


def test_judge_takes_each_record_once() -> None:
    """A record that comes again makes no second line."""
    ledger = Ledger()

    assert kinds(ledger, raw(1), raw(2), raw(1), raw(3), raw(2)) == [1, 2, 3]
    assert ledger.duplicates == 2


def test_judge_tells_holes_by_kind() -> None:
    """Lost and skipped are told apart, and what nobody announced is told as unexplained."""
    told = kinds(Ledger(), raw(1), raw(9, Gap(lost=2, skipped=3)), raw(1, installation="zzzzzz"))

    assert told == [1, ("unexplained", 2, 3), ("lost", 4, 5), ("skipped", 6, 8), 9, 1]


def test_judge_goes_on_with_its_book(tmp_path: Path) -> None:
    """What a first run took is twice for the second one."""
    for _ in range(2):
        book = Book(tmp_path / "book")
        book.take([raw(1), raw(4)])
        book.close()

    assert book.ledger.duplicates == 2
