"""The record: one position as it stands in the queue, in about 150 bytes of JSON.

Version 1 is an array: what every record has stands by place, what is known only sometimes stands
by key in an object, and the last element guards all bytes before it::

    [1,"truck-7","k3x9w2","1f0c9a",216000,1790000000000,7234567,52.123456,13.123456,3,1,
     {"a":34.5,"s":13.89,"t":182.4,"c":0.1,"h":4.2,"e":0.5},"b3eJ9Q"]

====== ============ ==========================================================================
place  name         meaning
====== ============ ==========================================================================
0      v            version of this layout, 1
1      device       name of the vehicle
2      installation made anew when a card is flashed; (device, installation, seq) is unique
3      boot         start of the kernel's boot id; within one boot ``mono`` is comparable
4      seq          grows with every record of the installation
5      time         event time by the receiver, ms since 1970 UTC; null if it gave none
6      mono         CLOCK_BOOTTIME in ms when the first report of the epoch came
7, 8   lat, lon     degrees, WGS 84, 6 decimals (0.11 m)
9      mode         2 = 2D, 3 = 3D
10     time_ok      1 once three 3D fixes in a row confirmed ``time``, else 0
11     (object)     ``a`` altitude above mean sea level in m, ``s`` speed in m/s, ``t`` track in
                    degrees, ``c`` climb in m/s, ``h`` eph in m, ``e`` eps in m/s, ``r`` name of
                    the receiver if it is not the first one; unknown is left out, never 0
12     crc          CRC-32 (zlib) of all bytes before the comma before it, big-endian, in
                    URL-safe base64 without padding
====== ============ ==========================================================================
"""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast
from zlib import crc32

if TYPE_CHECKING:
    from telematics.epoch import Epoch

VERSION = 1
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
BOOT_DIGITS = 6
INSTALLATION_DIGITS = 6
# No vowels and nothing that looks alike: it is read aloud and never spells a word.
ALPHABET = "23456789bcdfghjkmnpqrstvwxz"
# Key in the object → (attribute, decimals kept): finer digits are below any receiver's noise.
OPTIONAL = {
    "a": ("alt_msl", 1),
    "s": ("speed", 2),
    "t": ("track", 1),
    "c": ("climb", 2),
    "h": ("eph", 1),
    "e": ("eps", 2),
}
PLACES = 13


class RecordError(ValueError):
    """Bytes that should be a record are not one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Whose records these are: the same for all records of one run."""

    device: str
    installation: str
    boot: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One position, ready for the queue."""

    identity: Identity
    seq: int
    time: int | None
    mono: int
    lat: float
    lon: float
    mode: int
    time_ok: bool
    alt_msl: float | None = None
    speed: float | None = None
    track: float | None = None
    climb: float | None = None
    eph: float | None = None
    eps: float | None = None
    receiver: str | None = None

    def encode(self) -> bytes:
        """Give the bytes that stand in the queue."""
        known: dict[str, float | str] = {}
        for key, (attribute, decimals) in OPTIONAL.items():
            value = getattr(self, attribute)
            if value is not None:
                known[key] = round(value, decimals)
        if self.receiver is not None:
            known["r"] = self.receiver
        body = json.dumps(
            [
                VERSION,
                self.identity.device,
                self.identity.installation,
                self.identity.boot,
                self.seq,
                self.time,
                self.mono,
                round(self.lat, 6),
                round(self.lon, 6),
                self.mode,
                int(self.time_ok),
                known,
            ],
            separators=(",", ":"),
            allow_nan=False,
        )
        guarded = body[:-1].encode("ascii")
        return guarded + b',"' + _crc(guarded) + b'"]'


def of_epoch(epoch: Epoch, *, identity: Identity, seq: int, receiver: str | None = None) -> Record:
    """Make the record of an epoch that has a position."""
    if epoch.lat is None or epoch.lon is None:
        message = "an epoch without a position makes no record"
        raise RecordError(message)
    return Record(
        identity=identity,
        seq=seq,
        time=epoch.time,
        mono=epoch.mono,
        lat=epoch.lat,
        lon=epoch.lon,
        mode=epoch.mode,
        time_ok=epoch.time_ok,
        alt_msl=epoch.alt_msl,
        speed=epoch.speed,
        track=epoch.track,
        climb=epoch.climb,
        eph=epoch.eph,
        eps=epoch.eps,
        receiver=receiver,
    )


def decode(raw: bytes) -> Record:
    """Read a record back, and refuse it if a single bit is not as it was written."""
    guarded, found, tail = raw.rpartition(b',"')
    if not found or tail != _crc(guarded) + b'"]':
        message = f"damaged record, its checksum does not match: {raw[:200]!r}"
        raise RecordError(message)
    values = json.loads(raw)
    if not isinstance(values, list) or not values or values[0] != VERSION:
        message = f"record of an unknown version: {raw[:200]!r}"
        raise RecordError(message)
    if len(values) < PLACES:
        message = f"record with too few values: {raw[:200]!r}"
        raise RecordError(message)
    _, device, installation, boot, seq, when, mono, lat, lon, mode, time_ok, known = values[:12]
    optional = {
        attribute: cast("float", known[key])
        for key, (attribute, _) in OPTIONAL.items()
        if key in known
    }
    return Record(
        identity=Identity(device=device, installation=installation, boot=boot),
        seq=seq,
        time=when,
        mono=mono,
        lat=lat,
        lon=lon,
        mode=mode,
        time_ok=bool(time_ok),
        receiver=known.get("r"),
        **optional,
    )


def boot_id(path: Path = BOOT_ID) -> str:
    """Give the first digits of the kernel's boot id, as ``journalctl --list-boots`` shows it."""
    return path.read_text(encoding="ascii").strip()[:BOOT_DIGITS]


def installation(path: Path) -> str:
    """Give this installation's identifier; the first call of a new card makes it."""
    from telematics.files import write_whole  # noqa: PLC0415  # the builder reads records only

    try:
        made = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        made = ""
    # A cut may leave the file empty or filled with zeros; a new identifier never collides.
    if len(made) != INSTALLATION_DIGITS or not set(made) <= set(ALPHABET):
        made = "".join(secrets.choice(ALPHABET) for _ in range(INSTALLATION_DIGITS))
        write_whole(path, made + "\n", durable=True)
    return made


def _crc(guarded: bytes) -> bytes:
    return urlsafe_b64encode(crc32(guarded).to_bytes(4, "big")).rstrip(b"=")
