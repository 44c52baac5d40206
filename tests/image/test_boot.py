"""The way from the firmware to a running system: each part names the next, and it is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox.boards.boards import BOARDS
from glovebox.card.table import Start, start_of
from glovebox.config.build import RASPIOS
from glovebox.config.schema import BoardName

if TYPE_CHECKING:
    from testinfra.host import Host

    from glovebox.verify.verify import Facts

FIRMWARE = "/boot/firmware"


@pytest.fixture(scope="module")
def start(host: Host, facts: Facts) -> Start:
    """Give what config.txt starts on this board."""
    return start_of(host.check_output(f"cat {FIRMWARE}/config.txt"), BOARDS[BoardName(facts.board)])


@pytest.mark.level("chroot")
def test_root_is_named_by_the_card(host: Host, facts: Facts) -> None:
    """The kernel and fstab name the partitions by this card's identifier."""
    root, boot = f"PARTUUID={facts.disk_id}-02", f"PARTUUID={facts.disk_id}-01"
    cmdline = host.check_output(f"cat {FIRMWARE}/cmdline.txt")
    fstab = [line.split()[:2] for line in host.check_output("cat /etc/fstab").splitlines()]

    assert len(cmdline.splitlines()) == 1, "the firmware reads one line"
    assert f"root={root}" in cmdline.split()
    assert "rootwait" in cmdline.split()
    # The root of a car is mounted before fstab is read.
    assert ([root, "/"] in fstab) is not facts.car
    assert [boot, FIRMWARE] in fstab


@pytest.mark.stage("boot")
@pytest.mark.level("chroot")
def test_the_graphics_memory_is_the_device_tree_s(host: Host, facts: Facts) -> None:
    """No word of the command line overrides where each board's tree sets it aside."""
    if facts.base != "debian":
        pytest.skip("another image says itself where the graphics' memory is")
    words = host.check_output(f"cat {FIRMWARE}/cmdline.txt").split()

    assert [word for word in words if word.startswith("cma=")] == []


@pytest.mark.level("chroot")
def test_what_is_started_is_there(host: Host, facts: Facts, start: Start) -> None:
    """The kernel and the initramfs config.txt names, and a device tree of the board, are there."""
    dtbs = BOARDS[BoardName(facts.board)].model.dtbs
    assert start.initramfs is not None
    for names in ((start.kernel,), (start.initramfs,), dtbs):
        there = [host.run("test -s %s", f"{FIRMWARE}/{name}").succeeded for name in names]
        assert any(there), names


@pytest.mark.level("chroot")
def test_kernel_has_its_modules(host: Host, start: Start, facts: Facts) -> None:
    """Kernel and initramfs are of the one version that has modules, with their index."""
    if facts.base == RASPIOS:
        pytest.skip("Raspberry Pi OS has several kernels, whose names tell no version")
    versions = host.check_output("ls /usr/lib/modules").split()
    assert start.initramfs is not None
    if start.kernel.startswith("kernel"):  # Raspberry Pi's names, one for each kind of board
        assert start.initramfs == start.kernel.replace("kernel", "initramfs").removesuffix(".img")
        for version in versions:
            assert host.run("test -s %s", f"/usr/lib/modules/{version}/modules.dep.bin").succeeded
        return

    assert len(versions) == 1
    assert start.kernel.endswith(versions[0])
    assert start.initramfs.endswith(versions[0])
    assert host.run("test -s %s", f"/usr/lib/modules/{versions[0]}/modules.dep.bin").succeeded


@pytest.mark.level("emulated")
def test_root_is_the_right_partition(host: Host, facts: Facts) -> None:
    """What is mounted is what the card's identifier names; in a car it cannot be written to."""
    root = "/run/glovebox/root" if facts.car else "/"
    for place, number in ((root, "02"), (FIRMWARE, "01")):
        told = host.check_output(f"findmnt --noheadings --output PARTUUID,OPTIONS {place}").split()
        assert told[0] == f"{facts.disk_id}-{number}"
        assert ("ro" if facts.car else "rw") in told[1].split(",")


@pytest.mark.level("emulated")
def test_system_runs(host: Host) -> None:
    """Everything that should run does: no unit failed."""
    failed = host.check_output("systemctl --failed --plain --no-legend --no-pager")
    assert failed == ""
    assert host.run("systemctl is-system-running").stdout.strip() == "running"


@pytest.mark.level("emulated")
def test_kernel_is_content(host: Host) -> None:
    """The kernel met no fault of its own."""
    told = host.run("dmesg --level emerg,alert,crit").stdout
    assert told == ""
    assert "Oops" not in host.run("dmesg | grep -E 'Oops|BUG:|Call trace'").stdout


@pytest.mark.level("emulated")
def test_host_keys_are_the_boards_own(host: Host) -> None:
    """The first boot made an Ed25519 key and no other; only root reads it."""
    keys = host.check_output("ls /etc/ssh | grep ssh_host").split()

    assert sorted(keys) == ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"]
    mode = host.check_output("stat --format '%U %a' /etc/ssh/ssh_host_ed25519_key")
    assert mode == "root 600"


@pytest.mark.level("emulated")
def test_machine_id_was_made(host: Host) -> None:
    """The first boot gave the board an identity."""
    assert len(host.check_output("cat /etc/machine-id")) == 32
