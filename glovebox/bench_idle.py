"""Measure what a board does while it has nothing to record: a receiver without a position.

Compared, in the same run, with the image of an earlier commit; see `bench_car`. A second minute, in
which every process is stopped, tells what of it no image can change: QEMU's USB host interrupts the
kernel 1,700 times a second as long as anything is plugged in, and the kernel of the ARMv6 boards
ticks 250 times a second in any case. The difference is what the processes take.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glovebox.bench_car import baseline, booted, compared, image, settle

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.bench import Bench
    from glovebox.emulator import Machine
    from glovebox.measures import Row

# Until what starts late is done: a data partition that grew is written to for some time.
CALM_S = 30
IDLE_S = 60
GOAL = 0.5
MILLION = 1e6
# Whoever asks for it is stopped too, so it begins once that one has hung up. systemd's first
# process cannot be stopped: it would start a service again that does not move.
_STOP_ALL = (
    "sudo -n systemd-run --quiet sh -c"
    " 'sleep 3; systemd-analyze service-watchdogs no; kill -s STOP -- -1'"
)


@dataclass(frozen=True, kw_only=True)
class Minute:
    """What a minute took: processor time of QEMU, and instructions where it counts them."""

    cpu_s: float
    instructions: int | None


@dataclass(frozen=True, kw_only=True)
class Idle:
    """A minute as the board is, one with every process stopped, and how busy it was in the first.

    ``busy_s``: in seconds of all its processors, by its own count.
    """

    whole: Minute
    kernel: Minute
    busy_s: float


def idle(bench: Bench) -> list[Row]:
    """Let both boards stand; compare with the image of an earlier commit."""
    rows: list[Row] = []
    for board in bench.opened:
        bench.warm(board)
        before = _stand(bench, board, baseline(bench, board))
        rows += rows_of(board, _stand(bench, board, image(bench, board)), before)
    return rows


def _stand(bench: Bench, board: str, path: Path) -> Idle:
    with booted(bench, board, path) as (machine, _, _):
        settle(machine)
        if machine.dongle is not None:
            machine.dongle.stop()
        time.sleep(CALM_S)
        busy = _busy_s(machine)
        whole = _minute(machine)
        busy = _busy_s(machine) - busy
        machine.ssh(_STOP_ALL)
        time.sleep(CALM_S)
        return Idle(whole=whole, kernel=_minute(machine), busy_s=busy)


def _minute(machine: Machine) -> Minute:
    cpu, count = machine.cpu_s(), machine.instructions()
    time.sleep(IDLE_S)
    cpu, now = machine.cpu_s() - cpu, machine.instructions()
    return Minute(cpu_s=cpu, instructions=None if count is None or now is None else now - count)


def _busy_s(machine: Machine) -> float:
    """Give the seconds in which the board's own processors were not idle."""
    words = machine.ssh("head -n 1 /proc/stat").stdout.split()
    ticks = [int(word) for word in words[1:9]]
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / 100


def rows_of(board: str, now: Idle, before: Idle) -> list[Row]:
    """Compare, in every unit there is; the goal is that of the minute as it is."""
    rows = [
        *_compared(board, "idle minute", now.whole, before.whole, goal=GOAL),
        *_compared(board, "idle minute, every process stopped", now.kernel, before.kernel),
    ]
    processes = [
        one.whole.instructions - one.kernel.instructions
        for one in (now, before)
        if one.whole.instructions is not None and one.kernel.instructions is not None
    ]
    if len(processes) == 2:  # noqa: PLR2004  this image and the earlier one
        one, other = (each / MILLION for each in processes)
        what = "idle minute, the difference: what processes take, instructions"
        rows.append(compared(board, what, one, other, unit="M"))
    rows.append(compared(board, "idle minute, the board's own count", now.busy_s, before.busy_s))
    return rows


def _compared(
    board: str, what: str, now: Minute, before: Minute, *, goal: float | None = None
) -> list[Row]:
    rows: list[Row] = []
    if now.instructions is not None and before.instructions is not None:
        one, other = now.instructions / MILLION, before.instructions / MILLION
        rows.append(compared(board, f"{what}, instructions", one, other, goal=goal, unit="M"))
    time_ = f"{what}, processor time of QEMU"
    return [*rows, compared(board, time_, now.cpu_s, before.cpu_s, goal=goal)]
