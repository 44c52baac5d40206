"""Drives with all that befalls records on their way, made by the tests' own hand."""

from __future__ import annotations

import base64
import json
import random
import zlib
from dataclasses import dataclass, field

START_MS = 1_790_000_000_000
LETTERS = "23456789bcdfghjkmnpqrstvwxyz"


@dataclass
class Made:
    """What is sent, and what has to arrive of it."""

    messages: list[tuple[str, bytes]] = field(default_factory=list)
    # The good records, each once.
    records: set[bytes] = field(default_factory=set)
    damaged: list[bytes] = field(default_factory=list)


def record(  # noqa: PLR0913  the places of a record
    device: str, seq: int, *, at_ms: int | None, mono: int, installation: str = "k3x9w2",
    boot: str = "1f0c9a", trip: int = 1, lat: float = 52.5, lon: float = 13.4, ok: int = 1,
    speed: float | None = 13.5, gap: tuple[int, int] | None = None, receiver: str | None = None,
) -> bytes:  # fmt: skip
    """Write a record by docs/record.md, sharing no code with the service."""
    values = [
        device, installation, boot, seq, seq - trip, at_ms, mono, lat, lon, 3, ok, 34.5, speed,
        182.4, 0.1, 4.2, 0.5,
    ]  # fmt: skip
    if receiver or gap:
        values.append(receiver)
    if gap:
        values.append(list(gap))
    return signed(json.dumps(values, separators=(",", ":"))[1:])


def signed(text: str) -> bytes:
    """Put head and checksum before the rest of a record, whatever stands in it."""
    body = text.encode()
    crc = base64.urlsafe_b64encode(zlib.crc32(b'[1,"' + body).to_bytes(4, "big")).decode()[:6]
    return b'[1,"' + crc.encode() + b'",' + body


def fleet(seed: int, count: int, *, vehicles: int = 20) -> Made:
    """Make a fleet's records in the order in which they are sent.

    Of 100 some 5 come twice, later; some are late; one in 1,000 has a flipped bit, and comes whole
    later, too; one in 5,000 is no record at all.
    """
    chance = random.Random(seed)  # noqa: S311  repeatable, nothing is secret
    made = Made()
    late: list[tuple[int, str, bytes]] = []
    for number in range(count):
        vehicle, seq = number % vehicles, number // vehicles + 1
        device = f"truck-{vehicle}"
        when = START_MS + seq * 1000
        raw = record(
            device, seq, at_ms=when, mono=seq * 1000 + vehicle, ok=int(seq % 50 != 7),
            installation=f"k3x9{LETTERS[vehicle % 28]}2", lat=round(48 + seq % 9000 * 0.0001, 6),
            lon=round(9 + vehicle / 10, 6), speed=round(seq % 30, 2),
        )  # fmt: skip
        made.records.add(raw)
        fate = chance.random()
        if fate < 0.001:
            flipped = bytearray(raw)
            flipped[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
            made.damaged.append(bytes(flipped))
            made.messages.append((device, bytes(flipped)))
            late.append((number + chance.randrange(1, 5000), device, raw))
        elif fate < 0.0012:
            odd = (
                chance.choice(
                    [
                        b"",
                        b"\xff\x00\n\n",
                        b"[]",
                        b"[2,3]",
                        b'{"dead":"x","at":1,"why":""}',
                        b"nil\n" * 9,
                    ]
                )
                + str(number).encode()
            )
            made.damaged.append(odd)
            made.messages.append((device, odd))
            late.append((number + 1, device, raw))
        elif fate < 0.02:
            late.append((number + chance.randrange(1, 20_000), device, raw))
        else:
            made.messages.append((device, raw))
            if fate < 0.07:
                late.append((number + chance.randrange(1, 20_000), device, raw))
        if number % 1000 == 999:
            made.messages += [(whose, each) for due, whose, each in late if due <= number]
            late = [each for each in late if each[0] > number]
    made.messages += [(whose, each) for _, whose, each in late]
    return made
