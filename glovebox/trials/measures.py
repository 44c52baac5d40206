"""What a benchmark found, as a table: text, JSON, Markdown, and between the markers of a page."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glovebox.errors import ConfigError
from glovebox.host import files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FORMAT = 2
TIMES = "×"  # noqa: RUF001  the sign that is meant
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement: its values, in ``unit``, of which the median counts."""

    name: str
    unit: str
    values: tuple[float, ...]
    goal: float | None = None
    least: bool = False  # whether the goal is the least, not the most
    note: str = ""
    part: str = ""  # of the benchmark, which measures all its rows in one go
    key: str = ""  # what other rows know it by

    @property
    def median(self) -> float:
        """The value that counts."""
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the goal was reached; None where there is none."""
        if self.goal is None:
            return None
        return self.median >= self.goal if self.least else self.median <= self.goal

    def value(self) -> str:
        """Give the median as a person reads it."""
        return _number(self.median, self.unit)

    def target(self) -> str:
        """Give the goal as a person reads it."""
        if self.goal is None:
            return ""
        return f"{'≥' if self.least else '≤'} {_number(self.goal, self.unit)}"


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """One step of a build from empty layers: its seconds, and the bytes of its result."""

    board: str
    step: str
    cold_s: float
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that was measured on one machine."""

    machine: Mapping[str, str]
    rows: tuple[Row, ...]
    steps: tuple[StepTime, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)

    def dump(self) -> str:
        """Give it as JSON."""
        rows = [{**asdict(row), "median": row.median, "met": row.met} for row in self.rows]
        told = {
            "format": FORMAT,
            "machine": dict(self.machine),
            "facts": dict(self.facts),
            "rows": rows,
            "steps": [asdict(step) for step in self.steps],
        }
        return json.dumps(told, indent=1) + "\n"

    def merged(self, older: Report) -> Report:
        """Give this with the rows of an older one's other parts, if that is of the same machine."""
        if older.machine != self.machine:
            return self
        parts = {row.part for row in self.rows}
        boards = {step.board for step in self.steps}
        return Report(
            machine=self.machine,
            rows=(*self.rows, *(row for row in older.rows if row.part not in parts)),
            steps=(*self.steps, *(step for step in older.steps if step.board not in boards)),
            facts={**older.facts, **self.facts},
        )


def load(text: str) -> Report:
    """Read what ``dump`` wrote; raises ValueError when it is something else."""
    told: dict[str, Any] = json.loads(text)
    if told.get("format") != FORMAT:
        raise ValueError("not a report of this version")
    rows = []
    for each in told["rows"]:
        known = {
            name: each[name] for name in ("name", "unit", "goal", "least", "note", "part", "key")
        }
        rows.append(Row(values=tuple(each["values"]), **known))
    return Report(
        machine=told["machine"],
        rows=tuple(rows),
        steps=tuple(StepTime(**each) for each in told["steps"]),
        facts=told["facts"],
    )


def machine() -> dict[str, str]:
    """Give what decides how fast a machine is."""
    cpu = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "processor": cpu[1] if cpu else platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(memory[1]) / 2**20:.0f} GiB" if memory else "unknown",
        "kernel": platform.release(),
    }


def markdown(report: Report) -> str:
    """Give the table for the page."""
    lines = ["| what | measured | target | |", "|---|---|---|---|"]
    for row in report.rows:
        mark = {True: "✓", False: "✗", None: ""}[row.met]
        note = f" ({row.note})" if row.note else ""
        once = " (once)" if row.unit in ("s", TIMES) and len(row.values) == 1 else ""
        lines.append(f"| {row.name}{note} | {row.value()}{once} | {row.target()} | {mark} |")
    about = ", ".join(
        f"{report.machine[name]} cores" if name == "cores" else report.machine[name]
        for name in ("processor", "cores", "memory", "kernel")
    )
    facts = "; ".join(f"{name}: {value}" for name, value in report.facts.items())
    return (
        "\n".join(
            [
                *lines,
                "",
                f"{about}; medians of one run, or what was measured once. {facts}".rstrip(),
            ]
        )
        + "\n"
    )


def steps_markdown(report: Report) -> str:
    """Give each step's time and size, by board; a cached one takes no time."""
    boards = list(dict.fromkeys(step.board for step in report.steps))
    names = list(dict.fromkeys(step.step for step in report.steps))
    found = {(each.board, each.step): each for each in report.steps}
    heads = "".join(f" {board}: cold | MB |" for board in boards)
    lines = [f"| step |{heads}", "|---|" + "---:|---:|" * len(boards)]
    for name in names:
        cells = ""
        for board in boards:
            each = found.get((board, name))
            cells += f" {each.cold_s:.1f} s | {each.bytes / 1e6:.1f} |" if each else " | |"
        lines.append(f"| {name} |{cells}")
    return "\n".join(lines) + "\n"


def page(report: Report) -> str:
    """Give all of it as Markdown."""
    parts = ["# What a build takes\n", markdown(report)]
    if report.steps:
        parts += ["## Each step\n", steps_markdown(report)]
    return "\n".join(parts)


def put_into(path: Path, table: str) -> None:
    """Put the table between the markers of a Markdown file; raises ConfigError without them."""
    text = path.read_text()
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ConfigError(f"{path} has no place for the table", hint=f"{BEGIN} … {END}")
    files.write_whole(path, f"{before}{BEGIN}\n{table}{END}{after}")


def ordered(rows: Iterable[Row], keys: Iterable[str]) -> tuple[Row, ...]:
    """Give the rows in the order of ``keys``; what is not among them comes last."""
    places = {key: number for number, key in enumerate(keys)}
    return tuple(sorted(rows, key=lambda row: places.get(row.key, len(places))))


def today() -> str:
    """Give the date, for the facts."""
    return time.strftime("%Y-%m-%d", time.gmtime())


def _number(value: float, unit: str) -> str:
    if unit == "s" and value >= 60:  # noqa: PLR2004  seconds of a minute
        return f"{int(value // 60)} min {value % 60:.0f} s"
    if unit == "s":
        return f"{value:.1f} s"
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"  # noqa: PLR2004
