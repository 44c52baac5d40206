"""Compares what arrived with what was made; pure, and strict in both directions."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from home.simulate.mishaps import merged
from telematics.record import head, whole

if TYPE_CHECKING:
    from collections.abc import Iterable

    from home.simulate.mishaps import Truth
    from home.simulate.vehicle import Hole

SHOWN = 5


@dataclass(kw_only=True)
class Difference:
    """All that is not as it was made; empty lists mean that nothing is."""

    missing: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    dead_missing: list[str] = field(default_factory=list)
    dead_unknown: list[str] = field(default_factory=list)
    holes_missing: list[str] = field(default_factory=list)
    holes_unknown: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Give one line for each kind of difference there is, with its first examples."""
        said = {
            "records are missing": self.missing,
            "records arrived that nobody made": self.unknown,
            "records arrived changed": self.changed,
            "records are there twice": self.twice,
            "damaged messages are in no dead letter": self.dead_missing,
            "dead letters hold what was not made damaged": self.dead_unknown,
            "holes are not told": self.holes_missing,
            "holes are told that are none": self.holes_unknown,
        }
        return [
            f"{len(which)} {what}: {', '.join(which[:SHOWN])}{' …' if len(which) > SHOWN else ''}"
            for what, which in said.items()
            if which
        ]


def records(truth: Truth, arrived: Iterable[bytes], *, once: bool = True) -> Difference:
    """Compare whole records; what is not whole is looked at by `letters`."""
    found = Difference()
    seen: dict[tuple[str, str], set[int]] = {identity: set() for identity in truth.records}
    for raw in arrived:
        record = head(raw)
        if record is None:
            continue
        identity = (record.device, json.loads(record.installation))
        name = f"{identity[0]}/{identity[1]}/{record.seq}"
        made = truth.records.get(identity, {}).get(record.seq)
        if made is None:
            found.unknown.append(name)
        elif made != raw:
            found.changed.append(name)
        elif record.seq in seen[identity]:
            found.twice += [name] if once else []
        else:
            seen[identity].add(record.seq)
    found.missing = [
        f"{device}/{installation}/{seq}"
        for (device, installation), made_of_it in truth.records.items()
        for seq in made_of_it
        if seq not in seen[device, installation]
    ]
    return found


def letters(truth: Truth, dead: Iterable[bytes]) -> Difference:
    """Compare dead letters; one kept twice is no fault, since it may have been sent twice."""
    made, kept = set(truth.damaged), set(dead)
    return Difference(
        dead_missing=[repr(raw) for raw in sorted(made - kept)],
        dead_unknown=[repr(raw) for raw in sorted(kept - made)],
    )


def damaged(raw: bytes) -> bool:
    """Tell whether these bytes are no record."""
    return not whole(raw)


def holes(truth: Truth, told: Iterable[Hole]) -> Difference:
    """Compare holes by kind; how a hole is cut into rows does not matter."""
    made, kept = (set(merged(list(which))) for which in (truth.holes, told))
    return Difference(
        holes_missing=[_named(hole) for hole in sorted(made - kept, key=_named)],
        holes_unknown=[_named(hole) for hole in sorted(kept - made, key=_named)],
    )


def _named(hole: Hole) -> str:
    return f"{hole.device}/{hole.installation} {hole.first} to {hole.last} {hole.kind}"
