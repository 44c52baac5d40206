"""The reference receiver: each record once, each hole told, also after a restart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from telematics.receive import Book, Ledger, split
from telematics.record import Gap, Identity
from tests.contract_model import epoch, maker

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


def test_each_record_once() -> None:
    """A record that comes again makes no second line."""
    ledger = Ledger()

    assert kinds(ledger, raw(1), raw(2), raw(1), raw(2), raw(3)) == [1, 2, 3]
    assert ledger.duplicates == 2


def test_holes_are_told_by_kind() -> None:
    """Lost and skipped are told apart, and what nobody announced is told as unexplained."""
    told = kinds(Ledger(), raw(1), raw(9, Gap(lost=2, skipped=3)))

    assert told == [1, ("unexplained", 2, 3), ("lost", 4, 5), ("skipped", 6, 8), 9]


def test_announced_numbers_that_arrived_are_no_gap() -> None:
    """A block may be announced as skipped although a part of it was recorded."""
    assert kinds(Ledger(), raw(1), raw(2), raw(5, Gap(lost=1, skipped=3))) == [
        1, 2, ("skipped", 3, 4), 5,
    ]  # fmt: skip


def test_late_record_fills_its_hole() -> None:
    """A record that comes after a later one is taken, once."""
    assert kinds(Ledger(), raw(1), raw(3), raw(2), raw(2)) == [1, ("unexplained", 2, 2), 3, 2]


def test_installations_have_numbers_of_their_own() -> None:
    """After a card was flashed anew, number 1 is a new record; a later first number is no gap."""
    told = kinds(Ledger(), raw(1), raw(1, installation="zzzzzz"), raw(7, installation="bbbbbb"))

    assert told == [1, 1, 7]


def test_damage_is_kept_as_damage() -> None:
    """Bytes that are no record are told and counted."""
    assert kinds(Ledger(), b"[1,", raw(1)) == ["damaged", 1]


def test_restart_repeats_nothing(tmp_path: Path) -> None:
    """The file is the memory: a second run knows what the first wrote, also if it was cut off."""
    file = tmp_path / "received.jsonl"
    book = Book(file)
    book.take([raw(1), raw(4)])
    book.close()
    with file.open("ab") as cut:
        cut.write(b'{"v":1,"dev')
    book = Book(file)
    book.take([raw(1), raw(4), raw(2), raw(5)])
    book.close()

    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["seq"] for line in lines if "seq" in line] == [1, 4, 2, 5]


def test_array_of_records_is_cut_without_a_changed_byte() -> None:
    """What HTTP carries is byte for byte what was recorded."""
    records = [raw(1), raw(2, Gap(lost=1))]

    assert split(b"[" + b",".join(records) + b"]") == records
