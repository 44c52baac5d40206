"""Measure what a board does while it has nothing to record.

It is the small board, whose instructions QEMU counts (its options are in `emulator`). Compared, in
the same run, with the image of an earlier commit; see `bench_car`. Both start a second time for it:
the first start grows and makes things once, and its kernel works them off for minutes.

Twice: with nothing at USB, and with a receiver that is silent beside the network that only an
emulated board has there. In the second case QEMU's USB host interrupts the kernel 1,700 times a
second, whatever the image; so there is a minute too in which every process is stopped.
"""

from __future__ import annotations

import re
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glovebox.bench_car import SMALL, baseline, booted, compared, image, settle
from glovebox.emulator import CARD
from glovebox.errors import VerifyError
from glovebox.run import run

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.bench import Bench
    from glovebox.emulator import Machine
    from glovebox.measures import Row
    from glovebox.writes import Log

# What is left of a start is over when this little is written.
CALM_S = 60
CALM_BYTES = 64 * 1024
CALM_TIMEOUT_S = 600
IDLE_S = 60
MINUTES = 3  # of which the median counts: a timer may fall into one
GOAL = 0.5
MILLION = 1e6
_STARTED = re.compile(rb" login: ")
# Whoever asks for it is stopped too, so it begins once that one has hung up. systemd's first
# process cannot be stopped: it would start a service again that does not move.
_STOP_ALL = (
    "sudo -n systemd-run --quiet sh -c"
    " 'sleep 3; systemd-analyze service-watchdogs no; kill -s STOP -- -1'"
)
_STOPPED_S = 30


@dataclass(frozen=True, kw_only=True)
class Minute:
    """What a minute took: processor time of QEMU, and instructions of the board."""

    cpu_s: float
    instructions: int


@dataclass(frozen=True, kw_only=True)
class Idle:
    """A minute with nothing at USB, one with a receiver, and that with every process stopped."""

    bare: Minute
    plugged: Minute
    kernel: Minute


def idle(bench: Bench) -> list[Row]:
    """Let the small board stand; compare with the image of an earlier commit."""
    bench.warm(SMALL)
    before = _stand(bench, baseline(bench, SMALL))
    return rows_of(SMALL, _stand(bench, image(bench, SMALL)), before)


def _stand(bench: Bench, path: Path) -> Idle:
    card = bench.work / "started.img"
    with booted(bench, SMALL, path) as (machine, _, _):
        settle(machine)
        machine.poweroff()
        run(["cp", "--sparse=always", "--", bench.work / "boot" / CARD, card])
    with booted(bench, SMALL, card, bare=True) as (machine, log, _):
        machine.wait_said(_STARTED)
        _calm(log)
        bare = _minute(machine)
    with booted(bench, SMALL, card) as (machine, log, _):
        settle(machine)
        if machine.dongle is not None:
            machine.dongle.stop()
        _calm(log)
        plugged = _minute(machine)
        machine.ssh(_STOP_ALL)
        time.sleep(_STOPPED_S)
        kernel = _minute(machine)
    card.unlink()
    return Idle(bare=bare, plugged=plugged, kernel=kernel)


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
    """Give the median of some minutes, each of both counted by itself."""
    minutes = [_one(machine) for _ in range(MINUTES)]
    return Minute(
        cpu_s=statistics.median(each.cpu_s for each in minutes),
        instructions=int(statistics.median(each.instructions for each in minutes)),
    )


def _one(machine: Machine) -> Minute:
    cpu, count = machine.cpu_s(), machine.instructions()
    time.sleep(IDLE_S)
    return Minute(cpu_s=machine.cpu_s() - cpu, instructions=machine.instructions() - count)


def rows_of(board: str, now: Idle, before: Idle) -> list[Row]:
    """Compare, in either unit; the goal is that of instructions, which a busy host leaves alone."""
    return [
        *_compared(board, "idle minute, nothing at USB", now.bare, before.bare, goal=GOAL),
        *_compared(board, "idle minute, silent receiver", now.plugged, before.plugged, goal=GOAL),
        *_compared(board, "the same, every process stopped", now.kernel, before.kernel),
    ]


def _compared(
    board: str, what: str, now: Minute, before: Minute, *, goal: float | None = None
) -> list[Row]:
    one, other = now.instructions / MILLION, before.instructions / MILLION
    return [
        compared(board, f"{what}, instructions", one, other, goal=goal, unit="M"),
        compared(board, f"{what}, processor time of QEMU", now.cpu_s, before.cpu_s),
    ]
