"""Measure what a vehicle asks of an image: a quick start, few writes, little memory.

The start is compared, in the same run, with the image of an earlier commit: the one that first
recorded a drive, before anything was done for a vehicle. It is built by its own code once and kept
beside the results. What is measured is told from outside where that is possible: by the log of what
the board writes to its card.
"""

from __future__ import annotations

import re
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from glovebox.card import table as card
from glovebox.checkout import CHECKOUT
from glovebox.emulator import emulator, nmea
from glovebox.emulator.emulator import WRITES, Login
from glovebox.emulator.writes import Log, Write
from glovebox.errors import HostError, VerifyError
from glovebox.host.run import CommandError, run
from glovebox.plan.plan import EMULATOR
from glovebox.store.store import Store
from glovebox.trials import elsewhere
from glovebox.trials.desk import MB, SMALL
from glovebox.trials.elsewhere import Workplace
from glovebox.trials.measures import TIMES, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from glovebox.emulator.emulator import Machine
    from glovebox.trials.desk import Bench

BASELINE = "68c1be0"
BASELINE_NAME = f"an image of commit {BASELINE}, before anything was done for a vehicle"
FIRST_TIMEOUT_S = 600
SETTLE_TIMEOUT_S = 300
MINUTE_S = 60
DRIVE_S = 600
COUNTED_S = 300  # of the drive, at its end
HOUR_S = 3600
LOOK_S = 0.1
_RECORD = re.compile(rb"XADD")


@dataclass(frozen=True, kw_only=True)
class FirstRecord:
    """When the first record was on the card, in seconds since power-on and kernel start."""

    host_s: float
    board_s: float


@dataclass(frozen=True, kw_only=True)
class Drive:
    """What was written in the last minutes of a drive, and the memory at its end."""

    seconds: float
    written: int
    system: int
    used: float


def car(bench: Bench) -> list[Row]:
    """Boot both boards, drive with the small one; compare with the image of an earlier commit."""
    rows: list[Row] = []
    for board in bench.opened:
        bench.warm(board)
        before = _start(bench, board, baseline(bench, board))
        with booted(bench, board, image(bench, board)) as (machine, log, begun):
            now = _measured(machine, log, begun)
            if board == SMALL:
                rows += _drive_rows(_drive(machine, log, _system(bench, board)))
        rows += _start_rows(board, now, before)
    return rows


def baseline(bench: Bench, board: str) -> Path:
    """Give the image of the earlier commit; it is built where it is not kept from another run."""
    kept = bench.opened[board].out / "baseline" / f"glovebox-{board}.img"
    if kept.exists():
        return kept
    work = bench.work / "baseline"
    shutil.rmtree(work, ignore_errors=True)
    checkout = work / "checkout"
    checkout.mkdir(parents=True)
    archive = work / "checkout.tar"
    try:
        run(["git", "-C", CHECKOUT, "archive", "--output", archive, BASELINE])
    except CommandError as error:
        raise HostError(
            f"commit {BASELINE}, which is compared with, is not in this checkout",
            hint="git fetch --unshallow",
        ) from error
    run(["tar", "--extract", "--file", archive, "--directory", checkout])
    store = Store(root=work / "store").open()
    elsewhere.share_downloads(bench.opened[board].store, store)
    site = Workplace(
        checkout=checkout, config=checkout / "image.yaml", store=store, out=work / "out"
    )
    site.run("build-image", "--no-verify", "--set", f"board={board}", line=bench.monitor.note)
    kept.parent.mkdir(parents=True, exist_ok=True)
    run(["cp", "--sparse=always", "--", site.out / kept.name, kept])
    shutil.rmtree(work)
    return kept


def image(bench: Bench, board: str) -> Path:
    """Give the image that was built here."""
    return bench.site.out / f"{bench.opened[board].name}.img"


def _system(bench: Bench, board: str) -> range:
    """Give the bytes of the card that boot and root partition have, and the gap behind them."""
    boot, _, data = card.table(image(bench, board)).partitions
    return range(boot.start, data.start)


def _start(bench: Bench, board: str, before: Path) -> FirstRecord:
    with booted(bench, board, before) as (machine, log, begun):
        return _measured(machine, log, begun)


@contextmanager
def booted(
    bench: Bench, board: str, image: Path, *, bare: bool = False
) -> Iterator[tuple[Machine, Log, float]]:
    """Give a board that gets its power now, with a receiver that has a fix.

    ``bare``: nothing is at its USB, so nobody can log in either.
    """
    opened = bench.opened[board]
    builder = opened.builder()
    builder.build([EMULATOR])
    folder = bench.work / "boot"
    with emulator.boot(
        image,
        opened.board,
        qemu=emulator.find_qemu(builder.native(EMULATOR).tree),
        login=Login(user=opened.loaded.config.user.name, key=opened.access.private),
        folder=folder,
        dongle=not bare,
        network=not bare,
        writes_log=True,
    ) as machine:
        begun = time.monotonic()
        if not bare:
            _drive_on(machine)
        yield machine, Log(folder / WRITES), begun
    shutil.rmtree(folder)


