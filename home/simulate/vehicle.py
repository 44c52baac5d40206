"""What one vehicle records: drives by day, a boot for each, cold starts, tunnels, power cuts.

Pure and seeded. The records are those that the car's service would write; what was lost on the way
into its queue is announced by a gap, as there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from telematics.record import Gap, Identity, Record
from telematics.trip import continues

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from home.simulate.roads import Country, Moment

INSTALLATION_LETTERS = "23456789bcdfghjklmnpqrstuvwxyz"
HEX = "0123456789abcdef"
FIRST_DRIVE_S, LAST_START_S = 6 * 3600 + 1800, 20 * 3600  # seconds of a day, UTC
PAUSE_S = (420, 9_000)
COLD_S = (2, 9)  # records until the time of a boot is believed
COLD_START_CHANCE = 0.5
ROLL_OVER_MS = 1024 * 7 * 86_400_000  # a receiver that lost a week roll-over
ENGINE_TO_FIX_S = (25, 70)
TUNNEL_CHANCE, TUNNEL_S = 0.25, (15, 420)
CUT_CHANCE, BLOCK = 0.6, 120
LOST_CHANCE, LOST_MAX = 0.3, 2
OFFLINE_CHANCE = 0.6
AT_HOME_AFTER_S = 30
W_S = 1.15  # a record is in the queue this long after its epoch, see docs/contract.md


class Sighting(NamedTuple):
    """One record, and when it could leave the vehicle (seconds since 1970)."""

    record: Record
    at: float
    true_time: int


@dataclass(frozen=True, kw_only=True)
class Hole:
    """Numbers without a record, as a receiver has to tell of them."""

    device: str
    installation: str
    kind: str
    first: int
    last: int


class Vehicle:
    """One vehicle and the numbers it has given so far."""

    def __init__(self, country: Country, random: Random, *, device: str, begin: datetime) -> None:
        """Park it in some town, with a fresh card in its computer."""
        self.device = device
        self.installation = _letters(random, INSTALLATION_LETTERS)
        self.holes: list[Hole] = []
        self._country, self._random, self._begin = country, random, begin
        self._town = random.randrange(len(country.towns))
        self._home = self._town
        self._seq = 1
        self._before: Record | None = None
        self._trip = 1
        self._gap: Gap | None = None

    def sightings(self) -> Iterator[Sighting]:
        """Give record after record, day after day, without end."""
        day = self._begin.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        while True:
            yield from self._day(day)
            day += timedelta(days=1)

    def _day(self, day: datetime) -> Iterator[Sighting]:
        midnight = int(day.timestamp())
        now = midnight + FIRST_DRIVE_S + self._random.randrange(7_200)
        drives = self._random.randint(2, 5)
        for drive in range(drives):
            others = [town for town in range(len(self._country.towns)) if town != self._town]
            last = drive == drives - 1 and self._town != self._home
            end = self._home if last else self._random.choice(others)
            for sighting in self._drive(now, end):
                now = sighting.true_time // 1000
                yield sighting
            self._town = end
            now += self._random.randint(*PAUSE_S)
            if now > midnight + LAST_START_S:
                break

    def _drive(self, start: int, end: int) -> Iterator[Sighting]:
        random = self._random
        moments = list(self._country.drive(random, self._town, end))
        tunnel = _window(random, len(moments), TUNNEL_S) if random.random() < TUNNEL_CHANCE else ()
        offline = random.randrange(len(moments)) if random.random() < OFFLINE_CHANCE else None
        home_at = start + len(moments) + AT_HOME_AFTER_S
        identity = Identity(self.device, self.installation, _letters(random, HEX))
        cold = random.randint(*COLD_S) if random.random() < COLD_START_CHANCE else 0
        booted = start - random.randint(*ENGINE_TO_FIX_S)
        for second, moment in enumerate(moments):
            if second in tunnel:
                continue
            record = self._record(identity, moment, start + second, booted, cold=second < cold)
            leaves = start + second + W_S
            if offline is not None and second >= offline:
                leaves = home_at + second / 1000  # the backlog goes quicker than it came
            yield Sighting(record, leaves, (start + second) * 1000)
        if random.random() < CUT_CHANCE:
            self._cut()

    def _record(
        self, identity: Identity, moment: Moment, now: int, booted: int, *, cold: bool
    ) -> Record:
        random = self._random
        mono = (now - booted) * 1000 + random.randint(40, 90)
        told: int | None = now * 1000
        if cold:
            told = random.choice((None, now * 1000, now * 1000 - ROLL_OVER_MS))
        if not continues(self._before, boot=identity.boot, mono=mono, time=told):
            self._trip = self._seq
        record = Record(
            identity=identity, seq=self._seq, trip=self._trip, time=told, mono=mono,
            lat=round(moment.lat, 6), lon=round(moment.lon, 6), mode=3, time_ok=not cold,
            alt=moment.alt, speed=max(moment.speed + random.gauss(0, 0.05), 0.0),
            track=round(moment.track, 1) % 360, climb=0.0, eph=random.uniform(2, 6), eps=0.4,
            gap=self._gap,
        )  # fmt: skip
        self._before, self._gap = record, None
        self._seq += 1
        return record

    def _cut(self) -> None:
        """Take the power away: the rest of the block of numbers is skipped, and told so."""
        lost = self._random.randint(1, LOST_MAX) if self._random.random() < LOST_CHANCE else 0
        skipped = self._random.randrange(BLOCK)
        if not lost and not skipped:
            return
        first = self._seq
        self._gap = Gap(lost=lost, skipped=skipped)
        self._seq += self._gap.size
        for kind, begin, size in (("lost", first, lost), ("skipped", first + lost, skipped)):
            if size:
                self.holes.append(
                    Hole(device=self.device, installation=self.installation, kind=kind,
                         first=begin, last=begin + size - 1)
                )  # fmt: skip


def _window(random: Random, size: int, limits: tuple[int, int]) -> range:
    begin = random.randrange(max(size - limits[1], 1))
    return range(begin, min(begin + random.randint(*limits), size - 1))


def _letters(random: Random, letters: str, *, size: int = 6) -> str:
    return "".join(random.choice(letters) for _ in range(size))
