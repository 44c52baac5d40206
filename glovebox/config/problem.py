"""One thing wrong with the configuration: where it stands, what it is, how to cure it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What every finding has; `what` already names the value, with secrets left out."""

    path: str
    what: str
    cure: str
    source: str = ""
    line: int = 0
    column: int = 0

    @property
    def origin(self) -> str:
        """Give the file and line, as an editor opens them."""
        numbers = [str(number) for number in (self.line, self.column) if number]
        return ":".join([self.source, *numbers])

    def __str__(self) -> str:
        """Put it all on one line: where, which key, what is wrong, what to do."""
        where = ": ".join(part for part in (self.origin, self.path) if part)
        cure = f"; hint: {self.cure}" if self.cure else ""
        return f"{where}: {self.what}{cure}"


class Problem(Finding):
    """A finding that stops the build."""


class Caution(Finding):
    """A finding that the build goes on with, after saying it."""


class WrongValueError(ValueError):
    """Say what is wrong with a value and how to mend it, never quoting the value itself."""

    def __init__(self, what: str, cure: str = "") -> None:
        """Keep both; the reader adds the path, the value and its line."""
        super().__init__(what)
        self.what = what
        self.cure = cure
