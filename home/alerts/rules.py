"""What is worth a message: the difference between what was known and what is so now. Pure.

A state that is not known yet (a first start, a new vehicle, a new place) is learnt in silence, so
nobody is told of years that have passed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from home.alerts.settings import Alerts, Place

M_PER_DEGREE = 111_320.0
# A place is left this much farther out than it is entered: a receiver's noise moves nobody.
LEAVE_SHARE, LEAVE_M = 1.1, 25.0
# Enough has to be free again before the disk is called well.
DISK_AGAIN = 1.2
MIB = 1 << 20


class Fix(NamedTuple):
    """Where a vehicle was."""

    time: int
    lat: float
    lon: float


class Jam(NamedTuple):
    """A minute of a vehicle, and whether it stood in a jam."""

    time: int
    jam: bool


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the home knows now; positions and minutes are those since the last look, by time."""

    now: int
    heard: Mapping[str, int] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)
    dead: int = 0
    # By source: why it cannot be asked, nothing if it can.
    sources: Mapping[str, str] = field(default_factory=dict)
    disk_free: int | None = None
    fixes: Mapping[str, Sequence[Fix]] = field(default_factory=dict)
    minutes: Mapping[str, Sequence[Jam]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change: what kind, of which vehicle, when it was so, and the words for people."""

    kind: str
    device: str
    at: int
    title: str


State = dict[str, Any]


def changes(alerts: Alerts, state: State, facts: Facts) -> tuple[list[Change], State]:
    """Give what has changed, in the order in which it happened, and what is known from now on."""
    known = {name: dict(part) for name, part in state.items()}
    found = [
        *_silence(alerts, known.setdefault("silent", {}), facts),
        *_missing(known.setdefault("missing", {}), facts),
        *_dead(known.setdefault("dead", {}), facts),
        *_sources(known.setdefault("sources", {}), facts),
        *_disk(alerts, known.setdefault("disk", {}), facts),
        *_jams(alerts, known.setdefault("jam", {}), facts),
        *_places(alerts.places, known.setdefault("places", {}), facts),
    ]
    return sorted(found, key=lambda change: change.at), known


def _silence(alerts: Alerts, known: State, facts: Facts) -> list[Change]:
    if not alerts.silent_after_s:
        known.clear()
        return []
    found = []
    for device, heard in sorted(facts.heard.items()):
        silent = facts.now - heard > alerts.silent_after_s * 1000
        if known.get(device, silent) != silent:
            hours = (facts.now - heard) / 3_600_000
            title = (
                f"{device} is silent for {hours:.0f} hours"
                if silent
                else f"{device} is heard again"
            )
            at = facts.now if silent else heard
            found.append(
                Change(kind="silent" if silent else "heard", device=device, at=at, title=title)
            )
        known[device] = silent
    return found


def _missing(known: State, facts: Facts) -> list[Change]:
    found = []
    for device, count in sorted(facts.missing.items()):
        before = known.get(device, count)
        if count > before:
            title = f"{device}: {_records(count - before)} lost, {count} in all"
            found.append(Change(kind="lost", device=device, at=facts.now, title=title))
        elif count < before:
            title = (
                f"{device}: {_records(before - count)} came after all, {count} are still missing"
            )
            found.append(Change(kind="closed", device=device, at=facts.now, title=title))
        known[device] = count
    return found


def _dead(known: State, facts: Facts) -> list[Change]:
    before = known.get("", facts.dead)
    known[""] = facts.dead
    if facts.dead == before:
        return []
    more = facts.dead - before
    title = (
        f"{more} more dead letters, {facts.dead} in all"
        if more > 0
        else f"{-more} dead letters were taken after all, {facts.dead} are left"
    )
    return [Change(kind="dead", device="", at=facts.now, title=title)]


def _sources(known: State, facts: Facts) -> list[Change]:
    # A source is taken for well until it is not, so one that never worked is told, too.
    found = []
    for name, error in sorted(facts.sources.items()):
        fails = bool(error)
        if fails != known.get(name, False):
            title = f"{name} cannot be asked: {error[:200]}" if fails else f"{name} answers again"
            kind = "source fails" if fails else "source well"
            found.append(Change(kind=kind, device="", at=facts.now, title=title))
        known[name] = fails
    return found


def _disk(alerts: Alerts, known: State, facts: Facts) -> list[Change]:
    if facts.disk_free is None:
        return []
    before = known.get("", False)
    limit = alerts.disk_free_mib * MIB
    low = facts.disk_free < (limit * DISK_AGAIN if before else limit)
    known[""] = low
    if low == before:
        return []
    free = facts.disk_free // MIB
    title = f"the disk is nearly full: {free} MiB are free" if low else f"{free} MiB are free again"
    return [Change(kind="disk low" if low else "disk well", device="", at=facts.now, title=title)]


def _jams(alerts: Alerts, known: State, facts: Facts) -> list[Change]:
    found = []
    for device, minutes in sorted(facts.minutes.items()) if alerts.jam else ():
        jammed = known.get(device)
        for minute in minutes:
            if jammed is not None and minute.jam != jammed:
                title = f"{device} is in a jam" if minute.jam else f"{device} is out of the jam"
                kind = "jam" if minute.jam else "jam over"
                found.append(Change(kind=kind, device=device, at=minute.time, title=title))
            jammed = minute.jam
        if jammed is not None:
            known[device] = jammed
    return found


def _places(places: Sequence[Place], known: State, facts: Facts) -> list[Change]:
    # Names of places that are gone are forgotten: of one that comes back nothing is known.
    names = {place.name for place in places}
    for device, inside in known.items():
        known[device] = {name: value for name, value in inside.items() if name in names}
    found = []
    for device, fixes in sorted(facts.fixes.items()):
        inside = known.setdefault(device, {})
        for fix in fixes:
            for place in places:
                before = inside.get(place.name)
                now = _within(place, fix, was=before is True)
                inside[place.name] = now
                if before is not None and now != before:
                    verb, kind = ("arrived at", "place in") if now else ("left", "place out")
                    title = f"{device} {verb} {place.name}"
                    found.append(Change(kind=kind, device=device, at=fix.time, title=title))
    return found


def _within(place: Place, fix: Fix, *, was: bool) -> bool:
    radius = place.radius_m * LEAVE_SHARE + LEAVE_M if was else place.radius_m
    east = (fix.lon - place.lon + 180) % 360 - 180
    metres = math.hypot(
        (fix.lat - place.lat) * M_PER_DEGREE,
        east * M_PER_DEGREE * math.cos(math.radians(place.lat)),
    )
    return metres <= radius


def _records(count: int) -> str:
    return f"{count} record" if count == 1 else f"{count} records"
