"""Measure what a board does while it has nothing to record: nothing is at its USB.

Whatever is plugged in makes QEMU's USB host interrupt the kernel 1,700 times a second, whatever the
image, so nothing is: no receiver, and not the network that only an emulated board has there.
Compared, in the same run, with the image of an earlier commit; see `bench_car`. Both start a second
time for it: the first start grows and makes things once, and its kernel works them off for minutes.
"""

from __future__ import annotations

import re
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glovebox.emulator.emulator import CARD
from glovebox.errors import VerifyError
from glovebox.host.run import run
from glovebox.trials.bench_car import baseline, booted, compared, image, settle

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.emulator.emulator import Machine
    from glovebox.emulator.writes import Log
    from glovebox.trials.desk import Bench
    from glovebox.trials.measures import Row

# What is left of a start is over when this little is written.
CALM_S = 60
CALM_BYTES = 64 * 1024
CALM_TIMEOUT_S = 600
IDLE_S = 60
MINUTES = 3  # of which the median counts: a timer may fall into one
GOAL = 0.5
MILLION = 1e6
_STARTED = re.compile(rb"Reached target .*multi-user\.target")


@dataclass(frozen=True, kw_only=True)
class Minute:
    """What a minute took: processor time of QEMU, and instructions where QEMU counts them."""

    cpu_s: float
    instructions: float | None


def idle(bench: Bench) -> list[Row]:
    """Let both boards stand; compare with the image of an earlier commit."""
    rows: list[Row] = []
    for board in bench.opened:
        bench.warm(board)
        before = _stand(bench, board, baseline(bench, board))
        rows += rows_of(board, _stand(bench, board, image(bench, board)), before)
    return rows


def _stand(bench: Bench, board: str, path: Path) -> Minute:
    card = bench.work / "started.img"
    with booted(bench, board, path) as (machine, _, _):
        settle(machine)
        machine.poweroff()
        run(["cp", "--sparse=always", "--", bench.work / "boot" / CARD, card])
    with booted(bench, board, card, bare=True) as (machine, log, _):
        machine.wait_said(_STARTED)
        _calm(log)
        minutes = [_minute(machine) for _ in range(MINUTES)]
    card.unlink()
    return median_of(minutes)


def _calm(log: Log) -> None:
    """Wait until hardly anything is written to the card."""
    until = time.monotonic() + CALM_TIMEOUT_S
    sum(1 for _ in log.more())
    while True:
        time.sleep(CALM_S)
        if sum(len(each.data) for each in log.more()) <= CALM_BYTES:
            return
        if time.monotonic() > until:
            raise VerifyError(f"the board writes to its card for over {CALM_TIMEOUT_S} s")


def _minute(machine: Machine) -> Minute:
    cpu_s, count = machine.cpu_s(), machine.instructions()
    time.sleep(IDLE_S)
    now = machine.instructions()
    taken = None if now is None or count is None else now - count
    return Minute(cpu_s=machine.cpu_s() - cpu_s, instructions=taken)


def median_of(minutes: list[Minute]) -> Minute:
    """Give the median of each measure by itself."""
    counts = [each.instructions for each in minutes if each.instructions is not None]
    return Minute(
        cpu_s=statistics.median(each.cpu_s for each in minutes),
        instructions=statistics.median(counts) if counts else None,
    )


def rows_of(board: str, now: Minute, before: Minute) -> list[Row]:
    """Compare in either unit; the goal is for instructions where they are counted."""
    what = "idle minute, nothing at USB"
    rows = []
    if now.instructions is not None and before.instructions is not None:
        one, other = now.instructions / MILLION, before.instructions / MILLION
        rows.append(compared(board, f"{what}, instructions", one, other, goal=GOAL, unit="M"))
    goal = None if rows else GOAL
    took = f"{what}, processor time of QEMU"
    return [*rows, compared(board, took, now.cpu_s, before.cpu_s, goal=goal)]
