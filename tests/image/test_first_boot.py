"""What the owner puts on the boot partition: there, readable, taken over once, and wiped."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from glovebox.boards import firmware
from glovebox.boards.boards import BOARDS
from glovebox.config.build import RASPIOS
from glovebox.config.rules import AUTO
from glovebox.config.schema import BoardName
from glovebox.emulator.emulator import Login, ssh_config
from glovebox.host.run import run
from glovebox.onboard.firstboot.screen import FILE as SCREEN
from tests.image import filled as owner

if TYPE_CHECKING:
    from pathlib import Path

    from testinfra.host import Host

    from glovebox.emulator.emulator import Machine
    from glovebox.verify.verify import Facts
    from tests.image.filled import Filled

pytestmark = pytest.mark.stage("first-boot")

FILE = "/boot/firmware/glovebox.yaml"
SHIPPED = "/usr/share/glovebox/glovebox.yaml"
UNIT = "glovebox-settings.service"
CONNECTION = "/etc/NetworkManager/system-connections/wifi-1.nmconnection"
# Reads the shipped file with one # less in front of each example, by the board's own modules.
EXAMPLES = r"""
import re
from pathlib import Path
from glovebox.onboard.firstboot.card import Places, read
root = Path("/")
text = re.sub(rb"(?m)^#(?!#)", b"", Path("/usr/share/glovebox/glovebox.yaml").read_bytes())
text = re.sub(rb"id_ed25519.pub", b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + b"A" * 43, text)
text = text.replace(b"security: sasl", b"security: plaintext")
wanted = read(text, {}, Places(boot=root / "boot/firmware", data=root / "data", root=root))
print(" ".join(wanted.names))
"""


@pytest.mark.level("chroot")
def test_the_file_is_on_the_card(host: Host) -> None:
    """It lies there as a file that asks for nothing; its lines end as every editor expects."""
    assert host.run(f"cmp {FILE} {SHIPPED}").succeeded
    text = host.check_output(f"od -An -v -tx1 {FILE} | tr -d ' \\n'")
    lines = bytes.fromhex(text).split(b"\r\n")

    assert lines.pop() == b""
    assert all(b"\n" not in line and line[:1] in {b"", b"#"} for line in lines)
    assert host.run("/usr/lib/glovebox/anything-new").rc == 1
    assert host.check_output(f"systemctl is-enabled {UNIT}") == "enabled"


@pytest.mark.level("chroot", highest="chroot")
def test_a_screen_shows_the_name_until_the_board_is_set_up(tree: Path, facts: Facts) -> None:
    """An image that nobody named lets the firmware make a picture; one with a name does not."""
    if facts.base not in ("debian", RASPIOS) or facts.power is None:
        pytest.skip("this image's own config.txt decides about the screen")
    folder = tree / "boot/firmware"
    text = (folder / "config.txt").read_text()

    def included(name: str) -> str | None:
        return (folder / name).read_text() if (folder / name).is_file() else None

    values = firmware.read(text, BOARDS[BoardName(facts.board)].model, included).values
    shown = facts.hostname == AUTO and not facts.power["hdmi"]

    assert (folder / SCREEN).exists() is shown
    if not facts.power["hdmi"] and "car" in facts.stages:  # which switches it off
        assert values["hdmi_ignore_hotplug"] == ("0" if shown else "1")
        assert values["max_framebuffers"] == ("1" if shown else "0")


@pytest.mark.level("chroot")
def test_no_login_is_offered_that_nobody_could_pass(host: Host, facts: Facts) -> None:
    """At a screen and a serial console there is a prompt only where somebody has a password."""
    for unit in ("getty@tty1.service", "serial-getty@ttyS1.service"):
        folder = f"/etc/systemd/system/{unit.partition('@')[0]}@.service.d"
        (line,) = (
            line.partition("=")[2]
            for line in host.check_output(f"cat {folder}/*.conf").splitlines()
            if line.startswith("ExecCondition=")
        )

        assert host.run(line).succeeded is facts.password


@pytest.mark.level("emulated", highest="emulated")
def test_the_screen_says_where_the_board_answers(host: Host, facts: Facts) -> None:
    """Without a picture nothing is written; with one the name, the user and the address are."""
    told = host.check_output("systemctl show -p ConditionResult,ActiveState glovebox-screen")
    host.check_output("/usr/lib/glovebox/show-name /dev/tty1 1")
    shown = host.check_output("cat /dev/vcs1")

    assert set(told.splitlines()) == {"ConditionResult=no", "ActiveState=inactive"}
    name = host.check_output("cat /etc/hostname")
    assert f"ssh {facts.user}@{name}.local" in shown
    assert host.check_output("hostname -I").split()[0] in shown
    assert facts.password or host.run("systemctl is-active getty@tty1.service").failed


@pytest.mark.level("chroot")
@pytest.mark.unchanging
def test_the_board_checks_as_the_builder_does(own: Host, facts: Facts) -> None:
    """Its own Python has all that is needed, and finds every example right.

    Where nothing records, settings of the service are refused, and nothing else is.
    """
    told = own.run("python3 -I -c %s", EXAMPLES)

    if "telematics" not in facts.stages:
        said = told.stderr.splitlines()[-1]
        assert re.fullmatch(r"\S*MistakesError: \S+: service: this image has no service .*", said)
        return
    assert told.succeeded, told.stderr
    assert {"hostname", "ssh_keys", "networks", "service", "credentials"} <= set(
        told.stdout.split()
    )


@pytest.mark.level("emulated", highest="emulated")
def test_a_usual_start_looks_and_goes_on(host: Host, filled: Filled | None) -> None:
    """Where the owner wrote nothing no Python was started."""
    if filled is not None:
        pytest.skip("this session's card has a file to take over; another board's has none")
    told = host.check_output(f"systemctl show -p Result,ActiveState,ExecMainStartTimestamp {UNIT}")

    assert set(told.splitlines()) == {
        "Result=exec-condition", "ActiveState=inactive", "ExecMainStartTimestamp=",
    }  # fmt: skip


@pytest.fixture(scope="module")
def taken(filled: Filled | None) -> Filled:
    """Give what the owner put on the card."""
    if filled is None:
        pytest.skip(f"the card with a file to take over is that of board {owner.BOARD}")
    return filled


@pytest.mark.level("emulated", highest="emulated")
def test_it_was_taken_over(host: Host, taken: Filled) -> None:
    """The unit ran once, said what it took and no value, and left the file as it was shipped."""
    log = host.check_output(f"journalctl --boot --unit {UNIT} --output cat")

    assert taken.text
    assert host.check_output(f"systemctl show -p Result --value {UNIT}") == "success"
    assert "taken over from the card: hostname" in log
    assert owner.PSK not in host.check_output("journalctl --boot --output cat")
    assert host.run(f"cmp {FILE} {SHIPPED}").succeeded
    assert host.run("ls /boot/firmware/glovebox-mistakes.txt /data/settings/wiping").failed
    assert "ro" in host.check_output("findmnt --noheadings --output OPTIONS /boot/firmware").split(
        ","
    )
    assert host.run("runuser -u nobody -- ls /boot/firmware/").failed
    assert host.run("ls /run/glovebox/card-mistake").failed, "files of other systems are no mistake"


@pytest.mark.level("emulated", highest="emulated")
def test_it_starts_with_imagers_words(host: Host, taken: Filled) -> None:
    """Its command line asked for a script, a target and an init that are not there: all of it runs.

    What the script says was taken over, script and words are gone from the card.
    """
    assert taken.text
    given = set(host.check_output("cat /proc/cmdline").split())
    assert {*owner.WORDS, *owner.COPIED} <= given
    assert host.check_output("systemctl is-active multi-user.target") == "active"
    assert host.check_output("cat /etc/timezone") == owner.TIMEZONE
    assert f'XKBLAYOUT="{owner.KEYBOARD}"' in host.check_output("cat /etc/default/keyboard")
    assert not set(owner.WORDS) & set(host.check_output("cat /boot/firmware/cmdline.txt").split())
    assert host.run(f"ls /boot/firmware/{owner.FIRST_RUN}").failed


@pytest.mark.level("emulated", highest="emulated")
def test_the_board_has_its_name(host: Host, taken: Filled) -> None:
    """Kernel, files and mDNS have the owner's name: NAME.local."""
    assert taken.text
    assert host.check_output("uname --nodename") == owner.HOSTNAME
    log = host.check_output("journalctl --boot --unit avahi-daemon.service --output cat")
    assert f"Host name is {owner.HOSTNAME}.local" in log
    # It can be found by what it offers, too.
    assert f'Service "{owner.HOSTNAME}" (/services/ssh.service) successfully established' in log


