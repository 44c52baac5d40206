"""Epochs: all reports of one receiver for one instant, made one.

gpsd may send several TPVs for one instant, one per NMEA sentence (gpsd_json(5)). Pure: time comes
in with the reports and by ``tick``; nothing here reads a clock. Nothing is ever left out because
of where it is or what any clock says.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from telematics.gpsd import Tpv

MODE_2D = 2
MODE_3D = 3
# A receiver that repeats one time for longer than this has a stuck clock, not a long epoch.
OPEN_MAX_MS = 1000
# Within this long after an epoch began, a report of its time is late. After it, either a clock is
# stuck or this computer was: what comes next tells, see ``_Receiver.repeated``.
LATE_MS = 900
REMEMBERED = 16
FIXES_TO_BELIEVE = 3
# 1024 weeks: a receiver after its roll-over is wrong by 19.6 years, so 19 years tell it apart.
FIRST_YEAR, LAST_YEAR = 2025, 2044
BELIEVED_FROM = int(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC).timestamp() * 1000)
BELIEVED_UNTIL = int(datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC).timestamp() * 1000)
# Event time and monotonic time may drift apart this much between two epochs, by late reading.
STEP_MS = 10_000


class Epoch(NamedTuple):
    """One instant of one receiver: what a Tpv has, in its order, and whether to believe the time.

    None is unknown.
    """

    device: str
    mono: int
    time: int | None
    mode: int
    lat: float | None
    lon: float | None
    alt_msl: float | None
    speed: float | None
    track: float | None
    climb: float | None
    eph: float | None
    eps: float | None
    time_ok: bool

    @property
    def positioned(self) -> bool:
        """Tell whether this is a position; without one it makes no record."""
        return self.mode >= MODE_2D and self.lat is not None and self.lon is not None


@dataclass(kw_only=True, slots=True)
class _Receiver:
    """What is remembered of one receiver."""

    open: Tpv | None = None
    touched: int = 0
    # ``open`` has time and place of an epoch already given, though it came long after that began:
    # an epoch of its own if the receiver's clock stands still, late if that clock moves on.
    repeated: bool = False
    emitted: deque[Tpv] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    good_fixes: int = 0
    last: tuple[int, int] | None = None


class Merger:
    """Turns reports into epochs, each receiver by itself, in the order they came."""

    def __init__(self, *, quiet_ms: int) -> None:
        """Take an epoch as complete after ``quiet_ms`` without a report of its time."""
        self.late = 0
        self._quiet_ms = quiet_ms
        self._receivers: dict[str, _Receiver] = {}

    def feed(self, tpv: Tpv) -> list[Epoch]:
        """Take in a report; give the epochs that it, or the time until it came, completed."""
        complete = self.tick(tpv.mono)
        receiver = self._receivers.get(tpv.device)
        if receiver is None:
            receiver = self._receivers[tpv.device] = _Receiver()
        if tpv.time is None:
            return complete + self._undated(receiver, tpv)
        stuck = False
        if receiver.open is not None and receiver.open.time == tpv.time:
            stuck = receiver.repeated and tpv.mono - receiver.open.mono >= LATE_MS
            if not stuck:
                receiver.open = union(receiver.open, tpv)
                receiver.touched = tpv.mono
                return complete
        given = None
        for one in receiver.emitted:
            if one.time == tpv.time:
                given = one
                break
        if given is not None and tpv.mono - given.mono < LATE_MS:
            self.late += 1
            return complete
        if receiver.repeated and not stuck:
            self._forget(receiver)
        complete += self._close(receiver)
        receiver.open, receiver.touched = tpv, tpv.mono
        receiver.repeated = given is not None and _same_place(given, tpv)
        return complete

    def tick(self, now: int) -> list[Epoch]:
        """Give the epochs that are complete because nothing more came for them."""
        epochs: list[Epoch] = []
        for receiver in self._receivers.values():
            if receiver.open is not None and self._due(receiver, receiver.open) <= now:
                epochs += self._close(receiver)
        return epochs

    def flush(self) -> list[Epoch]:
        """Give every epoch that is still open: there will be no more reports."""
        return [epoch for receiver in self._receivers.values() for epoch in self._close(receiver)]

    def deadline(self, age_ms: int = 0) -> int | None:
        """Give the time at which ``tick`` will have something that began ``age_ms`` before.

        None while nothing is open.
        """
        first = None
        for each in self._receivers.values():
            if each.open is not None:
                due = max(self._due(each, each.open), each.open.mono + age_ms)
                if first is None or due < first:
                    first = due
        return first

    def _due(self, receiver: _Receiver, tpv: Tpv) -> int:
        longest = tpv.mono + OPEN_MAX_MS
        return longest if receiver.repeated else min(receiver.touched + self._quiet_ms, longest)

    def _undated(self, receiver: _Receiver, tpv: Tpv) -> list[Epoch]:
        # Without a time nothing tells whether two positions are one instant: keep both.
        if receiver.open is not None and tpv.lat is None and tpv.lon is None:
            receiver.open = union(receiver.open, tpv)
            receiver.touched = tpv.mono
            return []
        return [*self._close(receiver), Epoch(*tpv, time_ok=False)]

    def _forget(self, receiver: _Receiver) -> None:
        """Leave out what repeats an epoch: the receiver's clock has moved on since."""
        receiver.open, receiver.repeated = None, False
        self.late += 1

    def _close(self, receiver: _Receiver) -> list[Epoch]:
        tpv, receiver.open, receiver.repeated = receiver.open, None, False
        if tpv is None:
            return []
        if tpv.time is not None:
            receiver.emitted.appendleft(tpv)  # the newest first, since a stuck clock repeats it
        return [Epoch(*tpv, time_ok=_believe(receiver, tpv))]


def _same_place(one: Tpv, other: Tpv) -> bool:
    return other.lat is None or (one.lat, one.lon) == (other.lat, other.lon)


def union(first: Tpv, second: Tpv) -> Tpv:
    """Give one report with all that either knows; the later one wins, the better mode stays."""
    pairs: Iterable[tuple[Any, Any]] = zip(first, second, strict=True)
    merged = type(first)(*(earlier if later is None else later for earlier, later in pairs))
    return merged._replace(
        device=first.device, mono=first.mono, time=first.time, mode=max(first.mode, second.mode)
    )


def _believe(receiver: _Receiver, tpv: Tpv) -> bool:
    """Tell whether the receiver's time may be believed, see gpsd_json(5) on three 3D fixes."""
    if tpv.time is None:
        return False
    before, receiver.last = receiver.last, (tpv.time, tpv.mono)
    stepped = before is not None and (
        abs((tpv.time - before[0]) - (tpv.mono - before[1])) > STEP_MS
    )
    plausible = BELIEVED_FROM <= tpv.time < BELIEVED_UNTIL
    if stepped or not plausible:
        receiver.good_fixes = 0
    if not plausible:
        return False
    if tpv.mode == MODE_3D:
        receiver.good_fixes += 1
    elif receiver.good_fixes < FIXES_TO_BELIEVE:
        receiver.good_fixes = 0  # only fixes in a row count; once believed, a tunnel is no lie
    return receiver.good_fixes >= FIXES_TO_BELIEVE
