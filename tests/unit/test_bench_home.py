"""What the home takes comes into the benchmark's table, with its targets."""

from __future__ import annotations

from glovebox.trials.bench_home import row_of


def test_row_of_the_home_has_its_name_and_target() -> None:
    """A row says that it is the home's, and whether its target is met."""
    row = row_of('{"row": "route", "value": 0.4, "unit": "s", "target": "<= 0.5"}')

    assert (row.name, row.met) == ("home: route", True)
