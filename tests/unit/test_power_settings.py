"""Which settings under `power:` are refused, and that each refusal says what to do instead."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from glovebox.boards.boards import BOARDS
from glovebox.boards.check import check_power
from glovebox.config.build import BuildConfig
from glovebox.config.power import Governor, Led, Power, Radio, Wake
from glovebox.config.schema import BoardName, Config, Network, Profile, StageEntry, Wifi
from glovebox.stage.pi_gen import variables

if TYPE_CHECKING:
    from glovebox.config.problem import Problem


def check(config: Config) -> list[Problem]:
    """Check a configuration for its board."""
    return check_power(config, BOARDS[config.board])


LATCH = Power(wake=Wake.LATCH, latch_pin=17)
NETWORKS = Wifi(country="DE", networks=(Network(ssid="garage"),))
WITHOUT_RECORDER = tuple(StageEntry(path=name) for name in ("base", "car", "boot"))


@pytest.mark.parametrize(
    ("power", "board", "path"),
    [
        (Power(cores=2), BoardName.ZERO_W, "power.cores"),
        (Power(clock=1200), BoardName.ZERO_2_W, "power.clock"),
        (Power(clock=600), BoardName.ZERO_W, "power.clock"),
        (Power(wake=Wake.LATCH), BoardName.PI_3, "power.latch_pin"),
        (Power(latch_pin=17), BoardName.PI_3, "power.latch_pin"),
        (replace(LATCH, latch_pin=15), BoardName.PI_3, "power.latch_pin"),
        (replace(LATCH, latch_pin=4), BoardName.PI_3, "power.latch_pin"),
        (replace(LATCH, off_pin=17), BoardName.PI_3, "power.off_pin"),
        (Power(off_pin=14), BoardName.PI_3, "power.off_pin"),
        (Power(wake=Wake.GPIO, off_pin=4), BoardName.PI_3, "power.off_pin"),
        (Power(wake=Wake.GPIO), BoardName.PI_5, "power.wake"),
        (Power(wake=Wake.IGNITION, off_pin=4), BoardName.PI_3, "power.off_pin"),
        (Power(off_after=10), BoardName.PI_3, "power.off_after"),
        (Power(wake=Wake.IGNITION, off_after=10), BoardName.PI_3, "power.off_after"),
    ],
)
def test_what_cannot_be_meant(power: Power, board: BoardName, path: str) -> None:
    """A setting that contradicts the board or another one is named once, with a cure."""
    found = check(Config(board=board, power=power))

    assert [one.path for one in found] == [path]
    assert found[0].cure


@pytest.mark.parametrize(
    "power",
    [
        Power(),
        replace(LATCH, off_after=10),
        replace(LATCH, off_pin=27),
        Power(wake=Wake.GPIO, off_after=30),
        Power(wake=Wake.GPIO, off_pin=3),
        Power(wake=Wake.IGNITION),
        Power(off_pin=4),
        Power(cores=1, clock=700, governor=Governor.POWERSAVE, led=Led.OFF, radio=Radio.OFF),
    ],
)
def test_what_can_be_meant(power: Power) -> None:
    """Every way to be switched is taken, with what it needs."""
    assert check(Config(power=power)) == []


def test_what_the_rest_of_the_configuration_forbids() -> None:
    """Networks need a radio, standing needs a recorder, pins need the stage that serves them."""
    off = Config(power=Power(radio=Radio.OFF), wifi=NETWORKS)
    alone = Config(power=replace(LATCH, off_after=10), stages=WITHOUT_RECORDER)
    bench = Config(power=LATCH, profile=Profile.BENCH)

    assert [one.path for one in check(off)] == ["power.radio"]
    assert [one.path for one in check(alone)] == ["power.off_after"]
    assert [one.path for one in check(bench)] == ["power.wake"]


@pytest.mark.parametrize("board", list(BoardName))
def test_every_board_takes_its_own_clocks(board: BoardName) -> None:
    """The slowest and the fastest clock and all cores of a board are right for it."""
    has = BOARDS[board].processor
    for clock in (has.slowest, has.fastest):
        assert check(Config(board=board, power=Power(cores=has.cores, clock=clock))) == []


def test_something_follows_the_state_only_with_a_recorder() -> None:
    """LED, radio and standing are told of by the recorder."""
    nothing = Power(led=Led.OFF, radio=Radio.ALWAYS)

    assert Config().shows_state
    assert not Config(power=nothing).shows_state
    assert not Config(stages=WITHOUT_RECORDER).shows_state


def test_the_watcher_is_installed_where_a_pin_is_watched() -> None:
    """Gpiod comes with a pin, and the latch's number reaches the overlay."""
    board = BOARDS[BoardName.ZERO_W]
    plain = variables(BuildConfig(), board)
    wired = variables(BuildConfig(power=replace(LATCH, off_pin=27)), board)

    assert (plain["POWER_PACKAGES"], plain["POWER_LATCH_PIN"]) == ("", "")
    assert (wired["POWER_PACKAGES"], wired["POWER_LATCH_PIN"]) == ("gpiod", "17")
