"""Which disks a card can be, on made-up machines: no disk of this one is looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from glovebox.card import disks
from glovebox.errors import HostError
from glovebox.project import ways

USB = "devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host4/target4:0:0/4:0:0:0/block"
SATA = "devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block"
MMC = "devices/platform/soc/mmc_host/mmc0/mmc0:aaaa/block"
NVME = "devices/pci0000:00/0000:01:00.0/nvme/nvme0"
VIRTUAL = "devices/virtual/block"


class Machine:
    """A machine with the disks that a test gives it."""

    def __init__(self, folder: Path) -> None:
        """Make one without any."""
        self.host = disks.Host(sys=folder / "sys", proc=folder / "proc")
        (self.host.sys / "block").mkdir(parents=True)
        (self.host.proc / "self").mkdir(parents=True)
        self.mounts("25 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw")

    def mounts(self, *lines: str) -> None:
        """Say what is mounted."""
        (self.host.proc / "self/mountinfo").write_text("".join(f"{line}\n" for line in lines))

    def disk(self, name: str, where: str, sectors: int, /, **device: str) -> Path:
        """Add a disk, as the kernel shows it."""
        folder = self.host.sys / where / name
        (folder / "device").mkdir(parents=True)
        (folder / "size").write_text(f"{sectors}\n")
        (folder / "ro").write_text("0\n")
        (folder / "dev").write_text(f"8:{len(list((self.host.sys / 'block').iterdir())) * 16}\n")
        for key, value in device.items():
            (folder / "device" / key).write_text(f"{value:<16}\n")
        (self.host.sys / "block" / name).symlink_to(folder)
        return folder

    def part(self, disk: Path, name: str, number: str) -> Path:
        """Add a partition."""
        folder = disk / name
        folder.mkdir()
        (folder / "partition").write_text("1\n")
        (folder / "dev").write_text(f"{number}\n")
        return folder


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Give a laptop: its own disk, an empty reader, a stick, a card, and what is no disk."""
    made = Machine(tmp_path)
    nvme = made.disk("nvme0n1", NVME, 2_000_000, model="Fast Disk")
    made.part(nvme, "nvme0n1p2", "259:2")
    made.disk("sda", SATA, 1_000_000, vendor="ATA", model="Spinning")
    stick = made.disk("sdb", USB, 62_333_952, vendor="SanDisk", model="Ultra")
    made.part(stick, "sdb1", "8:17")
    made.disk("sdc", USB.replace("4:0", "5:0"), 0, vendor="Generic", model="Reader")
    made.disk("mmcblk0", MMC, 15_523_840, name="SC16G")
    made.disk("mmcblk0boot0", MMC.replace("aaaa", "bbbb"), 8192)
    made.disk("loop3", VIRTUAL, 8192)
    made.disk("ram0", VIRTUAL, 8192)
    return made


def test_cards_are_what_is_on_usb_or_mmc(machine: Machine) -> None:
    """Neither the machine's own disks, nor loops, nor boot areas, nor empty readers are listed."""
    found = disks.listed(machine.host)

    assert [(one.name, one.bus, one.model, one.size, one.used) for one in found] == [
        ("mmcblk0", "MMC", "SC16G", 15_523_840 * 512, ()),
        ("sdb", "USB", "SanDisk Ultra", 62_333_952 * 512, ()),
    ]


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("/dev/sda", "is on neither USB nor MMC"),
        ("/dev/nvme0n1", "is on neither USB nor MMC"),
        ("/dev/ram0", "is on neither USB nor MMC"),
        ("/dev/mmcblk0boot0", "is on neither USB nor MMC"),
        ("/dev/sdc", "has no card in it"),
        ("/dev/sdb1", "is a partition"),
        ("/dev/sdz", "is no disk"),
        ("/etc/passwd", "is no disk"),
        ("/tmp/sdb", "is no disk"),
        ("/dev", "is no disk"),
        ("..", "is no disk"),
        (".", "is no disk"),
    ],
)
def test_what_is_no_card_is_refused(machine: Machine, device: str, said: str) -> None:
    """Whatever is named, only a card is taken, and the message says what the thing is."""
    with pytest.raises(HostError, match=said):
        disks.named(machine.host, device)


@pytest.mark.parametrize("device", ["sdb", "/dev/sdb", "mmcblk0", "loop3", "/dev/loop3"])
def test_a_card_is_taken(machine: Machine, device: str) -> None:
    """A free card is taken; a loop device, too, since it was named."""
    assert disks.named(machine.host, device).device == Path("/dev") / Path(device).name


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("30 25 8:17 / /media/me/SD\\040CARD rw - vfat /dev/sdb1 rw", "on /media/me/SD CARD"),
        ("30 25 8:32 / /mnt rw,relatime shared:5 master:2 - ext4 /dev/sdb rw", "on /mnt"),
        ("30 25 0:44 /@ / rw - btrfs /dev/sdb1 rw", "sdb1 is mounted on /"),
    ],
)
def test_what_is_mounted_is_refused(machine: Machine, line: str, said: str) -> None:
    """A disk with a mounted file system, the running system's too, is told and not written."""
    machine.mounts(line)

    (stick,) = (one for one in disks.listed(machine.host) if one.name == "sdb")

    assert said in stick.used[0]
    with pytest.raises(HostError, match="/dev/sdb is in use"):
        disks.named(machine.host, "/dev/sdb")


def test_swap_holders_and_locks_are_refused(machine: Machine) -> None:
    """So is one that is swap, part of a volume group, or write-protected; all of it is said."""
    (machine.host.proc / "swaps").write_text(
        "Filename Type Size Used Priority\n/dev/sdb1 partition 1 0 -2\n"
    )
    folder = machine.host.sys / "block/sdb"
    (folder / "sdb1/holders/dm-0").mkdir(parents=True)
    (folder / "ro").write_text("1\n")

    with pytest.raises(HostError) as caught:
        disks.named(machine.host, "sdb")

    for word in ("write-protected", "sdb1 is swap space", "sdb1 belongs to dm-0"):
        assert word in caught.value.message


def test_the_list_says_what_is_free(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """Each card has its size and model, and what keeps it from being written; then comes how."""
    machine.mounts("30 25 8:17 / /media/card rw - vfat /dev/sdb1 rw")

    ways.disks(disks.listed(machine.host))

    said = capsys.readouterr().out
    assert "SanDisk Ultra" in said
    assert "31.9" in said
    assert "sdb1 is mounted on /media/card" in said
    assert "./invoke flash --device" in said
