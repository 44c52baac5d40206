"""Takes fields out of parts of home.yaml, and gathers every mistake with its place and its cure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from home.errors import ConfigError

PORT_MAX = 65535


@dataclass(frozen=True)
class Mistakes:
    """The file that is read, and what is wrong in it; `raise_any` ends with all of it at once."""

    file: Path
    lines: list[str] = field(default_factory=list)

    def raise_any(self) -> None:
        """Raise ConfigError if there is a mistake."""
        if self.lines:
            raise ConfigError("\n".join(f"{self.file}: {line}" for line in self.lines))


class Fields:
    """One mapping of the file; what it does not know of is a mistake, too."""

    def __init__(self, mistakes: Mistakes, where: str, value: object, known: set[str]) -> None:
        """Look at the names."""
        self.where, self._mistakes = where, mistakes
        self.values: dict[str, Any] = {}
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            self.wrong("", value, "names with values, `name: value`")
            return
        self.values = value
        for key in value:
            if key not in known:
                near = get_close_matches(key, known, n=1)
                hint = (
                    f"perhaps you meant {near[0]}" if near else f"one of {', '.join(sorted(known))}"
                )
                mistakes.lines.append(f"{where}.{key}: unknown; hint: {hint}")

    def wrong(self, name: str, value: object, hint: str) -> None:
        """Note a mistake."""
        place = f"{self.where}.{name}" if name else self.where
        self._mistakes.lines.append(f"{place}: {value!r} cannot be meant; hint: {hint}")

    def text(self, name: str, pattern: str, hint: str, default: str | None = None) -> str:
        """Give a text that matches; without a default it has to be there."""
        value = self.values.get(name, default)
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            self.wrong(name, value, hint)
            return ""
        return value

    def number(
        self, name: str, low: float, high: float, unit: str, default: float | None = None
    ) -> float:
        """Give a number within limits; without a default it has to be there."""
        value = self.values.get(name, default)
        good = isinstance(value, int | float) and not isinstance(value, bool)
        if value is None or not good or not math.isfinite(value) or not low <= value <= high:
            self.wrong(name, value, f"{low:g} to {high:g} {unit}".rstrip())
            return low
        return float(value)

    def flag(self, name: str, *, default: bool) -> bool:
        """Give true or false."""
        value = self.values.get(name, default)
        if not isinstance(value, bool):
            self.wrong(name, value, "true or false")
            return default
        return value

    def path(self, name: str) -> Path | None:
        """Give the path of a file, relative to home.yaml; None if it is not named."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value or "\0" in value:
            self.wrong(name, value, "the path of a file, relative to home.yaml")
            return None
        return self._mistakes.file.parent / Path(value).expanduser()

    def url(self, name: str, value: object = None) -> str:
        """Give an address of HTTP that can be asked."""
        value = self.values.get(name) if value is None else value
        try:
            parts = urlsplit(str(value))
            good = parts.scheme in ("http", "https") and bool(parts.hostname)
            good = good and parts.username is None and parts.port != 0
            str(value).encode("ascii")
        except (ValueError, UnicodeEncodeError):
            good = False
        if not isinstance(value, str) or not good or re.search(r"\s|#", value):
            self.wrong(
                name, value, "an address such as https://host/path; a token has its own field"
            )
            return "http://invalid/"
        return value

    def list(self, name: str, hint: str) -> list[Any]:
        """Give a list; an empty one if it is not there."""
        value = self.values.get(name, [])
        if not isinstance(value, list):
            self.wrong(name, value, hint)
            return []
        return value