@pytest.mark.level("emulated", highest="emulated")
def test_the_other_key_opens_it(
    machine: Machine, facts: Facts, taken: Filled, tmp_path: Path
) -> None:
    """Whoever has a key that stands only in the owner's file logs in."""
    if taken.key is None:
        pytest.skip("--key was not given, so the file has no keys")
    config = tmp_path / "ssh_config"
    login = Login(user=facts.user, key=taken.key)
    config.write_text(
        ssh_config(
            host="127.0.0.1", port=machine.port, login=login, folder=tmp_path, check=False
        )
    )  # fmt: skip

    assert run(["ssh", "-F", config, "board", "id -un"]).stdout.strip() == facts.user


@pytest.mark.level("emulated", highest="emulated")
def test_networks_are_known(host: Host, taken: Filled) -> None:
    """NetworkManager knows the network, only root reads its passphrase, and the radio may be on."""
    assert taken.text
    assert owner.SSID in host.check_output("nmcli --terse --fields NAME connection").splitlines()
    assert host.check_output(f"stat --format '%U %a' {CONNECTION}") == "root 600"
    assert f"psk={owner.PSK}" in host.check_output(f"cat {CONNECTION}").splitlines()
    assert host.check_output("nmcli radio wifi") == "enabled"
    country = host.check_output("cat /etc/modprobe.d/wifi-country.conf")
    assert country == f"options cfg80211 ieee80211_regdom={owner.COUNTRY}"


@pytest.mark.level("emulated", highest="emulated")
@pytest.mark.stage("telematics")
def test_the_service_has_its_settings(host: Host, facts: Facts, taken: Filled) -> None:
    """The recorder runs with the owner's settings over those of the image."""
    assert taken.text
    settings = json.loads(host.check_output("cat /etc/glovebox/telematics.json"))
    recorder, unit = (
        int(host.check_output(f"systemctl show -p ExecMainStartTimestampMonotonic --value {each}"))
        for each in ("telematics.service", UNIT)
    )

    assert settings == facts.service
    assert recorder > unit
