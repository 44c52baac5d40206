"""``home sql``: a question to the views."""

from __future__ import annotations

import csv
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

WIDTH_MAX = 40
FETCH = 10_000


def add(parser: argparse.ArgumentParser) -> None:
    """Take the question and the form of the answer."""
    parser.add_argument("query", help='"SELECT …"; docs/home.md names the views')
    parser.add_argument("--csv", action="store_true", help="as CSV")
    parser.add_argument("--json", action="store_true", help="a JSON object a line")


def run(options: argparse.Namespace) -> int:
    """Ask."""
    from home import engine  # noqa: PLC0415
    from home.errors import HomeError  # noqa: PLC0415

    with engine.connect(options.home, dead="dead" in options.query.lower()) as base:
        from duckdb import Error  # noqa: PLC0415

        try:
            result = base.execute(options.query)
            names = [column[0] for column in result.description or ()]
            rows: Sequence[tuple[Any, ...]] = result.fetchmany(FETCH)
            if not options.csv and not options.json:
                _table(names, [*rows, *result.fetchall()])
                return 0
            write = csv.writer(sys.stdout).writerow
            if options.csv:
                write(names)
            while rows:
                for row in rows:
                    if options.csv:
                        write(row)
                    else:
                        sys.stdout.write(
                            json.dumps(dict(zip(names, row, strict=True)), default=str) + "\n"
                        )
                rows = result.fetchmany(FETCH)
        except Error as error:
            raise HomeError(f"sql: {error}") from None
    return 0


def _table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    text = [[_short(value) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[at]) for row in text)]) for at, name in enumerate(names)]
    for row in ([*names], ["-" * width for width in widths], *text):
        line = "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")


def _short(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= WIDTH_MAX else text[: WIDTH_MAX - 1] + "…"
