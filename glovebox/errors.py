"""The one tree of errors; each class is an exit code, each instance says what, where and the cure.

Only ``tasks.py`` ends the process: everything else raises one of these.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# What a terminal takes for an order: control characters but newline and tab, and those that turn
# the direction of text round. An image can have them in any name or value.
_ORDERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """Give a text with which no terminal can be told anything: its orders are written out."""
    shown = _ORDERS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
    return shown.encode(errors="backslashreplace").decode()


class GloveboxError(Exception):
    """Stop the run with a message a person can act on."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None, each: Sequence[str] = ()) -> None:
        """Keep the message and, where there is one, the cure; ``each``, where it tells several."""
        self.message = plain(message)
        self.hint = None if hint is None else plain(hint)
        self.each = tuple(map(plain, each)) or (self._in_one_line(),)
        super().__init__(self.message)

    def _in_one_line(self) -> str:
        said = "\n    ".join(self.message.splitlines())
        return said if self.hint is None else f"{said}; hint: {self.hint}"

    def __str__(self) -> str:
        """Give the message, and below it the cure."""
        return self.message if self.hint is None else f"{self.message}\n  hint: {self.hint}"


class ConfigError(GloveboxError):
    """The configuration has mistakes; the message lists all of them."""

    exit_code = 2


class HostError(GloveboxError):
    """The machine lacks something the run needs."""

    exit_code = 3


class StepError(GloveboxError):
    """A step of the build failed."""

    exit_code = 4


class VerifyError(GloveboxError):
    """The image was built, and its tests say that it is not right."""

    exit_code = 5


class LockError(GloveboxError):
    """Packages or sources could not be resolved, fetched or matched to their hashes."""

    exit_code = 6


class ImageError(GloveboxError):
    """A file that should be a disk image is not one, or is damaged."""

    exit_code = 7


class Mistakes:
    """Gathers errors, so that whoever made several mistakes hears of all of them at once."""

    def __init__(self) -> None:
        """Begin with none."""
        self.found: list[GloveboxError] = []

    def add(self, *errors: GloveboxError) -> None:
        """Add what was found without being raised."""
        self.found += errors

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Keep an error of the block in place of raising it; what follows the block goes on."""
        try:
            yield
        except GloveboxError as error:
            self.found.append(error)

    def require_none(self) -> None:
        """Raise what was gathered: one error as it is, several as one with a line for each."""
        if len(self.found) == 1:
            raise self.found[0]
        if self.found:
            raise _together(self.found)


def _together(errors: Sequence[GloveboxError]) -> GloveboxError:
    lines = tuple(dict.fromkeys(line for error in errors for line in error.each))
    machine = [isinstance(error, HostError) for error in errors]
    text = "\n".join(f"  {line}" for line in lines)
    if all(machine):
        return HostError(f"this machine is not ready for it:\n{text}", each=lines)
    whose = "the configuration and this machine have" if any(machine) else "the configuration has"
    return ConfigError(f"{whose} {len(lines)} mistakes:\n{text}", each=lines)
