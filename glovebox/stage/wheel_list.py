"""Read `NN-wheels`: Python packages that the suite lacks, a requirement a line.

No list of words as the others are: `duckdb>=2` would be a redirection to the shell that pi-gen
gives those to.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement

from glovebox.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_COMMENT = re.compile(r"(^|\s)#.*")
_HINT = "a name, with a version if one is meant, a line each: duckdb>=2.0.1"


def requirements_of(path: Path) -> tuple[str, ...]:
    """Give the requirements of a list; raises ConfigError naming the line that is none."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: it is no UTF-8 text (byte {error.start + 1})") from error
    found: list[str] = []
    for number, line in enumerate(lines, start=1):
        text = _COMMENT.sub("", line).strip()
        if text:
            found.append(_read(f"{path}:{number}", text))
    return tuple(found)


def _read(where: str, text: str) -> str:
    try:
        found = Requirement(text)
    except InvalidRequirement as error:
        said = str(error).splitlines()[0]
        raise ConfigError(f"{where}: '{text}' is no requirement: {said}", hint=_HINT) from error
    if found.url is not None:
        raise ConfigError(
            f"{where}: '{text}' is an address: wheels come from the index that pip knows here",
            hint=f"{_HINT}; a file of your own: put it onto an index, or NN-sources and a script",
        )
    return str(found)
