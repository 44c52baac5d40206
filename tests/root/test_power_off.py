"""Switching off: when the vehicle stands, when a pin falls, and letting go of the board's power."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.boards import firmware
from glovebox.boards.boards import BOARDS
from glovebox.config.power import Power, Wake
from glovebox.config.schema import BoardName, Config
from glovebox.emulator import devicetree
from glovebox.host.run import run
from glovebox.stage import template

if TYPE_CHECKING:
    from collections.abc import Mapping

STAGE = Path(__file__).parent.parent.parent / "stages/car/01-power"
SCRIPTS = STAGE / "02-overlay/usr/lib/glovebox"
TEMPLATES = STAGE / "01-templates"
POWEROFF = "systemctl --no-block poweroff"
# Answers with the next line of NAME.says, the last one for ever, and notes its call.
ANSWERS = """#!/bin/sh
name=$(basename "$0")
echo "$name $*" >>"$FOLDER/calls"
if [ -s "$FOLDER/$name.says" ]; then
  head -n 1 "$FOLDER/$name.says"
  if [ "$(wc -l <"$FOLDER/$name.says")" -gt 1 ]; then sed -i 1d "$FOLDER/$name.says"; fi
fi
"""


def called(
    folder: Path,
    script: Path,
    *words: str,
    answers: Mapping[str, str],
    variables: Mapping[str, str] | None = None,
) -> list[str]:
    """Run a script among programs that answer as they are told; give what it called."""
    programs = folder / "bin"
    programs.mkdir()
    for name in ("systemctl", "telematics", "gpiodetect", "gpioget", "gpiomon", "sleep", "reboot"):
        (programs / name).write_text(ANSWERS)
        (programs / name).chmod(0o755)
        (folder / f"{name}.says").write_text(answers.get(name, ""))
    run(
        ["sh", script, *words],
        env={
            "FOLDER": str(folder), "PATH": f"{programs}:{os.environ['PATH']}", **(variables or {})
        },
    )  # fmt: skip
    calls = folder / "calls"
    return calls.read_text().splitlines() if calls.exists() else []


def stood(
    folder: Path, lengths: list[str], *, publishes: bool = True, word: str = "standing"
) -> list[str]:
    """Let the vehicle have stood long enough, with a queue of these lengths, one after another.

    ``word``: what the recorder says when all is sent.
    """
    (folder / "publish-to").write_text("kafka" if publishes else "")
    (folder / "run/telematics").mkdir(parents=True)
    (folder / "run/telematics/state").write_text(f"{word}\n")
    said = "".join(f'  "queue_length": {each},\n' for each in lengths)
    return called(
        folder, SCRIPTS / "stand-by", answers={"telematics": said},
        variables={
            "PUBLISH_TO": str(folder / "publish-to"), "RUN": str(folder / "run"), "TRIES": "5",
        },
    )  # fmt: skip


def test_a_queue_is_sent_before_the_board_goes(tmp_path: Path) -> None:
    """It waits until the queue is empty, and not longer."""
    calls = stood(tmp_path, ["12", "3", "0"])

    assert [each for each in calls if each.startswith("telematics")] == 3 * [
        "telematics status --json"
    ]
    assert calls[-1] == POWEROFF


@pytest.mark.parametrize("lengths", [["7"], ["null"], []])
def test_a_queue_that_stays_full_is_not_waited_for_for_ever(
    tmp_path: Path, lengths: list[str]
) -> None:
    """Where nobody takes the records they stay on the card, and the board goes all the same."""
    calls = stood(tmp_path, lengths)

    assert calls.count("sleep 2") == 5
    assert calls[-1] == POWEROFF


def test_a_board_that_sends_nothing_goes_at_once(tmp_path: Path) -> None:
    """Nobody is named to publish to: nothing is waited for."""
    assert stood(tmp_path, ["7"], publishes=False) == [POWEROFF]


@pytest.mark.parametrize(
    ("word", "goes"), [("standing", True), ("no-fix", True), ("trouble", True), ("driving", False)]
)
def test_a_vehicle_that_drives_off_at_the_last_moment(
    tmp_path: Path, word: str, *, goes: bool
) -> None:
    """It is asked once more, right before the board goes: what would stop it may come too late."""
    calls = stood(tmp_path, ["3", "0"], word=word)

    assert (calls[-1] == POWEROFF) is goes


CHIPS = "gpiochip1 [raspberrypi-exp-gpio] (8 lines)\n"
CHIP = "gpiochip0 [pinctrl-bcm2835] (54 lines)\n"


@pytest.mark.parametrize(
    ("levels", "waits"),
    [
        ("0\n0\n", 0),  # it fell before anybody looked
        ("1\n0\n0\n", 1),
        ("1\n0\n1\n0\n0\n", 2),  # the starter motor, or a bounce
    ],
)
def test_a_pin_that_stays_low_switches_off(tmp_path: Path, levels: str, waits: int) -> None:
    """Low, and low two seconds later: what is shorter counts for nothing."""
    calls = called(
        tmp_path, SCRIPTS / "off-pin", "27", answers={"gpiodetect": CHIP, "gpioget": levels}
    )

    asked = [each for each in calls if each.startswith("gpiomon")]
    assert len(asked) == waits
    assert all("--chip gpiochip0" in each and each.endswith(" 27") for each in asked)
    assert calls[-2:] == ["gpioget " + calls[-2].removeprefix("gpioget "), POWEROFF]


def test_without_its_controller_the_watcher_fails(tmp_path: Path) -> None:
    """The firmware's expander is no place for a pin of the header."""
    with pytest.raises(Exception, match="no GPIO controller"):
        called(tmp_path, SCRIPTS / "off-pin", "27", answers={"gpiodetect": CHIPS})


