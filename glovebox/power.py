"""What a board draws, and how long a battery lasts: published figures, each with its source.

Nothing here was measured by us: no board was at hand. What is not known is said to be unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from glovebox.config import BoardName

if TYPE_CHECKING:
    from collections.abc import Mapping

VOLT = 5.0
HOURS = 24
_OFFICIAL = "Raspberry Pi documentation, power supplies"
_ENTCHEN = "quietsche-entchen.de"
_CNX = "CNX Software"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A current at 5 V in mA, and who published it; None: nobody we know of."""

    milliampere: float | None
    source: str

    @property
    def watt(self) -> float | None:
        """The power."""
        return None if self.milliampere is None else self.milliampere / 1000 * VOLT


@dataclass(frozen=True, kw_only=True)
class Saving:
    """What a measure is said to save, and what it costs."""

    measure: str
    figure: Figure
    costs: str


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What a board draws: recording, doing nothing, and after `poweroff` with the supply on."""

    driving: Figure
    parked: Figure
    halted: Figure

    def states(self) -> Mapping[str, Figure]:
        """Give them by name."""
        return {"driving": self.driving, "parked": self.parked, "halted": self.halted}


def _official(milliampere: float | None) -> Figure:
    source = _OFFICIAL if milliampere is not None else "nobody published one"
    return Figure(milliampere=milliampere, source=source)


DRAWS: Mapping[BoardName, Draw] = MappingProxyType(
    {
        BoardName.ZERO_W: Draw(
            driving=_official(150),
            parked=Figure(milliampere=107, source=_ENTCHEN),
            # The documentation says 55 for a Zero; others measured 22 to 38.
            halted=_official(55),
        ),
        BoardName.ZERO_2_W: Draw(
            driving=_official(350),
            parked=Figure(milliampere=120, source=_CNX),
            halted=_official(None),
        ),
        BoardName.PI_3: Draw(driving=_official(400), parked=_official(300), halted=_official(100)),
        BoardName.PI_4: Draw(driving=_official(600), parked=_official(600), halted=_official(23)),
        BoardName.PI_5: Draw(
            driving=_official(None), parked=_official(None), halted=_official(None)
        ),
    }
)

SAVINGS = (
    Saving(
        measure="HDMI off",
        figure=Figure(milliampere=20, source="Raspberry Pi StackExchange 55505, on a Zero"),
        costs="no screen to look for faults on",
    ),
    Saving(
        measure="LED off",
        figure=Figure(milliampere=5, source="Jeff Geerling"),
        costs="the board does not show what it does",
    ),
    Saving(
        measure="Wi-Fi off",
        figure=Figure(milliampere=25, source=_ENTCHEN),
        costs="nothing is sent until it is on again",
    ),
)

UNKNOWN = (
    "what the receiver draws: its data sheet says, or a meter in the USB cable",
    "what the converter from 12 V loses: cheap ones half, good ones a tenth",
    "what a battery has left to start an engine with: less than half of it is yours",
)


def days(figure: Figure, *, battery_wh: float, efficiency: float, extra_ma: float = 0) -> float:
    """Give how many days a battery of so many Wh lasts; ``efficiency`` of the converter, 0 to 1.

    ``extra_ma``: what else hangs on the 5 V, such as the receiver. Raises ValueError for an unknown
    figure.
    """
    if figure.milliampere is None:
        raise ValueError("an unknown draw lasts for unknown days")
    watt = (figure.milliampere + extra_ma) / 1000 * VOLT / efficiency
    return battery_wh / watt / HOURS


def report(board: BoardName, *, battery_wh: float, efficiency: float, extra_ma: float) -> str:
    """Write it all down."""
    lines = [
        (
            f"Board {board}, {battery_wh:g} Wh, {efficiency:.0%} of it reach 5 V,"
            f" {extra_ma:g} mA beside the board:"
        ),
        "",
    ]
    for name, figure in DRAWS[board].states().items():
        if figure.milliampere is None:
            lines.append(f"  {name:8}  unknown: {figure.source}")
            continue
        lasts = days(figure, battery_wh=battery_wh, efficiency=efficiency, extra_ma=extra_ma)
        lines.append(
            f"  {name:8} {figure.milliampere:5.0f} mA {figure.watt:5.2f} W {lasts:7.1f} days"
            f"   ({figure.source})"
        )
    lines += ["", "What is said to save, and costs:"]
    lines += [
        f"  {one.measure:10} {one.figure.milliampere:3.0f} mA   {one.costs}   ({one.figure.source})"
        for one in SAVINGS
    ]
    lines += ["", "Not known:", *(f"  {one}" for one in UNKNOWN), "", *_example()]
    return "\n".join(lines)


def _example() -> list[str]:
    """Do the sum of the article this project began with, and show where it went wrong."""
    ampere, battery, half = 1.0, 600.0, 0.5
    watt = ampere * VOLT / half
    right = battery / watt
    wrong = battery / (ampere / half)
    return [
        "An example, from the article this project began with: 600 Wh, 1 A at 5 V, half lost.",
        (
            f"  {ampere:g} A x {VOLT:g} V / {half} = {watt:g} W;"
            f" {battery:g} Wh / {watt:g} W = {right:g} h = {right / HOURS:g} days."
        ),
        (
            f"  The article has {wrong:g} h: it divides Wh by 2 A, and not by W;"
            f" and {wrong:g} h are {wrong / HOURS:g} days, not 5."
        ),
    ]
