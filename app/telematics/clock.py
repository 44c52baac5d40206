"""Whether the receiver's time may set the board's clock: `telematics clock`, run before chrony may.

chrony has the receiver as a source that it does not select, until this said yes. Nothing here sets
a clock. A receiver is believed as long as it says what can be: a few of its kind are wrong by 1,024
weeks once they are ten years old, and a clock that is set years off ends every certificate.
"""

from __future__ import annotations

import logging
import subprocess
import time
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from telematics.status import Status

DAY_MS = 86_400_000
# A vehicle may stand for so long: what is told then needs no more than the receiver's word.
USUAL_MS = 2 * 365 * DAY_MS
ROLL_OVER_MS = 1024 * 7 * DAY_MS
# How long a time further ahead has to be told without a step.
PROBATION_MS = 600_000
# A fix that is older is none, see status.py for how often it is told.
STALE_MS = 30_000
LOOK_S = 5.0
# Both tell the same time.
AGREED_MS = 60_000
MOVES = {"standing", "driving"}

log = logging.getLogger(__name__)


class Verdict(StrEnum):
    """What to do with the receiver's time."""

    SET = "set"
    WAIT = "wait"


class Told(NamedTuple):
    """What there is to decide by, all in ms: the receiver's time, and since when it is believed."""

    receiver: int
    floor: int
    believed_for: int
    # The board's clock where a time server set it; None without one.
    network: int | None


def judge(told: Told) -> tuple[Verdict, str]:  # noqa: PLR0911  one a rule
    """Decide, and give the reason for people."""
    if told.network is not None:
        if abs(told.receiver - told.network) <= AGREED_MS:
            return Verdict.SET, "the receiver and the network agree"
        return Verdict.WAIT, "the receiver and the network tell different times"
    ahead = told.receiver - told.floor
    if ahead < 0:
        return Verdict.WAIT, "the receiver tells a time that is over already"
    if ahead <= USUAL_MS:
        return Verdict.SET, "the receiver tells a time that can be"
    if ahead >= ROLL_OVER_MS:
        return Verdict.WAIT, "the receiver tells a time 1,024 weeks ahead or more"
    if told.believed_for >= PROBATION_MS:
        return Verdict.SET, "the receiver has told a time far ahead for ten minutes"
    return Verdict.WAIT, "the receiver tells a time more than two years ahead"


def wait_for_belief(
    *,
    status: Callable[[], Status | None],
    word: Callable[[], str],
    floor: int,
    network: Callable[[], int | None],
    mono: Callable[[], int],
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Wait until the receiver's time may set the clock; False once there is no fix any more.

    ``status`` and ``word`` are the recorder's, which believes a time after three 3D fixes in a row.
    """
    since, said = None, ""
    while word() in MOVES:
        now, current = mono(), status()
        position = current.position if current else None
        if (
            position is None
            or position.time is None
            or not position.time_ok
            or now - position.mono > STALE_MS
        ):
            since = None
        else:
            since = now if since is None else since
            receiver = position.time + now - position.mono
            verdict, why = judge(Told(receiver, floor, now - since, network()))
            if why != said:
                log.info("%s", why)
                said = why
            if verdict is Verdict.SET:
                return True
        sleep(LOOK_S)
    return False


def network_time() -> int | None:
    """Give the board's clock, if a time server of the network is what chrony goes by."""
    try:
        done = subprocess.run(
            ["/usr/bin/chronyc", "-c", "-n", "sources"],
            check=True, capture_output=True, timeout=10, text=True,
        )  # fmt: skip
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return time.time_ns() // 1_000_000 if _goes_by_network(done.stdout) else None


def _goes_by_network(sources: str) -> bool:
    """Tell whether a server (^) or peer (=) is the one that was selected (*)."""
    return any(line.startswith(("^,*,", "=,*,")) for line in sources.splitlines())


def remembered(path: Path, *, otherwise: int) -> int:
    """Give the floor of this start, as it was before anything was recorded in it."""
    try:
        text = path.read_text(encoding="ascii").strip()
        return int(text) if text.isdigit() and len(text) < len(str(1 << 63)) else otherwise
    except (OSError, ValueError):
        return otherwise
