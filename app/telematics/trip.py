"""Trips, told from the data alone: which process wrote a record, or how often, does not matter.

A trip ends where no position was recorded for ``TRIP_GAP_MS``. Anybody who has the records can
draw the same lines with `continues`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from telematics.epoch import BELIEVED_FROM, BELIEVED_UNTIL

if TYPE_CHECKING:
    from telematics.record import Record

# A stop for fuel with the engine off ends a trip, a restart after a stall or a level crossing not.
TRIP_GAP_MS = 300_000


def continues(before: Record | None, *, boot: str, mono: int, time: int | None) -> bool:
    """Tell whether a record at these times goes on with the trip of the one ``before`` it.

    Within one boot the monotonic clock tells; across boots the receiver's time does, whether it
    is confirmed already or not, as long as it can be meant.
    """
    if before is None:
        return False
    if boot == before.identity.boot:
        return mono - before.mono <= TRIP_GAP_MS
    if before.time is None or time is None:
        return False
    both = all(BELIEVED_FROM <= each < BELIEVED_UNTIL for each in (before.time, time))
    return both and 0 <= time - before.time <= TRIP_GAP_MS
