"""The start: what a recorder needs comes first, and the rest is there afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox.card import initramfs

if TYPE_CHECKING:
    from pathlib import Path

    from testinfra.host import Host

pytestmark = pytest.mark.stage("boot")

# What begins once positions are recorded.
LATER = ("NetworkManager", "avahi-daemon", "chrony", "dbus", "not-yet", "ssh", "systemd-logind")


@pytest.mark.level("chroot", highest="chroot")
def test_initramfs_is_small(tree: Path) -> None:
    """It holds no second loader of modules with an OpenSSL, and modules that are not packed."""
    for image in (tree / "boot/firmware").glob("initr*"):
        names = {each.name for each in initramfs.members(image.read_bytes())}

        assert not [each for each in names if "libcrypto" in each or each.endswith("/kmod")]
        assert not [each for each in names if each.endswith((".ko.xz", ".ko.zst"))]
        assert any(each.endswith("/ext4.ko") for each in names)
        assert "scripts/glovebox" in names


@pytest.mark.level("chroot")
def test_what_is_left_out_says_so(host: Host) -> None:
    """Programs that have nothing to do here are not started; what a console needs still is."""
    generators = "/etc/systemd/system-generators"
    masked = host.check_output(f"cd {generators} && ls -1").split()

    assert "systemd-gpt-auto-generator" in masked
    assert not {"systemd-fstab-generator", "systemd-getty-generator"} & set(masked)
    for each in masked:
        assert host.check_output(f"readlink {generators}/{each}") == "/dev/null"


@pytest.mark.level("chroot")
def test_target_of_a_first_run_script_is_the_usual_one(host: Host) -> None:
    """Raspberry Pi Imager's words name a target that no generator makes here: it is there."""
    target = host.check_output("readlink /etc/systemd/system/kernel-command-line.target")

    assert target.endswith("/multi-user.target")
    assert host.run(f"test -e {target}").succeeded
    assert host.check_output("systemctl get-default") == "multi-user.target"


@pytest.mark.level("chroot")
@pytest.mark.stage("gnss")
def test_gpsd_does_not_wait_for_the_clock(host: Host) -> None:
    """The unit is ours, whole: an order that a package gave could not be taken back."""
    unit = host.check_output("cat /etc/systemd/system/gpsd.service")

    assert not [line for line in unit.splitlines() if "chrony" in line and not line.startswith("#")]
    assert "\nRestart=always\n" in unit
    # It waits for the bus before it opens a receiver, and the bus waits for the recording.
    assert "\nEnvironment=DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/no-bus\n" in unit
    assert host.check_output("systemctl is-enabled gpsd.service gpsd.socket").split() == [
        "enabled",
        "enabled",
    ]


@pytest.mark.level("emulated")
@pytest.mark.stage("telematics")
def test_recording_comes_first(host: Host) -> None:
    """Each of the others began when the recorder was ready, and is there now."""
    ready = since(host, "telematics.service", "ActiveEnterTimestampMonotonic")
    begun = {
        each: since(host, f"{each}.service", "InactiveExitTimestampMonotonic") for each in LATER
    }

    assert ready > 0
    assert {each for each in LATER if begun[each] == 0} == set(), "it never began"
    # It may be given up on after a while, for the sake of a login; an idle machine never does.
    waited = since(host, "recording-first.service", "ActiveEnterTimestampMonotonic")
    assert {each for each in LATER if begun[each] < waited} == set()


@pytest.mark.level("emulated")
def test_all_devices_are_found_in_the_end(host: Host) -> None:
    """What the first look left out is known to udev: a random number generator, for one."""
    assert host.run("systemctl is-active not-yet.service").stdout.strip() == "active"
    assert "USEC_INITIALIZED=" in host.check_output("udevadm info /sys/class/block/mmcblk0")
    assert host.run("test -c /dev/fuse -o -c /dev/net/tun").succeeded


def since(host: Host, unit: str, what: str) -> int:
    """Give a moment of a unit's life, in microseconds since the kernel started; 0 if it never came.

    After a restart it is a later one, so the tests of restarts run behind these.
    """
    return int(host.check_output(f"systemctl show --property={what} --value {unit}") or 0)
