"""What an owner may set: exactly the fields under ``service:`` in image.yaml.

The builder imports this module to check image.yaml, so it imports nothing but the standard
library and of this package, and each field carries its help and limits as metadata: `pattern`,
`minimum`, `maximum`, and `check`, a function that says what is wrong with a text, and the cure.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, get_type_hints

from telematics import address

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

UNWRITABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
HELP_HINT = "the fields are those of `service:` in image.yaml"


class SettingsError(ValueError):
    """The settings have mistakes; the message lists all of them, one per line."""


class TogetherError(ValueError):
    """Two settings do not go together; ``field`` is the one to mend."""

    def __init__(self, field_: str, what: str, cure: str) -> None:
        """Keep all three."""
        super().__init__(f"{what}; hint: {cure}")
        self.field, self.what, self.cure = field_, what, cure


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the service records; every field has a default that suits the car."""

    device: str = field(
        default="",
        metadata={
            "help": "Name of this vehicle in every record; empty means that of the host.",
            "pattern": r"[A-Za-z0-9._-]{0,12}",
        },
    )
    gpsd_host: str = field(
        default="127.0.0.1",
        metadata={
            "help": "Where gpsd listens.",
            "pattern": r"\S{1,253}",
            "check": address.wrong_host,
        },
    )
    gpsd_port: int = field(
        default=2947,
        metadata={"help": "The port gpsd listens on.", "minimum": 1, "maximum": 65535},
    )
    queue_socket: str = field(
        default="/run/queue/queue.sock",
        # The kernel holds 107 bytes for the path of a socket, see unix(7).
        metadata={
            "help": "The unix socket of the queue's Redis.",
            "pattern": r"/[ -~]{1,106}",
        },
    )
    queue_key: str = field(
        default="telematics:queue",
        metadata={"help": "The Redis key of the queue.", "pattern": r"\S{1,128}"},
    )
    batch_ms: int = field(
        default=1000,
        metadata={
            "help": "A record is written this long after its first report came, 15 % later at "
            "most; longer spares the card, shorter loses less at a power cut.",
            "minimum": 50,
            "maximum": 1000,
            "unit": "ms",
        },
    )
    epoch_quiet_ms: int = field(
        default=500,
        metadata={
            "help": "An epoch is complete after this long without a report of the same time.",
            "minimum": 50,
            "maximum": 800,
            "unit": "ms",
        },
    )
    ready_wait_s: int = field(
        default=20,
        metadata={
            "help": "How long the start waits for a receiver to speak before it says READY.",
            "minimum": 0,
            "maximum": 300,
            "unit": "s",
        },
    )
    stale_s: int = field(
        default=10,
        metadata={
            "help": "A position older than this is reported as trouble by `telematics status`.",
            "minimum": 2,
            "maximum": 3600,
            "unit": "s",
        },
    )
    publish_to: str = field(
        default="",
        metadata={
            "help": "What receives the records: `kafka`, `http`, or nothing as yet.",
            "pattern": r"(kafka|http)?",
        },
    )
    publish_servers: str = field(
        default="",
        metadata={
            "help": "Kafka: the brokers to begin with, `host:port,host:port`; HTTP: the URL.",
            "pattern": r"\S{0,500}",
            "check": address.wrong_servers,
        },
    )
    publish_security: str = field(
        default="tls",
        metadata={
            "help": "How receiver and vehicle prove who they are: `tls` with `ca.pem`, "
            "`client.pem` and `client.key`, `sasl` over TLS with `ca.pem` and `password`, "
            "or `plaintext`: nobody proves anything, and everybody on the way reads along.",
            "pattern": r"tls|sasl|plaintext",
        },
    )
    publish_user: str = field(
        default="",
        metadata={"help": "User name for `sasl` (SCRAM-SHA-512).", "pattern": r"[!-~]{0,128}"},
    )
    publish_secrets: str = field(
        default="/etc/glovebox/publish",
        metadata={
            "help": "Folder of those files, and of `api-key` for HTTP; put them there by "
            "`overlays:`, or on the card (docs/first-boot.md).",
            "pattern": r"/.{1,200}",
        },
    )
    publish_topic: str = field(
        default="telematics",
        metadata={
            "help": "Kafka topic; a vehicle's records keep their order in it.",
            # Kafka keeps the names of folders from being names of topics.
            "pattern": r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}",
        },
    )
    publish_live_topic: str = field(
        default="",
        metadata={
            "help": "Another topic for the newest position only, outside the contract.",
            "pattern": r"(?!\.{1,2}$)[A-Za-z0-9._-]{0,249}",
        },
    )

    def __post_init__(self) -> None:
        """Refuse where to publish to in the other way's words; raises TogetherError."""
        written = "://" in self.publish_servers
        if self.publish_to == "kafka" and written:
            what = "is an address for HTTP, and publish_to is kafka"
            cure = "brokers are written host:port,host:port"
        elif self.publish_to == "http" and self.publish_servers and not written:
            what = "is no address for HTTP, and publish_to is http"
            cure = "write it as https://host/path"
        elif self.publish_to == "http" and (
            self.publish_security != "plaintext" and self.publish_servers.startswith("http:")
        ):
            what = "is not https"
            cure = "write https://…, or publish_security: plaintext, and all on the way read along"
        else:
            return
        raise TogetherError("publish_servers", what, cure)


