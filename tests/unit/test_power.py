"""The power report: the arithmetic, and that no figure stands there without a source."""

from __future__ import annotations

import pytest

from glovebox.boards.boards import BOARDS
from glovebox.boards.draw import Figure
from glovebox.boards.power import at_best, days, report, savings
from glovebox.config.power import Governor, Led, Power, Radio, Wake
from glovebox.config.schema import BoardName

EVERYTHING_OFF = Power(
    led=Led.OFF, radio=Radio.OFF, usb_sleep=True, governor=Governor.POWERSAVE, cores=1
)
EVERYTHING_ON = Power(
    hdmi=True, bluetooth=True, audio=True, camera=True, radio=Radio.ALWAYS, wifi_save=False
)
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
    text = report(BOARDS[board], Power(), battery_wh=600, efficiency=0.5, extra_ma=0)

    for name, figure in BOARDS[board].draw.states().items():
        line = next(line for line in text.splitlines() if line.strip().startswith(name))
        assert figure.source in line
        assert ("unknown" in line) is (figure.milliampere is None)


@pytest.mark.parametrize("board", list(BoardName))
def test_every_saving_has_a_source_and_a_price(board: BoardName) -> None:
    """No measure without who said what it saves, or that nobody did, and what it costs."""
    found = savings(BOARDS[board], EVERYTHING_OFF)

    assert len(found) == 10
    assert all(one.figure.source and one.costs for one in found)
    assert all(one.figure.milliampere != 0 for one in found)
    assert savings(BOARDS[board], EVERYTHING_ON) == ()


def test_a_figure_of_another_board_is_none() -> None:
    """What fewer cores save was measured on a Zero 2 W: it is unknown on every other board."""
    found = {
        board: next(
            one for one in savings(BOARDS[board], EVERYTHING_OFF) if one.measure == "cores, clock"
        )
        for board in BoardName
    }

    assert {board for board, one in found.items() if one.figure.milliampere is not None} == {
        BoardName.ZERO_2_W
    }


def test_the_hoped_draw_counts_what_is_off_in_that_state() -> None:
    """A radio that is off while driving saves nothing while parked; an unknown saving is none."""
    found = savings(BOARDS[BoardName.ZERO_W], Power())

    left = {state: at_best(ONE_AMPERE, state, found) for state in ("driving", "parked", "halted")}

    assert {state: one and one.milliampere for state, one in left.items()} == {
        "driving": 1000 - 20 - 25,
        "parked": 1000 - 20,
        "halted": None,
    }
    assert "not measured together" in str(left["driving"])


def test_the_report_follows_image_yaml() -> None:
    """Each measure that is taken is named, and how the board is switched."""
    power = Power(wake=Wake.LATCH, latch_pin=17, off_after=10, led=Led.OFF)
    text = report(BOARDS[BoardName.ZERO_W], power, battery_wh=600, efficiency=0.5, extra_ma=0)

    assert "wake: latch: the latch cuts the power" in text
    assert "10 min after it has stopped" in text
    assert "led: off" in text
    assert "led: off" not in report(
        BOARDS[BoardName.ZERO_W], Power(), battery_wh=600, efficiency=0.5, extra_ma=0
    )


def test_the_articles_sum() -> None:
    """The example is done right, and both faults of the article's are named."""
    text = report(BOARDS[BoardName.ZERO_W], Power(), battery_wh=600, efficiency=0.5, extra_ma=0)

    assert "600 Wh / 10 W = 60 h = 2.5 days" in text
    assert "300 h" in text
    assert "300 h are 12.5 days, not 5" in text
