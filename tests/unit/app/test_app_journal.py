"""The journal and the numbers: what they promised stands after any cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from telematics.files import RealDisk
from telematics.journal import NAME, SALVAGED, Journal, JournalError
from telematics.numbers import BLOCK, Numbers, read
from telematics.record import Gap, Identity
from tests.contract_model import ModelDisk, PowerLostError, epoch, maker

STATE = Path("/state")
IDENTITY = Identity(device="t", installation="k3x9w2", boot="1f0c9a")


def raws(*seqs: int) -> list[bytes]:
    """Make records of numbers."""
    return [maker(IDENTITY)(epoch(seq), seq, 1, None).encode() for seq in seqs]


def drain(journal: Journal, *, count: int = 3) -> list[bytes]:
    """Give all that a journal holds, as the writer would take it."""
    found: list[bytes] = []
    while not journal.empty:
        some, end = journal.peek(count)
        found += some
        journal.drained(end)
    return found


def test_journal_gives_back_what_it_took(tmp_path: Path) -> None:
    """On a real disk, over a restart, in order and once; then the file is gone."""
    Journal(RealDisk(), tmp_path).append(raws(1, 2, 3, 4))
    journal = Journal(RealDisk(), tmp_path)
    journal.append(raws(5))

    assert drain(journal) == raws(1, 2, 3, 4, 5)
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize("cut_at", range(0, 300, 7))
def test_cut_anywhere_keeps_what_was_promised(cut_at: int) -> None:
    """After a cut in a write all earlier records stand, and of that write a beginning at most."""
    disk = ModelDisk()
    journal = Journal(disk, STATE)
    journal.append(raws(1, 2))
    disk.cut_at = cut_at
    with pytest.raises(PowerLostError):
        journal.append(raws(3, 4, 5))
    journal = Journal(disk, STATE)
    journal.append(raws(9))

    found = drain(journal)
    assert found[:2] == raws(1, 2)
    assert found[-1:] == raws(9)
    assert found[2:-1] == raws(3, 4, 5)[: len(found) - 3]


def test_full_disk_takes_nothing_and_leaves_no_half_line() -> None:
    """A refused write is no record, also when the disk has room again."""
    disk = ModelDisk()
    journal = Journal(disk, STATE)
    journal.append(raws(1))
    disk.full = True
    with pytest.raises(JournalError, match="no space"):
        journal.append(raws(2))
    disk.full = False
    journal.append(raws(3))

    assert drain(journal) == raws(1, 3)


def test_journal_is_bounded() -> None:
    """At its limit it refuses; it never eats the card."""
    journal = Journal(ModelDisk(), STATE, size_max=200)
    journal.append(raws(1, 2))

    with pytest.raises(JournalError, match="full"):
        journal.append(raws(3, 4))


def test_damaged_line_is_left_out() -> None:
    """A flipped bit costs one record, which the receiver is told of, and no other."""
    disk = ModelDisk()
    Journal(disk, STATE).append(raws(1, 2, 3))
    content = bytearray(disk.files[STATE / NAME])
    content[len(raws(1)[0]) + 40] ^= 1
    disk.files[STATE / NAME] = bytes(content)

    assert drain(Journal(disk, STATE)) == raws(1, 3)


@pytest.mark.parametrize("name", [NAME, SALVAGED])
@pytest.mark.parametrize("damage", ["a bit", "an end of line", "4 KiB of zeros", "the beginning"])
def test_damage_in_a_long_journal_costs_what_it_hits(name: str, damage: str) -> None:
    """Of 2,000 records each that is whole is drained, in order, whatever lies beside it."""
    written = raws(*range(1, 2001))
    disk = ModelDisk(files={STATE / name: b"".join(raw + b"\n" for raw in written)})
    content = bytearray(disk.files[STATE / name])
    ends = [place for place, byte in enumerate(content) if byte == ord("\n")]
    if damage == "a bit":
        content[ends[98] + 40] ^= 1
    elif damage == "an end of line":
        content[ends[98]] ^= 4
    elif damage == "4 KiB of zeros":
        content[8192:12288] = bytes(4096)
    else:
        del content[:50]
    disk.files[STATE / name] = bytes(content)
    kept = [raw for raw in written if raw in content]

    assert drain(Journal(disk, STATE), count=500) == kept
    assert len(kept) == {"a bit": 1999, "an end of line": 2000, "the beginning": 1999}.get(
        damage, len(kept)
    )
    assert STATE / name not in disk.files


def test_newest_record_is_known_whatever_lies_behind_it() -> None:
    """Damage at the end hides no record before it, so no number counts as lost that is there."""
    written = b"".join(raw + b"\n" for raw in raws(*range(1, 100)))
    disk = ModelDisk(files={STATE / SALVAGED: written + b"\xff" * (200 << 10)})

    assert Journal(disk, STATE).newest == raws(99)[0]


def test_last_record_counts_without_its_end_of_line() -> None:
    """The byte behind an acknowledged record may be what was damaged."""
    disk = ModelDisk()
    Journal(disk, STATE).append(raws(1, 2))
    disk.files[STATE / NAME] = disk.files[STATE / NAME][:-1] + b"\x1a"
    journal = Journal(disk, STATE)
    journal.append(raws(3))

    assert drain(Journal(disk, STATE)) == raws(1, 2, 3)


def test_salvaged_records_come_first() -> None:
    """What the repair saved is older than what was spilled."""
    disk = ModelDisk()
    Journal(disk, STATE).append(raws(7, 8))
    disk.files[STATE / SALVAGED] = b"".join(raw + b"\n" for raw in raws(1, 2))

    assert drain(Journal(disk, STATE)) == raws(1, 2, 7, 8)
    assert disk.files == {}


def test_numbers_go_on_after_a_clean_stop() -> None:
    """A stop that wrote everything leaves no gap."""
    disk = ModelDisk()
    numbers = Numbers(disk, STATE / "n")
    numbers.begin(0)
    taken = [numbers.take(acked=0, last="") for _ in range(3)]
    numbers.close(acked=3, last="")
    again = Numbers(disk, STATE / "n")
    again.begin(3)

    assert taken == [(1, None), (2, None), (3, None)]
    assert again.take(acked=3, last="") == (4, None)
    assert again.installation == numbers.installation


def test_number_is_never_given_twice() -> None:
    """After a cut the next run begins behind the reserved block, and says what it skips."""
    disk = ModelDisk()
    numbers = Numbers(disk, STATE / "n")
    numbers.begin(0)
    for _ in range(BLOCK + 1):
        numbers.take(acked=50, last="")
    again = Numbers(disk, STATE / "n")
    again.begin(BLOCK + 1)

    assert again.take(acked=0, last="") == (2 * BLOCK + 1, Gap(skipped=BLOCK - 1))


def test_lost_numbers_are_told_from_skipped_ones() -> None:
    """What stood behind the mark was recorded for sure; the rest of the block perhaps."""
    disk = ModelDisk()
    numbers = Numbers(disk, STATE / "n")
    numbers.begin(0)
    for _ in range(BLOCK + 1):
        numbers.take(acked=BLOCK, last="")
    again = Numbers(disk, STATE / "n")
    again.begin(30)

    assert again.take(acked=0, last="")[1] == Gap(lost=BLOCK - 30, skipped=BLOCK)


@pytest.mark.parametrize("name", ["n", "n.copy"])
@pytest.mark.parametrize("damage", [b"", b"\0" * 80, b"xx"])
def test_one_damaged_copy_is_no_loss(name: str, damage: bytes) -> None:
    """The numbers stand on the card twice."""
    disk = ModelDisk()
    numbers = Numbers(disk, STATE / "n")
    numbers.begin(0)
    numbers.take(acked=0, last="")
    disk.files[STATE / name] = damage
    again = Numbers(disk, STATE / "n")

    assert (again.installation, again.last) == (numbers.installation, BLOCK)


def test_flashed_card_is_a_new_installation() -> None:
    """Without a file, or with both copies damaged, nothing can collide with what was before."""
    disk = ModelDisk()
    first = Numbers(disk, STATE / "n").installation
    kept = Numbers(disk, STATE / "n").installation
    for path in disk.files:
        disk.files[path] = disk.files[path][:-9]

    assert kept == first
    assert Numbers(disk, STATE / "n").installation != first
    assert len(first) == 6


def test_flipped_bit_in_the_mark_is_noticed() -> None:
    """A mark with one bit changed is none."""
    disk = ModelDisk()
    Numbers(disk, STATE / "n")
    content = disk.files[STATE / "n"].rstrip(b"\n")

    for place in range(len(content) * 8):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        assert read(bytes(damaged)) is None
