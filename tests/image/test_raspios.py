"""A car on Raspberry Pi OS: what that does by itself is replaced, and what starts it is ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox.boards import firmware
from glovebox.card import first_start, initramfs
from glovebox.card.first_start import How, Job
from glovebox.host.files import walk

if TYPE_CHECKING:
    from pathlib import Path

    from testinfra.host import Host

    from glovebox.boards.firmware import Verdict
    from glovebox.verify.verify import Facts

pytestmark = pytest.mark.stage("raspios")

FIRMWARE = "boot/firmware"
# What a car does once must have been done by something before.
ONCE = {Job.GROWTH, Job.DISK_ID, Job.HOST_KEYS, Job.SSH, Job.USER}


@pytest.fixture(scope="module")
def started(tree: Path) -> list[Verdict]:
    """Give each model that finds all it loads, with what that is."""
    folder = tree / FIRMWARE
    names = [str(path.relative_to(folder)) for path in walk(folder)]
    config = (folder / "config.txt").read_text()
    judged = [
        firmware.judge(firmware.read(config, model), model, names)
        for model in firmware.MODELS.values()
    ]
    return [one for one in judged if one.boots]


@pytest.mark.level("chroot", highest="chroot")
def test_nothing_of_its_own_first_start_is_left(tree: Path) -> None:
    """Read again, the image does nothing by itself any more: neither word, unit nor script."""
    assert first_start.read(tree, tree / FIRMWARE).jobs == {}


@pytest.mark.level("chroot")
def test_what_was_replaced_is_named(host: Host) -> None:
    """The board says what did each job before, by its name, and what does it there."""
    lines = [
        line.split("\t")
        for line in host.check_output(f"cat /{first_start.REPLACED}").splitlines()
        if not line.startswith("#")
    ]

    assert {Job(job) for _, _, job, _ in lines} >= ONCE
    units = [name for how, name, _, _ in lines if how == How.UNIT]
    links = host.check_output(f"cd /etc/systemd/system && readlink {' '.join(units)}").split()
    assert set(links) == {"/dev/null"}


@pytest.mark.level("chroot", highest="chroot")
def test_every_kernel_starts_with_our_initramfs(tree: Path, started: list[Verdict]) -> None:
    """Whatever board the card is put into: its initramfs mounts root and data as a car's does."""
    assert started
    for model in started:
        assert model.initramfs is not None, model.model.title
        image = (tree / FIRMWARE / model.initramfs).read_bytes()
        names = {each.name for each in initramfs.members(image)}
        kept_out = first_start.replaced(tree, How.SCRIPT)

        assert {"scripts/glovebox", "usr/lib/glovebox/lay-over"} <= names, model.initramfs
        assert names & {f"scripts/{name}" for name in kept_out} == set()


@pytest.mark.level("chroot", highest="chroot")
def test_every_kernel_has_its_modules(tree: Path, started: list[Verdict]) -> None:
    """Each kernel that is started is that of a package, whose modules are there, with an index."""
    packaged = {
        path.read_bytes(): path.name.removeprefix("vmlinuz-")
        for path in (tree / "boot").glob("vmlinuz-*")
    }
    for model in started:
        version = packaged[(tree / FIRMWARE / str(model.kernel)).read_bytes()]

        assert (tree / "usr/lib/modules" / version / "modules.dep.bin").stat().st_size > 0


@pytest.mark.level("chroot")
def test_the_first_user_is_its_own_renamed(host: Host, facts: Facts) -> None:
    """Number 1000, whom the image came with, has the owner's name, and there is nobody else."""
    people = [
        line.split(":")
        for line in host.check_output("getent passwd").splitlines()
        if 1000 <= int(line.split(":")[2]) < 60000
    ]

    assert [(fields[0], fields[2]) for fields in people] == [(facts.user, "1000")]
    assert host.run("ls /etc/ssh/sshd_config.d/rename_user.conf").failed
    assert "NOPASSWD" not in host.check_output(
        "cat $(ls /etc/sudoers.d/* | grep -v /010-first-user)"
    )


@pytest.mark.level("emulated")
def test_nobody_grows_the_root(host: Host, facts: Facts) -> None:
    """After its first start the card still has the identifier it was made with, and our root.

    Also where the word that grew a stock image came back: an emulated board's owner wrote it.
    """
    words = host.check_output("cat /boot/firmware/cmdline.txt").split()

    assert f"root=PARTUUID={facts.disk_id}-02" in words
    device = host.check_output("findmnt --noheadings --output SOURCE /run/glovebox/root")
    start, size = (
        int(host.check_output(f"cat /sys/class/block/{device.rpartition('/')[2]}/{each}"))
        for each in ("start", "size")
    )
    data = host.check_output("findmnt --noheadings --output SOURCE /data").rpartition("/")[2]
    # There is room for a second root behind it.
    assert int(host.check_output(f"cat /sys/class/block/{data}/start")) == start + 2 * size
