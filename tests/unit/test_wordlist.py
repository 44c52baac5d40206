"""Lists of words, as pi-gen's sed and the shell after it read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox.errors import ConfigError
from glovebox.stage import wordlist

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("\n\n", ()),
        ("gpsd", ("gpsd",)),
        ("gpsd chrony\n  tzdata\n", ("gpsd", "chrony", "tzdata")),
        ("# all of it\ngpsd # the reader\n", ("gpsd",)),
        ("gpsd#glued\nchrony", ("gpsd", "chrony")),
        # pi-gen's sed does nothing to a lone line; the shell that gets it knows comments too.
        ("gpsd # the reader", ("gpsd",)),
        ("gpsd#glued", ("gpsd#glued",)),
        ("# nothing", ()),
        ("$KERNEL ${KERNEL}-dbg\n", ("linux", "linux-dbg")),
        ("$UNKNOWN a\n", ("a",)),
        ("${UNKNOWN:-b} ${KERNEL:-b} ${EMPTY:-c} ${EMPTY-c}", ("b", "linux", "c")),
        ("${KERNEL:+d} ${EMPTY:+e}", ("d",)),
        ("'one two' \"$KERNEL\"", ("one two", "linux")),
        ("$PAIR\n", ("one", "two")),
        ("vim- gpsd/backports x=1:2-3 y:arm64", ("vim-", "gpsd/backports", "x=1:2-3", "y:arm64")),
    ],
)  # fmt: skip
def test_words_in(text: str, words: tuple[str, ...]) -> None:
    """Comments go, variables are put in, apt's own notation stays."""
    given = {"KERNEL": "linux", "PAIR": "one two", "EMPTY": ""}

    assert wordlist.words_in(text, given) == words


@pytest.mark.parametrize("text", ["$(uname -r)", "`id`", "a; b", "a && b", "a >b", "${A%b}", "'a"])
def test_what_only_a_shell_knows_is_refused(tmp_path: Path, text: str) -> None:
    """A lock is made before anything runs, so a list cannot ask a command; the error names it."""
    path = tmp_path / "00-packages"
    path.write_text(text)

    with pytest.raises(ConfigError, match="00-packages") as caught:
        wordlist.words_of(path, {})

    assert caught.value.hint


def test_names_in() -> None:
    """Variables are named unless another word stands in for them."""
    assert wordlist.names_in("$A ${B} ${C:-c} ${D:+d} x") == ("A", "B")
