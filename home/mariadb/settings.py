"""What ``mariadb:`` in home.yaml may say.

::

    mariadb:
      socket: /run/mysqld/mysqld.sock     # or host: and port:
      user: home
      password_file: secrets/mariadb      # a file of one line; none: the socket tells who asks
      database: telematics
      ca: secrets/mariadb-ca.pem          # proves a server that is not this machine
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from home.errors import ConfigError
from home.fields import PORT_MAX, Fields, Mistakes

if TYPE_CHECKING:
    from pathlib import Path

PORT = 3306
KNOWN = {"socket", "host", "port", "user", "password_file", "database", "ca"}
NAME = r"[A-Za-z0-9_]{1,64}"


@dataclass(frozen=True, kw_only=True)
class Server:
    """A MariaDB, and who asks it."""

    user: str
    database: str = "telematics"
    socket: Path | None = None
    host: str = ""
    port: int = PORT
    password_file: Path | None = None
    ca: Path | None = None

    @property
    def place(self) -> str:
        """Say where it is, for messages."""
        return f"{self.socket or f'{self.host}:{self.port}'}, database {self.database}"


def read(value: object, file: Path) -> Server:
    """Read it; ConfigError tells every mistake."""
    if not value:
        raise ConfigError(f"{file}: no mariadb: in it; hint: mariadb: {{host: …, user: …}}")
    mistakes = Mistakes(file)
    fields = Fields(mistakes, "mariadb", value, KNOWN)
    server = Server(
        socket=fields.path("socket"),
        host=fields.text("host", r"[A-Za-z0-9._:-]*", "a name or an address", ""),
        port=int(fields.number("port", 1, PORT_MAX, "", PORT)),
        user=fields.text("user", r".{1,80}", "the name of a user of that database"),
        database=fields.text("database", NAME, "letters, digits and _", "telematics"),
        password_file=fields.path("password_file"),
        ca=fields.path("ca"),
    )
    if bool(server.host) == (server.socket is not None):
        fields.wrong("host", server.host, "either host: or socket:")
    elif server.host and server.ca is None and not _loopback(server.host):
        fields.wrong(
            "ca", None, "the authority of its certificate: password and positions travel by TLS"
        )
    mistakes.raise_any()
    return server


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
