"""The record: one position as it stands in the queue, in at most 150 bytes of JSON.

Version 1 is an array; ``record.schema.json`` beside this file names each place, its unit and its
limits, and is the one schema there is::

    [1,"Xu2tnw","truck-7","k3x9w2","1f0c9a",216000,345,1790000000000,7234567,
     52.123456,13.123456,3,1,34.5,13.89,182.4,0.1,4.2,0.5]

The checksum stands second, so that places can be added at the end: it guards all other bytes.
What is unknown is left off at the end and null in between, never 0.
"""

from __future__ import annotations

import json
from binascii import b2a_base64
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from telematics.epoch import Epoch

VERSION = 1
# The head of every record of this version; the checksum follows, six letters and `",`.
HEAD = b'[1,"'
CRC_LETTERS = 6
BODY_AT = len(HEAD) + CRC_LETTERS + 2
SIZE_MAX = 150
# A later version may write more behind; a record is looked for within so many bytes.
REACH = 2 * SIZE_MAX
DEVICE_MAX = 12
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
BOOT_DIGITS = 6
SCHEMA = Path(__file__).with_name("record.schema.json")
# Places after the checksum up to the ones that every record has.
REQUIRED = 13
HEAD_CRC = crc32(HEAD)
URL_SAFE = bytes.maketrans(b"+/", b"-_")
# Decimals kept of the optional values: finer digits are below any receiver's noise.
DECIMALS = {"alt": 1, "speed": 2, "track": 1, "climb": 1, "eph": 1, "eps": 2}
WHOLE_FROM = 100  # an error estimate (eph, eps) this large needs no decimals


class RecordError(ValueError):
    """Bytes that should be a record are not one."""


class Identity(NamedTuple):
    """Whose records these are: the same for all records of one run."""

    device: str
    installation: str
    boot: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """The numbers directly before a record that have none.

    ``lost`` ones were records and are gone, ``skipped`` ones perhaps never were: they stood in a
    block that was reserved when the power went. The lost ones come first.
    """

    lost: int = 0
    skipped: int = 0

    @property
    def size(self) -> int:
        """Count the numbers."""
        return self.lost + self.skipped


class Record(NamedTuple):
    """One position, ready for the queue. ``trip`` is the number of the trip's first record."""

    identity: Identity
    seq: int
    trip: int
    time: int | None
    mono: int
    lat: float
    lon: float
    mode: int
    time_ok: bool
    alt: float | None = None
    speed: float | None = None
    track: float | None = None
    climb: float | None = None
    eph: float | None = None
    eps: float | None = None
    receiver: str | None = None
    gap: Gap | None = None

    def encode(self) -> bytes:
        """Give the bytes that stand in the queue."""
        # By hand, as json would write it, so that a receiver that reads and writes it changes no
        # byte: json.dumps takes much longer, and this is done for each record.
        text = (
            f"{_names(self.identity)},{self.seq},{self.seq - self.trip},"
            f"{'null' if self.time is None else self.time},{self.mono},"
            f"{round(self.lat, 6)!r},{round(self.lon, 6)!r},{self.mode},{self.time_ok:d}"
        )
        for name, decimals in DECIMALS.items():
            value = getattr(self, name)
            if value is None:
                text += ",null"
            elif value >= WHOLE_FROM and name[0] == "e":
                text += f",{int(value)}"
            else:
                text += f",{round(value, decimals)!r}"
        if self.receiver is not None or self.gap is not None:
            text += f",{json.dumps(self.receiver)}"
        if self.gap is not None:
            text += f",[{self.gap.lost},{self.gap.skipped}]"
        while text.endswith(",null"):
            text = text[:-5]
        body = b"%b]" % text.encode("ascii")
        return HEAD + _crc(body) + b'",' + body

    def named(self) -> dict[str, object]:
        """Give every known value under the schema's name; what is unknown is left out."""
        named: dict[str, object] = {
            "v": VERSION,
            "device": self.identity.device,
            "installation": self.identity.installation,
            "boot": self.identity.boot,
        }
        rest = ("seq", "trip", "time", "mono", "lat", "lon", "mode", "time_ok")
        for name in (*rest, *DECIMALS, "receiver"):
            value = getattr(self, name)
            if value is not None:
                named[name] = value
        if self.gap is not None:
            named["gap"] = {"lost": self.gap.lost, "skipped": self.gap.skipped}
        return named


