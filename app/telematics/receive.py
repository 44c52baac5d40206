"""The other end, as a reference: takes records off Kafka or by HTTP, each once, and tells of gaps.

What it writes are JSON lines: a record under the schema's names, or a gap. The file is its memory:
it is read at the start, so a restart repeats nothing. Small on purpose: it
shows what any receiver has to do, and the tests of the contract use it as their judge.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import IO, TYPE_CHECKING, Any

from telematics.record import RecordError, decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from telematics.record import Record

POLL_S = 0.2
POLL_RECORDS = 5000
BODY_MAX = 4 << 20


@dataclass(kw_only=True)
class _Installation:
    """What is known of one installation's numbers."""

    newest: int = 0
    oldest: int = 0
    missing: set[int] = field(default_factory=set)


class Ledger:
    """Knows which numbers were received, and so what is new, twice, late or missing."""

    def __init__(self) -> None:
        """Begin with nothing received."""
        self.duplicates = 0
        self.damaged = 0
        self._known: dict[tuple[str, str], _Installation] = {}

    def take(self, raw: bytes) -> list[dict[str, object]]:
        """Give the lines that a record adds: gaps it shows, and itself if it is new."""
        try:
            found = decode(raw)
        except RecordError:
            self.damaged += 1
            return [{"damaged": raw.decode(errors="replace")}]
        known = self._of(found.identity.device, found.identity.installation)
        if found.seq < known.oldest:
            # One that was refused at the very beginning, and is taken at last.
            known.missing.discard(found.seq)
            known.missing.update(range(found.seq + 1, known.oldest))
            known.oldest = found.seq
            return [found.named()]
        if found.seq <= known.newest:
            if found.seq not in known.missing:
                self.duplicates += 1
                return []
            known.missing.discard(found.seq)
            return [found.named()]
        gaps = list(_gaps(found, known))
        for gap in gaps:
            known.missing.update(range(gap["from"], gap["to"] + 1))
        known.newest, known.oldest = found.seq, known.oldest or found.seq
        lines: list[dict[str, object]] = [{"gap": gap} for gap in gaps]
        return [*lines, found.named()]

    def restore(self, line: Mapping[str, Any]) -> None:
        """Take in a line that was written before."""
        what = line.get("gap") or line
        if not isinstance(what, dict) or "installation" not in what:
            return
        known = self._of(str(what["device"]), str(what["installation"]))
        if "gap" in line and "from" in what:
            known.missing.update(range(what["from"], what["to"] + 1))
        elif "seq" in what:
            known.missing.discard(what["seq"])
            known.newest = max(known.newest, what["seq"])
            known.oldest = min(known.oldest or what["seq"], what["seq"])

    def _of(self, device: str, installation: str) -> _Installation:
        return self._known.setdefault((device, installation), _Installation())


def _gaps(found: Record, known: _Installation) -> Iterator[dict[str, Any]]:
    """Give the holes before a record: announced as lost or skipped, or not announced at all."""
    said = found.gap
    lost_to = found.seq - 1 - (said.skipped if said else 0)
    said_from = found.seq - said.size if said else found.seq
    # The first record of an installation need not be number 1: what came before is not ours.
    begin = known.newest + 1 if known.newest else said_from
    ranges = (
        ("unexplained", begin, said_from - 1),
        ("lost", max(begin, said_from), lost_to),
        ("skipped", max(begin, lost_to + 1), found.seq - 1),
    )
    for kind, first, last in ranges:
        if first <= last:
            yield {
                "device": found.identity.device,
                "installation": found.identity.installation,
                "kind": kind,
                "from": first,
                "to": last,
            }


class Book:
    """The file of JSON lines and the ledger of what stands in it."""

    def __init__(self, path: Path) -> None:
        """Read what is there; a last line that was cut off is cut off for good."""
        self.ledger = Ledger()
        self._file: IO[bytes] = path.open("a+b")
        self._file.seek(0)
        sound = 0
        for line in self._file:
            try:
                self.ledger.restore(json.loads(line))
            except ValueError:
                break
            if not line.endswith(b"\n"):
                break
            sound += len(line)
        self._file.truncate(sound)
        self._file.seek(0, os.SEEK_END)

    def take(self, records: Iterable[bytes]) -> int:
        """Write what is new, durably, and give the number of lines."""
        lines = [line for raw in records for line in self.ledger.take(raw)]
        if lines:
            text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
            self._file.write(text.encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        return len(lines)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def from_kafka(
    book: Book, config: Mapping[str, object], *, topic: str, stopping: threading.Event
) -> None:
    """Read a topic until told to stop; offsets are committed after the lines are on the disk."""
    from confluent_kafka import Consumer  # noqa: PLC0415  only who needs it pays

    consumer = Consumer(
        {
            "group.id": "telematics-receive",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            **config,
        }
    )
    consumer.subscribe([topic])
    try:
        while not stopping.is_set():
            messages = consumer.consume(POLL_RECORDS, POLL_S)
            values = [each.value() for each in messages if each.error() is None]
            if values:
                book.take(value for value in values if value is not None)
                consumer.commit(asynchronous=False)
    finally:
        consumer.close()


def http_server(book: Book, *, port: int, key: str) -> HTTPServer:
    """Give a server on the loopback that takes what `sink_http.py` posts."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(min(size, BODY_MAX))
            if self.headers.get("X-API-Key") != key:
                self.send_error(HTTPStatus.FORBIDDEN)
                return
            try:
                records = split(body)
            except ValueError:
                self.send_error(HTTPStatus.BAD_REQUEST)
                return
            with lock:
                book.take(records)
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    Handler.protocol_version = "HTTP/1.1"
    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def split(body: bytes) -> list[bytes]:
    """Cut a JSON array of records into its records, each byte for byte as it was written."""
    parsed = json.loads(body)
    if not isinstance(parsed, list):
        message = "not an array"
        raise ValueError(message)  # noqa: TRY004  what json raises for wrong text, too
    # What was written without spaces reads back the same, so its checksum still fits.
    return [json.dumps(each, separators=(",", ":")).encode() for each in parsed]
