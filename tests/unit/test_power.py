"""The power report: the arithmetic, and that no figure stands there without a source."""

from __future__ import annotations

import pytest

from glovebox.config import BoardName
from glovebox.power import DRAWS, SAVINGS, Figure, days, report

ONE_AMPERE = Figure(milliampere=1000, source="a test")


@pytest.mark.parametrize(
    ("figure", "battery", "efficiency", "extra", "expected"),
    [
        (ONE_AMPERE, 600, 0.5, 0, 2.5),
        (ONE_AMPERE, 600, 1.0, 0, 5.0),
        (ONE_AMPERE, 600, 1.0, 1000, 2.5),
        (Figure(milliampere=100, source="a test"), 12, 1.0, 0, 1.0),
    ],
)
def test_days(
    figure: Figure, battery: float, efficiency: float, extra: float, expected: float
) -> None:
    """Wh by W are hours: 5 V times the current, and what the converter loses on top."""
    lasts = days(figure, battery_wh=battery, efficiency=efficiency, extra_ma=extra)

    assert lasts == pytest.approx(expected)


def test_what_is_unknown_has_no_days() -> None:
    """An unknown figure never becomes a number."""
    with pytest.raises(ValueError, match="unknown"):
        days(Figure(milliampere=None, source="nobody"), battery_wh=600, efficiency=1)


@pytest.mark.parametrize("board", list(BoardName))
def test_every_board_is_told_of(board: BoardName) -> None:
    """Each state of each board has a line with its source, or says that it is unknown."""
    text = report(board, battery_wh=600, efficiency=0.5, extra_ma=0)

    for name, figure in DRAWS[board].states().items():
        line = next(line for line in text.splitlines() if line.strip().startswith(name))
        assert figure.source in line
        assert ("unknown" in line) is (figure.milliampere is None)


def test_every_figure_has_a_source() -> None:
    """No saving without who said so and what it costs."""
    assert all(one.figure.source and one.costs and one.figure.milliampere for one in SAVINGS)


def test_the_articles_sum() -> None:
    """The example is done right, and both faults of the article's are named."""
    text = report(BoardName.ZERO_W, battery_wh=600, efficiency=0.5, extra_ma=0)

    assert "600 Wh / 10 W = 60 h = 2.5 days" in text
    assert "300 h" in text
    assert "300 h are 12.5 days, not 5" in text
