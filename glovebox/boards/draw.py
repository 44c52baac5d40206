"""What a board draws, as somebody published it: a current and its source.

Nothing here was measured by us: no board was at hand. What is not known is said to be unknown.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  callers may resolve the hints
from dataclasses import dataclass

VOLT = 5.0
OFFICIAL = "Raspberry Pi documentation, power supplies"
ENTCHEN = "quietsche-entchen.de"
CNX = "CNX Software"
NOBODY = "nobody published one"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A current at 5 V in mA, and who published it; None: nobody we know of."""

    milliampere: float | None
    source: str

    @property
    def watt(self) -> float | None:
        """The power."""
        return None if self.milliampere is None else self.milliampere / 1000 * VOLT


UNMEASURED = Figure(milliampere=None, source=NOBODY)


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What a board draws: recording, doing nothing, and after `poweroff` with the supply on."""

    driving: Figure
    parked: Figure
    halted: Figure
    # What fewer cores and a lower clock save.
    slower_saves: Figure = UNMEASURED
    note: str = ""  # what else is to be known of this board

    def states(self) -> Mapping[str, Figure]:
        """Give them by name."""
        return {"driving": self.driving, "parked": self.parked, "halted": self.halted}


def official(milliampere: float) -> Figure:
    """Give a figure of Raspberry Pi's own documentation."""
    return Figure(milliampere=milliampere, source=OFFICIAL)
