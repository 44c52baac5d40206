"""What befalls records between a vehicle and its home: repeats, disorder, damage, outages.

Seeded. Beside each message it keeps what a receiver has to make of all of them: `Truth`.
"""

from __future__ import annotations

import heapq
import json
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from home.simulate.roads import Country
from home.simulate.vehicle import Hole, Vehicle
from telematics.record import whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from home.simulate.vehicle import Sighting


class Message(NamedTuple):
    """What is sent: whose it is, and its bytes, sound or not."""

    device: str
    raw: bytes


@dataclass(frozen=True, kw_only=True)
class Rates:
    """How often each mishap comes, per record."""

    repeat: float = 0.001
    repeat_max: int = 100
    disorder: float = 0.0005
    held_max: int = 40
    overtaken_max: int = 200
    damaged_copy: float = 0.001
    damaged_for_good: float = 0.0001


NONE = Rates(repeat=0, disorder=0, damaged_copy=0, damaged_for_good=0)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is made; two runs of one plan make the same, byte for byte."""

    events: int
    vehicles: int
    seed: int
    begin: datetime
    rates: Rates = field(default_factory=Rates)


@dataclass(kw_only=True)
class Truth:
    """What must have arrived once everything was sent."""

    records: dict[tuple[str, str], dict[int, bytes]] = field(default_factory=dict)
    times: dict[tuple[str, str], dict[int, int]] = field(default_factory=dict)
    damaged: list[bytes] = field(default_factory=list)
    holes: list[Hole] = field(default_factory=list)
    messages: int = 0
    repeats: int = 0

    @property
    def events(self) -> int:
        """Count the records that arrive whole."""
        return sum(map(len, self.records.values()))

    def join(self, other: Truth) -> None:
        """Take in what another vehicle's truth says."""
        self.records |= other.records
        self.times |= other.times
        self.damaged += other.damaged
        self.holes += other.holes
        self.messages += other.messages
        self.repeats += other.repeats


class Source:
    """One vehicle's messages in the order in which they are sent, and the truth about them."""

    def __init__(self, vehicle: Vehicle, random: Random, *, events: int, rates: Rates) -> None:
        """Prepare; ``messages`` makes them, once."""
        self.truth = Truth()
        self._vehicle, self._random, self._events, self._rates = vehicle, random, events, rates
        self._identity = (vehicle.device, vehicle.installation)
        self.truth.records[self._identity] = {}
        self.truth.times[self._identity] = {}

    def messages(self) -> Iterator[tuple[float, str, Message]]:
        """Give messages with the time each is sent, which never goes back, and whose it is."""
        now = 0.0
        for at, raw in self._disordered(self._sent()):
            now = max(now, at)
            self.truth.messages += 1
            yield now, self._vehicle.device, Message(self._vehicle.device, raw)
        newest = max(self.truth.records[self._identity], default=0)
        self.truth.holes += [hole for hole in self._vehicle.holes if hole.last < newest]

    def sightings(self) -> Iterator[Sighting]:
        """Give the records themselves, without what befalls them."""
        return islice(self._vehicle.sightings(), self._events)

    def _sent(self) -> Iterator[tuple[float, bytes]]:
        """Give each record, some of them damaged, and now and then the last ones once more."""
        random, rates, truth = self._random, self._rates, self.truth
        latest: list[bytes] = []
        for number, sighting in enumerate(self.sightings()):
            raw = sighting.record.encode()
            if random.random() < rates.damaged_for_good and self._may_vanish(number, sighting):
                truth.damaged.append(damaged := flipped(random, raw))
                truth.holes.append(self._vanished(sighting.record.seq))
                yield sighting.at, damaged
                continue
            if random.random() < rates.damaged_copy:
                truth.damaged.append(damaged := flipped(random, raw))
                yield sighting.at, damaged
            truth.records[self._identity][sighting.record.seq] = raw
            truth.times[self._identity][sighting.record.seq] = sighting.true_time
            yield sighting.at, raw
            latest.append(raw)
            if random.random() < rates.repeat:
                again = latest[-random.randint(1, rates.repeat_max) :]
                truth.repeats += len(again)
                yield from ((sighting.at, raw) for raw in again)
            if len(latest) > 2 * rates.repeat_max:
                del latest[: -rates.repeat_max]

    def _disordered(self, sent: Iterator[tuple[float, bytes]]) -> Iterator[tuple[float, bytes]]:
        """Hold a few back now and then, until others have overtaken them."""
        random, rates = self._random, self._rates
        for at, raw in sent:
            if random.random() >= rates.disorder:
                yield at, raw
                continue
            held = [(at, raw)]
            for _ in range(random.randint(0, rates.held_max - 1)):
                held += [] if (one := next(sent, None)) is None else [one]
            for _ in range(random.randint(1, rates.overtaken_max)):
                if (one := next(sent, None)) is not None:
                    yield one
            yield from held

    def _may_vanish(self, number: int, sighting: Sighting) -> bool:
        # A hole shows only between two records, and what the record itself announces is told.
        return 0 < number < self._events - 1 and sighting.record.gap is None

    def _vanished(self, seq: int) -> Hole:
        device, installation = self._identity
        return Hole(
            device=device, installation=installation, kind="unexplained", first=seq, last=seq
        )


def sources(plan: Plan) -> list[Source]:
    """Give one source per vehicle; the events are shared among them as evenly as may be."""
    country = Country(Random(f"{plan.seed}/country"))  # noqa: S311  made roads are no secret
    shares = [
        plan.events // plan.vehicles + (place < plan.events % plan.vehicles)
        for place in range(plan.vehicles)
    ]
    return [
        Source(
            Vehicle(
                country,
                Random(f"{plan.seed}/vehicle/{place}"),  # noqa: S311  as above
                device=f"truck-{place + 1}",
                begin=plan.begin,
            ),
            Random(f"{plan.seed}/mishaps/{place}"),  # noqa: S311  as above
            events=share,
            rates=plan.rates,
        )
        for place, share in enumerate(shares)
    ]


def everything(plan: Plan) -> tuple[list[Message], Truth]:
    """Give all messages in the order of their sending, vehicles mixed, and the truth of them."""
    made = sources(plan)
    messages = [message for _, _, message in heapq.merge(*(one.messages() for one in made))]
    truth = Truth()
    for source in made:
        truth.join(source.truth)
    truth.holes = merged(truth.holes)
    return messages, truth


def merged(holes: list[Hole]) -> list[Hole]:
    """Join holes of one kind that touch, in the order of vehicle, installation and number."""
    out: list[Hole] = []
    for hole in sorted(holes, key=lambda hole: (hole.device, hole.installation, hole.first)):
        last = out[-1] if out else None
        if last and (last.device, last.installation, last.kind, last.last + 1) == (
            hole.device, hole.installation, hole.kind, hole.first,
        ):  # fmt: skip
            out[-1] = Hole(
                device=hole.device, installation=hole.installation, kind=hole.kind,
                first=last.first, last=hole.last,
            )  # fmt: skip
        else:
            out.append(hole)
    return out


def flipped(random: Random, raw: bytes) -> bytes:
    """Flip one bit so that the checksum no longer fits but JSON still reads it the same.

    Over HTTP the records stand in one JSON array: a bit that breaks it is another fault, that of
    a whole request.
    """
    while True:
        out = bytearray(raw)
        out[random.randrange(1, len(out) - 1)] ^= 1 << random.randrange(7)
        damaged = bytes(out)
        try:
            same = json.dumps(json.loads(damaged), separators=(",", ":")).encode() == damaged
        except ValueError:
            continue
        if same and not whole(damaged):
            return damaged
