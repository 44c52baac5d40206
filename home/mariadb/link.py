"""A connection to the MariaDB of home.yaml, and its errors in words."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from home.errors import HomeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from home.mariadb.settings import Server

ANSWER_S = 10
# As long as the load of a day may take.
WORK_S = 600


@contextmanager
def connect(server: Server) -> Iterator[Any]:
    """Give a connection that speaks ANSI; whatever the server says comes as a HomeError."""
    try:
        import pymysql  # noqa: PLC0415  only who has a MariaDB needs it
    except ImportError:
        raise HomeError("the driver of MariaDB is missing; hint: pip install pymysql") from None
    try:
        base = pymysql.connect(
            **_where(server),
            user=server.user,
            password=_password(server.password_file),
            database=server.database,
            charset="utf8mb4",
            connect_timeout=ANSWER_S,
            read_timeout=WORK_S,
            write_timeout=WORK_S,
            local_infile=True,
            sql_mode="ANSI,STRICT_ALL_TABLES",
        )
        try:
            yield base
        finally:
            base.close()
    except (pymysql.MySQLError, ConnectionError) as error:
        said = error.args[1] if len(error.args) > 1 else error
        raise HomeError(f"MariaDB at {server.place}: {said}") from error


def _where(server: Server) -> dict[str, Any]:
    if server.socket is not None:
        return {"unix_socket": str(server.socket)}
    tls = {"ssl_ca": str(server.ca), "ssl_verify_identity": True} if server.ca else {}
    return {"host": server.host, "port": server.port, **tls}


def _password(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        hint = "a file of one line, or no password_file:"
        raise HomeError(f"{path}: {error.strerror}; hint: {hint}") from None
