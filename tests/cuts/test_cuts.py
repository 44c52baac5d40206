"""The power goes at moments of the first start: every card comes up, is itself, grows and records.

One first start is logged, write by write; what a cut leaves is made of the log. What a board then
does to its disk is done here with each of these cards, and some of them are started as a whole.
"""

from __future__ import annotations

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from glovebox.card import table as card
from glovebox.emulator.nmea import drive
from glovebox.emulator.writes import SECTOR
from tests.cuts import cards, look, virt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from glovebox.emulator.emulator import Qemu
    from glovebox.emulator.writes import Write
    from tests.cuts.cards import Moment
    from tests.cuts.look import Found

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("dumpe2fs", "e2fsck", "losetup", "mcopy", "partx", "resize2fs", "sfdisk"),
]

CARD = 4 * 1024**3
BOOT_TIMEOUT_S = 600  # half a minute on an idle machine
DRIVE_S = 3600
RECORDS = 5
AT_ONCE = 2
AGAIN = 3  # moments of each start after a cut
GROWN = r"EXT4-fs \(\w+3\): resized filesystem to"
TIME = re.compile(rb",(\d{13}),")  # of a record: when the receiver was there


@dataclass(frozen=True, kw_only=True)
class Start:
    """One start of a card: the card before it, and all that was written."""

    before: Path
    writes: tuple[Write, ...]


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """What all the starts share."""

    image: Path
    kit: virt.Kit
    qemu: Qemu
    folder: Path

    def run(self, disk: Path, name: str, *, grows: bool) -> tuple[Write, ...]:
        """Start a card, cut it once it recorded and grew, and give what was written."""
        folder = self.folder / name
        folder.mkdir()
        writes: list[Write] = []
        begun = datetime.now(UTC).replace(microsecond=0)
        with virt.powered(self.kit, disk, qemu=self.qemu, folder=folder) as machine:
            machine.dongle.drive(drive(begun, DRIVE_S))

            def recorded(count: int) -> bool:
                writes.extend(machine.writes())
                return len(_times(writes, begun)) >= count

            # The last one seen may be a block that nothing points to yet: it is no record until it
            # is flushed, and each is flushed before the next one is written.
            seen = RECORDS + 1
            machine.wait(lambda: recorded(seen), f"{seen} records of its own", BOOT_TIMEOUT_S)
            if grows:
                machine.wait(lambda: bool(re.search(GROWN, machine.console())), "growth",
                             BOOT_TIMEOUT_S)  # fmt: skip
                # It is on the card once something is flushed after it: the second record from now.
                recorded(0)  # those that came meanwhile do not count
                last = len(_times(writes, begun)) + 2
                machine.wait(lambda: recorded(last), "records after growth", BOOT_TIMEOUT_S)
            machine.cut()
            writes.extend(machine.writes())
            assert not re.search(r"FAILED.*(glovebox|queue|telematics)", machine.console())
        return tuple(writes)


def _times(writes: Sequence[Write], begun: datetime) -> set[bytes]:
    """Give the times of the records that were written since a moment: those of this start."""
    least = str(int(begun.timestamp() * 1000)).encode()
    found = (TIME.findall(each.data) for each in writes if b"XADD" in each.data)
    return {time for times in found for time in times if time >= least}


