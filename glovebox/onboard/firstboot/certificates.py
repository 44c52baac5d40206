"""Whether the broker's credentials are whole, fit together, and are all there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Set as AbstractSet
    from pathlib import Path

    from telematics.settings import Settings

LARGEST = 64 * 1024
PAIR = ("client.pem", "client.key")
# What a broker asks for, see `publish_security`.
_NEEDED = {
    ("kafka", "tls"): ("ca.pem", *PAIR),
    ("kafka", "sasl"): ("ca.pem", "password"),
    ("http", "tls"): ("api-key",),
    ("http", "sasl"): ("api-key",),
    ("http", "plaintext"): ("api-key",),
}
_CURES = {
    "password": "write it below broker: as password",
    "api-key": "write it below broker: as api_key",
}


class _LockedError(Exception):
    """A key asks for a passphrase, and nobody is there to type it."""


def missing(settings: Settings, there: AbstractSet[str]) -> Iterator[tuple[str, str]]:
    """Say what is not there that publishing by these settings needs, each with its cure."""
    if settings.publish_to and not settings.publish_servers:
        yield "nothing says where to publish to", "set service.publish_servers"
    for name in _NEEDED.get((settings.publish_to, settings.publish_security), ()):
        if name not in there:
            cure = _CURES.get(name, f"put {name} beside glovebox.yaml")
            yield f"{settings.publish_to} with {settings.publish_security} needs {name}", cure


def wrong(
    given: Mapping[str, bytes], *, card: Path, present: Path
) -> Iterator[tuple[str, str, str]]:
    """Say which files on the card are not what their names say: name, what, cure."""
    import ssl  # noqa: PLC0415  a small board takes long over it, and few have certificates

    if any(len(content) > LARGEST for content in given.values()):
        yield "a certificate", "is too large", "64 KiB at most"
        return
    if "ca.pem" in given:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cadata=given["ca.pem"].decode())
        except (ssl.SSLError, ValueError):
            yield "ca.pem", "is not a certificate", "copy the file as the broker's owner made it"
    if not given.keys() & set(PAIR):
        return
    certificate, key = ((card if name in given else present) / name for name in PAIR)
    for path in (certificate, key):
        if not path.exists():
            yield path.name, "is missing", "client.pem and client.key belong together"
            return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, _locked)
    except _LockedError:
        yield "client.key", "asks for a passphrase", "openssl pkey -in client.key -out open.key"
    except (ssl.SSLError, ValueError):
        yield "client.pem", "and client.key are damaged, or no pair", "copy both files again"


def _locked() -> NoReturn:
    raise _LockedError
