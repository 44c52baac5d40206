"""Small images of cards in the layouts of Raspberry Pi OS, made within a second by the tests.

Bullseye mounts its boot partition at /boot, bookworm and trixie at /boot/firmware; the partitions
begin where those releases have them, but are small.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glovebox.host.run import run
from glovebox.store import store
from tests.needs import missing

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
SECTOR = 512
BOOT_MIB = 34
DISK_ID = "0badcafe"
LOADERS = {"arm64": "ld-linux-aarch64.so.1", "armel": "ld-linux.so.3"}
MACHINES = {"arm64": "aarch64", "armel": "armv7l"}
# What the tests run in a chroot; they link nothing but libc.
PROGRAMS = ("dash", "env", "uname", "cat", "sleep")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a release lays out its cards."""

    suite: str
    start: int  # of the boot partition, in sectors
    boot: str
    number: str  # of the Debian release


LAYOUTS = {
    "bullseye": Layout(suite="bullseye", start=8192, boot="boot", number="11"),
    "bookworm": Layout(suite="bookworm", start=8192, boot="boot/firmware", number="12"),
    "trixie": Layout(suite="trixie", start=16384, boot="boot/firmware", number="13"),
}


def write(root: Path, name: str, text: str, mode: int = 0o644) -> None:
    """Write a file of a tree."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def system(root: Path, layout: Layout, arch: str = "arm64") -> None:
    """Make the root file system of a stock-like system."""
    for name in ("proc", "sys", "dev", "run", "tmp", "usr/bin", "usr/lib", layout.boot):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "lib"):
        (root / name).symlink_to(f"usr/{name}")
    write(
        root, "usr/lib/os-release",
        f'PRETTY_NAME="Debian GNU/Linux {layout.number} ({layout.suite})"\nID=debian\n'
        f"VERSION_CODENAME={layout.suite}\n",
    )  # fmt: skip
    (root / "etc").mkdir()
    (root / "etc/os-release").symlink_to("../usr/lib/os-release")
    write(root, "etc/hostname", "raspberrypi\n")
    write(
        root, "etc/fstab",
        "proc /proc proc defaults 0 0\n"
        f"PARTUUID={DISK_ID}-01  /{layout.boot}  vfat  defaults  0 2\n"
        f"PARTUUID={DISK_ID}-02  /  ext4  defaults,noatime  0 1\n",
    )  # fmt: skip
    write(root, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\npi:x:1000:1000::/home/pi:/bin/sh\n")
    write(root, "etc/shadow", "root:*:1::::::\npi:!:1::::::\n", 0o640)
    write(root, "etc/ld.so.preload", "/usr/lib/arm-linux-gnueabihf/libarmmem-${PLATFORM}.so\n")
    stanzas = ("dpkg", "libc6", "raspi-firmware")
    write(
        root, "var/lib/dpkg/status",
        "\n".join(
            f"Package: {name}\nStatus: install ok installed\nArchitecture: {arch}\nVersion: 1\n"
            for name in stanzas
        ),
    )  # fmt: skip
    write(root, "var/lib/dpkg/info/libc6.list", "/.\n/lib\n/lib/libc.note\n")
    write(root, "usr/lib/libc.note", "libc\n")
    (root / "usr/lib/modules/6.12.1-v8").mkdir(parents=True)
    (root / "etc/systemd/system/multi-user.target.wants").mkdir(parents=True)
    (root / "etc/systemd/system/multi-user.target.wants/ssh.service").symlink_to(
        "/lib/systemd/system/ssh.service"
    )
    (root / "usr/lib/filler").write_bytes(bytes(range(256)) * 4096 * 5)


def boot_files(folder: Path) -> None:
    """Make the boot files of a stock-like system: it boots a Pi 3 and a Pi 4."""
    write(folder, "config.txt", "dtparam=audio=on\n[pi4]\narm_boost=1\n[all]\narm_64bit=1\n")
    write(folder, "cmdline.txt", f"console=tty1 root=PARTUUID={DISK_ID}-02 rootwait")
    for name in ("bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat",
                 "kernel8.img", "bcm2710-rpi-3-b.dtb", "bcm2711-rpi-4-b.dtb",
                 "overlays/disable-bt.dtbo"):  # fmt: skip
        write(folder, name, f"{name}\n")


def add_programs(root: Path, arch: str) -> None:
    """Add a shell and some programs of a processor, from the base the build made."""
    base = _built_base(arch)
    write(root, "etc/machine", arch)
    for name in PROGRAMS:
        shutil.copy2(base / "usr/bin" / name, root / "usr/bin" / name)
    (root / "usr/bin/sh").symlink_to("dash")
    for name in ("libc.so.6", LOADERS[arch]):
        source = next(base.glob(f"usr/lib/*/{name}"))
        target = root / source.relative_to(base)
        target.parent.mkdir(exist_ok=True)
        shutil.copy2(source.resolve(), target)
    loader = root / "usr/lib" / LOADERS[arch]
    if not loader.exists():
        loader.symlink_to(
            next(root.glob(f"usr/lib/*/{LOADERS[arch]}")).relative_to(root / "usr/lib")
        )


def _built_base(arch: str) -> Path:
    layers = store.default_root() / "layers"
    for meta in sorted(layers.glob("*/meta.json")) if layers.is_dir() else ():
        tree = meta.parent / "tree"
        if (
            json.loads(meta.read_text()).get("name") in {"base/extract", "base/unpack"}
            and any(tree.glob(f"usr/lib/*/{LOADERS[arch]}"))
            and all((tree / "usr/bin" / name).is_file() for name in PROGRAMS)
        ):
            return tree
    return missing(f"needs a base for {arch} in the store: run invoke build-image once")


def make(
    image: Path,
    layout: Layout,
    *,
    arch: str | None = None,
    root_sectors: int = 48 * MIB // SECTOR,
    gap_sectors: int = 0,
    third: bytes = b"",
) -> Path:
    """Make an image; with ``arch`` its programs run, ``third`` fills a partition behind root."""
    tree, boot = (image.parent / f"{image.name}.{name}" for name in ("tree", "boot"))
    for folder in (tree, boot):
        folder.mkdir(parents=True)
    system(tree, layout, arch or "arm64")
    if arch:
        add_programs(tree, arch)
    boot_files(boot)
    boot_sectors = BOOT_MIB * MIB // SECTOR
    root_start = layout.start + boot_sectors
    end = root_start + root_sectors
    script = (
        f"label: dos\nlabel-id: 0x{DISK_ID}\nunit: sectors\n"
        f"start={layout.start}, size={boot_sectors}, type=c\n"
        f"start={root_start}, size={root_sectors}, type=83\n"
    )
    if third:
        script += f"start={end + gap_sectors}, size={len(third) // SECTOR}, type=83\n"
    with image.open("wb") as file:
        file.truncate((end + (gap_sectors if third else 0)) * SECTOR + len(third))
        if third:
            file.seek((end + gap_sectors) * SECTOR)
            file.write(third)
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", image], input=script)
    place = f"{image}@@{layout.start * SECTOR}"
    run(["mformat", "-i", place, "-F", "-c", "1", "-T", str(boot_sectors), "-v", "BOOTFS", "::"])
    run(["mcopy", "-s", "-i", place, *sorted(boot.iterdir()), "::/"])
    blocks = root_sectors * SECTOR // 4096
    run([
        "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-L", "rootfs", "-d", tree,
        "-E", f"offset={root_start * SECTOR},root_owner=0:0", image, str(blocks),
    ])  # fmt: skip
    for folder in (tree, boot):
        shutil.rmtree(folder)
    return image
