"""The image: what is assembled is sound, holds what was in the tree, and is the same every time."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from glovebox.build import assemble, layer
from glovebox.build.assemble import MIB, SECTOR, Layout
from glovebox.card import table as card
from glovebox.config.schema import Disk
from glovebox.host import mounts, native
from glovebox.host.run import run
from glovebox.plan import plan
from glovebox.trials import compare_image
from tests.root.tools import HostTools, any_tools, same_bytes_tools

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs(
        "debugfs", "dumpe2fs", "e2fsck", "mcopy", "mdir", "mke2fs", "mkfs.fat", "mtools", "setcap",
        "sfdisk",
    ),
]  # fmt: skip

EPOCH = 1_700_000_000
OLDER = 1_600_000_000
PLAN = plan.Plan(steps={}, disk_id="0badcafe", arch="arm64", epoch=EPOCH, variables={})
DISK = Disk(boot=128 * MIB, root_free=8 * MIB)


def fill(tree: Path) -> Path:
    """Make the smallest system that has one of everything."""
    for name in ("boot/firmware/overlays", "etc", "usr/bin", "home/pi", "var/empty", "dev"):
        (tree / name).mkdir(parents=True)
    (tree / "boot/firmware/config.txt").write_text("arm_64bit=1\n")
    (tree / "boot/firmware/kernel8.img").write_bytes(bytes(range(256)) * 9000)
    (tree / "boot/firmware/overlays/a-long-name-of-an-overlay.dtbo").write_bytes(b"dtbo")
    (tree / "etc/hostname").write_text("truck\n")
    (tree / "etc/umlaut-ü").write_text("ü\n")
    (tree / "etc/link").symlink_to("hostname")
    (tree / "usr/bin/one").write_bytes(b"#!/bin/sh\n" * 3000)
    (tree / "usr/bin/ping").write_bytes(b"ping")
    (tree / "usr/bin/sudo").write_bytes(b"sudo")
    (tree / "home/pi/notes").write_text("mine\n")
    with (tree / "var/sparse").open("wb") as file:
        file.truncate(3 * MIB)
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    (tree / "usr/bin/sudo").chmod(0o4755)
    (tree / "usr/bin/two").hardlink_to(tree / "usr/bin/one")
    for path in (tree / "home/pi", tree / "home/pi/notes"):
        os.chown(path, 1000, 1000)
    os.mknod(tree / "dev/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    run(["setcap", "cap_net_raw+ep", tree / "usr/bin/ping"])
    os.setxattr(tree / "etc/hostname", "user.note", b"kept")
    for path in (*tree.rglob("*"), tree):
        os.utime(path, (OLDER, OLDER), follow_symlinks=False)
    return tree


def assembled(folder: Path, tools: native.Root | HostTools, disk: Disk = DISK) -> Path:
    """Assemble the tree as an export does: seen through overlay mounts, in two layers."""
    lower = folder / "lower"
    if not lower.exists():
        lower.mkdir()
        fill(lower)
    upper, hidden = folder / "upper", folder / "hidden"
    for name in (
        "upper/usr/bin",
        "upper/var",
        "hidden/boot/firmware",
        "s1",
        "s2",
        "s3",
        "r1",
        "r2",
    ):
        (folder / name).mkdir(parents=True)
    for path in (
        upper,
        upper / "usr",
        upper / "usr/bin",
        upper / "var",
        *hidden.rglob("*"),
        hidden,
    ):
        path.chmod(0o755)
        os.utime(path, (OLDER, OLDER))
    (upper / "var").rmdir()
    shutil.copytree(lower / "var", upper / "var")
    # The attributes overlayfs leaves in layers.
    os.setxattr(upper / "var", "trusted.overlay.opaque", b"y")
    os.setxattr(hidden / "boot/firmware", "trusted.overlay.opaque", b"y")
    for path in (lower, upper):
        layer.settle_times(path, started_ns=sys.maxsize, epoch=EPOCH)
    image = folder / "card.img"
    with (
        mounts.overlay([lower, upper, hidden], folder / "r1", scratch=folder / "s1") as root,
        mounts.overlay([lower, upper], folder / "r2", scratch=folder / "s2") as whole,
    ):
        assemble.assemble(
            image,
            root=root,
            whole=whole,
            made=PLAN,
            disk=disk,
            tools=tools,  # type: ignore[arg-type]  the stand-in has all that is asked of a root
            scratch=folder / "s3",
        )
    return image


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Assemble once for all tests that only look."""
    return assembled(tmp_path_factory.mktemp("image"), any_tools())


@pytest.fixture(scope="module")
def table(image: Path) -> card.Table:
    """Read the image's partition table."""
    return card.table(image)