def of_epoch(
    epoch: Epoch,
    *,
    identity: Identity,
    seq: int,
    trip: int,
    receiver: str | None = None,
    gap: Gap | None = None,
) -> Record:
    """Make the record of an epoch that has a position."""
    if epoch.lat is None or epoch.lon is None:
        message = "an epoch without a position makes no record"
        raise RecordError(message)
    return Record(
        identity=identity,
        seq=seq,
        trip=trip,
        time=epoch.time,
        mono=epoch.mono,
        lat=epoch.lat,
        lon=epoch.lon,
        mode=epoch.mode,
        time_ok=epoch.time_ok,
        alt=epoch.alt_msl,
        speed=epoch.speed,
        track=epoch.track,
        climb=epoch.climb,
        eph=epoch.eph,
        eps=epoch.eps,
        receiver=receiver,
        gap=gap,
    )


def whole(raw: bytes) -> bool:
    """Tell whether these bytes are what some version 1 wrote, to the last bit."""
    return (
        raw.startswith(HEAD)
        and raw[BODY_AT - 2 : BODY_AT] == b'",'
        and raw[len(HEAD) : BODY_AT - 2] == _crc(raw[BODY_AT:])
    )


def records_in(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give each whole record in bytes of any kind, and its place there: nothing else is asked."""
    place = data.find(HEAD)
    while place >= 0:
        raw = _record_at(data, place)
        if raw is not None:
            yield place, raw
        place = data.find(HEAD, place + (len(raw) if raw else 1))


def _record_at(data: bytes, place: int) -> bytes | None:
    """Give the whole record that begins there; its end is the bracket that makes the sum fit."""
    end = place + BODY_AT
    while 0 < (end := data.find(b"]", end) + 1) <= place + REACH:
        if whole(data[place:end]):
            return data[place:end]
    return None


class Head(NamedTuple):
    """What a publisher has to know of a record, and the record's bytes."""

    device: str
    installation: bytes
    seq: int
    raw: bytes


def head(raw: bytes) -> Head | None:
    """Read the head of a record without the rest, None if it is damaged: six times as quick."""
    if not whole(raw):
        return None
    # No name holds a comma or a quote, see the schema.
    _, _, device, installation, _, seq, _ = raw.split(b",", 6)
    return Head(device[1:-1].decode(), installation, int(seq), raw)


def decode(raw: bytes) -> Record:
    """Read a record back, and refuse it if a single bit is not as it was written."""
    if not whole(raw):
        message = f"damaged record, or one of a version after {VERSION}: {raw[:200]!r}"
        raise RecordError(message)
    try:
        return _record(json.loads(raw))
    except (ValueError, TypeError, IndexError, RecursionError) as error:
        message = f"record with too few values, or wrong ones: {raw[:200]!r}"
        raise RecordError(message) from error


def _record(values: list[Any]) -> Record:
    _, _, device, installation, boot, seq, into_trip, when, mono, lat, lon, mode, ok = values[
        :REQUIRED
    ]
    # Places this reader does not know yet are passed over.
    rest = iter([*values[REQUIRED:], *[None] * (len(DECIMALS) + 2)])
    optional: Mapping[str, Any] = {name: next(rest) for name in DECIMALS}
    receiver, gap = next(rest), next(rest)
    record = Record(
        identity=Identity(device=device, installation=installation, boot=boot),
        seq=seq,
        trip=seq - into_trip,
        time=when,
        mono=mono,
        lat=lat,
        lon=lon,
        mode=mode,
        time_ok=bool(ok),
        **optional,
        receiver=receiver,
        gap=None if gap is None else Gap(lost=gap[0], skipped=gap[1]),
    )
    if not _meant(record):
        message = "a value of another kind"
        raise TypeError(message)
    return record


def _meant(record: Record) -> bool:
    """Tell whether the values are of their kinds, since anybody can make a checksum fit."""
    counts = (record.seq, record.trip, record.mono)
    numbers = (record.lat, record.lon, *(getattr(record, name) for name in DECIMALS))
    return (
        all(isinstance(name, str) for name in record.identity)
        and all(type(count) is int for count in counts)
        and record.seq > 0
        and (record.time is None or type(record.time) is int)
        and all(number is None or type(number) in {int, float} for number in numbers)
        and (record.receiver is None or isinstance(record.receiver, str))
        and (record.gap is None or {type(record.gap.lost), type(record.gap.skipped)} == {int})
    )


def boot_id(path: Path = BOOT_ID) -> str:
    """Give the first digits of the kernel's boot id, as ``journalctl --list-boots`` shows it."""
    return path.read_text(encoding="ascii").strip()[:BOOT_DIGITS]


@lru_cache(maxsize=4)
def _names(identity: Identity) -> str:
    names = (identity.device, identity.installation, identity.boot)
    return ",".join(map(json.dumps, names))


def _crc(body: bytes) -> bytes:
    text = b2a_base64(crc32(body, HEAD_CRC).to_bytes(4, "big"), newline=False)
    return text[:CRC_LETTERS].translate(URL_SAFE)
