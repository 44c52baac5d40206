"""Power: what image.yaml leaves off is off, as far as it can be seen; a meter sees the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testinfra.host import Host

    from glovebox.verify import Facts

pytestmark = pytest.mark.stage("car")

DRIVERS = {
    "bluetooth": ("hci_uart", "btbcm", "bluetooth"),
    "audio": ("snd_bcm2835",),
    "camera": ("bcm2835_v4l2",),
}


def left_off(facts: Facts) -> list[str]:
    """Give the drivers that this image leaves out."""
    given = facts.power or {}
    return [each for name, drivers in DRIVERS.items() if not given.get(name) for each in drivers]


@pytest.mark.level("chroot", highest="chroot")
def test_drivers_are_not_loaded_by_themselves(host: Host, facts: Facts) -> None:
    """What udev asks modprobe for is refused for these, and not for others."""
    version = host.check_output("ls /usr/lib/modules")
    ask = "modprobe --use-blacklist --dry-run --verbose --ignore-install --set-version %s %s"

    assert host.run(ask, version, "brcmfmac").stdout != "", "nothing would be loaded at all"
    assert {each: host.run(ask, version, each).stdout for each in left_off(facts)} == dict.fromkeys(
        left_off(facts), ""
    )


@pytest.mark.level("emulated")
def test_drivers_are_not_loaded(host: Host, facts: Facts) -> None:
    """None of them is in the running kernel."""
    loaded = {line.split()[0] for line in host.check_output("cat /proc/modules").splitlines()}

    assert loaded & set(left_off(facts)) == set()


@pytest.mark.level("chroot")
def test_cores(host: Host, facts: Facts) -> None:
    """The kernel is told how many processors to start, or nothing about it."""
    cores = (facts.power or {}).get("cores")
    words = host.check_output("cat /boot/firmware/cmdline.txt").split()

    assert [each for each in words if each.startswith("maxcpus=")] == (
        [f"maxcpus={cores}"] if cores else []
    )


@pytest.mark.level("emulated")
def test_no_timer_wakes_the_board_for_nothing(host: Host) -> None:
    """The timers that run are ours, and systemd's that cleans /tmp."""
    told = host.check_output("systemctl list-timers --plain --no-legend --no-pager")
    timers = {word for word in told.split() if word.endswith(".timer")}

    assert timers <= {"glovebox-warnings.timer", "systemd-tmpfiles-clean.timer"}
