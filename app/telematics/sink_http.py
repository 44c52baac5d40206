"""HTTP POST with an API key: a JSON array of records, taken by its receiver as a whole.

The receiver answers 2xx once it has them all for good. It may get some twice and tells them by
(device, installation, seq), so a lost answer does no harm.

Whatever else it answers is told apart, since it decides what helps: a refused record, a key that is
not known, a receiver in trouble. An answer is bounded as a whole, in time and in size: http.client
bounds neither, only each wait and each line.
"""

from __future__ import annotations

import http.client
import io
import ssl
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from telematics import address
from telematics.sink import Sent, SinkError, plain, secret, secret_text

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from telematics.settings import Settings

TIMEOUT_S = 30.0
BATCH = 500
GOOD = range(200, 300)
# Of an answer only its first line and one header count.
ANSWER_MAX = 64 << 10
BODY_SHOWN = 512
# A receiver may ask to be left alone, but not for ever.
LONGEST_WAIT_S = 3600.0
KEY = "api-key"

TOO_LARGE, TOO_MANY, UNAVAILABLE = 413, 429, 503
# What these say is about the sender, the place or the moment, and not about the records.
_WORDS = {
    401: "does not know this API key",
    403: "does not let this API key in",
    404: "takes nothing at this address",
    405: "takes nothing at this address",
    407: "is behind a proxy that asks for a password",
    408: "waited too long for the records",
    410: "takes nothing at this address any more",
    421: "is another one than this address means",
    425: "asks to come later",
    426: "wants another protocol",
    TOO_MANY: "was asked too often",
    431: "finds the headers too long: the API key or the address",
    451: "may not take the records, by law",
}
_FAMILIES = {1: "answered with a message that is none", 3: "points elsewhere", 5: "is in trouble"}


class HttpSink:
    """Posts to one URL; see Sink."""

    largest = BATCH

    def __init__(self, settings: Settings) -> None:
        """Prepare; nothing is connected yet."""
        self._settings = settings
        self._secrets = Path(settings.publish_secrets)
        self._link: http.client.HTTPConnection | None = None
        self._target = ""
        self._host = ""
        self._headers: dict[str, str] = {}

    def open(self) -> None:
        """See Sink."""
        if self._link is not None:
            return
        try:
            url = address.url(self._settings.publish_servers)
        except address.AddressError as error:
            raise SinkError(f"publish_servers: {error}") from error
        if not url.secure and self._settings.publish_security != "plaintext":
            message = "publish_servers: not https; hint: publish_security: plaintext allows it"
            raise SinkError(message)
        key = secret_text(self._secrets, KEY, address.wrong_key)
        try:
            link = self._connection(url)
            link.connect()
        # ValueError: a name that the resolver's encoding does not take.
        except (OSError, ValueError) as error:
            raise SinkError(f"{url.host}: {plain(str(error))}") from error
        link.response_class = _Answer
        self._headers = {"Content-Type": "application/json", "X-API-Key": key}
        self._link, self._target, self._host = link, url.target, url.host

    def send(self, records: Sequence[tuple[str, bytes]]) -> Sent:  # noqa: PLR0911  one a kind of end
        """See Sink."""
        link = self._link
        if link is None:
            return Sent(0, "not connected")
        body = b"[" + b",".join(raw for _, raw in records) + b"]"
        try:
            link.request("POST", self._target, body=body, headers=self._headers)
            answer = link.getresponse()
            said = answer.read(BODY_SHOWN)
            if not answer.isclosed():
                # The rest is not worth reading, and the next answer cannot be found behind it.
                link.close()
        except TimeoutError:
            return self._not(f"did not answer within {TIMEOUT_S:.0f} s")
        except _EndlessError:
            return self._not(f"answers more than {ANSWER_MAX >> 10} KiB")
        except (http.client.HTTPException, ValueError) as error:
            return self._not(_garbage(error))
        except OSError as error:
            return self._not(plain(str(error)) or type(error).__name__)
        if answer.status in GOOD:
            return Sent(len(records))
        return self._answered(answer, said)

    def live(self, device: str, raw: bytes) -> None:
        """Do nothing: the live lane is Kafka's."""

    def close(self) -> None:
        """See Sink."""
        if self._link is not None:
            self._link.close()
        self._link = None

    def _not(self, why: str) -> Sent:
        return Sent(0, f"{self._host} {why}")

    def _answered(self, answer: http.client.HTTPResponse, said: bytes) -> Sent:
        """Tell what an answer other than 2xx means."""
        status = answer.status
        meant = _WORDS.get(status) or _FAMILIES.get(status // 100)
        text = plain(f"{status} {answer.reason}")
        if meant is None:
            detail = plain(said.decode(errors="replace"))
            why = f"{self._host} refuses what it is sent: {text}{f', {detail}' if detail else ''}"
            return Sent(0, why, refused=True)
        why = f"{self._host} {meant}: {text}"
        if status // 100 == 3:  # noqa: PLR2004  the family of redirections
            # The API key would go along to whoever is named there.
            place = plain(answer.headers.get("Location") or "nowhere")
            return Sent(0, f"{why}, {place}; hint: publish_servers is the last address of all")
        return Sent(0, why, wait_s=_asked_to_wait(answer.headers))

    def _connection(self, url: address.Url) -> http.client.HTTPConnection:
        if not url.secure:
            return http.client.HTTPConnection(url.host, url.port, timeout=TIMEOUT_S)
        authority, client = (secret(self._secrets, name) for name in ("ca.pem", "client.pem"))
        context = ssl.create_default_context(cafile=authority if authority.exists() else None)
        if client.exists():
            key = secret(self._secrets, "client.key")
            # Of a key that is locked nobody here knows the word; without one OpenSSL would ask.
            context.load_cert_chain(client, key, password="")
        return http.client.HTTPSConnection(url.host, url.port, timeout=TIMEOUT_S, context=context)


class _EndlessError(OSError):
    """An answer is larger than any that makes sense."""


class _Answer(http.client.HTTPResponse):
    """A response that ends in time, however slowly or endlessly it comes."""

    def __init__(self, sock: socket.socket, *args: object, **more: object) -> None:
        """Read it through what counts bytes and seconds."""
        super().__init__(sock, *args, **more)  # type: ignore[arg-type]  # as http.client calls it
        self.fp.close()
        self.fp = cast("BinaryIO", io.BufferedReader(_Bounded(sock)))  # type: ignore[assignment]


class _Bounded(io.RawIOBase):
    """The bytes of one answer, as long as they come in time and are not too many."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        # It keeps the connection open behind http.client's back until the body was read.
        self._file = sock.makefile("rb", buffering=0)
        self._until = time.monotonic() + TIMEOUT_S
        self._left = ANSWER_MAX

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        left_s = self._until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        if self._left <= 0:
            raise _EndlessError
        self._sock.settimeout(left_s)
        try:
            count = self._file.readinto(cast("bytearray", buffer)) or 0
        finally:
            self._sock.settimeout(TIMEOUT_S)
        self._left -= count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def _garbage(error: Exception) -> str:
    if isinstance(error, http.client.RemoteDisconnected):
        return "closed the connection without an answer"
    return "does not answer in HTTP"


def _asked_to_wait(headers: http.client.HTTPMessage) -> float:
    """Give how many seconds the receiver asks for, as a number or as a date by its own clock."""
    text = (headers.get("Retry-After") or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_WAIT_S)
    try:
        # By its own clock: a board's may be years off.
        then = parsedate_to_datetime(text)
        now = parsedate_to_datetime(headers.get("Date") or "")
        wait_s = (then - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(wait_s, 0.0), LONGEST_WAIT_S)