@pytest.fixture(scope="module")
def ext4(image: Path, table: card.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the root file system out of the image, so that tools can look at it."""
    return copied(image, table.root, tmp_path_factory.mktemp("ext4") / "root.ext4")


def copied(image: Path, part: card.Partition, target: Path) -> Path:
    """Copy a partition out of an image."""
    run(
        [
            "dd", f"if={image}", f"of={target}", "bs=1M", "conv=sparse", "status=none",
            f"skip={part.start // MIB}", f"count={part.size // MIB}",
        ]
    )  # fmt: skip
    return target


def debugfs(ext4: Path, request: str) -> str:
    """Ask a file system without mounting it."""
    return run(["debugfs", "-R", request, ext4]).stdout


def test_the_table_is_the_layout(image: Path) -> None:
    """The table is what was laid out: boot first, from sector 16384, then root to the end."""
    told = json.loads(run(["sfdisk", "--json", image]).stdout)["partitiontable"]

    boot, root = told["partitions"]
    assert (told["label"], told["id"]) == ("dos", "0x0badcafe")
    assert (boot["start"], boot["size"], boot["type"]) == (16384, 128 * MIB // SECTOR, "c")
    assert (root["start"], root["type"]) == (boot["start"] + boot["size"], "83")
    assert (root["start"] + root["size"]) * SECTOR == image.stat().st_size
    assert run(["sfdisk", "--verify", image]).returncode == 0


def test_the_root_file_system_is_sound(ext4: Path) -> None:
    """A forced check finds nothing to mend."""
    said = run(["e2fsck", "-f", "-n", ext4], check=False)

    assert said.returncode == 0, said.stdout


def test_the_root_file_system_is_what_the_plan_says(ext4: Path) -> None:
    """Label, identifiers and features are stated; nothing depends on the host's mke2fs.conf."""
    said = run(["dumpe2fs", "-h", ext4]).stdout
    fields = dict(re.findall(r"^([^:\n]+):\s+(.*)$", said, re.MULTILINE))

    assert fields["Filesystem volume name"] == "rootfs"
    assert fields["Filesystem UUID"] == str(plan.identifier(PLAN, "root"))
    assert fields["Directory Hash Seed"] == str(plan.identifier(PLAN, "hash seed"))
    assert fields["Filesystem state"] == "clean"
    assert set(fields["Filesystem features"].split()) == {
        "has_journal", "ext_attr", "resize_inode", "dir_index", "filetype", "extent", "64bit",
        "flex_bg", "sparse_super", "large_file", "huge_file", "dir_nlink", "extra_isize",
        "metadata_csum",
    }  # fmt: skip
    assert (fields["Block size"], fields["Inode size"]) == ("4096", "256")
    assert int(fields["Free blocks"]) * 4096 >= 8 * MIB
    assert fields["Last mount time"] == "n/a"
    assert fields["Mount count"] == "0"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/etc/hostname", r"Type: regular +Mode: +0644 "),
        ("/usr/bin/sudo", r"Type: regular +Mode: +04755 "),
        ("/home/pi/notes", r"User: +1000 +Group: +1000 "),
        ("/usr/bin/one", r"Links: 2 "),
        ("/etc/link", r'Fast link dest: "hostname"'),
        ("/dev/null", r"Type: character special"),
        ("/etc/hostname", r"mtime: 0x5f5e1000"),
        ("/etc/link", r"mtime: 0x5f5e1000"),
        ("/home", r"mtime: 0x5f5e1000"),
        ("/etc/umlaut-ü", r"Type: regular"),
        ("/boot/firmware", r"Type: directory +Mode: +0755 "),
    ],
)
def test_files_are_as_they_were(ext4: Path, path: str, shown: str) -> None:
    """Modes, owners, times, links and devices are those of the tree."""
    assert re.search(shown, debugfs(ext4, f'stat "{path}"'))


def test_hard_links_are_kept(ext4: Path) -> None:
    """Two names of one file stay one file."""
    one, two = (
        re.findall(r"Inode: (\d+)", debugfs(ext4, f"stat /usr/bin/{name}"))
        for name in ("one", "two")
    )

    assert one == two != []


def test_a_sparse_file_takes_no_room(ext4: Path) -> None:
    """Holes stay holes."""
    assert "Blockcount: 0\n" in debugfs(ext4, "stat /var/sparse")


def test_attributes_survive_and_those_of_overlayfs_do_not(ext4: Path) -> None:
    """Capabilities are kept, as are the owner's notes; nothing tells how the tree was layered."""
    listed = {
        path: debugfs(ext4, f"ea_list {path}")
        for path in ("/", "/boot", "/boot/firmware", "/etc/hostname", "/usr/bin/ping", "/var")
    }

    assert "security.capability" in listed["/usr/bin/ping"]
    assert 'user.note (4) = "kept"' in listed["/etc/hostname"]
    assert "overlay" not in "".join(listed.values())
    assert b"trusted.overlay" not in ext4.read_bytes()


