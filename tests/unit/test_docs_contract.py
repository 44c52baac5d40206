"""The documents of the contract say what the code and the tests say."""

from __future__ import annotations

import re
from pathlib import Path

from glovebox import docs
from telematics.record import decode
from tests.contract_table import BEGIN, DOCS, END
from tests.queue_faults import FAULTS

CHECKOUT = Path(__file__).parents[2]
SECTIONS = ("What is promised", "What the original lost")


def test_every_test_that_the_contract_names_exists() -> None:
    """Each sentence of the contract names a test, and each test it names is there."""
    text = DOCS.read_text(encoding="utf-8")
    tests = "\n".join(path.read_text() for path in (CHECKOUT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", text))

    assert {name for name in named if f"def {name}(" not in tests} == set()
    for section in SECTIONS:
        body = text.split(f"## {section}\n")[1].split("\n## ")[0]
        rows = [each for each in body.splitlines() if each.startswith(("- ", "| "))]
        rows = [each for each in rows if not each.startswith(("| what", "|--"))]
        assert rows
        assert [each for each in rows if "`test_" not in each and "not ours" not in each] == []


def test_table_of_faults_has_every_fault() -> None:
    """The table that the service tests compare has a row for each fault, and no others."""
    text = DOCS.read_text(encoding="utf-8")
    table = text[text.index(BEGIN) : text.index(END)]
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]

    assert sorted(rows[1:]) == sorted(each.name for each in FAULTS)


def test_record_page_is_the_schema() -> None:
    """The page for receivers has today's places, and its example is a record."""
    text = docs.RECORD_PAGE.read_text(encoding="utf-8")
    example = re.search(r"^\[1,.*\]$", text, re.MULTILINE)

    assert docs.record_page(text) == text
    assert example is not None
    assert decode(example[0].encode()).identity.device == "truck-7"
