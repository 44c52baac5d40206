"""The initramfs finds the root by the identifier on its disk, and checks it if it is not clean."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.host.run import run

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.needs("losetup", "mke2fs", "od", "partx", "sfdisk")]

SCRIPT = (
    Path(__file__).parent.parent.parent
    / "stages/boot/00-initramfs/00-overlay/etc/initramfs-tools/scripts/glovebox"
)
DISK_ID = "0badcafe"
MIB = 1 << 20
START = 8 * MIB
STATE, INCOMPATIBLE = 1024 + 58, 1024 + 96
NEEDS_RECOVERY = 4
STUBS = """
log_begin_msg() { echo "$*"; }
log_end_msg() { :; }
e2fsck() { echo "e2fsck $*"; }
"""


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """Make a card with a boot and a root partition."""
    image = tmp_path / "card.img"
    with image.open("wb") as file:
        file.truncate(32 * MIB)
    table = f"label: dos\nlabel-id: 0x{DISK_ID}\nunit: sectors\n"
    table += f"start=2048, size=4096, type=c\nstart={START // 512}, size=40960, type=83\n"
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", image], input=table)
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-E", f"offset={START}", image, "20m"])
    return image


@contextmanager
def inserted(card: Path) -> Iterator[str]:
    """Show a card to the kernel; give the device of its root partition."""
    with ExitStack() as stack:
        loop = run(["losetup", "--find", "--show", card]).stdout.strip()
        stack.callback(run, ["losetup", "--detach", loop])
        for number in ("1", "2"):
            run(["partx", "--delete", "--nr", number, loop], check=False)
            run(["partx", "--add", "--nr", number, loop])
            stack.callback(run, ["partx", "--delete", "--nr", number, loop])
        yield f"{loop}p2"


def asked(words: str, *, check: bool = True) -> str:
    """Run a function of the script."""
    # It notes that it has looked in a folder of the initramfs.
    text = SCRIPT.read_text().replace("/run/initramfs/fsck-root", "/dev/null")
    return run(["sh", "-c", f"{text}\n{STUBS}\n{words}"], check=check).stdout.strip()


def test_root_is_found_by_its_disk(card: Path) -> None:
    """The partition of that number on the disk of that identifier, and no other."""
    with inserted(card) as device:
        assert asked(f"glovebox_root {DISK_ID} 02") == device
        assert asked(f"glovebox_root {DISK_ID} 01") == f"{device[:-1]}1"
        assert asked(f"glovebox_root {DISK_ID} 0a || echo none") == "none"
        assert asked("glovebox_root 12345678 02 || echo none") == "none"


@pytest.mark.parametrize(
    ("place", "byte", "checked"),
    [
        (STATE, 1, False),  # clean
        (STATE, 0, True),  # in use, or left so by a cut
        (STATE, 3, True),  # the kernel met a fault
    ],
)
def test_root_is_checked_when_it_is_not_clean(
    card: Path, place: int, byte: int, *, checked: bool
) -> None:
    """A clean one costs one look."""
    with card.open("rb+") as file:
        file.seek(START + place)
        file.write(bytes([byte]))
    with inserted(card) as device:
        told = asked(f"device={device}; glovebox_check {device}")

    assert (f"e2fsck -p {device}" in told) is checked


def test_root_is_checked_when_its_journal_holds_something(card: Path) -> None:
    """What was written when the power went is not in place yet."""
    with card.open("rb+") as file:
        file.seek(START + INCOMPATIBLE)
        flags = file.read(1)[0]
        file.seek(START + INCOMPATIBLE)
        file.write(bytes([flags | NEEDS_RECOVERY]))
    with inserted(card) as device:
        assert f"e2fsck -p {device}" in asked(f"device={device}; glovebox_check {device}")
