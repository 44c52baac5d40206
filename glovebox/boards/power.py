"""What a board draws, and how long a battery lasts: published figures, each with its source.

Nothing here was measured by us: no board was at hand. What is not known is said to be unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from glovebox.boards.draw import ENTCHEN, UNMEASURED, VOLT, Figure
from glovebox.config.power import Governor, Led, Power, Radio, Wake

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from glovebox.boards.boards import Board

HOURS = 24
_EXCHANGE = "Raspberry Pi StackExchange 55505"


@dataclass(frozen=True, kw_only=True)
class Saving:
    """What a measure is said to save, and what it costs."""

    measure: str
    figure: Figure
    costs: str
    states: tuple[str, ...]  # in which the board is then


AWAKE = ("driving", "parked")


def savings(board: Board, power: Power) -> tuple[Saving, ...]:
    """Give what the settings of image.yaml are said to save on a board, and cost."""
    return tuple(one for one in _all_savings(board, power) if one is not None)


def _all_savings(board: Board, power: Power) -> Iterator[Saving | None]:
    """Give each measure, None for those not taken."""
    yield _when(
        not power.hdmi,
        "hdmi: false",
        Figure(milliampere=20, source=f"{_EXCHANGE}, on a Zero; Jeff Geerling: 25"),
        "no screen to look for faults on; a board without a name saves it once it is set up",
    )
    yield _when(not power.bluetooth, "bluetooth: false", UNMEASURED, "no Bluetooth")
    yield _when(not power.audio, "audio: false", UNMEASURED, "no sound")
    yield _when(not power.camera, "camera: false", UNMEASURED, "no camera")
    yield _when(
        power.led is Led.OFF,
        "led: off",
        Figure(milliampere=5, source="Jeff Geerling, each LED that is lit"),
        "the board does not show what it does",
    )
    yield _when(
        power.radio is not Radio.ALWAYS,
        f"radio: {power.radio}",
        Figure(milliampere=25, source=f"{ENTCHEN}, an idle radio"),
        "nothing is sent" + (" while driving" if power.radio is Radio.STANDING else ""),
        states=("driving",) if power.radio is Radio.STANDING else AWAKE,
    )
    yield _when(power.wifi_save, "wifi_save: true", UNMEASURED, "answers come a little later")
    yield _when(power.usb_sleep, "usb_sleep: true", UNMEASURED, "some devices do not wake again")
    yield _when(
        power.governor is not None,
        f"governor: {power.governor}",
        UNMEASURED,
        "everything takes longer" if power.governor is Governor.POWERSAVE else "depends on it",
    )
    yield _when(
        power.cores is not None or power.clock is not None,
        "cores, clock",
        board.draw.slower_saves,
        "everything takes longer",
    )


def _when(
    taken: bool,  # noqa: FBT001  its one question
    measure: str,
    figure: Figure,
    costs: str,
    *,
    states: tuple[str, ...] = AWAKE,
) -> Saving | None:
    if not taken:
        return None
    return Saving(measure=measure, figure=figure, costs=costs, states=states)


def at_best(draw: Figure, state: str, found: Sequence[Saving]) -> Figure | None:
    """Give what is left of a draw if all that is said to be saved in a state is; None: nothing is.

    A sum of what others measured, each on another board: a hope, and the source says so.
    """
    known = [
        (one.measure, one.figure.milliampere)
        for one in found
        if state in one.states and one.figure.milliampere is not None
    ]
    if draw.milliampere is None or not known:
        return None
    left = draw.milliampere - sum(saved for _, saved in known)
    words = ", ".join(f"{measure} {saved:g}" for measure, saved in known)
    return Figure(milliampere=max(0.0, left), source=f"less {words}: not measured together")


HALTS: Mapping[Wake, str] = MappingProxyType(
    {
        Wake.NONE: "the board runs as long as it has power: it is never halted by itself",
        Wake.IGNITION: "the ignition cuts the power: 0 mA then, and nothing is left to switch off",
        Wake.LATCH: "the latch cuts the power: what the circuit itself draws is left, 0 mA of ours",
        Wake.GPIO: "the board halts with its supply on: it draws the figure of `halted` for ever",
    }
)

UNKNOWN = (
    "what the receiver draws: its data sheet says, or a meter in the USB cable",
    "what the converter from 12 V loses: cheap ones half, good ones a tenth",
    "which of the savings are in the figures above already, and how they add up",
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


def report(
    board: Board, power: Power, *, battery_wh: float, efficiency: float, extra_ma: float
) -> str:
    """Write it all down, for a board and what image.yaml sets."""
    lines = [
        (
            f"Board {board.name}, {battery_wh:g} Wh, {efficiency:.0%} of it reach 5 V,"
            f" {extra_ma:g} mA beside the board:"
        ),
        "",
    ]
    taken = savings(board, power)

    def line(name: str, figure: Figure) -> str:
        if figure.milliampere is None:
            return f"  {name:8}  unknown: {figure.source}"
        lasts = days(figure, battery_wh=battery_wh, efficiency=efficiency, extra_ma=extra_ma)
        return (
            f"  {name:8} {figure.milliampere:5.0f} mA {figure.watt:5.2f} W {lasts:7.1f} days"
            f"   ({figure.source})"
        )

    for name, figure in board.draw.states().items():
        lines.append(line(name, figure))
        hoped = at_best(figure, name, taken)
        if hoped is not None:
            lines.append(line(" at best", hoped))
    lines += ["", f"wake: {power.wake}: {HALTS[power.wake]}."]
    if power.off_after:
        lines.append(
            f"off_after: it switches itself off {power.off_after} min after it has stopped."
        )
    if board.draw.note:
        lines.append(board.draw.note)
    lines += ["", "What image.yaml sets, what that is said to save, and costs:"]
    lines += [f"  {_saved(one)}" for one in taken]
    lines += ["", "Not known:", *(f"  {one}" for one in UNKNOWN), "", *_example()]
    return "\n".join(lines)


def _saved(one: Saving) -> str:
    if one.figure.milliampere is None:
        return f"{one.measure:18} unknown   {one.costs}   ({one.figure.source})"
    return (
        f"{one.measure:18} {one.figure.milliampere:4.3g} mA   {one.costs}   ({one.figure.source})"
    )


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
