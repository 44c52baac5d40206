"""What stands at the publisher's two ends, whoever plays it: the backlog, and where it goes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class SinkError(Exception):
    """The receiver cannot be reached, or does not want what it is given."""


class Backlog(Protocol):
    """What the publisher asks of the queue; each call raises QueueError if there is no answer."""

    def length(self) -> int:
        """Count the records that wait."""

    def newest(self) -> bytes:
        """Give the newest record that ever entered."""

    def sent(self) -> bytes:
        """Give the last record that was published; empty if none."""

    def read(self, after: str, count: int) -> list[tuple[str, bytes]]:
        """Give the oldest entries after an id: each its id and record."""

    def drop(self, ident: str, raw: bytes) -> None:
        """Remove all entries up to an id, and remember what was published last."""


class Sink(Protocol):
    """Where records go. Another kind of receiver is another class with these four."""

    def open(self) -> None:
        """Reach the receiver, if that is not done; SinkError if it does not answer."""

    def send(self, records: Sequence[tuple[str, bytes]]) -> int:
        """Send (device, record) in order, and give how many of the first are acknowledged."""

    def live(self, device: str, raw: bytes) -> None:
        """Show the newest position to whom it may concern; nothing depends on it."""

    def close(self) -> None:
        """Let go; the next ``open`` begins anew."""


def secret(folder: Path, name: str) -> Path:
    """Give the place of a secret file: systemd's copy of it if there is one, see LoadCredential=.

    It need not exist; whoever opens it says so.
    """
    given = os.environ.get("CREDENTIALS_DIRECTORY")
    copy = Path(given or "/") / f"publish_{name}"
    return copy if given and copy.is_file() else folder / name
