"""Two APIs as they are met in the wild, on the loopback: a vehicle feed and a paged data set."""

from __future__ import annotations

import http.server
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "a-test-token"  # noqa: S105  nobody believes it but this server
BEGIN_S = 1_790_000_000
DEPARTMENTS = ("Airport", "Library", "Port", "Transit", "Water")


@dataclass
class Api:
    """What it answers with; ``faults`` are answered first, one a call, and then it is well."""

    data_set: int = 3_000
    faults: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    minute: int = 0
    url: str = ""
    broken: dict[int, object] = field(default_factory=dict)

    def vehicles(self) -> dict[str, object]:
        """Give a fleet as a vehicle API does: nested, times in seconds, speeds in mph."""
        at = self.minute
        return {
            "count": 3,
            "response": [
                {
                    "display_name": "model-3", "state": "online",
                    "drive_state": {"timestamp": BEGIN_S + 20 * at, "latitude": 47.58 + at * 0.002,
                                    "longitude": -122.38 + at * 0.001, "speed": 31, "heading": 27},
                },
                {
                    "display_name": "parked", "state": "online",
                    "drive_state": {"timestamp": BEGIN_S, "latitude": 47.6, "longitude": -122.3,
                                    "speed": None, "heading": 90},
                },
                {"display_name": "asleep", "state": "asleep",
                 "drive_state": {"timestamp": BEGIN_S, "latitude": None, "longitude": None}},
            ],
        }  # fmt: skip

    def rows(self, limit: int, offset: int) -> list[object]:
        """Give a page of emissions, numbers as texts, as open-data sets do."""
        return [
            self.broken.get(
                at,
                {
                    "uuid": f"{at:08x}", "department": DEPARTMENTS[at % 5], "fiscal_year": "2019",
                    "emissions": {"co2": f"{at / 7:.3f}"}, "source_type": "Electricity",
                },
            )
            for at in range(offset, min(offset + limit, self.data_set))
        ]  # fmt: skip


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: Api

    def do_GET(self) -> None:
        api, parts = self.api, urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        api.calls.append(self.path)
        if api.faults:
            status, headers = api.faults.pop(0)
            self._answer(status, b"a bad moment", headers)
        elif parts.path == "/vehicles":
            if self.headers.get("Authorization") == f"Bearer {TOKEN}":
                self._answer(200, json.dumps(api.vehicles()).encode())
            else:
                self._answer(401, b'{"error": "no such token"}')
        elif parts.path == "/emissions.json":
            page = api.rows(int(query.get("$limit", "1000")), int(query.get("$offset", "0")))
            self._answer(200, json.dumps(page).encode())
        elif parts.path == "/events":
            after = int(query.get("after", "0"))
            items = [
                {"id": number, "text": f"event {number}"} for number in range(after, after + 10)
            ]
            items = [item for item in items if int(str(item["id"])) < api.data_set]
            meta = {"next": after + len(items)} if items else {}
            self._answer(200, json.dumps({"items": items, "meta": meta}).encode())
        else:
            self._answer(404, b"nothing is here")

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def running(api: Api) -> Iterator[Api]:
    """Serve it on the loopback."""
    handler = type("Handler", (_Handler,), {"api": api})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        api.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
