"""Receivers whose position stands still while they say that they move.

Such a receiver is known to go on like this until it is configured anew or unplugged; its records
are kept, since time and speed are good, and the fault is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from telematics.epoch import Epoch

# At 1 m/s a receiver with six decimals moves its last digit within 0.2 s.
MOVING_M_S = 1.0
EPOCHS = 10


@dataclass(kw_only=True, slots=True)
class _Seen:
    place: tuple[float | None, float | None] = (None, None)
    moving: int = 0
    heard: int = 0


class FrozenWatch:
    """Counts, for each receiver, the moving epochs in a row at one bit-identical position."""

    def __init__(self) -> None:
        """Begin with no receiver known."""
        self._receivers: dict[str, _Seen] = {}

    def feed(self, epoch: Epoch) -> None:
        """Take in an epoch that has a position."""
        seen = self._receivers.get(epoch.device)
        if seen is None:
            seen = self._receivers[epoch.device] = _Seen()
        seen.heard = epoch.mono
        place = (epoch.lat, epoch.lon)
        if place != seen.place:
            seen.place, seen.moving = place, 0
        elif (epoch.speed or 0.0) > MOVING_M_S:
            seen.moving += 1
        else:
            seen.moving = 0

    def frozen(self, *, since: int) -> list[str]:
        """Name the receivers that are frozen now; one not heard of ``since`` then is gone.

        What was unplugged is forgotten: it may come back cured.
        """
        gone = [name for name, seen in self._receivers.items() if seen.heard < since]
        for name in gone:
            del self._receivers[name]
        return [name for name, seen in self._receivers.items() if seen.moving >= EPOCHS]
