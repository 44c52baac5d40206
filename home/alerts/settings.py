"""What ``alerts:`` in home.yaml may say.

::

alerts:
  silent_after_h: 24          # of each vehicle; 0 never tells
  disk_free_mib: 500
  jam: true
  places:
    - {name: depot, lat: 52.5, lon: 13.4, radius_m: 200}
  to:
    - mail: {server: "smtp.example.org:587", from: home@example.org, to: [me@example.org],
             user: home, password_file: secrets/mail, security: starttls}
    - webhook: {url: "https://example.org/hook", token_file: secrets/hook}
    - ntfy: {url: "https://ntfy.example.org/my-truck", token_file: secrets/ntfy}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from home.fields import PORT_MAX, Fields, Mistakes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ADDRESS = r"[^\s@<>,\"]{1,64}@[^\s@<>,\"]{1,190}"
NAME = r"[^\x00-\x1f\x7f]{1,64}"
HOUR_S = 3600


@dataclass(frozen=True, kw_only=True)
class Place:
    """A circle that vehicles enter and leave."""

    name: str
    lat: float
    lon: float
    radius_m: float


@dataclass(frozen=True, kw_only=True)
class Mail:
    """By SMTP."""

    host: str
    port: int
    sender: str
    to: tuple[str, ...]
    user: str = ""
    password_file: Path | None = None
    security: str = "starttls"

    @property
    def name(self) -> str:
        """Give what tells this sink from others, also after a restart."""
        return f"mail {self.host}:{self.port} {','.join(self.to)}"


@dataclass(frozen=True, kw_only=True)
class Post:
    """By HTTP: JSON to a webhook, or text as ntfy takes it."""

    kind: str
    url: str
    token_file: Path | None = None

    @property
    def name(self) -> str:
        """See Mail."""
        return f"{self.kind} {self.url}"


@dataclass(frozen=True, kw_only=True)
class Alerts:
    """What to tell of, and whom."""

    silent_after_s: float = 24 * HOUR_S
    disk_free_mib: float = 500
    jam: bool = True
    places: tuple[Place, ...] = ()
    to: tuple[Mail | Post, ...] = ()


def read(values: Mapping[str, object], file: Path) -> Alerts:
    """Read ``alerts:``; ConfigError has all mistakes."""
    mistakes = Mistakes(file)
    fields = Fields(
        mistakes, "alerts", dict(values),
        {"silent_after_h", "disk_free_mib", "jam", "places", "to"},
    )  # fmt: skip
    alerts = Alerts(
        silent_after_s=fields.number("silent_after_h", 0, 8760, "hours", 24) * HOUR_S,
        disk_free_mib=fields.number("disk_free_mib", 0, 1e9, "MiB", 500),
        jam=fields.flag("jam", default=True),
        places=tuple(
            _place(mistakes, f"alerts.places[{at}]", value)
            for at, value in enumerate(fields.list("places", "a list of places"))
        ),
        to=tuple(
            sink
            for at, value in enumerate(fields.list("to", "a list of `mail:`, `webhook:`, `ntfy:`"))
            if (sink := _sink(mistakes, f"alerts.to[{at}]", value)) is not None
        ),
    )
    for what, names in (
        ("places", [place.name for place in alerts.places]),
        ("to", [sink.name for sink in alerts.to]),
    ):
        for twice in sorted({name for name in names if names.count(name) > 1}):
            fields.wrong(what, twice, "each once")
    mistakes.raise_any()
    return alerts


def _place(mistakes: Mistakes, where: str, value: object) -> Place:
    fields = Fields(mistakes, where, value, {"name", "lat", "lon", "radius_m"})
    return Place(
        name=fields.text("name", NAME, "a name of 64 letters at most"),
        lat=fields.number("lat", -90, 90, "degrees"),
        lon=fields.number("lon", -180, 180, "degrees"),
        radius_m=fields.number("radius_m", 20, 1_000_000, "m", 200),
    )


def _sink(mistakes: Mistakes, where: str, value: object) -> Mail | Post | None:
    known = {"mail", "webhook", "ntfy"}
    kinds = Fields(mistakes, where, value, known)
    if len(kinds.values) != 1 or not known & kinds.values.keys():
        kinds.wrong("", value, "one of `mail:`, `webhook:`, `ntfy:` an entry")
        return None
    ((kind, inside),) = kinds.values.items()
    if kind == "mail":
        return _mail(mistakes, f"{where}.mail", inside)
    fields = Fields(mistakes, f"{where}.{kind}", inside, {"url", "token_file"})
    return Post(kind=kind, url=fields.url("url"), token_file=fields.path("token_file"))


def _mail(mistakes: Mistakes, where: str, value: object) -> Mail:
    known = {"server", "from", "to", "user", "password_file", "security"}
    fields = Fields(mistakes, where, value, known)
    server = fields.text(
        "server", r"[A-Za-z0-9.:_\[\]-]+:\d{1,5}", "host:port, such as localhost:25"
    )
    host, _, port = server.rpartition(":")
    if server and not 0 < int(port) <= PORT_MAX:
        fields.wrong("server", server, f"a port from 1 to {PORT_MAX}")
    to = fields.list("to", "a list of addresses: [me@example.org]")
    if not to:
        fields.wrong("to", to, "a list of addresses: [me@example.org]")
    security = fields.text("security", "starttls|tls|none", "starttls, tls or none", "starttls")
    mail = Mail(
        host=host.strip("[]"),
        port=int(port or 0),
        sender=fields.text("from", ADDRESS, "an address such as home@example.org"),
        to=tuple(
            Fields(mistakes, where, {f"to[{at}]": each}, {f"to[{at}]"}).text(
                f"to[{at}]", ADDRESS, "an address such as me@example.org"
            )
            for at, each in enumerate(to)
        ),
        user=fields.text("user", r"[^\x00-\x1f\x7f]{0,254}", "a user's name", ""),
        password_file=fields.path("password_file"),
        security=security,
    )
    if mail.user and mail.password_file is None:
        fields.wrong("password_file", None, "the file with the password of that user")
    if mail.user and security == "none":
        fields.wrong("security", security, "starttls or tls: the password would be read on the way")
    return mail
