"""Epochs: all reports of one receiver for one instant, made one.

gpsd may send several TPVs for one instant, one per NMEA sentence (gpsd_json(5)), and a receiver may
tell one time for several instants: it has whole seconds at 10 Hz, or its clock stands or is set
back. Which of the two it is, the receiver's own cycle of reports tells, and time confirms it:

- Another time than before begins another instant, also an earlier one.
- Reports of one time wait for what follows. If they came as a beat and time goes on as that beat
  says, each beat is an instant; if they came at once, or oddly spaced within the step of time, they
  are parts of one.
- A receiver that was found to repeat its time is believed from then on.
- So is one that tells an instant by several reports at once: where no more of them came, they are
  that instant however far apart, read late by a board that had something else to do.

Place alone decides nothing. Pure: time comes in with the reports and by ``tick``; nothing here
reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from telematics.gpsd import Tpv

MODE_2D = 2
MODE_3D = 3
# What is not decided after so long is decided without what follows, so that it is written in time.
OPEN_MAX_MS = 1000
# Reports that follow each other five times as quick as the longest pause belong together.
PAUSE = 5
# The longest of a few beats, and of many, in parts of their mean: what is longer is no beat.
EVEN_FEW, EVEN_MANY, FEW, MANY = 1.4, 2.0, 3, 4
# So far from the step of time a beat may be, and all beats together.
LEAST, LEAST_TOGETHER, MOST = 0.7, 0.5, 1.3
# A longer step says that the clock was set, or that nothing was heard for long.
STEP_MAX_MS = 60_000
# No receiver tells more than 25 positions a second.
QUICKEST_MS = 40
# More reports of one time than come in a second: they waited somewhere, or mean no instant.
WAITING_MAX = 64
# So many times a receiver has to be found repeating, or found not to, before it is a habit.
REPEATS, STRAYS = 2, 5
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
    """What is remembered of one receiver, of the time it told last above all."""

    time: int | None = None
    # Reports of that time that are not given yet, and what was given of it last.
    waiting: list[Tpv] = field(default_factory=list)
    given: Tpv | None = None
    touched: int = 0
    # Nothing tells when the first time that is heard of a receiver began.
    joined: bool = True
    # Whether each report is an instant though the time repeats, and what speaks for and against.
    repeats: bool = False
    evens: int = 0
    strays: int = 0
    beats: list[int] = field(default_factory=list)
    # Reports of this time, when the first and the last came; how many it told at once before, and
    # how often in a row no more than these came apart.
    count: int = 0
    began: int = 0
    ended: int = 0
    at_once: int = 0
    apart: int = 0
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
        receiver = self._receivers.get(tpv.device)
        if receiver is None:
            receiver = self._receivers[tpv.device] = _Receiver()
        another = tpv.time is not None and tpv.time != receiver.time
        # What follows is known, so it decides, also where it was waited for too long already.
        complete = self._settle(receiver, tpv.mono, follows=tpv.time) if another else []
        complete += self.tick(tpv.mono)
        if tpv.time is None:
            return complete + self._undated(receiver, tpv)
        if another:
            self._begin(receiver, tpv)
        elif receiver.repeats:
            complete += self._settle(receiver, tpv.mono)
            receiver.beats.append(tpv.mono)
        elif receiver.given is not None and not _placed(receiver.given):
            receiver.given = None  # it made no record, so whatever comes now is the first
        receiver.waiting.append(tpv)
        receiver.touched = receiver.ended = tpv.mono
        receiver.count += 1
        if len(receiver.waiting) >= WAITING_MAX:
            complete += self._settle(receiver, tpv.mono)
        return complete

    def tick(self, now: int) -> list[Epoch]:
        """Give the epochs that are complete because nothing more came for them."""
        epochs: list[Epoch] = []
        for receiver in self._receivers.values():
            if receiver.waiting and self._due(receiver) <= now:
                epochs += self._settle(receiver, now)
        return epochs

    def flush(self) -> list[Epoch]:
        """Give every epoch that is still open: there will be no more reports."""
        return [
            epoch
            for receiver in self._receivers.values()
            for epoch in self._settle(receiver, receiver.touched)
        ]

    def deadline(self, age_ms: int = 0) -> int | None:
        """Give the time at which ``tick`` will have something that began ``age_ms`` before.

        None while nothing is open.
        """
        first = None
        for receiver in self._receivers.values():
            if receiver.waiting:
                due = max(self._due(receiver), receiver.waiting[0].mono + age_ms)
                if first is None or due < first:
                    first = due
        return first

    def _due(self, receiver: _Receiver) -> int:
        waiting = receiver.waiting
        longest = waiting[0].mono + OPEN_MAX_MS
        quiet = self._quiet_ms
        if receiver.given is not None and not receiver.repeats:
            return longest  # a part that is late, or a clock that stands: what follows tells
        if len(waiting) > 1:  # until it is sure that they came at once
            quiet = max(quiet, PAUSE * max(b.mono - a.mono for a, b in pairwise(waiting)))
        return min(receiver.touched + quiet, longest)

    def _undated(self, receiver: _Receiver, tpv: Tpv) -> list[Epoch]:
        # Without a time nothing tells whether two positions are one instant: keep both.
        if receiver.waiting and tpv.lat is None and tpv.lon is None:
            receiver.waiting[-1] = union(receiver.waiting[-1], tpv)
            receiver.touched = tpv.mono
            return []
        return [*self._settle(receiver, tpv.mono), Epoch(*tpv, time_ok=False)]

    def _begin(self, receiver: _Receiver, tpv: Tpv) -> None:
        """Begin another time; see whether the one before was a beat, where that is the habit."""
        if receiver.time is not None:
            _note_the_cycle(receiver, tpv.mono)
        receiver.count, receiver.began = 0, tpv.mono
        if receiver.repeats and len(beats := receiver.beats) > 1:
            receiver.strays = 0 if _even([*beats, tpv.mono]) else receiver.strays + 1
            receiver.repeats = receiver.strays < STRAYS
        receiver.joined = receiver.time is None
        receiver.time, receiver.given = tpv.time, None
        receiver.beats = [tpv.mono] if receiver.repeats else []

    def _settle(self, receiver: _Receiver, now: int, *, follows: int | None = None) -> list[Epoch]:
        """Decide what the reports that wait are, now that another time ``follows`` or none does."""
        waiting, given = receiver.waiting, receiver.given
        if not waiting:
            return []
        receiver.waiting = []
        if len(waiting) == 1 and (given is None or receiver.repeats):
            return [_give(receiver, waiting[0])]
        beats = _beats(waiting if given is None else [given, *waiting], now)
        # At the end of a run nothing follows that could tell.
        known = now > receiver.touched or receiver.evens > 0
        if known and len(beats) > 1 and _each(receiver, beats, now, follows=follows):
            receiver.evens += 1
            alone = len(beats) == len(waiting) + (given is not None)
            receiver.repeats = alone and (receiver.evens >= REPEATS or len(beats) >= MANY)
            receiver.strays = 0
            return [_give(receiver, beat) for beat in beats[given is not None :]]
        receiver.evens = 0
        if given is not None:
            self.late += len(waiting)
            return []
        return [_give(receiver, reduce(union, waiting))]


def _note_the_cycle(receiver: _Receiver, now: int) -> None:
    """Learn how many reports of a time come at once; forget it when they came apart for long."""
    if (receiver.ended - receiver.began) * PAUSE < now - receiver.ended:
        receiver.at_once, receiver.apart = receiver.count, 0
    elif receiver.count <= receiver.at_once:
        receiver.apart += 1
        if receiver.apart >= STRAYS:
            receiver.at_once = receiver.apart = 0


def _give(receiver: _Receiver, tpv: Tpv) -> Epoch:
    receiver.given = tpv
    return Epoch(*tpv, time_ok=_believe(receiver, tpv))


def _placed(tpv: Tpv) -> bool:
    return tpv.mode >= MODE_2D and tpv.lat is not None and tpv.lon is not None


def _beats(reports: Sequence[Tpv], now: int) -> list[Tpv]:
    """Make one of what came at once, compared with the longest pause until now."""
    pauses = [later.mono - earlier.mono for earlier, later in pairwise(reports)]
    longest = max(*pauses, now - reports[-1].mono)
    beats = [reports[0]]
    for pause, report in zip(pauses, reports[1:], strict=True):
        if pause * PAUSE < longest:
            beats[-1] = union(beats[-1], report)
        else:
            beats.append(report)
    return beats


def _each(receiver: _Receiver, beats: Sequence[Tpv], now: int, *, follows: int | None) -> bool:
    """Tell whether each beat of one time is an instant."""
    if receiver.count <= receiver.at_once:
        return False  # so many it tells of one instant
    begins = [beat.mono for beat in beats]
    until_now = now - begins[-1]
    if follows is None:
        # The time stands still as far as anybody knows. The pause that goes on still says little
        # beside others, unless it is long already.
        mean = (begins[-1] - begins[0]) / (len(begins) - 1)
        if until_now > mean or len(begins) < FEW:
            begins.append(now)
        within = mean < OPEN_MAX_MS / 2  # so many that they may be sentences of one instant
        return mean >= QUICKEST_MS and _even(begins) and (_alike(beats) or not within)
    step, taken = follows - (beats[0].time or 0), now - begins[0]
    pauses = [later - earlier for earlier, later in pairwise([*begins, now])]
    if step > 0 and all(LEAST * step <= pause <= MOST * step for pause in pauses):
        return True  # the clock told one time twice and went on: a leap second, or it was set back
    if taken < QUICKEST_MS * len(beats) or not _even([*begins, now]):
        return False
    if step <= 0 or step > STEP_MAX_MS:
        return True  # the clock was set, so time confirms nothing
    confirmed = taken <= MOST * step and (receiver.joined or taken >= LEAST_TOGETHER * step)
    return confirmed and _alike(beats)


def _even(begins: Sequence[int]) -> bool:
    """Tell whether these are the times of a beat."""
    pauses = [later - earlier for earlier, later in pairwise(begins)]
    most = EVEN_FEW if len(pauses) < MANY else EVEN_MANY
    return max(pauses) * len(pauses) <= most * sum(pauses)


def _alike(beats: Sequence[Tpv]) -> bool:
    """Tell whether these may be reports of several instants, and not sentences of one."""
    same_kind = len({_kind(beat) for beat in beats}) == 1
    return same_kind or (len(beats) >= MANY and not _grows(beats))


def _kind(tpv: Tpv) -> tuple[bool, ...]:
    """Give what a report tells of; a sentence of a receiver always tells of the same."""
    return tuple(value is None for value in tpv[4:])


def _grows(beats: Sequence[Tpv]) -> bool:
    """Tell whether each tells what the one before told, and more: sentences of one instant."""
    values = [beat[4:] for beat in beats]
    return all(
        all(before is None or before == after for before, after in zip(earlier, later, strict=True))
        for earlier, later in pairwise(values)
    )


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