def load(path: Path) -> Settings:
    """Read the settings from a JSON file, and refuse it with all its mistakes at once."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        message = f"{path}: no such file; hint: {{}} in it takes every default"
        raise SettingsError(message) from None
    except OSError as error:
        message = f"{path}: {error.strerror}; hint: make it readable for the service's user"
        raise SettingsError(message) from None
    except (ValueError, RecursionError) as error:
        message = f"{path}: not JSON: {error}; hint: rebuild the image or mend the file"
        raise SettingsError(message) from None
    if not isinstance(values, dict):
        message = f'{path}: not an object; hint: {{"device": "truck-7"}}'
        raise SettingsError(message)
    try:
        return check(values)
    except SettingsError as error:
        message = "\n".join(f"{path}: {line}" for line in str(error).splitlines())
        raise SettingsError(message) from None


def check(values: Mapping[str, object]) -> Settings:
    """Turn plain values into settings, or raise with every mistake, one per line."""
    types = get_type_hints(Settings)
    known = {each.name: each for each in fields(Settings)}
    mistakes = [_unknown(name, known) for name in values if name not in known]
    for name, value in values.items():
        if name in known:
            complaint = _complaint(value, wanted=types[name], limits=known[name].metadata)
            if complaint is not None:
                mistakes.append(f"{name}: {json.dumps(value)} {complaint}")
    if mistakes:
        raise SettingsError("\n".join(mistakes))
    try:
        return Settings(**values)  # type: ignore[arg-type]  # each value was checked above
    except TogetherError as error:
        message = f"{error.field}: {json.dumps(values[error.field])} {error}"
        raise SettingsError(message) from None


def _unknown(name: str, known: Mapping[str, object]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415  # only a mistake pays for it

    nearest = get_close_matches(name, known, n=1)
    hint = f"perhaps you meant {nearest[0]}" if nearest else HELP_HINT
    return f"{name}: unknown field; hint: {hint}"


def _complaint(value: object, *, wanted: type, limits: Mapping[str, object]) -> str | None:
    # bool is a kind of int for Python, and for nobody who writes a port number.
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        nouns = {int: "a whole number", str: "a text"}
        return f"is not {nouns.get(wanted, wanted.__name__)}"
    minimum, maximum = limits.get("minimum"), limits.get("maximum")
    if isinstance(value, int) and isinstance(minimum, int) and isinstance(maximum, int):
        unit = f" {limits['unit']}" if "unit" in limits else ""
        if not minimum <= value <= maximum:
            return f"is out of range; hint: {minimum} to {maximum}{unit}"
    return _text_complaint(value, limits) if isinstance(value, str) else None


def _text_complaint(value: str, limits: Mapping[str, Any]) -> str | None:
    pattern = limits.get("pattern")
    if pattern is not None and not re.fullmatch(pattern, value):
        return f"does not match {pattern}"
    # The builder refuses these in any text; this file may have been written by anybody.
    if UNWRITABLE.search(value):
        return "holds a control character or half a character; hint: remove it"
    wrong = limits["check"](value) if "check" in limits else None
    return f"{wrong[0]}; hint: {wrong[1]}" if wrong else None
