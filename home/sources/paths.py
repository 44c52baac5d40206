"""Fields by path: ``drive_state.speed``, ``items[0].id``, ``a."b.c"``; pure.

Own code: JSONPath and its kin choose many values; a field is one, or it is not there.
"""

from __future__ import annotations

import re
from typing import Any

_STEP = re.compile(r'\.?(?:"((?:[^"\\]|\\.)+)"|([^.\[\]"\s]+)|\[(\d{1,6})\])')

Path = tuple[str | int, ...]


class PathError(ValueError):
    """A text that is no path."""


def parse(text: str) -> Path:
    """Read a path; the empty one is the value itself."""
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        # A dot stands between two names, not in front and not before a number in brackets.
        if found is None or (text[at] == "." and (at == 0 or found[3] is not None)):
            raise PathError(f"{text!r} is no path; hint: drive_state.speed, items[0].id")
        if steps and text[at] not in ".[":
            raise PathError(f"{text!r} is no path; hint: a dot between two names")
        quoted, plain, number = found.groups()
        steps.append(
            int(number) if number is not None else plain or re.sub(r"\\(.)", r"\1", quoted)
        )
        at = found.end()
    return tuple(steps)


def get(value: Any, path: Path) -> Any:  # noqa: ANN401  JSON's values
    """Give what stands there, None if nothing does."""
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value
