"""The page of what is trusted names a test for each sentence, and each test is there."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs/security.md"
_TEST = re.compile(r"`((?:unit|root|fuzz)/\w+\.py)(?:::(\w+))?`")


def test_each_sentence_has_its_test() -> None:
    """Every row of a table of sentences names tests, by file and function, that exist."""
    rows = [
        line
        for table in PAGE.read_text().split("| sentence | test |")[1:]
        for line in table.splitlines()[2:]
        if line.startswith("|")
    ]

    assert len(rows) > 20
    for row in rows:
        named = _TEST.findall(row.rsplit("|", 2)[1])
        assert named, row
        for file, function in named:
            text = (CHECKOUT / "tests" / file).read_text()
            assert not function or f"def {function}(" in text, f"{file}::{function}"
