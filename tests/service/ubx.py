"""A u-blox receiver that speaks its own binary protocol: UBX-NAV-PVT and UBX-NAV-EOE."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from glovebox.emulator.nmea import MODE_2D, MODE_3D

if TYPE_CHECKING:
    from glovebox.emulator.nmea import Epoch

SYNC = b"\xb5\x62"
NAV, PVT, EOE = 0x01, 0x07, 0x61
VALID_DATE_AND_TIME = 0x07
FIX_OK = 0x01
# u-blox 8 protocol description, 32.17.14: 92 bytes.
LAYOUT = struct.Struct("<IHBBBBBBIiBBBBiiiiIIiiiiiIIHH4xihH")
WEEK_S = 604_800
GPS_EPOCH_S = 315_964_800


def encode(epoch: Epoch) -> bytes:
    """Give what the receiver sends for an epoch: the navigation solution, and that it is over."""
    at = epoch.time
    seconds = at.timestamp() - GPS_EPOCH_S + 18  # GPS time runs ahead by the leap seconds
    tow_ms = int(seconds % WEEK_S * 1000)
    fixed = epoch.mode >= MODE_2D
    solution = LAYOUT.pack(
        tow_ms, at.year, at.month, at.day, at.hour, at.minute, at.second, VALID_DATE_AND_TIME,
        50, at.microsecond * 1000,
        {MODE_2D: 2, MODE_3D: 3}.get(epoch.mode, 0), FIX_OK if fixed else 0, 0, 8 if fixed else 0,
        round(epoch.lon * 1e7), round(epoch.lat * 1e7),
        round((epoch.altitude + 39.9) * 1000), round(epoch.altitude * 1000), 4200, 5200,
        0, 0, 0, round(epoch.speed * 1000), round(epoch.track * 1e5), 520, 100_000, 130, 0,
        0, 0, 0,
    )  # fmt: skip
    return message(NAV, PVT, solution) + message(NAV, EOE, struct.pack("<I", tow_ms))


def message(kind: int, number: int, payload: bytes) -> bytes:
    """Frame a message, with its two checksums."""
    body = struct.pack("<BBH", kind, number, len(payload)) + payload
    first = second = 0
    for byte in body:
        first = (first + byte) & 0xFF
        second = (second + first) & 0xFF
    return SYNC + body + bytes((first, second))
