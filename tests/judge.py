"""The tests' judge of what arrived: it shares no code with what it judges.

Its reading of a record and of the checksum is its own, from docs/record.md alone. It takes records
off Kafka or by HTTP, each once, and tells holes; what it wrote is lines of JSON in a file.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Mapping
    from pathlib import Path

# The places of docs/record.md, in order.
PLACES = (
    "v", "crc", "device", "installation", "boot", "seq", "into_trip", "time", "mono", "lat", "lon",
    "mode", "time_ok", "alt", "speed", "track", "climb", "eph", "eps", "receiver", "gap",
)  # fmt: skip
REQUIRED = PLACES.index("time_ok") + 1


def read(raw: bytes) -> dict[str, Any] | None:
    """Read a record by the documentation; None if one bit of it is not as it was written."""
    try:
        values = json.loads(raw)
        crc = values[1]
        at = raw.index(f'"{crc}",'.encode())
    except (ValueError, IndexError, KeyError, TypeError):
        return None
    if values[0] != 1 or not isinstance(crc, str) or len(values) < REQUIRED:
        return None
    # All bytes but the value, its closing quote and comma.
    rest = raw[: at + 1] + raw[at + len(crc) + 3 :]
    number = zlib.crc32(rest).to_bytes(4, "big")
    if base64.urlsafe_b64encode(number).decode().rstrip("=") != crc:
        return None
    named = {name: value for name, value in zip(PLACES, values, strict=False) if value is not None}
    named["trip"] = named["seq"] - named["into_trip"]
    named["time_ok"] = bool(named["time_ok"])
    if "gap" in named:
        named["gap"] = {"lost": named["gap"][0], "skipped": named["gap"][1]}
    return {name: value for name, value in named.items() if name not in ("crc", "into_trip")}


@dataclass
class Ledger:
    """Knows every number that came: plain sets, since tests have some thousands."""

    duplicates: int = 0
    damaged: int = 0
    _numbers: dict[tuple[str, str], set[int]] = field(default_factory=dict)
    _newest: dict[tuple[str, str], int] = field(default_factory=dict)

    def take(self, raw: bytes) -> list[dict[str, object]]:
        """Give the lines that bytes add: holes before a new newest record, and the record."""
        record = read(raw)
        if record is None:
            self.damaged += 1
            return [{"damaged": raw.decode(errors="replace")}]
        whose = record["device"], record["installation"]
        newest, seq = self._newest.get(whose), record["seq"]
        if not self.know(record):
            self.duplicates += 1
            return []
        if newest is not None and seq < newest:
            return [record]
        return [*({"gap": hole} for hole in _holes(record, newest)), record]

    def know(self, record: Mapping[str, Any]) -> bool:
        """Remember a record's number, and tell whether it is new."""
        whose, seq = (record["device"], record["installation"]), record["seq"]
        numbers = self._numbers.setdefault(whose, set())
        if seq in numbers:
            return False
        numbers.add(seq)
        self._newest[whose] = max(seq, self._newest.get(whose, 0))
        return True


def _holes(record: Mapping[str, Any], newest: int | None) -> list[dict[str, object]]:
    """Name the kind of each missing number before a record, and put neighbours together."""
    seq, gap = record["seq"], record.get("gap", {"lost": 0, "skipped": 0})
    announced = gap["lost"] + gap["skipped"]
    begin = seq - announced if newest is None else newest + 1
    found: list[dict[str, object]] = []
    for number in range(max(begin, 1), seq):
        if number >= seq - gap["skipped"]:
            kind = "skipped"
        elif number >= seq - announced:
            kind = "lost"
        else:
            kind = "unexplained"
        if found and found[-1]["kind"] == kind:
            found[-1]["to"] = number
        else:
            whose = {name: record[name] for name in ("device", "installation")}
            found.append({**whose, "kind": kind, "from": number, "to": number})
    return found


def split(body: bytes) -> list[bytes]:
    """Cut an array into its records: without spaces, JSON that is written again is the same."""
    return [json.dumps(each, separators=(",", ":")).encode() for each in json.loads(body)]


class Book:
    """A file of the lines, and the ledger of this run."""

    def __init__(self, path: Path) -> None:
        """Begin a file, or go on with one: its records are known then."""
        self.ledger = Ledger()
        self._file = path.open("a+b")
        self._file.seek(0)
        for line in self._file:
            values = json.loads(line)
            if "seq" in values:
                self.ledger.know(values)
        self._file.seek(0, os.SEEK_END)

    def take(self, records: Iterable[bytes]) -> None:
        """Write what is new."""
        for raw in records:
            for line in self.ledger.take(raw):
                self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def from_kafka(
    book: Book, config: Mapping[str, object], *, topic: str, stopping: threading.Event
) -> None:
    """Read a topic from its beginning until told to stop; the book knows what came before."""
    from confluent_kafka import Consumer, TopicPartition  # noqa: PLC0415

    consumer = Consumer({"group.id": "judge", "enable.auto.commit": False, **config})
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        while not stopping.is_set():
            messages = consumer.consume(5000, 0.2)
            book.take(each.value() or b"" for each in messages if each.error() is None)
    finally:
        consumer.close()


def http_server(book: Book, *, port: int, key: str) -> ThreadingHTTPServer:
    """Give a server on the loopback that takes arrays of records."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            allowed = self.headers.get("X-API-Key") == key
            if allowed:
                book.take(split(body))
            self.send_response(HTTPStatus.OK if allowed else HTTPStatus.FORBIDDEN)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    Handler.protocol_version = "HTTP/1.1"
    return ThreadingHTTPServer(("127.0.0.1", port), Handler)
