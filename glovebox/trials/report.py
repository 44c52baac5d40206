"""Print what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from glovebox.trials.measures import Report


def measured(report: Report) -> None:
    """Print what a benchmark found."""
    table = Table("what", "measured", "target", "", box=None, header_style="bold")
    table.columns[1].justify = "right"
    for row in report.rows:
        mark = {True: "✓", False: "✗", None: ""}[row.met]
        table.add_row(row.name, row.value(), row.target(), mark)
        if row.note:
            table.add_row(f"  {row.note}", "", "", "", style="dim")
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    for name, value in {**report.machine, **report.facts}.items():
        console.print(f"  {name}: {value}", markup=False)
