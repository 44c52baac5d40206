"""A real MariaDB in a folder, reached by its socket alone; it may be killed and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.needs import missing

START_S = 120.0
PATH = f"{os.environ['PATH']}:/usr/sbin"
ENV = {"PATH": PATH, "LANG": "C.UTF-8"}


@dataclass
class MariaDb:
    """One server."""

    folder: Path
    _child: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        """Make its tables; without the server skip, and in CI fail."""
        for program in ("mariadbd", "mariadb-install-db"):
            if shutil.which(program, path=PATH) is None:
                missing(f"{program}, of Debian's mariadb-server-core; ./invoke setup --tests")
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", f"--datadir={self.folder / 'data'}",
             "--auth-root-authentication-method=normal", "--skip-test-db", *self._user()],
            check=True, capture_output=True, env=ENV,
        )  # fmt: skip

    @property
    def socket(self) -> Path:
        """Give its address."""
        return self.folder / "socket"

    @property
    def runs(self) -> bool:
        """Tell whether it was started, and not ended since."""
        return self._child is not None

    def start(self) -> None:
        """Start, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._child = subprocess.Popen(
                ["mariadbd", "--no-defaults", f"--datadir={self.folder / 'data'}",
                 f"--socket={self.socket}", "--skip-networking", *self._user()],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=ENV,
            )  # fmt: skip
        until = time.monotonic() + START_S
        while not self._answers():
            assert self._child.poll() is None, (self.folder / "log").read_text()[-3000:]
            assert time.monotonic() < until, "MariaDB does not start"
            time.sleep(0.1)

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal and wait for the end."""
        if self._child is not None:
            self._child.send_signal(number)
            self._child.wait(START_S)
            self._child = None

    def ask(self, query: str, *, database: str | None = None) -> list[tuple[Any, ...]]:
        """Ask by a connection of its own."""
        import pymysql  # noqa: PLC0415  only these tests need it

        with pymysql.connect(unix_socket=str(self.socket), user="root", database=database) as base:
            with base.cursor() as cursor:
                cursor.execute(query)
                found = list(cursor.fetchall())
            base.commit()
        return found

    def cpu_s(self) -> float:
        """Give the processor's time that it has taken."""
        assert self._child is not None
        fields = Path(f"/proc/{self._child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _answers(self) -> bool:
        import pymysql  # noqa: PLC0415  likewise

        with suppress(pymysql.MySQLError):
            return self.ask("SELECT 1") == [(1,)]
        return False

    def _user(self) -> list[str]:
        return ["--user=root"] if os.getuid() == 0 else []
