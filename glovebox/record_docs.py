"""docs/record.md for those who receive records: its table is the schema's."""

from __future__ import annotations

import json
from pathlib import Path

from telematics.record import SCHEMA

DOCS = Path(__file__).parents[1] / "docs/record.md"
BEGIN, END = "<!-- places: begin -->", "<!-- places: end -->"


def table() -> str:
    """Give the places of a record as a table."""
    places = json.loads(SCHEMA.read_text(encoding="utf-8"))["prefixItems"]
    required = json.loads(SCHEMA.read_text(encoding="utf-8"))["minItems"]
    lines = ["| place | name | always | meaning |", "|---|---|---|---|"]
    for number, place in enumerate(places):
        always = "yes" if number < required else "if known"
        if "null" in place.get("type", ()) and number < required:
            always = "or null"
        lines.append(f"| {number} | `{place['title']}` | {always} | {place['description']} |")
    return "\n".join(lines)


def page(text: str) -> str:
    """Give the page with the table of today's schema in it."""
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    DOCS.write_text(page(DOCS.read_text(encoding="utf-8")), encoding="utf-8")
