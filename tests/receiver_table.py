"""The table of receivers in docs/contract.md: where records differ from what gpsd expects, and why.

`tests/service/test_receiver_logs.py` compares every log with it: one that differs and is not there
fails, and so does one that is there and does not differ.
"""

from __future__ import annotations

from tests.contract_table import DOCS

BEGIN, END = "<!-- receivers: begin -->", "<!-- receivers: end -->"


def differing(way: str) -> dict[str, int]:
    """Give the records of each log that differs on a way: ``merger``, or ``gpsd`` before it."""
    text = DOCS.read_text(encoding="utf-8")
    table = text[text.index(BEGIN) + len(BEGIN) : text.index(END)]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {row[0]: int(row[3]) for row in rows if len(row) > 1 and row[1] == way}
