"""The end of the session: the board goes off cleanly, and its card is whole."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from glovebox.card import table as card
from glovebox.emulator import nmea
from glovebox.emulator.emulator import Login, boot, find_qemu
from glovebox.host import files
from glovebox.host.run import run
from glovebox.onboard.firstboot.screen import FILE as SCREEN
from tests.image import filled as owner
from tests.image.drives import LONG_DRIVE_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from glovebox.emulator.emulator import Machine
    from glovebox.verify.verify import Facts, Target
    from tests.image.filled import Filled

FAT32_STATE = 0x41  # in the first sector

_ASKED = (
    "sudo -n cat /boot/firmware/glovebox.yaml",
    "sudo -n cat /boot/firmware/glovebox-mistakes.txt",
    "findmnt --noheadings --output OPTIONS /boot/firmware",
    "uname --nodename",
    "nmcli --terse --fields NAME connection",
    "cat /etc/glovebox/telematics.json",
)

pytestmark = [pytest.mark.last, pytest.mark.level("emulated", highest="emulated")]


def test_boot_partition_is_not_written_again(boot_writes: Callable[[], int], facts: Facts) -> None:
    """Once the board has started, whatever it took over, nobody writes what the firmware reads."""
    if not facts.car:
        pytest.skip("the boot partition of profile bench is there to be written to")
    assert boot_writes() == 0


def test_power_off_is_clean(
    machine: Machine, artifacts: Path, keep_evidence: Callable[[], None]
) -> None:
    """The kernel says its last word in time, and leaves a file system without a fault."""
    keep_evidence()
    machine.poweroff()

    copy = artifacts / "card.img"
    for part in card.table(copy).partitions:
        if part.kind == card.LINUX_TYPE:
            checked = run(["e2fsck", "-f", "-n", f"{copy}?offset={part.start}"], check=False)
            assert checked.returncode == 0, checked.stdout + checked.stderr
            assert "recovering journal" not in checked.stdout


def test_nothing_was_written_but_data(
    machine: Machine, artifacts: Path, target: Target, facts: Facts, filled: Filled | None
) -> None:
    """After a start, drives and a power-off, boot and root are what was flashed, byte for byte.

    A boot partition that had something to take over has the same files; see the test after this.
    """
    if not facts.car:
        pytest.skip("the root of profile bench is there to be written to")
    assert machine.off
    assert target.path is not None
    shipped, used = target.path, artifacts / "card.img"

    for part in card.table(shipped).partitions[1 if filled else 0 : 2]:
        was, now = (
            files.sha256_file(image, start=part.start, size=part.size) for image in (shipped, used)
        )
        assert now == was, f"partition {part.number} was written"


def test_card_was_wiped(
    machine: Machine, artifacts: Path, target: Target, filled: Filled | None, tmp_path: Path
) -> None:
    """The boot partition holds the files that were flashed, and no byte of the passphrase.

    What the owner put there for other systems is gone too, and a note says so.
    """
    if filled is None:
        pytest.skip(f"the card with a file to take over is that of board {owner.BOARD}")
    assert machine.off
    assert target.path is not None
    used = artifacts / "card.img"
    for name, image in (("shipped", target.path), ("used", used)):
        (tmp_path / name).mkdir()
        card.copy_out(image, "/", tmp_path / name)

    told = run(
        [
            "diff",
            "--recursive",
            "--exclude",
            owner.CMDLINE,
            "--exclude",
            SCREEN,
            tmp_path / "shipped",
            tmp_path / "used",
        ],
        check=False,
    ).stdout
    assert told == f"Only in {tmp_path / 'used'}: {owner.NOTES}\n"
    # Blanks stand where Imager's words stood.
    was, now = ((tmp_path / name / owner.CMDLINE).read_text() for name in ("shipped", "used"))
    assert now.split() == [*was.split(), *owner.COPIED]
    if (tmp_path / "shipped" / SCREEN).exists():
        # The picture at HDMI was for a board that nobody had set up.
        lines = (tmp_path / "used" / SCREEN).read_text().splitlines()
        assert [line for line in lines if not line.startswith("#")] == []
    notes = (tmp_path / "used" / owner.NOTES).read_text()
    assert all(f"\n{name}: " in notes for name in owner.HABITS)
    boot = card.table(used).boot
    with used.open("rb") as file:
        file.seek(boot.start)
        content = file.read(boot.size)
    assert owner.PSK.encode() not in content
    # What FAT32 notes of itself while it is written: no computer wants to look for errors.
    assert content[FAT32_STATE] & 1 == 0


def test_second_start_is_as_the_first(
    machine: Machine,
    artifacts: Path,
    facts: Facts,
    filled: Filled | None,
    pytestconfig: pytest.Config,
) -> None:
    """What was taken over stays, whatever is wrong with the file that the owner wrote since."""
    if filled is None:
        pytest.skip(f"the card with a file to take over is that of board {owner.BOARD}")
    assert machine.off
    with boot(
        artifacts / "card.img",
        machine.board,
        qemu=find_qemu(pytestconfig.getoption("native_root")),
        login=Login(user=facts.user, key=filled.key or pytestconfig.getoption("key")),
        folder=artifacts / "second",
        put={owner.FILE: owner.WRONG},
    ) as again:
        # Without a position the login waits for one, 45 s.
        assert again.dongle is not None
        again.dongle.drive(nmea.drive(datetime.now(UTC).replace(microsecond=0), LONG_DRIVE_S))
        again.wait_ssh()
        # One question: each takes an emulated board seconds.
        told = again.ssh("; echo --; ".join(_ASKED)).stdout
    file, mistakes, options, name, networks, service = told.split("--\n")

    assert file.encode() == owner.WRONG
    assert owner.MISTAKE in mistakes.splitlines()
    assert "ro" in options.strip().split(",")
    assert name.strip() == owner.HOSTNAME
    assert owner.SSID in networks.splitlines()
    assert json.loads(service) == facts.service
