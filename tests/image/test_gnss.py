"""The receiver: found when plugged in, read without waiting for anybody, setting the clock."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import pytest

from tests.image.waiting import until

if TYPE_CHECKING:
    from testinfra.host import Host

pytestmark = pytest.mark.stage("gnss")

OLDEST_GPSD = (3, 25)
RECEIVERS = [
    ("0403", "6001"),  # FTDI FT232
    ("067b", "2303"),  # Prolific PL2303
    ("10c4", "ea60"),  # Silicon Labs CP210x
    ("1a86", "7523"),  # WCH CH340
    *(("1546", f"01a{n}") for n in range(5, 10)),  # u-blox 5 to 9, CDC ACM
]
DEVICES = "exec 3<>/dev/tcp/127.0.0.1/2947; echo '?DEVICES;' >&3; timeout 120 head -n 2 <&3"


@pytest.mark.level("chroot")
@pytest.mark.unchanging
def test_gpsd_is_recent(own: Host) -> None:
    """The daemon knows the calendar: older ones jump by 1024 weeks."""
    found = re.search(r"(\d+)\.(\d+)", own.check_output("gpsd -V"))

    assert found is not None
    assert tuple(map(int, found.groups())) >= OLDEST_GPSD


@pytest.mark.level("chroot")
@pytest.mark.stage("gnss-source")
def test_gpsd_is_the_compiled_one(host: Host) -> None:
    """The daemon of the source runs in the place of Debian's, which stands aside for updates."""
    assert "source" in host.check_output("gpsd -V")
    assert host.check_output("dpkg-divert --truename /usr/sbin/gpsd") == "/usr/sbin/gpsd.debian"
    assert host.file("/usr/sbin/gpsd.debian").exists


@pytest.mark.level("chroot")
def test_gpsd_waits_for_nobody(host: Host) -> None:
    """It reads the receiver from the start, so that the fix is warm when it is wanted."""
    told = host.check_output('. /etc/default/gpsd; echo "$GPSD_OPTIONS|$USBAUTO"')
    options, automatic = told.split("|")

    assert "-n" in options.split()
    assert automatic == "true"
    assert host.check_output("systemctl is-enabled gpsd.service") == "enabled"


@pytest.mark.level("chroot")
def test_receivers_are_recognised(host: Host) -> None:
    """A rule of udev names each kind of receiver; what is commented out does not count."""
    rules = host.check_output(
        "grep -hv '^ *#' /etc/udev/rules.d/*gnss* /usr/lib/udev/rules.d/*gps*"
    )

    assert [each for each in RECEIVERS if not _named(rules, *each)] == []


@pytest.mark.level("emulated", highest="emulated")
def test_receiver_was_found(host: Host) -> None:
    """The dongle became a port, and gpsd has it without anybody saying so."""
    assert host.run("test -c /dev/ttyUSB0").succeeded

    (device,) = until(host, lambda: _with_drivers(host), "a receiver whose language gpsd knows")

    assert device["path"] == "/dev/ttyUSB0"
    assert device["driver"].startswith("NMEA")


@pytest.mark.level("emulated")
def test_clock_listens_to_the_receiver(host: Host) -> None:
    """The receiver is a source of chrony's: there is no battery clock and no network in a car."""
    sources = host.check_output("chronyc -n sources").splitlines()

    assert [line for line in sources if re.match(r"#[*+?x~-] (GNSS|GPS)\b", line)] != []


@pytest.mark.level("board")
def test_board_has_a_receiver(host: Host) -> None:
    """The real receiver is plugged in and speaks a language gpsd knows."""
    assert until(host, lambda: _with_drivers(host), "a receiver: plug it in, then verify again")


def _named(rules: str, vendor: str, product: str) -> bool:
    for line in rules.splitlines():
        words = dict(re.findall(r'ATTRS\{(idVendor|idProduct)\}=="([^"]+)"', line))
        if all(
            any(fnmatchcase(value, each) for each in words.get(name, "").split("|"))
            for name, value in (("idVendor", vendor), ("idProduct", product))
        ):
            return True
    return False


def _with_drivers(host: Host) -> list[dict[str, str]]:
    """Give gpsd's receivers once it knows the language of each: a moment after it found them."""
    devices = _devices(host)
    return devices if all(each.get("driver") for each in devices) else []


def _devices(host: Host) -> list[dict[str, str]]:
    told = host.run("bash -c %s", DEVICES).stdout.splitlines()
    found = [json.loads(line) for line in told if '"class":"DEVICES"' in line]
    assert found, f"gpsd does not answer: {told}"
    devices: list[dict[str, str]] = found[0]["devices"]
    return devices
