"""The table of faults and outcomes in docs/contract.md: written from a run, checked by each run.

``pytest tests/service/test_repair.py`` compares; with ``GLOVEBOX_WRITE_TABLE=1`` it writes.
"""

from __future__ import annotations

import os
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs/contract.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"


def row_in_docs(fault: str) -> tuple[str, str, int]:
    """Give what the document says of a fault: what is found, what is done, records destroyed."""
    for line in _table().splitlines():
        cells = [each.strip() for each in line.strip("|").split("|")]
        if cells[0] == fault:
            return cells[1], cells[2], int(cells[3])
    raise KeyError(fault)


def write_row(fault: str, found: str, done: str, lost: int) -> None:
    """Put a row into the document, over the one that is there."""
    text = DOCS.read_text(encoding="utf-8")
    old = _table()
    rows = [line for line in old.splitlines() if line.strip()]
    new = f"| {fault} | {found} | {done} | {lost} |"
    kept = [line for line in rows if not line.startswith(f"| {fault} |")]
    DOCS.write_text(text.replace(old, "\n" + "\n".join([*kept, new]) + "\n"), encoding="utf-8")


def writing() -> bool:
    """Tell whether this run writes the table."""
    return os.environ.get("GLOVEBOX_WRITE_TABLE") == "1"


def _table() -> str:
    text = DOCS.read_text(encoding="utf-8")
    return text[text.index(BEGIN) + len(BEGIN) : text.index(END)]
