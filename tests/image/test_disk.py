"""The disk of a car or a home: nothing is written where it must not be, data outlives a cut."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from glovebox.card import initramfs
from tests.image.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from testinfra.host import Host

    from glovebox.verify.verify import Facts

pytestmark = pytest.mark.stage("car", "disk")

KEPT = {
    "/var/lib/queue": "/data/queue",
    "/var/lib/telematics": "/data/telematics",
    "/etc/NetworkManager/system-connections": "/data/network/system-connections",
}
OPTIONS = {"rw", "noatime", "nodev", "nosuid", "noexec"}


@pytest.mark.level("chroot")
def test_root_is_asked_for_read_only(host: Host) -> None:
    """The kernel is told so last: initramfs-tools goes by the last of `rw` and `ro`."""
    words = host.check_output("cat /boot/firmware/cmdline.txt").split()

    assert [each for each in words if each in {"ro", "rw"}][-1] == "ro"
    # A kernel that cannot go on starts again: nobody is there to press a key.
    assert any(re.fullmatch(r"panic=[1-9]\d*", each) for each in words)


@pytest.mark.level("chroot", highest="chroot")
def test_initramfs_brings_what_mends(tree: Path) -> None:
    """What checks, makes and mounts the data partition is there before the system is."""
    for image in (tree / "boot/firmware").glob("initr*"):
        files = {each.name: each.data for each in initramfs.members(image.read_bytes())}

        assert {"usr/lib/glovebox/open-data", "usr/lib/glovebox/lay-over"} <= set(files)
        for name in ("usr/sbin/e2fsck", "usr/sbin/mke2fs"):
            # Not busybox's, which knows no ext4.
            assert b"libext2fs.so" in files[name], name
        assert any(each.endswith(("/overlay.ko", "/overlay.ko.xz")) for each in files)


@pytest.mark.level("chroot")
def test_boot_partition_is_read_only(host: Host) -> None:
    """Its line in fstab says so, and that nothing waits for it."""
    lines = [line.split() for line in host.check_output("cat /etc/fstab").splitlines()]
    options = next(line[3] for line in lines if line[1:2] == ["/boot/firmware"]).split(",")

    assert {"ro", "nofail"} <= set(options)
    # A passphrase may lie there until the board has taken it over.
    assert "umask=0077" in options


@pytest.mark.level("chroot")
def test_no_swap(host: Host) -> None:
    """Nothing swaps to the card."""
    assert "swap" not in host.check_output("cat /etc/fstab")
    assert host.run("ls /etc/systemd/system/*.swap /usr/lib/systemd/system/*.swap").stdout == ""


@pytest.mark.level("emulated")
def test_no_swap_is_used(host: Host) -> None:
    """The kernel has none either."""
    assert len(host.check_output("cat /proc/swaps").splitlines()) == 1


@pytest.mark.level("emulated")
def test_root_is_an_overlay(host: Host) -> None:
    """What is written to the root goes to the RAM."""
    told = host.check_output("findmnt --noheadings --output FSTYPE,OPTIONS /").split()

    assert told[0] == "overlay"
    assert "lowerdir=/run/glovebox/root" in told[1]
    assert host.check_output("findmnt --noheadings --output FSTYPE /run/glovebox/ram") == "tmpfs"
    assert host.run("touch /run/glovebox/root/etc/written").failed
    assert host.run("touch /boot/firmware/written").failed


@pytest.mark.level("emulated")
def test_data_is_mounted_with_reason(host: Host, facts: Facts) -> None:
    """The third partition holds the data, and nothing on it runs."""
    told = host.check_output("findmnt --noheadings --output PARTUUID,FSTYPE,OPTIONS /data").split()

    assert told[:2] == [f"{facts.disk_id}-03", "ext4"]
    assert set(told[2].split(",")) >= {*OPTIONS, "errors=remount-ro"}
    kept_back = re.search(r"resuid=\d+", told[2]) is not None
    assert kept_back is ("queue" in facts.stages), "what is kept back is the queue's"


@pytest.mark.level("emulated")
def test_what_matters_is_on_data(host: Host) -> None:
    """The queue, the service's state and the networks are folders of the data partition."""
    for place, kept in KEPT.items():
        there, here = (
            host.check_output("stat --format '%%d %%i' %s", each) for each in (place, kept)
        )
        assert there == here, place


@pytest.mark.level("emulated")
def test_identity_is_kept(host: Host) -> None:
    """Machine-id and host key are those on the data partition: the first start comes once."""
    assert host.check_output("cat /data/system/machine-id") == host.check_output(
        "cat /etc/machine-id"
    )
    key = "ssh_host_ed25519_key"
    assert host.run(f"cmp /data/system/{key} /etc/ssh/{key}").succeeded
    assert host.check_output(f"stat --format '%U %a' /data/system/{key}") == "root 600"


@pytest.mark.level("emulated")
def test_data_reaches_the_end_of_the_card(host: Host) -> None:
    """Partition and file system have grown to the card, but for less than an erase block."""
    until(host, lambda: host.run("test ! -e /run/glovebox/grow").succeeded, "an end of growing")
    device = host.check_output("findmnt --noheadings --output SOURCE /data").rpartition("/")[2]
    sysfs = f"/sys/class/block/{device}"
    told = host.check_output(f"cat {sysfs}/start {sysfs}/size {sysfs}/../size").split()
    start, size, whole = map(int, told)
    blocks, block = map(int, host.check_output("stat --file-system --format '%b %S' /data").split())

    assert 0 <= whole - (start + size) < 2 * 16384
    # The tables of the file system are not counted among them.
    assert blocks * block > size * 512 * 0.9


@pytest.mark.level("emulated")
def test_journal_is_in_ram(host: Host) -> None:
    """No journal is on the card."""
    assert host.run("ls /var/log/journal/*").failed
    assert host.run("ls /run/log/journal/*/*.journal").succeeded


@pytest.mark.level("emulated")
def test_warnings_are_kept(host: Host) -> None:
    """A warning reaches the data partition, and is not written twice."""
    host.check_output("logger --priority user.warning glovebox-test-$$-warning")
    for _ in range(2):
        host.check_output("systemctl start glovebox-warnings.service")
    found = host.check_output("grep --count 'glovebox-test-.*-warning' /data/log/warnings")

    assert int(found) == 1


@pytest.mark.level("emulated")
def test_maintenance_is_off(host: Host) -> None:
    """The board says whether its image can be changed."""
    assert host.check_output("glovebox-maintenance status") == "read-only"
