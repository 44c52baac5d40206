"""What the home base takes, as rows of the benchmark: measured by tests/bench/home.py."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from glovebox.checkout import CHECKOUT
from glovebox.errors import HostError
from glovebox.host.run import PATH, CommandError, stream
from glovebox.trials import bench_contract

if TYPE_CHECKING:
    from glovebox.trials.desk import Bench
    from glovebox.trials.measures import Row

PREFIX = "home: "


def home(bench: Bench) -> list[Row]:
    """Measure what the home base takes: receiving, building days, answering."""
    found: list[Row] = []

    def line(text: str) -> None:
        if text.startswith("{"):
            found.append(row_of(text))
        bench.monitor.note(text)

    env = {"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'app'}", "PATH": PATH}
    try:
        stream([sys.executable, "-m", "tests.bench.home"], line=line, cwd=CHECKOUT, env=env)
    except CommandError as error:
        raise HostError(
            f"the home could not be measured:\n{error.tail}", hint="./invoke setup --tests"
        ) from error
    return found


def row_of(text: str) -> Row:
    """Read a row, which is written as those of the contract are."""
    row = bench_contract.row_of(text)
    return replace(row, name=PREFIX + row.name.removeprefix(bench_contract.PREFIX))
