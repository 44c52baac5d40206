"""What a root file system says of itself, and that its links never lead to the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox.card import system
from glovebox.errors import ImageError
from glovebox.host import inside

if TYPE_CHECKING:
    from pathlib import Path

STATUS = """\
Package: dpkg
Status: install ok installed
Architecture: arm64
Version: 1.22

Package: libc6
Status: install ok installed
Architecture: arm64
Version: 2.41

Package: libc6
Status: install ok installed
Architecture: armhf
Version: 2.41

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1
"""


def write(root: Path, name: str, text: str) -> None:
    """Write a file of the system."""
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def test_links_stay_inside(tmp_path: Path) -> None:
    """An absolute link means the image's own root, and .. stops there."""
    write(tmp_path, "usr/lib/os-release", 'PRETTY_NAME="Here"\n')
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").symlink_to("/usr/lib/os-release")
    (tmp_path / "etc/up").symlink_to("../../../../usr")

    assert system.os_release(tmp_path) == {"PRETTY_NAME": "Here"}
    assert inside.place(tmp_path, "etc/up/lib") == tmp_path / "usr/lib"


def test_links_in_a_circle_are_named(tmp_path: Path) -> None:
    """A link to itself ends in a sentence, not in a loop."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    with pytest.raises(ImageError, match="circles"):
        inside.place(tmp_path, "a/x")

    (tmp_path / "a").unlink()  # pytest cannot clear circles away


def test_packages(tmp_path: Path) -> None:
    """Installed packages are listed by name; one of a second architecture carries it."""
    write(tmp_path, "var/lib/dpkg/status", STATUS)

    assert system.arch(tmp_path) == "arm64"
    assert system.versions(tmp_path) == {"dpkg": "1.22", "libc6": "2.41", "libc6:armhf": "2.41"}


@pytest.mark.parametrize(
    ("fstab", "folders", "found"),
    [
        ("PARTUUID=1-01 /boot vfat defaults 0 2\n", [], "boot"),
        ("# x\nPARTUUID=1-01  /boot/firmware  vfat  defaults  0 2\n", [], "boot/firmware"),
        ("LABEL=x /boot/efi auto defaults 0 2\n", [], "boot/efi"),
        ("proc /proc proc defaults 0 0\n", ["boot/firmware"], "boot/firmware"),
        ("", ["boot"], "boot"),
        ("", [], "boot/firmware"),
    ],
)
def test_where_the_boot_partition_belongs(
    tmp_path: Path, fstab: str, folders: list[str], found: str
) -> None:
    """The image's own fstab says where; without one, its folders do."""
    write(tmp_path, "etc/fstab", fstab)
    for name in folders:
        (tmp_path / name).mkdir(parents=True)

    assert system.boot_point(tmp_path) == found


def test_users(tmp_path: Path) -> None:
    """Root and people are listed, services are not; a password is set, absent or empty."""
    write(
        tmp_path,
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\n"
        "pi:x:1000:1000::/home/pi:/bin/bash\nann:x:1001:1001::/home/ann:/bin/sh\nbroken\n",
    )
    write(tmp_path, "etc/shadow", "root:*:1::::::\npi:$y$x:1::::::\nann::1::::::\n")
    write(tmp_path, "home/pi/.ssh/authorized_keys", "# mine\nssh-ed25519 AAAA me\n\n")

    assert [(one.name, one.password, one.keys) for one in system.users(tmp_path)] == [
        ("root", "none", 0),
        ("pi", "set", 1),
        ("ann", "empty", 0),
    ]


def test_units(tmp_path: Path) -> None:
    """A unit is enabled by the targets that want it, and masked by a link to nothing."""
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "ssh.service").symlink_to("/usr/lib/systemd/system/ssh.service")
    (wants.parent / "apt.timer").symlink_to("/dev/null")

    assert system.units(tmp_path) == {"apt.timer": "masked", "ssh.service": "multi-user.target"}


def test_owners(tmp_path: Path) -> None:
    """A file belongs to its package also where dpkg names it by its old place, and as bytecode."""
    write(tmp_path, "var/lib/dpkg/info/bash:arm64.list", "/.\n/bin/bash\n/usr/lib/x/a.py\n")
    owners = system.owners(tmp_path)

    assert system.owner(owners, "usr/bin/bash") == "bash"
    assert system.owner(owners, "usr/lib/x/__pycache__/a.cpython-313.pyc") == "bash"
    assert system.owner(owners, "etc/other") is None


@pytest.mark.parametrize("uid", ["²", "1" * 5000, "-1", "", "0x1"])
def test_a_user_without_a_number_is_none(tmp_path: Path, uid: str) -> None:
    """What is no number of a user is passed over, whatever Python takes for digits."""
    write(tmp_path, "etc/passwd", f"me:x:{uid}:0::/:/bin/sh\nann:x:1001:0::/:/bin/sh\n")

    assert [one.name for one in system.users(tmp_path)] == ["ann"]


@pytest.mark.parametrize("missing", ["Version", "Architecture", "Package"])
def test_an_entry_of_dpkg_without_a_field(tmp_path: Path, missing: str) -> None:
    """A package whose entry lacks a field is listed by what there is, or not at all."""
    lines = [
        line
        for line in STATUS.split("\n\n", maxsplit=1)[0].splitlines()
        if not line.startswith(missing)
    ]
    write(tmp_path, "var/lib/dpkg/status", "\n".join(lines) + "\n")

    assert list(system.versions(tmp_path).values()) in ([], ["?"], ["1.22"])


@pytest.mark.parametrize(
    ("machine", "flags", "arch"),
    [(183, 0, "arm64"), (62, 0, "amd64"), (40, 0x400, "armhf"), (40, 0x200, "armel"),
     (243, 0, "riscv64")],
)  # fmt: skip
def test_the_processor_without_dpkg(tmp_path: Path, machine: int, flags: int, arch: str) -> None:
    """Alpine and Arch have no dpkg: the header of a program tells, through links of the image."""
    head = bytearray(64)
    head[:6] = b"\x7fELF\x01\x01" if machine == 40 else b"\x7fELF\x02\x01"
    head[18:20] = machine.to_bytes(2, "little")
    head[36:40] = flags.to_bytes(4, "little")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/busybox").write_bytes(bytes(head))
    (tmp_path / "bin/sh").symlink_to("/bin/busybox")

    assert system.arch(tmp_path) == arch


def test_a_processor_nobody_tells(tmp_path: Path) -> None:
    """With neither dpkg nor a program it is said what was looked at."""
    with pytest.raises(ImageError, match=r"does not tell for which processor .*/bin/sh"):
        system.arch(tmp_path)
