"""What can be wrong, as a code that programs follow and a text for people.

LED, radio and switching off follow the codes (`state.py`): a text may say anything in any words.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

# What others said is told so far, and no further: a status is a line, not a log.
TEXT_MAX = 300
# In place of what would move a terminal's cursor, or begin another line of a protocol.
PLACEHOLDER = "\N{REPLACEMENT CHARACTER}"


class Code(StrEnum):
    """Every kind of problem."""

    GPSD = "gpsd"
    NO_RECEIVER = "no-receiver"
    SILENT = "receiver-silent"
    NO_FIX = "no-fix"
    FROZEN = "receiver-frozen"
    NOT_RECORDED = "not-recorded"
    QUEUE = "queue"
    JOURNAL = "journal"
    NUMBERS = "numbers"
    SPILLED = "spilled"
    DROPPED = "dropped"
    VANISHED = "vanished"
    FLOODED = "flooded"
    # Told by whoever reads the status.
    HANGS = "hangs"
    STARTING = "starting"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong."""

    code: Code
    text: str


def plain(text: str) -> str:
    """Give a text without what is not printable, and not longer than a person reads."""
    short = text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…"
    if short.isprintable():
        return short
    return "".join(letter if letter.isprintable() else PLACEHOLDER for letter in short)
