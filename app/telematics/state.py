"""What the vehicle does, in one word that others on the board react to: LED, radio, switching off.

The word stands in a file that is written when it changes and never else. Not knowing is a word of
its own: a vehicle without a fix is not said to stand.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING

from telematics.files import write_whole
from telematics.problem import Code

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from telematics.epoch import Epoch
    from telematics.problem import Problem

NAME = "state"
# A receiver that stands still tells of speeds and of places up to these, or worse if it says so.
SPEED_M_S = 1.0
ANCHOR_M = 30.0
WORSE = 3
# For this long it has to be, before it counts as driving; and neither for this long is standing.
FAST_MS = 3000
AWAY_MS = 10_000
STANDING_MS = 60_000
# What lies between two epochs further apart than this is not known.
GAP_MS = 5000
# A start takes its time; what is still wrong then is trouble.
STARTING_MS = 60_000
METRE_PER_DEGREE = 111_195.0


class Word(StrEnum):
    """The states."""

    DRIVING = "driving"
    STANDING = "standing"
    NO_FIX = "no-fix"
    TROUBLE = "trouble"


class Motion:
    """Tells driving from standing by Doppler speed, and by the distance from an anchor."""

    def __init__(self) -> None:
        """Begin standing: a vehicle that drives tells so within seconds."""
        self.driving = False
        self._anchor: tuple[float, float] | None = None
        self._fast_since: int | None = None
        self._away_since: int | None = None
        self._moved_at = 0
        self._last = 0

    def feed(self, epoch: Epoch) -> None:
        """Take in an epoch that has a position."""
        if epoch.lat is None or epoch.lon is None:
            return
        now, gap = epoch.mono, epoch.mono - self._last
        self._last = now
        if gap > GAP_MS:
            self._moved_at += gap
            self._fast_since = self._away_since = None
        if self._fast(epoch, now) or self._away(epoch, epoch.lat, epoch.lon, now):
            self.driving = True
            self._moved_at = now
            self._anchor, self._away_since = (epoch.lat, epoch.lon), None
        elif now - self._moved_at >= STANDING_MS:
            self.driving = False

    def _fast(self, epoch: Epoch, now: int) -> bool:
        limit = SPEED_M_S if epoch.eps is None else max(SPEED_M_S, WORSE * epoch.eps)
        if epoch.speed is None or epoch.speed <= limit:
            self._fast_since = None
            return False
        if self._fast_since is None:
            self._fast_since = now
        return now - self._fast_since >= FAST_MS

    def _away(self, epoch: Epoch, lat: float, lon: float, now: int) -> bool:
        if self._anchor is None:
            self._anchor = (lat, lon)
        limit = ANCHOR_M if epoch.eph is None else max(ANCHOR_M, WORSE * epoch.eph)
        if distance(self._anchor, (lat, lon)) <= limit:
            self._away_since = None
            return False
        if self._away_since is None:
            self._away_since = now
        return now - self._away_since >= AWAY_MS


def distance(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Give the metres between two places that are near each other."""
    east = (other[1] - one[1] + 540) % 360 - 180
    east *= math.cos(math.radians((one[0] + other[0]) / 2))
    return math.hypot(other[0] - one[0], east) * METRE_PER_DEGREE


def word_of(problems: Sequence[Problem], *, driving: bool) -> Word:
    """Give the word for what the status says is wrong, and for how the vehicle moves."""
    codes = {problem.code for problem in problems}
    if codes - {Code.NO_FIX}:
        return Word.TROUBLE
    if codes:
        return Word.NO_FIX
    return Word.DRIVING if driving else Word.STANDING


class StateFile:
    """The file with the word; a fault of it is nobody's trouble but the LED's."""

    def __init__(self, folder: Path, *, started: int) -> None:
        """Write into the service's runtime folder."""
        self.motion = Motion()
        self._path = folder / NAME
        self._started = started
        self._told: Word | None = None

    def tell(self, problems: Sequence[Problem], *, ready: bool, now: int) -> None:
        """Write the word if it is another one; nothing while the service starts."""
        if not ready and now - self._started < STARTING_MS:
            return
        word = word_of(problems, driving=self.motion.driving)
        if not ready and word is not Word.TROUBLE:
            return
        if word is not self._told:
            try:
                write_whole(self._path, f"{word}\n", durable=False)
            except OSError:
                return
            self._told = word