def test_the_boot_folder_is_empty_in_the_root(ext4: Path) -> None:
    """What the firmware reads stands on the boot partition alone."""
    names = debugfs(ext4, "ls -p /boot/firmware").split("\n")

    assert [line.split("/")[5] for line in names if line.startswith("/")] == [".", ".."]


def test_the_boot_partition_holds_the_boot_folder(
    image: Path, table: card.Table, tmp_path: Path
) -> None:
    """Every file is there with its bytes and its time, in UTC; the volume is named and numbered."""
    out = tmp_path / "boot"
    out.mkdir()

    card.copy_out(image, "*", out)

    files = {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in out.rglob("*")
        if path.is_file()
    }
    assert files == {
        "config.txt": hashlib.sha256(b"arm_64bit=1\n").hexdigest(),
        "kernel8.img": hashlib.sha256(bytes(range(256)) * 9000).hexdigest(),
        "overlays/a-long-name-of-an-overlay.dtbo": hashlib.sha256(b"dtbo").hexdigest(),
    }
    said = run(
        ["mdir", "-i", f"{image}@@{table.boot.start}", "::"], env={"MTOOLS_SKIP_CHECK": "1"}
    ).stdout
    serial = plan.identifier(PLAN, "boot").hex[:8].upper()
    assert "Volume in drive : is bootfs" in said
    assert f"Volume Serial Number is {serial[:4]}-{serial[4:]}" in said
    assert re.search(r"config +txt +12 2020-09-13 +12:26", said)


@pytest.mark.needs("fsck.fat")
def test_the_boot_partition_is_sound(image: Path, table: card.Table, tmp_path: Path) -> None:
    """A check of the FAT finds nothing to mend."""
    fat = copied(image, table.boot, tmp_path / "boot.fat")

    said = run(["fsck.fat", "-n", fat], check=False)

    assert said.returncode == 0, said.stdout


@pytest.mark.parametrize("boot", [64, 72, 128, 136, 512])
def test_every_allowed_boot_size(folder: Path, boot: int) -> None:
    """The smallest boot partition and the usual one can be read back."""
    image = assembled(folder, any_tools(), Disk(boot=boot * MIB, root_free=8 * MIB))
    out = folder / "out"
    out.mkdir()

    card.copy_out(image, "*", out)

    assert (out / "config.txt").read_text() == "arm_64bit=1\n"


def test_many_small_files_fit(folder: Path) -> None:
    """`auto` counts files too: a tree of many small ones gets as many inodes as it needs."""
    lower = fill(folder / "lower")
    many = lower / "srv"
    many.mkdir()
    for number in range(200):
        (many / str(number)).mkdir()
        for name in range(100):
            (many / str(number) / str(name)).touch()

    image = assembled(folder, any_tools())

    ext4 = copied(image, card.table(image).root, folder / "root.ext4")
    assert run(["e2fsck", "-f", "-n", ext4], check=False).returncode == 0
    assert "Type: regular" in debugfs(ext4, "stat /srv/199/99")


@pytest.fixture
def _umask() -> Iterator[None]:
    old = os.umask(0o022)
    yield
    os.umask(old)


@pytest.mark.usefixtures("_umask")
def test_the_same_tree_gives_the_same_bytes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another folder, copy, umask, time zone and configuration of the tools change no byte."""
    tools = same_bytes_tools()
    one, other = folder / "one", folder / "another/place"
    one.mkdir()
    other.mkdir(parents=True)
    first = assembled(one, tools)
    os.umask(0o077)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("MTOOLSRC", "/nowhere")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    # Another copy, its folders filled in another order.
    (other / "lower").mkdir()
    names = sorted(
        (path.relative_to(one / "lower") for path in (one / "lower").iterdir()), reverse=True
    )
    run(["cp", "--archive", *(one / "lower" / name for name in names), other / "lower"])
    shutil.copystat(one / "lower", other / "lower")

    second = assembled(other, tools)

    assert compare_image.difference(first, second, tools) is None  # type: ignore[arg-type]  likewise
    assert first.stat().st_size == second.stat().st_size


def test_the_layout_is_given_back(folder: Path) -> None:
    """What is returned is what was written."""
    fill(folder / "lower")
    (folder / "scratch").mkdir()

    layout = assemble.assemble(
        folder / "card.img",
        root=folder / "lower",
        whole=folder / "lower",
        made=PLAN,
        disk=DISK,
        tools=any_tools(),  # type: ignore[arg-type]  the stand-in has all that is asked of a root
        scratch=folder / "scratch",
    )

    parts = card.table(folder / "card.img").partitions
    assert layout == Layout(
        boot_start=parts[0].start,
        boot_size=parts[0].size,
        root_start=parts[1].start,
        root_size=parts[1].size,
        inodes=layout.inodes,
    )
