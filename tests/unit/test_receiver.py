"""A receiver at the header: its port, its pulse, and what cannot be meant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.boards.boards import BOARDS
from glovebox.boards.check import check_receiver
from glovebox.config.build import BuildConfig
from glovebox.config.power import Power, Wake
from glovebox.config.schema import BoardName, Config, Profile, Receiver
from glovebox.host.run import run
from glovebox.stage import pi_gen, template

if TYPE_CHECKING:
    from collections.abc import Mapping

CHECKOUT = Path(__file__).resolve().parents[2]
STAGE = CHECKOUT / "stages/gnss/00-gpsd"
FIND = STAGE / "01-overlay/usr/lib/glovebox/find-pulse"
WIRED = BuildConfig(receiver=Receiver.UART, pps_pin=18)


def rendered(config: Config) -> Mapping[str, str]:
    """Give what the stage's templates make of a configuration."""
    found = template.render(STAGE / "03-templates", {"config": config})
    return {one.name: one.text for one in found}


def test_a_receiver_at_usb_is_as_before() -> None:
    """Nothing is told of a port or a pulse; gpsd waits for what is plugged in."""
    files = rendered(Config())

    assert list(files) == ["etc/default/gpsd"]
    assert 'DEVICES=""\n' in files["etc/default/gpsd"]


def test_a_receiver_at_the_header() -> None:
    """Gpsd reads the port, no console does, and chrony hears of the pulse."""
    files = rendered(WIRED)

    assert 'DEVICES="/dev/ttyS1"\n' in files["etc/default/gpsd"]
    assert "pps-gpio\n" in files["etc/modules-load.d/glovebox-pps.conf"]
    assert "confdir /run/glovebox/chrony.d" in files["etc/chrony/conf.d/gnss-pps.conf"]
    assert "find-pulse" in files["etc/systemd/system/chrony.service.d/10-pps.conf"]


@pytest.mark.parametrize(("config", "consoles"), [(Config(), "ttyS1,115200 tty0"), (WIRED, "tty0")])
def test_the_console_leaves_the_port(tmp_path: Path, config: Config, consoles: str) -> None:
    """What writes cmdline.txt names the port as a console only where no receiver has it."""
    theirs = (CHECKOUT / "overlays/initramfs/etc/default/raspi-firmware").read_text()
    for path, text in rendered(config).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    script = theirs.replace("/usr/lib/glovebox/compose-boot", ":").replace(
        "/etc/glovebox", f"{tmp_path}/etc/glovebox"
    )

    assert run(["sh", "-c", f'{script}\necho "$CONSOLES"']).stdout.strip() == consoles


def test_the_pulse_has_its_pin(tmp_path: Path) -> None:
    """The overlay's source is compiled for the pin of the configuration, and not without one."""
    stage = CHECKOUT / "stages/car/01-power"
    compiler = tmp_path / "dtc"
    compiler.write_text('#!/bin/sh\nwhile [ "$1" != --out ]; do shift; done\ncat >"$2"\n')
    compiler.chmod(0o755)
    for config in (WIRED, BuildConfig()):
        out = tmp_path / str(config.pps_pin)
        run(
            ["bash", "-e", stage / "00-on-tools.sh"],
            env={
                **pi_gen.variables(config, BOARDS[BoardName.ZERO_W]),
                "OUT": str(out), "SOURCES": str(stage), "PATH": f"{tmp_path}:/usr/bin:/bin",
            },
        )  # fmt: skip
    folder = Path("boot/firmware/overlays")

    assert "gpios = <&gpio 18 0>;" in (tmp_path / "18" / folder / "glovebox-pps.dtbo").read_text()
    of_pi_5 = (tmp_path / "18" / folder / "pi5/glovebox-pps.dtbo").read_text()
    assert "gpios = <&rp1_gpio 18 0>;" in of_pi_5
    assert not list((tmp_path / "None" / folder).rglob("glovebox-pps.dtbo"))
    assert {path.name for path in (tmp_path / "None" / folder).glob("*.dtbo")} == {
        "glovebox-card.dtbo", "glovebox-no-bluetooth.dtbo", "glovebox-wake.dtbo",
    }  # fmt: skip


@pytest.mark.parametrize("selected", ["", " noselect"])
def test_chrony_is_told_of_a_pulse_that_is_there(tmp_path: Path, selected: str) -> None:
    """With the device there is a clock, selected when the receiver's is; without it none."""
    folder = tmp_path / "etc/chrony/conf.d"
    folder.mkdir(parents=True)
    line = (STAGE / "01-overlay/etc/chrony/conf.d/gnss.conf").read_text()
    (folder / "gnss.conf").write_text(line.replace("poll 2\n", f"poll 2{selected}\n"))
    told = tmp_path / "run/glovebox/chrony.d/pps.conf"

    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/pps0").touch()
    run([FIND, tmp_path])
    assert told.read_text() == f"refclock PPS /dev/pps0 refid PPS lock GNSS poll 2{selected}\n"

    (tmp_path / "dev/pps0").unlink()
    run([FIND, tmp_path])
    assert not told.exists()


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (WIRED, []),
        (replace(WIRED, board=BoardName.PI_5), ["receiver: 'uart': the header's port of a Pi 5"]),
        (replace(WIRED, pps_pin=15), ["pps_pin: 15 belongs to the serial port (14, 15)"]),
        (replace(WIRED, profile=Profile.BENCH), ["pps_pin: comes with profile car and its stage"]),
        (
            replace(WIRED, power=Power(wake=Wake.LATCH, latch_pin=18)),
            ["pps_pin: 18 is power.latch_pin already"],
        ),
        (
            replace(WIRED, pps_pin=3, power=Power(wake=Wake.GPIO)),
            ["pps_pin: 3 is power.off_pin already"],
        ),
        (
            replace(WIRED, base="/srv/some.img"),
            [
                "receiver: 'uart' is set up on base debian",
                "pps_pin: is set up on base debian alone",
            ],
        ),
    ],
)
def test_what_cannot_be_meant(config: Config, told: list[str]) -> None:
    """A pin that another has, a port that another base keeps: said with the key and the cure."""
    found = check_receiver(config, BOARDS[config.board])

    assert all(word in str(one) for one, word in zip(found, told, strict=True))
    assert all(one.cure for one in found)
