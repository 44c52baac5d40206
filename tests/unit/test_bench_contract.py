"""What the contract costs comes into the benchmark's tables, each row into its own."""

from __future__ import annotations

import pytest

from glovebox.trials.bench_contract import PREFIX, parted, row_of
from glovebox.trials.measures import Report, Row


@pytest.mark.parametrize(
    ("target", "value", "met"),
    [(">= 5", 5.2, True), (">= 5", 4.9, False), ("<= 40", 41.0, False), ("reported", 1.0, None)],
)
def test_row_knows_whether_its_target_is_met(target: str, value: float, met: bool | None) -> None:  # noqa: FBT001  a case
    """A least and a most are told apart, and what is only reported has no target."""
    told = f'{{"row": "drain", "value": {value}, "unit": "times", "target": "{target}"}}'

    row = row_of(told)

    assert (row.name, row.met) == (f"{PREFIX}drain", met)


def test_rows_of_the_contract_go_to_its_page() -> None:
    """Builds have their own page; the contract's rows go to it under their plain names."""
    rows = tuple(
        Row(name=name, unit="s", values=(1.0,), part=part)
        for part, name in (("cold", "cold"), ("drain", f"{PREFIX}drain"))
    )

    builds, costs = parted(Report(machine={}, rows=rows))

    assert [row.name for row in builds.rows] == ["cold"]
    assert [row.name for row in costs.rows] == ["drain"]
