"""Read the lists of stages, `NN-packages` and `NN-sources`, as pi-gen and a shell read them."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from glovebox.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_VARIABLE = re.compile(
    r"\$(?:(?P<plain>[A-Za-z_]\w*)"
    r"|\{(?P<braced>[A-Za-z_]\w*)(?:(?P<how>:?[-+])(?P<other>[^}]*))?\})"
)
# What else a shell would make something of: it can be known only by running it.
_COMMANDS = re.compile(r"\$\(|`|[;&|<>]|\$\{")


def words_of(path: Path, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Give the words of a package or source list, variables put in and comments left out.

    Raises ConfigError where a list asks the shell for more than variables.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: it is no UTF-8 text (byte {error.start + 1})",
            hint=f"iconv -f latin1 -t utf-8 {path} -o {path}.new, and give that the name",
        ) from error
    try:
        return words_in(text, variables)
    except ValueError as error:
        raise ConfigError(
            f"{path}: {error}: what it asks for cannot be known before the build",
            hint="in a list, $NAME, ${NAME}, ${NAME:-word} and ${NAME:+word} are expanded",
        ) from error


def words_in(text: str, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Give the words in the text of a list; raises ValueError where only a shell could tell.

    pi-gen pastes a list into a script, after a sed script took the comments out. That one does
    nothing in a file of one line, where the shell then finds the comment: only at a word's start.
    A variable that is not set is nothing, as in that shell.
    """
    lines = text.splitlines()
    if len(lines) > 1:
        text = " ".join(line.partition("#")[0] for line in lines)
    else:
        text = re.sub(r"(^|\s)#.*", "", text)
    expanded = _VARIABLE.sub(lambda found: _value(found, variables), text)
    beyond = _COMMANDS.search(_VARIABLE.sub("", text))
    if beyond:
        message = f"'{beyond[0]}' is for a shell"
        raise ValueError(message)
    return tuple(shlex.split(expanded))


def names_in(text: str) -> tuple[str, ...]:
    """Give the variables a list names without a word to take their place."""
    return tuple(
        found["plain"] or found["braced"] for found in _VARIABLE.finditer(text) if not found["how"]
    )


def _value(found: re.Match[str], variables: Mapping[str, str]) -> str:
    value = variables.get(found["plain"] or found["braced"])
    how, other = found["how"] or "", found["other"] or ""
    # With a colon an empty value counts as none.
    there = bool(value) if how.startswith(":") else value is not None
    if how.endswith("-") and not there:
        return other
    if how.endswith("+"):
        return other if there else ""
    return value or ""