@pytest.fixture(scope="module")
def shelf(image: Path, qemu: Qemu, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Take from the image what is started."""
    folder = tmp_path_factory.mktemp("cuts")
    return Shelf(image=image, kit=virt.unpack(image, folder), qemu=qemu, folder=folder)


@pytest.fixture(scope="module")
def data_start(image: Path) -> int:
    """Give where the data partition begins."""
    return card.table(image).partitions[2].start


@pytest.fixture(scope="module")
def first(shelf: Shelf, data_start: int) -> Start:
    """Start a card as it is flashed, once."""
    disk = shelf.folder / "first.img"
    cards.copy(shelf.image, disk)
    with disk.open("rb+") as file:
        file.truncate(CARD)
    writes = shelf.run(disk, "first", grows=True)
    disk.unlink()
    small = cards.without_system(
        shelf.image, shelf.folder / "small.img", size=CARD, data_start=data_start
    )
    return Start(before=small, writes=writes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder that is emptied at once: a card is large."""
    return tmp_path


def test_nothing_writes_to_the_system(first: Start, image: Path, data_start: int) -> None:
    """A first start writes its data, and the partition table once; nothing else changes."""
    elsewhere = [each for each in first.writes if each.start < data_start]
    with image.open("rb") as file:
        before = file.read(look.BLOCK)

    assert [each.start for each in elsewhere] == [0]
    # The kernel writes the block that the sector is in.
    table, rest = elsewhere[0].data[:SECTOR], elsewhere[0].data[SECTOR:]
    assert table != before[:SECTOR]
    assert rest == before[SECTOR : len(elsewhere[0].data)]


def test_each_cut_card_can_be_used(first: Start, pytestconfig: pytest.Config, folder: Path) -> None:
    """Cut anywhere, even within a write, it stays itself, grows, and loses no record."""
    when = cards.moments(first.writes, pytestconfig.getoption("moments"))

    seen = look_at(first, when, folder)

    assert len(seen) >= 20
    assert not seen[0].identity
    assert not seen[0].grown
    assert seen[-1].identity
    assert seen[-1].grown
    assert seen[-1].records >= RECORDS


def test_cut_cards_start_and_record(
    first: Start, shelf: Shelf, pytestconfig: pytest.Config, folder: Path
) -> None:
    """Cut anywhere, the whole system comes up, records and grows; and is cut again, anywhere.

    So it does when nothing of a file system is left.
    """
    when = cards.moments(first.writes, pytestconfig.getoption("moments"))
    chosen: list[Moment | None] = [*_spread(when, pytestconfig.getoption("starts")), None]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = list(pool.map(lambda moment: _restart(first, moment, shelf), chosen))

    for moment, (start, before) in zip(chosen, done, strict=True):
        again = cards.moments(start.writes, AGAIN)
        after = look_at(start, again, folder, whole=moment is not None)[-1]
        assert after.grown, moment
        assert after.records >= before.records + RECORDS, moment
        assert after.identity == (before.identity or after.identity), moment
        start.before.unlink()


def look_at(
    start: Start, when: Sequence[Moment], folder: Path, *, whole: bool = True
) -> list[Found]:
    """Let each cut card have its next start; what is found never gets less with time.

    ``whole``: the card held a file system before the start, so the usual repair mends it.
    """
    seen: list[Found] = []
    told: list[dict[str, object]] = []
    try:
        for moment, disk in cards.each(start.before, start.writes, when, folder):
            told.append({"cut": str(moment)})
            place = folder / "look"
            place.mkdir()
            found = look.next_start(disk, place)
            shutil.rmtree(place)
            told[-1] |= asdict(found)
            if whole:
                assert _told_right(found.said, moment), found.said
            if seen:
                assert found.records >= seen[-1].records, "a cut took what was recorded before"
                assert found.identity == (seen[-1].identity or found.identity)
                assert found.grown >= seen[-1].grown
            seen.append(found)
    finally:
        print(json.dumps(told, indent=1))  # noqa: T201  shown when it fails, and with -s
    return seen


def _told_right(said: str, moment: Moment) -> bool:
    """Tell whether a cut was mended without a loss that it does not explain.

    Whole writes leave nothing but a journal to replay. Half a block of the file system's own, whose
    checksum then fails, is made good from its copies; that is told.
    """
    return "beyond repair" not in said and (bool(moment.torn) or not said)


def _restart(first: Start, moment: Moment | None, shelf: Shelf) -> tuple[Start, Found]:
    """Start the whole card of a moment; give its data before, and what was written then."""
    name = f"{moment.done}-{moment.torn}" if moment else "blank"
    place = shelf.folder / f"look-{name}"
    place.mkdir()
    before = _made(first, moment, first.before, shelf.folder / f"{name}.small.img")
    cards.copy(before, place / "card.img")
    found = look.next_start(place / "card.img", place)
    shutil.rmtree(place)
    disk = _made(first, moment, shelf.image, shelf.folder / f"{name}.img")
    writes = shelf.run(disk, name, grows=not (moment and found.grown))
    disk.unlink()
    return Start(before=before, writes=writes), found


def _made(first: Start, moment: Moment | None, base: Path, target: Path) -> Path:
    """Make the card of a moment; of none, the one whose data partition was emptied."""
    cards.copy(base, target)
    data = card.table(base).partitions[2]
    with target.open("rb+") as file:
        file.truncate(CARD)
        if moment is None:
            file.seek(data.start)
            file.write(bytes(data.size))
    if moment is not None:
        cards.apply(first.writes, target, cards.Moment(done=0), moment)
    return target


def _spread(values: Sequence[Moment], count: int) -> list[Moment]:
    """Choose some, from the first to the last."""
    if count >= len(values):
        return list(values)
    return [values[round(each * (len(values) - 1) / (count - 1))] for each in range(count)]
