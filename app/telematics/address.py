"""Where records go, as an owner writes it: an address for HTTP, a list of brokers for Kafka.

One grammar for the board's settings, the builder's check and the sinks, so what passes here can be
called. It is stricter than urllib's, which takes `http://a..b/` and `http://host/é` and leaves the
exception to whoever connects, and it loads nothing that a small board would wait for.
"""

from __future__ import annotations

import re
import socket
from typing import NamedTuple

HIGHEST_PORT = 65_535
_LONGEST_HOST = 253
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_URL = re.compile(r"(https?)://(\[[^\]/?#@]*\]|[^/?#@:\[\]]*)(:[0-9]*)?((?:[/?][!-~]*)?)")
_BROKER = re.compile(r"(\[[^\]]*\]|[^:\[\]]*):([0-9]+)")
_URL_CURE = "write it as https://host/path, or https://host:8443/path?vehicle=7"
_BROKER_CURE = "write them as broker.example.org:9093,another.example.org:9093"
# Whatever stands between double quotes in RFC 9110, and no more: h11 and nginx refuse the rest.
_KEY = re.compile(r"[!-~]([ -~]*[!-~])?")


class AddressError(ValueError):
    """An address that cannot be called: what is wrong, and the cure."""

    def __init__(self, what: str, cure: str) -> None:
        """Keep both."""
        super().__init__(f"{what}; hint: {cure}")
        self.what, self.cure = what, cure


class Url(NamedTuple):
    """An address for HTTP, cut into what a connection needs."""

    secure: bool
    host: str
    port: int
    target: str


def url(text: str) -> Url:
    """Read an address; raises AddressError."""
    if not text.isascii():
        what = "holds a character that no address has"
        raise AddressError(what, "write a name as xn--…, and such a character in a path as %C3%A9")
    if "#" in text:
        raise AddressError("holds a #, which is never sent", _URL_CURE)
    if "@" in text.partition("://")[2].partition("/")[0]:
        raise AddressError("holds a user name or password", "the key goes into broker.api_key")
    found = _URL.fullmatch(text)
    if found is None:
        raise AddressError("is not an address for HTTP", _URL_CURE)
    scheme, place, port, target = found.groups()
    secure = scheme == "https"
    if target[:1] != "/":
        target = f"/{target}"
    number = (port or ":")[1:] or ("443" if secure else "80")
    return Url(secure, host(place, cure=_URL_CURE), _port(number), target)


def brokers(text: str) -> list[tuple[str, int]]:
    """Read a list of brokers; raises AddressError."""
    found = []
    for each in text.split(","):
        parts = _BROKER.fullmatch(each)
        if parts is None:
            raise AddressError("is not a list of host:port", _BROKER_CURE)
        found.append((host(parts[1], cure=_BROKER_CURE), _port(parts[2])))
    return found


def host(text: str, *, cure: str = "write a name or an address such as 192.168.1.7") -> str:
    """Check a host, and give it without brackets; raises AddressError."""
    if text[:1] == "[" or ":" in text:
        number = text.removeprefix("[").removesuffix("]")
        try:
            socket.inet_pton(socket.AF_INET6, number)
        except (OSError, ValueError):
            raise AddressError("holds brackets without an IPv6 address in them", cure) from None
        return number
    labels = text.removesuffix(".").split(".")
    if len(text) > _LONGEST_HOST or not all(map(_LABEL.fullmatch, labels)):
        raise AddressError("names a host that no host can be called", cure)
    return text


def wrong_servers(text: str) -> tuple[str, str] | None:
    """Say what is wrong with an address or a list of brokers, and the cure."""
    return _complaint(url if "://" in text else brokers, text) if text else None


def wrong_host(text: str) -> tuple[str, str] | None:
    """Say what is wrong with a host, and the cure."""
    return _complaint(host, text)


def wrong_key(text: str) -> tuple[str, str] | None:
    """Say what is wrong with an API key, and the cure; it is sent as a line of a header."""
    if _KEY.fullmatch(text):
        return None
    return "is no API key: one is a single line of ASCII", "copy it again, without what is around"


def wrong_password(text: str) -> tuple[str, str] | None:
    """Say what is wrong with a password, and the cure."""
    if text and text.isprintable():
        return None
    return "is no password: one is a single line", "copy it again, without what is around"


def _port(text: str) -> int:
    if len(text) > len(str(HIGHEST_PORT)) or not 1 <= int(text) <= HIGHEST_PORT:
        raise AddressError("names a port that does not exist", f"1 to {HIGHEST_PORT}")
    return int(text)


def _complaint(read: object, text: str) -> tuple[str, str] | None:
    try:
        read(text)  # type: ignore[operator]
    except AddressError as error:
        return error.what, error.cure
    return None
