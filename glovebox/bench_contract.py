"""What the contract costs, as rows of the benchmark: measured by tests/bench/contract.py."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from glovebox import project
from glovebox.errors import HostError
from glovebox.measures import TIMES, Report, Row
from glovebox.run import PATH, CommandError, stream

if TYPE_CHECKING:
    from glovebox.monitor import Monitor

DOCS = "docs/contract.md"
PREFIX = "contract: "
_UNITS = {"times": TIMES}


def rows(monitor: Monitor) -> list[Row]:
    """Measure in a process of its own, which needs what ``setup --tests`` brings."""
    found: list[Row] = []

    def line(text: str) -> None:
        if text.startswith("{"):
            found.append(row_of(text))
        monitor.note(text)

    env = {"PYTHONPATH": f"{project.CHECKOUT}:{project.CHECKOUT / 'app'}", "PATH": PATH}
    command = [sys.executable, "-m", "tests.bench.contract"]
    try:
        stream(command, line=line, cwd=project.CHECKOUT, env=env)
    except CommandError as error:
        raise HostError(
            f"the contract could not be measured:\n{error.tail}", hint="./invoke setup --tests"
        ) from error
    return found


def row_of(text: str) -> Row:
    """Read a row as tests/bench/contract.py writes it; its target is `>= 5`, `<= 40` or a word."""
    told = json.loads(text)
    kind, _, number = str(told["target"]).partition(" ")
    unit = str(told["unit"])
    return Row(
        name=PREFIX + told["row"],
        unit=_UNITS.get(unit, unit),
        values=(float(told["value"]),),
        goal=float(number) if kind in {">=", "<="} else None,
        least=kind == ">=",
    )


def parted(report: Report) -> tuple[Report, Report]:
    """Give the report without the contract's rows, and these alone, by their plain names."""
    mine = [one for one in report.rows if one.name.startswith(PREFIX)]
    rest = tuple(one for one in report.rows if one not in mine)
    plain = tuple(replace(one, name=one.name.removeprefix(PREFIX)) for one in mine)
    return replace(report, rows=rest), replace(report, rows=plain, steps=())
