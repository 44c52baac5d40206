"""One call by HTTP with a bound on everything: time, size, and no redirects.

Own code over http.client: what urllib and requests do beyond it (redirects that carry a token
elsewhere, proxies from the environment, answers without an end) is what must not happen here.
"""

from __future__ import annotations

import http.client
import ssl
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TIMEOUT_S = 30.0
WHOLE_S = 120.0
ANSWER_MAX = 64 << 20
GOOD = range(200, 300)


class CallError(Exception):
    """The other side did not answer as HTTP does, or not in time."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def good(self) -> bool:
        """Tell whether it is a success."""
        return self.status in GOOD

    @property
    def retry_after_s(self) -> float | None:
        """Give how long the other side wants to be left alone, if it says so in seconds."""
        text = self.headers.get("retry-after", "").strip()
        return float(text) if text.isascii() and text.isdecimal() and len(text) < 7 else None  # noqa: PLR2004  eleven days


def call(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    authority: Path | None = None,
    most: int = ANSWER_MAX,
) -> Answer:
    """Ask once; CallError if there is no whole answer."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    link = _connection(parts.scheme, parts.hostname or "", parts.port, authority)
    # A timeout of a socket is one for each byte; an answer that drips ends with its connection.
    watch = threading.Timer(WHOLE_S, link.close)
    watch.daemon = True
    try:
        watch.start()
        link.request(method, target, body, {"User-Agent": "glovebox-home", **(headers or {})})
        answer = link.getresponse()
        content = answer.read(most + 1)
        if len(content) > most:
            raise CallError(f"{parts.hostname}: the answer is larger than {most >> 20} MiB")
        names = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, names, content)
    except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
        # AttributeError: http.client when its connection is closed beneath it.
        said = str(error) or type(error).__name__
        raise CallError(f"{parts.hostname}: {said}") from error
    finally:
        watch.cancel()
        link.close()


def _connection(
    scheme: str, host: str, port: int | None, authority: Path | None
) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        context = ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise CallError(f"{authority}: {error}") from error
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)


def token(path: Path) -> str:
    """Read a secret from its file; CallError if it is none that can stand in a header."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CallError(f"{path}: {error}") from None
    if not text or not text.isprintable():
        raise CallError(f"{path}: holds no token; hint: one line of ASCII")
    return text