def latch(folder: Path, verb: str) -> tuple[str, list[str]]:
    """Run the hook as systemd would at the very end; give the pin and what was called."""
    config = Config(power=Power(wake=Wake.LATCH, latch_pin=17))
    name = "usr/lib/systemd/system-shutdown/glovebox-latch"
    made = {
        one.name: one
        for one in template.render(TEMPLATES, {"config": config, "board": BOARDS[config.board]})
    }
    assert made[name].program
    script = folder / "latch"
    script.write_text(made[name].text)
    pin = folder / "sys/class/leds/glovebox-latch/brightness"
    pin.parent.mkdir(parents=True)
    pin.write_text("1\n")
    calls = called(folder, script, verb, answers={}, variables={"SYS": str(folder / "sys")})
    return pin.read_text().strip(), calls


@pytest.mark.parametrize("verb", ["poweroff", "halt"])
def test_the_latch_opens_at_the_end(tmp_path: Path, verb: str) -> None:
    """The pin falls; a board that still runs is held by the ignition, and starts again."""
    assert latch(tmp_path, verb) == ("0", ["sleep 20", "reboot -f"])


@pytest.mark.parametrize("verb", ["reboot", "kexec"])
def test_the_latch_is_held_over_a_reboot(tmp_path: Path, verb: str) -> None:
    """A board that starts again keeps its power."""
    assert latch(tmp_path, verb) == ("1", [])


WIRED = Power(wake=Wake.LATCH, latch_pin=17, off_pin=27, off_after=10)


def rendered(config: Config) -> dict[str, str]:
    """Give the files of the templates for a configuration and its board."""
    context = {"config": config, "board": BOARDS[config.board]}
    return {one.name: one.text for one in template.render(TEMPLATES, context)}


def test_a_pi_5_gets_overlays_of_its_own() -> None:
    """Its firmware finds them under the same names; a card in another board takes the others'."""
    config = Config(board=BoardName.PI_5, power=Power(wake=Wake.LATCH, latch_pin=17))
    text = rendered(config)["etc/glovebox/config.txt.d/20-power.txt"]

    for board, folder in (("5", "overlays/pi5"), ("4", "overlays")):
        found = devicetree.overlays(firmware.read(text, firmware.MODELS[board]))
        assert [one.file for one in found] == [
            f"{folder}/glovebox-no-bluetooth.dtbo",
            f"{folder}/glovebox-latch.dtbo",
        ]


@pytest.mark.parametrize(
    ("power", "base", "lines"),
    [
        (Power(), "debian", ["dtoverlay=glovebox-card", "dtoverlay=glovebox-no-bluetooth",
                              "gpu_mem=16", "disable_splash=1"]),
        (Power(bluetooth=True, hdmi=True), "debian", []),
        (Power(clock=700), "debian", ["arm_freq=700"]),
        (WIRED, "debian", ["gpio=17=op,dh", "dtoverlay=glovebox-latch"]),
        (Power(wake=Wake.GPIO), "debian", ["dtoverlay=glovebox-wake"]),
        (
            WIRED,
            "/raspios.img",
            ["dtparam=sd_poll_once=on", "dtoverlay=disable-bt", "dtparam=audio=off",
             "camera_auto_detect=0", "display_auto_detect=0",
             "dtoverlay=gpio-shutdown,gpio_pin=27,debounce=2000"],
        ),
    ],
)  # fmt: skip
def test_each_base_gets_the_lines_it_understands(power: Power, base: str, lines: list[str]) -> None:
    """Our overlays on Debian's device trees, Raspberry Pi's and its parameters on its own."""
    config = Config(power=power, base=base)
    made = rendered(config)
    found = made["etc/glovebox/config.txt.d/20-power.txt"].splitlines()

    assert set(lines) <= set(found)
    assert ("etc/systemd/system/glovebox-off-pin.service" in made) is (
        base == "debian" and power.watched_pin is not None
    )
    assert any("dtparam" in line for line in found) is (base != "debian")