def _drive_on(machine: Machine) -> None:
    if machine.dongle is None:
        raise VerifyError("the emulated board has no receiver")
    machine.dongle.drive(nmea.drive(datetime.now(UTC).replace(microsecond=0), HOUR_S))


def settle(machine: Machine) -> None:
    """Wait until all that starts has started."""
    machine.wait_ssh()
    machine.ssh(f"timeout {SETTLE_TIMEOUT_S} systemctl is-system-running --wait", check=False)


def _measured(machine: Machine, log: Log, begun: float) -> FirstRecord:
    host_s = _first_record(machine, log) - begun
    settle(machine)
    return FirstRecord(host_s=host_s, board_s=_first_mono(machine))


def _first_record(machine: Machine, log: Log) -> float:
    """Give the time (of time.monotonic) at which the first record is on the card."""
    until = time.monotonic() + FIRST_TIMEOUT_S
    while not any(_RECORD.search(each.data) for each in log.more()):
        machine.check()
        if time.monotonic() > until:
            raise VerifyError(f"nothing was recorded within {FIRST_TIMEOUT_S} s of power")
        time.sleep(LOOK_S)
    return time.monotonic()


def _first_mono(machine: Machine) -> float:
    """Give when the board had the first record's position, in seconds since its kernel started."""
    told = machine.ssh(
        "sudo -n redis-cli -s /run/queue/queue.sock --raw XRANGE telematics:queue - + COUNT 1"
    ).stdout
    return mono_of(told) / 1000


def mono_of(told: str) -> int:
    """Read the board's time out of a record of this version's layout, or of the first one's."""
    found = re.search(r"^\[1,.*$", told, re.MULTILINE)
    if found is None:
        raise VerifyError(f"no record in: {told.strip() or 'nothing'}")
    # The receiver's time has 13 digits in both, and the board's stands behind it.
    place = re.search(r",(?:\d{13}|null),(\d+),", found[0])
    if place is None:
        raise VerifyError(f"no time in the record {found[0]}")
    return int(place[1])


def _drive(machine: Machine, log: Log, system: range) -> Drive:
    """Record on, and count what is written in the last minutes."""
    _drive_on(machine)
    time.sleep(DRIVE_S - COUNTED_S)
    before = list(log.more())
    begun = time.monotonic()
    time.sleep(COUNTED_S)
    counted = list(log.more())
    seconds = time.monotonic() - begun
    told = machine.ssh("cat /proc/meminfo").stdout
    lines = re.findall(r"^(\w+):\s+(\d+) kB", told, re.MULTILINE)
    kib = {name: int(value) for name, value in lines}
    return Drive(
        seconds=seconds,
        written=size_of(counted),
        system=size_of(each for each in (*before, *counted) if each.start in system),
        used=(kib["MemTotal"] - kib["MemAvailable"]) * 1024 / MB,
    )


def size_of(writes: Iterable[Write]) -> int:
    """Count the bytes."""
    return sum(len(each.data) for each in writes)


def _drive_rows(drive: Drive) -> list[Row]:
    hour = drive.written / drive.seconds * HOUR_S / MB
    how = f"{drive.seconds / MINUTE_S:.0f} minutes at 1 Hz, extrapolated"
    everything = f"{DRIVE_S // MINUTE_S} minutes; none is what an hour has then, too"
    return [
        Row(name=f"`{SMALL}`: written to root and boot partition, driving", unit="bytes",
            values=(float(drive.system),), goal=0, note=everything),
        Row(name=f"`{SMALL}`: written to the card in an hour of driving", unit="MB",
            values=(hour,), goal=45, note=how),
        Row(name=f"`{SMALL}`: memory in use after {DRIVE_S // MINUTE_S} minutes of recording",
            unit="MB", values=(drive.used,), goal=110, note="MemTotal less MemAvailable"),
    ]  # fmt: skip


def _start_rows(board: str, now: FirstRecord, before: FirstRecord) -> list[Row]:
    start = "kernel start → first record"
    return [
        compared(board, f"{start}, the board's time", now.board_s, before.board_s, goal=0.6),
        compared(board, f"{start}, the host's time", now.host_s, before.host_s, goal=0.6),
    ]


def compared(
    board: str, what: str, now: float, before: float, *, goal: float | None = None, unit: str = "s"
) -> Row:
    """Give the ratio to the earlier image as a row, with both figures beside it."""
    return Row(
        name=f"`{board}`: {what}: this / {BASELINE_NAME}",
        unit=TIMES,
        values=(now / before,),
        goal=goal,
        note=f"{now:.1f} {unit} / {before:.1f} {unit}",
    )
