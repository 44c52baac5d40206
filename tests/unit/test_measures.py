"""What a benchmark found survives being written, and the docs have it in the form it writes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from glovebox.errors import ConfigError
from glovebox.trials import bench, measures
from glovebox.trials.measures import BEGIN, END, TIMES, Report, Row, StepTime

PAGE = Path(__file__).parent.parent.parent / "docs/benchmarks.md"
MACHINE = {"processor": "a CPU", "cores": "2", "memory": "24 GiB", "kernel": "6.1"}
REPORT = Report(
    machine=MACHINE,
    rows=(
        Row(name="quick", unit="s", values=(3.0, 1.0, 2.0), goal=2.5, part="a"),
        Row(name="slow", unit="s", values=(200.0,), goal=180.0, note="on a bus", part="b"),
        Row(name="ratio", unit=TIMES, values=(9.0,), goal=8.0, least=True, part="b"),
        Row(name="no goal", unit="MB", values=(450.4,), part="c", key="size"),
    ),
    steps=(StepTime(board="3", step="base", cold_s=1.0, bytes=2_000_000),),
    facts={"rounds": "3"},
)


def test_the_median_counts() -> None:
    """Of several values it is the one in the middle that is compared with the goal."""
    assert [row.met for row in REPORT.rows] == [True, False, True, None]
    assert REPORT.rows[0].median == 2.0


def test_the_table_shows_value_and_target() -> None:
    """A minute is a minute, and a goal says which way it goes."""
    lines = measures.markdown(REPORT).splitlines()

    assert lines[2:6] == [
        "| quick | 2.0 s | ≤ 2.5 s | ✓ |",
        "| slow (on a bus) | 3 min 20 s (once) | ≤ 3 min 0 s | ✗ |",
        f"| ratio | 9.0 {TIMES} (once) | ≥ 8.0 {TIMES} | ✓ |",
        "| no goal | 450 MB |  |  |",
    ]


def test_a_report_can_be_read_again() -> None:
    """What was written as JSON is the report it was written from."""
    assert measures.load(REPORT.dump()) == REPORT


def test_parts_are_added_to_what_was_found_before() -> None:
    """New rows replace those of their part, whatever they are called, on the same machine only."""
    newer = Report(machine=MACHINE, rows=(Row(name="quicker", unit="s", values=(1.0,), part="a"),))

    assert [row.name for row in newer.merged(REPORT).rows] == [
        "quicker",
        "slow",
        "ratio",
        "no goal",
    ]
    assert newer.merged(REPORT).rows[0].median == 1.0
    elsewhere = Report(machine={**MACHINE, "cores": "8"}, rows=newer.rows)
    assert elsewhere.merged(REPORT).rows == newer.rows


def test_the_table_goes_between_the_markers(tmp_path: Path) -> None:
    """What stands around the markers stays; a file without them is refused."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    measures.put_into(page, "new\n")
    assert page.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"

    page.write_text("nothing\n")
    with pytest.raises(ConfigError, match="no place"):
        measures.put_into(page, "new\n")


def test_the_readme_has_a_table_of_this_form() -> None:
    """The page's table is what the benchmark writes: its head, its rows, and a row per goal."""
    table = PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip().splitlines()
    head = measures.markdown(REPORT).splitlines()[:2]

    assert table[:2] in (head, [])
    rows = [line for line in table[2:] if line.startswith("|")]
    form = re.compile(r"\| .+ \| .+ [^ ]+ \| ([≤≥] .+)? \| [✓✗]? \|")
    assert [row for row in rows if not form.fullmatch(row)] == []


def test_ratios_come_from_one_report() -> None:
    """The plain script's time over ours is a row of its own, once."""
    rows = (
        Row(name="app", unit="s", values=(8.0, 9.0, 7.0), key="app"),
        Row(name="plain", unit="s", values=(120.0,), key="plain"),
    )
    once = bench.with_ratios(Report(machine=MACHINE, rows=rows))
    twice = bench.with_ratios(once)

    assert once == twice
    assert next(row for row in once.rows if row.key == "ratio").median == 15.0
