"""The power goes while the home takes records and builds days: what it acknowledged is there.

The home runs here, on a file system whose disk logs each write (QEMU's `blklogwrites`, shown as a
file by its storage daemon); what a cut leaves is made of the log, as for the car's card. The
processor that runs the home decides nothing about its disk, so no board is emulated.
"""

from __future__ import annotations

import random
import shutil
from bisect import bisect_right
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.emulator.writes import Log, drive
from glovebox.host import loop, mounts
from glovebox.host.run import end, environment, run, start
from tests.cuts import cards
from tests.home import made
from tests.home.parts import HomeProcess, command, landed, until
from tests.home.test_kills import post
from tests.needs import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glovebox.emulator.emulator import Qemu
    from glovebox.emulator.writes import Write

pytestmark = [pytest.mark.root, pytest.mark.needs("e2fsck", "losetup", "mkfs.ext4")]

DISK = 256 << 20
BATCHES, BATCH = 40, 150
# What a query says of a home that has all of these records, each once.
COUNTED = "SELECT COUNT(*), COUNT(DISTINCT (device, installation, seq)) FROM points"


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a home took: the disk before it, its writes, and when it said that a batch is safe."""

    before: Path
    writes: tuple[Write, ...]
    # After so many writes the home had acknowledged these records.
    promises: tuple[tuple[int, frozenset[bytes]], ...]
    everything: frozenset[bytes]

    def promised(self, moment: cards.Moment) -> frozenset[bytes]:
        """Give the records that were acknowledged before a moment."""
        at = bisect_right([done for done, _ in self.promises], moment.done)
        return self.promises[at - 1][1] if at else frozenset()


@pytest.fixture(scope="module")
def taken(qemu: Qemu, tmp_path_factory: pytest.TempPathFactory) -> Taken:
    """Let a home take batches by HTTP on a logged disk, while it builds days."""
    folder = tmp_path_factory.mktemp("taken")
    disk, before = folder / "disk.img", folder / "before.img"
    with disk.open("wb") as file:
        file.truncate(DISK)
    run(["mkfs.ext4", "-q", "-F", disk])
    cards.copy(disk, before)
    fleet = made.fleet(31, BATCHES * BATCH, vehicles=1)
    sendable = [raw for _, raw in fleet.messages if raw in fleet.records]
    writes: list[Write] = []
    promises: list[tuple[int, frozenset[bytes]]] = []
    with logged(disk, qemu, folder) as (device, log), mounted(device, folder / "mounted") as place:
        home = HomeProcess(place, "listen: 127.0.0.1:0\nvehicles: {truck-0: {key_file: key}}\n")
        home.start()
        told: frozenset[bytes] = frozenset()
        for at in range(0, len(sendable), BATCH):
            batch = sendable[at : at + BATCH]
            post(home, batch, wait=True).close()
            told |= frozenset(batch)
            writes += log.more()
            promises.append((len(writes), told))
        until(lambda: _is_built(home.data), what="a built day")
        assert home.end() == 0
    writes += log.more()
    return Taken(
        before=before,
        writes=tuple(writes),
        promises=tuple(promises),
        everything=frozenset(fleet.records),
    )


def test_what_the_home_acknowledged_outlives_a_cut(
    taken: Taken, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """At every moment all acknowledged records are there, whole, and days are built of them."""
    count = pytestconfig.getoption("moments")
    when = cards.moments(taken.writes, count, seed=31)
    looked = random.Random(31).sample(when, min(len(when), max(6, count // 4)))  # noqa: S311
    kept = set()
    for moment, disk in cards.each(taken.before, taken.writes, when, tmp_path):
        with (
            loop.device(disk, start=0, size=DISK, writable=True) as device,
            mounted(device, tmp_path / "mounted") as place,
        ):
            found = _landed(place / "data")
            assert taken.promised(moment) <= found, f"{moment}: acknowledged records are lost"
            assert found <= taken.everything, f"{moment}: it holds what nobody sent"
            if moment in looked:
                _comes_up(place / "data", found, moment)
            kept.add(len(found))
        checked = run(["e2fsck", "-f", "-n", disk], check=False)
        assert checked.returncode == 0, f"{moment}: {checked.stdout}"

    assert len(kept) > min(count, BATCHES) // 4, "the cuts fell on few states of the landing"
    assert max(kept) == len(taken.everything)


def _comes_up(data: Path, found: set[bytes], moment: cards.Moment) -> None:
    """Build with what a cut left: nothing missing, nothing twice, nothing left to do."""
    data.mkdir(exist_ok=True)
    built = command(data, "build")
    assert built.returncode == 0, f"{moment}: {built.stderr}"
    told = command(data, "sql", "--csv", COUNTED)
    assert told.returncode == 0, f"{moment}: {told.stderr}"
    assert told.stdout.splitlines()[-1] == f"{len(found)},{len(found)}", str(moment)
    again = command(data, "build")
    assert again.stdout.startswith("0 positions"), f"{moment}: {again.stdout}"


def _landed(data: Path) -> set[bytes]:
    records, dead, _ = landed(data)
    assert not dead
    return records


def _is_built(data: Path) -> bool:
    return any((data / "days").glob("2*/built"))


@contextmanager
def logged(disk: Path, qemu: Qemu, folder: Path) -> Iterator[tuple[Path, Log]]:
    """Give a block device of a disk, each write of which is logged before it is answered."""
    if not Path("/dev/fuse").exists():
        missing("needs /dev/fuse: modprobe fuse")
    shown, log, ready = folder / "shown.img", folder / "writes.log", folder / "ready"
    shown.touch()
    log.touch()
    with ExitStack() as stack:
        daemon = start(
            [
                *qemu.prefix, str(qemu.folder / "qemu-storage-daemon"),
                "--blockdev", f"{drive(str(disk), str(log))},node-name=logged",
                "--export", f"type=fuse,id=shown,node-name=logged,mountpoint={shown},writable=on",
                "--pidfile", str(ready),
            ],
            env=environment(qemu.variables),
        )  # fmt: skip
        stack.callback(end, daemon, grace_s=60)
        until(lambda: ready.exists() or daemon.poll() is not None, what="the storage daemon")
        assert daemon.poll() is None, "the storage daemon ended"
        device = stack.enter_context(loop.device(shown, start=0, size=DISK, writable=True))
        yield device, Log(log)
    shutil.rmtree(folder / "mounted", ignore_errors=True)


@contextmanager
def mounted(device: Path, place: Path) -> Iterator[Path]:
    """Mount a file system, as a start after a cut does: its journal is read first."""
    place.mkdir(exist_ok=True)
    with mounts.mount(device, place, kind="ext4"):
        yield place
