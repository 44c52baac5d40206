"""What the contract costs, as rows of the benchmark: measured by tests/bench/contract.py."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from glovebox.checkout import CHECKOUT
from glovebox.errors import HostError
from glovebox.host.run import PATH, CommandError, stream
from glovebox.plan import plan
from glovebox.store.store import default_root
from glovebox.trials.measures import TIMES, Report, Row
from glovebox.verify import jars, verify

if TYPE_CHECKING:
    from glovebox.host.monitor import Monitor
    from glovebox.trials.desk import Bench

PAGE = "contract.md"
DRAIN = "drain.json"  # what tests/image/test_publish.py writes
PREFIX = "contract: "
_PARTS = ("contract", "drain")
_UNITS = {"times": TIMES}


def rows(monitor: Monitor) -> list[Row]:
    """Measure in a process of its own, which needs what ``setup --tests`` brings."""
    found: list[Row] = []

    def line(text: str) -> None:
        if text.startswith("{"):
            found.append(row_of(text))
        monitor.note(text)

    env = {"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'app'}", "PATH": PATH}
    command = [sys.executable, "-m", "tests.bench.contract"]
    try:
        stream(command, line=line, cwd=CHECKOUT, env=env)
    except CommandError as error:
        raise HostError(
            f"the contract could not be measured:\n{error.tail}", hint="./invoke setup --tests"
        ) from error
    return found


def drained(bench: Bench, board: str) -> list[Row]:
    """Boot a board, have it publish a backlog, and read what its test wrote down."""
    bench.warm(board)
    bench.builder(board).build([plan.EMULATOR])
    broker = jars.folder(default_root())
    there = bench.site.store.root / broker.parent.name
    if broker.is_dir() and not there.exists():
        there.symlink_to(broker.parent)
    site = replace(bench.site, env={**bench.site.env, verify.MEASURE: "1"})
    site.run("verify", "--locked", "--set", f"board={board}", line=bench.monitor.note)
    told = [json.loads(each.read_text()) for each in site.out.glob(f"verify/*/*/{DRAIN}")]
    found = [each for each in told if each["board"] == board]
    if not found:
        raise HostError(f"{board} drained nothing", hint="./invoke setup --tests brings the broker")
    name = f"{PREFIX}drain to the broker over TLS, emulated `{board}`"
    return [Row(name=name, unit="records/s", values=tuple(each["per_s"] for each in found))]


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
    mine = [one for one in report.rows if one.part in _PARTS]
    rest = tuple(one for one in report.rows if one not in mine)
    plain = tuple(replace(one, name=one.name.removeprefix(PREFIX)) for one in mine)
    return replace(report, rows=rest), replace(report, rows=plain, steps=())
