"""Takes what a vehicle posts: an array of records, durable before it is answered.

The name of what is landed is its content, so the same array again is the same segment.
"""

from __future__ import annotations

import hmac
import json
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from home import index
from home.errors import ConfigError
from home.landing import content_name
from home.lines import Dead, landed
from telematics.record import whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from home.landing import Landing
    from home.lines import Row

BODY_MAX = 4 << 20
KEY_MIN = 16
# Each vehicle: requests a second in the long run, how many at once after a pause, and side by side.
RATE = 50.0
BURST = 200.0
TOGETHER = 4
BETWEEN = b'],[1,"'


class Answer(NamedTuple):
    """What a vehicle is told."""

    status: HTTPStatus
    text: str


@dataclass
class Vehicle:
    """One that may post, and how much of its allowance is left."""

    device: str
    key: bytes
    left: float = BURST
    asked: float = 0.0
    running: int = 0


@dataclass
class Receiver:
    """Takes bodies of vehicles; used by many threads."""

    landing: Landing
    vehicles: tuple[Vehicle, ...] = ()
    records: int = 0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def vehicle(self, key: str | None) -> Vehicle | None:
        """Tell whose key it is; every key is compared, in a time that tells nothing."""
        given = (key or "").encode()
        found = None
        for vehicle in self.vehicles:
            if hmac.compare_digest(vehicle.key, given):
                found = vehicle
        return found

    def begin(self, vehicle: Vehicle) -> bool:
        """Let a request in, if its vehicle does not ask for too much; `end` has to follow."""
        now = time.monotonic()
        with self._guard:
            passed = now - vehicle.asked if vehicle.asked else 0.0
            vehicle.left = min(BURST, vehicle.left + passed * RATE)
            vehicle.asked = now
            if vehicle.left < 1 or vehicle.running >= TOGETHER:
                return False
            vehicle.left -= 1
            vehicle.running += 1
            return True

    def end(self, vehicle: Vehicle) -> None:
        """Let the next one in."""
        with self._guard:
            vehicle.running -= 1

    def take(self, vehicle: Vehicle, body: bytes) -> Answer:
        """Land a body; OSError if that is not possible now, then nothing was acknowledged."""
        try:
            records = split(body)
        except (ValueError, RecursionError) as error:
            return Answer(HTTPStatus.BAD_REQUEST, f"not a JSON array: {error}")
        now = int(time.time() * 1000)
        parts: dict[tuple[str, str], list[tuple[bytes, Row | Dead]]] = {}
        dead = 0
        for raw in records:
            line, found = landed(raw, now=now)
            if isinstance(found, Dead):
                dead += 1
                whose = (vehicle.device, "dead")
            elif found.device != vehicle.device:
                # Nothing of it is taken: it stays in that vehicle's queue until home.yaml is right.
                said = f"the key is that of {vehicle.device}, a record is of {found.device}"
                return Answer(HTTPStatus.FORBIDDEN, said)
            else:
                whose = (found.device, found.installation)
            parts.setdefault(whose, []).append((line, found))
        for (device, installation), lines in parts.items():
            self._land(device, installation, lines)
        with self._guard:
            self.records += len(records)
        return Answer(HTTPStatus.OK, f"{len(records) - dead} records, {dead} dead letters")

    def _land(self, device: str, installation: str, lines: list[tuple[bytes, Row | Dead]]) -> None:
        entry = index.Entry()
        for line, found in lines:
            entry.add(line, found)
        numbers = [found.seq for _, found in lines if not isinstance(found, Dead)] or [0]
        # Not a dead letter's time of arrival: the same array again shall have the same name.
        content = b"\n".join(
            found.raw if isinstance(found, Dead) else line for line, found in lines
        )
        name = content_name(device, installation, min(numbers), max(numbers), content)
        self.landing.put(f"http/{name}", [line for line, _ in lines], entry)


def vehicles_of(files: Mapping[str, Path]) -> tuple[Vehicle, ...]:
    """Read the vehicles' keys, and refuse those that are none."""
    found: list[Vehicle] = []
    mistakes = []
    for device, path in files.items():
        try:
            key = path.read_bytes().strip()
        except OSError as error:
            mistakes.append(f"{path}: {error.strerror}; hint: home key {device} makes one")
            continue
        if len(key) < KEY_MIN:
            mistakes.append(f"{path}: a key of {len(key)} bytes; hint: home key {device} makes one")
        elif any(key == other.key for other in found):
            mistakes.append(f"{path}: the key of another vehicle; hint: one key for each")
        found.append(Vehicle(device, key))
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return tuple(found)


def split(body: bytes) -> list[bytes]:
    """Cut a JSON array into its elements, each byte for byte as it came; ValueError if none."""
    text = body.strip()
    if not text.startswith(b"[") or not text.endswith(b"]"):
        raise ValueError("it does not begin with [ and end with ]")
    parts = text[1:-1].split(BETWEEN)
    records = [
        (b'[1,"' if at else b"") + part + (b"]" if at + 1 < len(parts) else b"")
        for at, part in enumerate(parts)
    ]
    # Each whole by its checksum: then it was cut where it had been joined.
    return records if all(map(whole, records)) else _by_reading(text)


def _by_reading(text: bytes) -> list[bytes]:
    # One byte is one letter, so places in the text are places in the bytes; and what stands in
    # strings is not looked at.
    letters = text.decode("latin-1")
    decoder = json.JSONDecoder()
    found = []
    at = _pass(letters, 1)
    if letters[at] == "]" and at + 1 == len(letters):
        return []
    while True:
        _, end = decoder.raw_decode(letters, at)
        found.append(text[at:end])
        at = _pass(letters, end)
        if letters[at : at + 1] == "]" and at + 1 == len(letters):
            return found
        if letters[at : at + 1] != ",":
            raise ValueError(f"a comma is missing at byte {at}")
        at = _pass(letters, at + 1)


def _pass(letters: str, at: int) -> int:
    while letters[at : at + 1] in (" ", "\t", "\n", "\r"):
        at += 1
    return at
