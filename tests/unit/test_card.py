"""What the firmware would read of a card: its table and its config.txt."""

import json
from pathlib import Path

import pytest

from glovebox.boards.boards import BOARDS, Board
from glovebox.card import table as card
from glovebox.card.table import Start, parse_table, start_of
from glovebox.config.schema import BoardName
from glovebox.errors import ImageError
from glovebox.host.run import run

ZERO, PI3 = BOARDS[BoardName.ZERO_W], BOARDS[BoardName.PI_3]
TABLE = {
    "label": "dos",
    "id": "0x0badcafe",
    "sectorsize": 512,
    "partitions": [
        {"node": "/tmp/x1.img1", "start": 16384, "size": 1048576, "type": "c"},
        {"node": "/tmp/x1.img2", "start": 1064960, "size": 2097152, "type": "83"},
    ],
}


def _json(**changes: object) -> str:
    return json.dumps({"partitiontable": {**TABLE, **changes}})


def test_table_is_in_bytes_and_partuuids() -> None:
    """Sectors become bytes, and the card's identifier keeps its leading zero."""
    found = parse_table(_json())

    assert (found.boot.start, found.boot.size) == (8 * 1024**2, 512 * 1024**2)
    assert found.partuuid(found.root) == "0badcafe-02"


def test_a_table_of_another_kind_is_refused() -> None:
    """MBR and GPT are what the firmware reads; another kind is named."""
    with pytest.raises(ImageError, match="the partition table is sun"):
        parse_table(_json(label="sun"))


def test_an_image_without_boot_partition_is_refused() -> None:
    """An image of something else is told so, not taken for a card."""
    found = parse_table(_json(partitions=TABLE["partitions"][1:]))  # type: ignore[index]  # a list

    with pytest.raises(ImageError, match="no FAT partition"):
        _ = found.boot


@pytest.mark.parametrize(
    ("config", "board", "start"),
    [
        ("kernel=k\ninitramfs i followkernel", ZERO, Start(kernel="k", initramfs="i")),
        ("", ZERO, Start(kernel="kernel.img", initramfs=None)),
        ("", PI3, Start(kernel="kernel8.img", initramfs=None)),
        ("auto_initramfs=1", PI3, Start(kernel="kernel8.img", initramfs="initramfs8")),
        ("auto_initramfs=0", PI3, Start(kernel="kernel8.img", initramfs=None)),
        ("[pi4]\nkernel=no\n[pi3]\nkernel=yes", PI3, Start(kernel="yes", initramfs=None)),
        ("[pi4]\nkernel=no\n[all]\nkernel=yes", PI3, Start(kernel="yes", initramfs=None)),
        ("# kernel=no\nkernel=yes", PI3, Start(kernel="yes", initramfs=None)),
        ("kernel=yes # so", PI3, Start(kernel="yes # so", initramfs=None)),
        ("kernel = other.img", PI3, Start(kernel="kernel8.img", initramfs=None)),
        ("initramfs", PI3, Start(kernel="kernel8.img", initramfs=None)),
        ("[none]\nkernel=no", ZERO, Start(kernel="kernel.img", initramfs=None)),
        ("kernel=a\nkernel=b", ZERO, Start(kernel="b", initramfs=None)),
    ],
)
def test_start(config: str, board: Board, start: Start) -> None:
    """The kernel and initramfs are those the firmware takes: filters count, the last line wins."""
    assert start_of(config, board) == start


def test_filters_of_other_kinds_do_not_hold() -> None:
    """A section for a display, a pin or a serial number is not ours."""
    config = "kernel=a\n[HDMI:0]\nkernel=b\n[gpio4=1]\nkernel=c\n[0x12345678]\nkernel=d"

    assert start_of(config, ZERO) == Start(kernel="a", initramfs=None)


def test_files_come_out_of_a_real_image(tmp_path: Path) -> None:
    """A file is found by the table, wherever the partition begins, and a missing one is named."""
    image = tmp_path / "card,1.img"
    fat = tmp_path / "fat"
    fat.write_bytes(bytes(4 * 1024**2))
    run(["mkfs.fat", fat])
    (tmp_path / "cmdline.txt").write_text("root=x\n")
    run(["mcopy", "-i", fat, tmp_path / "cmdline.txt", "::"])
    image.write_bytes(bytes(3 * 1024**2) + fat.read_bytes())
    run(["sfdisk", image], input="label: dos\nstart=6144, type=c\n")

    card.copy_out(image, "cmdline.txt", tmp_path / "out")

    assert (tmp_path / "out").read_text() == "root=x\n"
    with pytest.raises(ImageError, match=r"no config\.txt"):
        card.copy_out(image, "config.txt", tmp_path / "none")
