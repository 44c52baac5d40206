"""What becomes of a cut card at its next start, as far as files tell: mended, itself, grown.

What runs is what the board runs: `open-data` and `lay-over` of its initramfs, and `onboard.grow`,
on a loop device with a third partition.
"""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.card import table as card
from glovebox.host.run import run
from glovebox.onboard.grow import grow_partition
from tests.root.test_data_partition import STAGE, USERS, laid_over

if TYPE_CHECKING:
    from collections.abc import Iterator

IDENTITY = re.compile(r"[0-9a-f]{32}\n")
# What is less than an erase block of larger cards, twice, is not worth growing for.
LEFT_MOST = 16 * 1024**2
BLOCK = 4096


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a card held when it was opened, and what that took."""

    identity: str  # empty: none yet
    records: int
    grown: bool
    said: str


@contextmanager
def partition(disk: Path) -> Iterator[Path]:
    """Show a card's data partition as a block device, as the kernel of a board does."""
    with ExitStack() as stack:
        loop = run(["losetup", "--find", "--show", disk]).stdout.strip()
        stack.callback(run, ["losetup", "--detach", loop])
        # A run that was killed can have left one: the kernel keeps it beyond its loop device.
        run(["partx", "--delete", "--nr", "3", loop], check=False)
        run(["partx", "--add", "--nr", "3", loop])
        stack.callback(run, ["partx", "--delete", "--nr", "3", loop])
        yield Path(f"{loop}p3")


@contextmanager
def opened(device: Path, folder: Path) -> Iterator[tuple[Path, str]]:
    """Open the data partition as the initramfs does; give its folder and what was said."""
    place = folder / "data"
    (folder / "passwd").write_text(USERS)
    done = run(
        ["sh", STAGE / "open-data", device, place, folder / "passwd"],
        env={"STATE": str(folder / "state")},
    )
    try:
        yield place, done.stderr
    finally:
        run(["umount", place])


def next_start(disk: Path, folder: Path) -> Found:
    """Do with a cut card what a board does when the power comes back; fail if it cannot record."""
    with partition(disk) as device:
        with opened(device, folder) as (data, said):
            found = _found(disk, device, data, said)
            with laid_over(folder, data) as root:
                told = (root / "etc/machine-id").read_text()
                assert IDENTITY.fullmatch(told), f"the system would get '{told}' as its identity"
                assert not found.identity or told == found.identity, "the first start came twice"
            (data / "telematics/recorded").write_text("it can be written to")
        _grow(device)
        table, size = _size(disk, device)
        assert is_grown(disk, size), "it did not grow to the end of the card"
        _grow(device)
        assert (table, size) == _size(disk, device), "it grew twice"
        whole = run(["e2fsck", "-f", "-n", device], check=False)
        assert whole.returncode == 0, whole.stdout
    return found


def _grow(device: Path) -> None:
    """Grow a partition as the board does, and its file system while nobody uses it.

    The board grows it in use; that takes a right that root does not have in every container, so
    it is shown by the systems that are started.
    """
    grow_partition(device)
    run(["e2fsck", "-f", "-p", device])
    run(["resize2fs", device])


def is_grown(disk: Path, size: int) -> bool:
    """Tell whether partition and file system reach the end of the card."""
    part = card.table(disk).partitions[2]
    left = disk.stat().st_size - part.start - part.size
    return left < LEFT_MOST and part.size - size < LEFT_MOST


def records(data: Path) -> int:
    """Count the records in the queue's files."""
    found = sorted(data.glob("queue/appendonlydir/*.aof"))
    return sum(each.read_bytes().count(b"XADD") for each in found)


def _found(disk: Path, device: Path, data: Path, said: str) -> Found:
    kept = data / "system/machine-id"
    identity = kept.read_text() if kept.exists() else ""
    return Found(
        identity=identity if IDENTITY.fullmatch(identity) else "",
        records=records(data),
        grown=is_grown(disk, _size(disk, device)[1]),
        said=said,
    )


def _size(disk: Path, device: Path) -> tuple[bytes, int]:
    """Give the card's partition table, and the size of the file system."""
    with disk.open("rb") as file:
        table = file.read(512)
    told = run(["dumpe2fs", "-h", device]).stdout
    block, blocks = (
        int(each) for each in re.findall(r"^Block (?:count|size):\s+(\d+)$", told, re.MULTILINE)
    )
    return table, block * blocks
