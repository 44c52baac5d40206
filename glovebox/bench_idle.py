"""Measure what a board does while it has nothing to record: a receiver without a position.

Compared, in the same run, with the image of an earlier commit; see `bench_car`. Two more minutes
tell what of it no image can change: one without the USB host, which interrupts the kernel 1,700
times a second for as long as anything is plugged in; and one in which every process is stopped, so
that only the kernel is left, which on the ARMv6 boards ticks 250 times a second in any case.
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
# A board's clock is not the host's.
SLACK_S = 20
# Takes the network along, so whoever asks for it has hung up by then. Nobody is there to stop
# systemd's first process, which would start a service again that does not move.
_ALONE = (
    "sudo -n systemd-run --quiet sh -c '"
    "sleep 3; cd /sys/bus/platform/drivers/dwc2 && echo *.usb >unbind;"
    f" sleep {CALM_S + IDLE_S + SLACK_S};"
    " systemd-analyze service-watchdogs no; kill -STOP -1'"
)


@dataclass(frozen=True, kw_only=True)
class Minute:
    """What a minute took: processor time of QEMU, and instructions where it counts them."""

    cpu_s: float
    instructions: int | None


@dataclass(frozen=True, kw_only=True)
class Idle:
    """A minute as the board is, one without USB host, one of its kernel alone; and how busy it was.

    ``busy_s``: of the first minute, in seconds of all its processors, by its own count.
    """

    whole: Minute
    alone: Minute
    still: Minute
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
        machine.ssh(_ALONE)
        time.sleep(CALM_S)
        alone = _minute(machine)
        time.sleep(2 * SLACK_S)
        return Idle(whole=whole, alone=alone, still=_minute(machine), busy_s=busy)


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
    rows: list[Row] = []
    for what, one, other, goal in (
        ("idle minute", now.whole, before.whole, GOAL),
        ("idle minute without its USB host", now.alone, before.alone, None),
        ("idle minute of its kernel alone", now.still, before.still, None),
    ):
        if one.instructions is not None and other.instructions is not None:
            count = f"{what}, instructions"
            rows.append(compared(board, count, one.instructions / MILLION,
                                 other.instructions / MILLION, goal=goal, unit="M"))  # fmt: skip
        rows.append(
            compared(board, f"{what}, processor time of QEMU", one.cpu_s, other.cpu_s, goal=goal)
        )
    rows.append(compared(board, "idle minute, the board's own", now.busy_s, before.busy_s))
    return rows
