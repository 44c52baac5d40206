"""How the publisher does, for whoever asks on the board: `telematics status`, and the LED.

Silence is no fault of a vehicle on the road. That records wait and none was taken in three starts
in a row is: then an owner believes in a map that nobody feeds. How many starts were silent stands
in the queue, beside what waits there; that this one was counted, in RAM.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from telematics.files import write_whole
from telematics.sink import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)
RUNTIME_DIRECTORY = "/run/telematics-publish"
NAME = "publish.json"
# One word, as the recorder's state is: see docs/car.md.
STATE = "state"
UNHEARD, FINE = "unheard", "fine"
SILENT_STARTS = 3


class Silence(Protocol):
    """What is asked of the queue; each call raises QueueError if there is no answer."""

    def length(self) -> int:
        """Count the records that wait."""

    def begin_start(self) -> int:
        """Note another start of the board, and give how many before it were silent."""

    def silent_starts(self) -> int:
        """Give how many starts in a row before this one were silent."""

    def heard(self) -> None:
        """Note that something was acknowledged in this start."""


class Board:
    """Tells how it goes, when that changes."""

    def __init__(self, folder: Path, queue: Silence) -> None:
        """Prepare; the folder is in RAM, and outlives a restart of the publisher."""
        self._folder = folder
        self._queue = queue
        self._silent: int | None = None
        self._told: tuple[object, ...] = ()
        self._published = 0
        self._word = ""

    def begin(self) -> None:
        """Count this start of the board, once; raises QueueError if that cannot be noted."""
        if self._silent is not None:
            return
        mark = self._folder / STATE
        known = mark.exists()
        self._silent = self._queue.silent_starts() if known else self._queue.begin_start()
        self._say(UNHEARD if self._unheard() else FINE)

    def tell(self, published: int, refused: int, trouble: str) -> None:
        """Write how it goes, if that changed; raises QueueError if the queue does not answer."""
        if published > self._published:
            if self._silent != -1:
                self._queue.heard()
                self._silent = -1
                self._say(FINE)
            self._published = published
        told = (published > 0, refused, trouble, self._silent)
        if told != self._told:
            facts = {
                "published": published,
                "refused": refused,
                "trouble": trouble,
                "silent_starts": max(self._silent or 0, 0),
            }
            _write(self._folder / NAME, json.dumps(facts) + "\n")
            self._told = told

    def _unheard(self) -> bool:
        return (self._silent or 0) >= SILENT_STARTS and self._queue.length() > 0

    def _say(self, word: str) -> None:
        if word != self._word:
            _write(self._folder / STATE, f"{word}\n")
            self._word = word


def _write(path: Path, text: str) -> None:
    """Write whole; where there is no folder, as in a shell, nobody asks there either."""
    if not path.parent.is_dir():
        return
    try:
        write_whole(path, text, durable=False)
        # Anybody may ask `telematics status`.
        path.chmod(0o644)
    except OSError as error:
        log.warning("%s: %s", path, error.strerror)


def folder(environ: Mapping[str, str]) -> Path:
    """Give the folder in RAM; systemd names it in the publisher's environment."""
    return Path(environ.get("RUNTIME_DIRECTORY", RUNTIME_DIRECTORY))


def read(path: Path) -> dict[str, object] | None:
    """Read what the publisher wrote last; None if it never ran, or that is no longer to be read."""
    try:
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    wanted = {"published": int, "refused": int, "trouble": str, "silent_starts": int}
    if not isinstance(facts, dict) or facts.keys() != wanted.keys():
        return None
    return facts if all(type(facts[name]) is kind for name, kind in wanted.items()) else None


def words(facts: Mapping[str, object]) -> str:
    """Tell a person how the publisher does."""
    done = "publishing" if facts["published"] else "nothing published since the start"
    parts = [plain(str(facts["trouble"])) or done]
    if facts["refused"]:
        parts.append(f"{facts['refused']} refused and kept")
    silent = cast("int", facts["silent_starts"])
    if silent >= SILENT_STARTS:
        parts.append(f"nothing was taken in the last {silent} starts")
    return "; ".join(parts)
