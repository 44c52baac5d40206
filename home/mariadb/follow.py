"""Keeps a MariaDB up to date beside the receiving: after each build, and again if it was away."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from home.errors import HomeError
from home.mariadb import upsert

if TYPE_CHECKING:
    from home.config import Config
    from home.mariadb.settings import Server

RETRY_S = 10.0
LOOK_S = 0.5

log = logging.getLogger(__name__)


@dataclass
class Following:
    """How it goes with one server; ``changed`` is set when days were built."""

    config: Config
    server: Server
    changed: threading.Event = field(default_factory=threading.Event)
    error: str = ""
    positions: int = 0

    def run(self, stopping: threading.Event) -> None:
        """Bring what was built until told to stop; a server that is away is asked again."""
        self.changed.set()
        while not stopping.is_set():
            if not self.changed.wait(LOOK_S):
                continue
            self.changed.clear()
            try:
                self.positions += upsert.bring(self.config, self.server).positions
                self.error = ""
            except (HomeError, OSError) as error:
                if self.error != str(error):
                    log.warning("mariadb: %s", error)
                self.error = str(error)
                stopping.wait(RETRY_S)
                self.changed.set()

    def status(self) -> dict[str, object]:
        """Say how it goes."""
        return {"error": self.error, "positions": self.positions}
