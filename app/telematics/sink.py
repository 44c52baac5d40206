"""What stands at the publisher's two ends, whoever plays it: the backlog, and where it goes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LONGEST = 160
# A PEM file with a long chain is a few kilobytes.
SECRET_MAX = 64 << 10


class SinkError(Exception):
    """The receiver cannot be reached, or does not want what it is given."""

    def __init__(self, message: str, *, wait_s: float = 0.0) -> None:
        """Keep how long the receiver asked to be left alone."""
        super().__init__(message)
        self.wait_s = wait_s


class Sent(NamedTuple):
    """How far a delivery came, and why not farther.

    ``refused``: the receiver looked at the first that is missing and does not want it, or not
    together with those behind it; without it nothing is said about any record.
    """

    acked: int
    why: str = ""
    refused: bool = False
    wait_s: float = 0.0


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

    def put_aside(self, ident: str, raw: bytes) -> None:
        """Remove all entries up to an id as ``drop`` does, but keep this one among the refused."""

    def refused(self, after: str, count: int) -> list[tuple[str, bytes]]:
        """Give the oldest that were refused, after an id: each its id and record."""

    def refused_length(self) -> int:
        """Count those that were refused."""

    def taken_at_last(self, ident: str) -> None:
        """Forget one that was refused."""


class Sink(Protocol):
    """Where records go. Another kind of receiver is another class like this."""

    @property
    def largest(self) -> int:
        """Tell how many records it takes at once."""

    def open(self) -> None:
        """Reach the receiver, if that is not done; SinkError if it does not answer."""

    def send(self, records: Sequence[tuple[str, bytes]]) -> Sent:
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


def secret_text(folder: Path, name: str, wrong: Callable[[str], tuple[str, str] | None]) -> str:
    """Read a secret of one line, with or without what an editor puts around it; or SinkError."""
    path = secret(folder, name)
    try:
        with path.open("rb") as file:
            text = file.read(SECRET_MAX).decode("utf-8-sig").strip()
    except FileNotFoundError:
        message = f"{path} is missing; hint: put it there by `overlays:` in image.yaml"
        raise SinkError(message) from None
    except OSError as error:
        raise SinkError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise SinkError(f"{path} is not UTF-8; hint: save it as plain text") from None
    complaint = wrong(text)
    if complaint is not None:
        what, cure = complaint
        raise SinkError(f"{path} {what}; hint: {cure}")
    return text


def plain(text: str) -> str:
    """Give what another machine said as one short line that no terminal acts on."""
    shown = "".join(each if " " <= each <= "~" else "?" for each in text.strip())
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}..."
