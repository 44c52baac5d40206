"""Measure what a board does while it has nothing to record: a receiver without a position.

It is the small board, whose instructions QEMU counts (its options are in `emulator`).

Compared, in the same run, with the image of an earlier commit; see `bench_car`. A second minute, in
which every process is stopped, tells what of it no image can change: QEMU's USB host interrupts the
kernel 1,700 times a second as long as anything is plugged in, and the kernel of the ARMv6 boards
ticks 250 times a second in any case. The difference is what the processes take.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glovebox.bench_car import SMALL, baseline, booted, compared, image, settle
from glovebox.errors import VerifyError

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.bench import Bench
    from glovebox.emulator import Machine
    from glovebox.measures import Row
    from glovebox.writes import Log

# What grew at the first start is written to for minutes. Few writes can be large ones: the earlier
# image's kernel was seen at work after such a wait, so compare its row with every process stopped.
CALM_S = 30
CALM_WRITES = 30
CALM_TIMEOUT_S = 600
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
    """What a minute took: processor time of QEMU, and instructions of the board."""

    cpu_s: float
    instructions: int


@dataclass(frozen=True, kw_only=True)
class Idle:
    """A minute as the board is, one with every process stopped, and how busy it was in the first.

    ``busy_s``: in seconds of all its processors, by its own count.
    """

    whole: Minute
    kernel: Minute
    busy_s: float


def idle(bench: Bench) -> list[Row]:
    """Let the small board stand; compare with the image of an earlier commit."""
    bench.warm(SMALL)
    before = _stand(bench, SMALL, baseline(bench, SMALL))
    return rows_of(SMALL, _stand(bench, SMALL, image(bench, SMALL)), before)


def _stand(bench: Bench, board: str, path: Path) -> Idle:
    with booted(bench, board, path) as (machine, log, _):
        settle(machine)
        if machine.dongle is not None:
            machine.dongle.stop()
        _calm(log)
        busy = _busy_s(machine)
        whole = _minute(machine)
        busy = _busy_s(machine) - busy
        machine.ssh(_STOP_ALL)
        time.sleep(CALM_S)
        return Idle(whole=whole, kernel=_minute(machine), busy_s=busy)


def _calm(log: Log) -> None:
    """Wait until hardly anything is written to the card."""
    until = time.monotonic() + CALM_TIMEOUT_S
    sum(1 for _ in log.more())
    while True:
        time.sleep(CALM_S)
        if sum(1 for _ in log.more()) <= CALM_WRITES:
            return
        if time.monotonic() > until:
            raise VerifyError(f"the board writes to its card for over {CALM_TIMEOUT_S} s")


def _minute(machine: Machine) -> Minute:
    cpu, count = machine.cpu_s(), machine.instructions()
    time.sleep(IDLE_S)
    return Minute(cpu_s=machine.cpu_s() - cpu, instructions=machine.instructions() - count)


def _busy_s(machine: Machine) -> float:
    """Give the seconds in which the board's own processors were not idle."""
    words = machine.ssh("head -n 1 /proc/stat").stdout.split()
    ticks = [int(word) for word in words[1:9]]
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / 100


def rows_of(board: str, now: Idle, before: Idle) -> list[Row]:
    """Compare, in either unit; the goal is that of the minute as it is."""
    one, other = (each.whole.instructions - each.kernel.instructions for each in (now, before))
    what = "idle minute, the difference: what processes take, instructions"
    return [
        *_compared(board, "idle minute", now.whole, before.whole, goal=GOAL),
        *_compared(board, "idle minute, every process stopped", now.kernel, before.kernel),
        compared(board, what, one / MILLION, other / MILLION, unit="M"),
        compared(board, "idle minute, the board's own", now.busy_s, before.busy_s),
    ]


def _compared(
    board: str, what: str, now: Minute, before: Minute, *, goal: float | None = None
) -> list[Row]:
    one, other = now.instructions / MILLION, before.instructions / MILLION
    return [
        compared(board, f"{what}, instructions", one, other, goal=goal, unit="M"),
        compared(board, f"{what}, processor time of QEMU", now.cpu_s, before.cpu_s, goal=goal),
    ]
