"""HTTP POST with an API key: a JSON array of records, taken by its receiver as a whole.

The receiver answers 2xx once it has them all for good. It may get some twice and tells them by
(device, installation, seq), so a lost answer does no harm.
"""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from telematics.sink import SinkError, secret

if TYPE_CHECKING:
    from collections.abc import Sequence

    from telematics.settings import Settings

TIMEOUT_S = 30.0
BATCH = 500
GOOD = range(200, 300)


class HttpSink:
    """Posts to one URL; see Sink."""

    def __init__(self, settings: Settings) -> None:
        """Prepare; nothing is connected yet."""
        self._url = urlsplit(settings.publish_servers)
        self._security = settings.publish_security
        self._secrets = Path(settings.publish_secrets)
        self._link: http.client.HTTPConnection | None = None
        self._headers: dict[str, str] = {}

    def open(self) -> None:
        """See Sink."""
        if self._link is not None:
            return
        if self._url.scheme != "https" and self._security != "plaintext":
            message = "publish_servers: not https; hint: publish_security: plaintext allows it"
            raise SinkError(message)
        try:
            key = secret(self._secrets, "api-key").read_text(encoding="utf-8").strip()
            link = self._connection()
            link.connect()
        except OSError as error:
            raise SinkError(f"{self._url.hostname}: {error}") from error
        self._headers = {"Content-Type": "application/json", "X-API-Key": key}
        self._link = link

    def send(self, records: Sequence[tuple[str, bytes]]) -> int:
        """See Sink."""
        done = 0
        while done < len(records):
            part = records[done : done + BATCH]
            if not self._post(b"[" + b",".join(raw for _, raw in part) + b"]"):
                break
            done += len(part)
        return done

    def live(self, device: str, raw: bytes) -> None:
        """Do nothing: the live lane is Kafka's."""

    def close(self) -> None:
        """See Sink."""
        if self._link is not None:
            self._link.close()
        self._link = None

    def _post(self, body: bytes) -> bool:
        if self._link is None:
            return False
        try:
            self._link.request("POST", self._url.path or "/", body=body, headers=self._headers)
            answer = self._link.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return False
        return answer.status in GOOD

    def _connection(self) -> http.client.HTTPConnection:
        host = self._url.hostname or ""
        if self._url.scheme == "http":
            return http.client.HTTPConnection(host, self._url.port, timeout=TIMEOUT_S)
        authority, client = (secret(self._secrets, name) for name in ("ca.pem", "client.pem"))
        context = ssl.create_default_context(cafile=authority if authority.exists() else None)
        if client.exists():
            context.load_cert_chain(client, secret(self._secrets, "client.key"))
        return http.client.HTTPSConnection(host, self._url.port, timeout=TIMEOUT_S, context=context)
