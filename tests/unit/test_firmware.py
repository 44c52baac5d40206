"""config.txt as a board reads it: filters, includes, last value; and what a board starts."""

from __future__ import annotations

import pytest

from glovebox.boards import firmware
from glovebox.boards.firmware import MODELS, judge, kernel_names, read


def texts(config: str, board: str) -> list[str]:
    """Give the lines that surely count for a board."""
    return [line.text for line in read(config, MODELS[board]).certain]


# Which of the boards see a line under a filter. Source: "Model filters" in the documentation.
SEES = {
    "pi0": {"zero", "zero-w", "zero-2-w"},
    "pi0w": {"zero-w", "zero-2-w"},
    "pi02": {"zero-2-w"},
    "pi1": {"1"},
    "pi2": {"2"},
    "pi3": {"3", "3+", "3a+", "cm3", "cm3+"},
    "pi3+": {"3+", "3a+"},
    "cm3": {"cm3", "cm3+"},
    "cm3+": {"cm3+"},
    "pi4": {"4", "400", "cm4", "cm4s"},
    "pi400": {"400"},
    "cm4": {"cm4"},
    "cm4s": {"cm4s"},
    "pi5": {"5", "500", "cm5"},
    "cm5": {"cm5"},
    "board-type=0x11": {"4"},
    "board-type=0x14": {"cm4"},
    "board-type=12": {"zero-w"},
    "board-type=what": set(),
    "all": set(MODELS),
    "none": set(),
    "tryboot": set(),
    "nonsense": set(),
    "PI4": {"4", "400", "cm4", "cm4s"},
}


@pytest.mark.parametrize("header", SEES)
def test_a_filter_lets_its_models_through(header: str) -> None:
    """Each filter holds for the models of the documentation's table and for no other."""
    config = f"[{header}]\nx=1\n"

    assert {board for board in MODELS if texts(config, board)} == SEES[header]


@pytest.mark.parametrize(
    ("config", "board", "seen"),
    [
        ("[pi3]\n[pi4]\na=1", "4", ["a=1"]),  # of one kind: the later replaces
        ("[pi3]\n[pi4]\na=1", "3", []),
        ("[none]\na=1\n[pi4]\nb=1", "4", ["b=1"]),
        ("[none]\na=1\n[all]\nb=1", "4", ["b=1"]),
        ("[tryboot]\n[pi4]\na=1", "4", []),  # of different kinds: both have to hold
        ("[tryboot]\n[all]\na=1", "4", ["a=1"]),
        ("[gpio4=1]\n[pi4]\na=1\n[all]\nb=1", "4", ["b=1"]),
        ("[cm4]\notg_mode=1\n[all]\narm_boost=1", "4", ["arm_boost=1"]),
        ("# a=1\n  b=1  # so\n\n#\n", "4", ["b=1  # so"]),
        ("a = 1\nb= x\nc=1", "4", ["c=1"]),
        ("\ufeffa=1\r\nb=1\r\n", "4", ["\ufeffa=1", "b=1"]),
    ],
)
def test_filters_combine(config: str, board: str, seen: list[str]) -> None:
    """Filters of one kind replace each other, those of different kinds add up, [all] ends them."""
    assert texts(config, board) == seen


def test_what_hardware_decides_is_said_so() -> None:
    """A line under a pin, a monitor or a serial number counts for nobody and for somebody."""
    found = read("a=1\n[gpio4=1]\n[EDID=VSC-TD2220]\nb=1\n[all]\n[0x12345678]\nc=1", MODELS["3"])

    assert [(line.text, line.only_if) for line in found.lines if line.only_if] == [
        ("b=1", ("[gpio4=1]", "[EDID=VSC-TD2220]")),
        ("c=1", ("[0x12345678]",)),
    ]
    assert found.values == {"a": "1"}


def test_the_last_value_counts_and_orders_add_up() -> None:
    """Of a value the last one is left; overlays and parameters keep their order."""
    found = read(
        "gpu_mem=16\ndtoverlay=a\ndtparam=x=1\n[pi4]\ngpu_mem=64\n[all]\ndtoverlay=b\n", MODELS["4"]
    )

    assert found.values == {"gpu_mem": "64"}
    assert found.orders == ["dtoverlay=a", "dtparam=x=1", "dtoverlay=b"]


def test_included_files_stand_where_they_are_included() -> None:
    """An included file is read under the filters in force, and its own filters go on after it."""
    others = {"extra.txt": "b=2\n[pi3]\nc=3\n"}

    found = read("[pi4]\ninclude extra.txt\nd=4\n[all]\ne=5", MODELS["4"], others.get)

    assert [(line.text, line.file, line.number) for line in found.lines] == [
        ("b=2", "extra.txt", 1),
        ("e=5", "config.txt", 5),
    ]
    assert not found.notes


def test_what_the_firmware_stumbles_over_is_noted() -> None:
    """A missing include, one in a circle and a line that is too long are named with their place."""
    others = {"loop.txt": "include loop.txt\n"}
    config = f"include none.txt\ninclude loop.txt\nx={'y' * 200}\n"

    found = read(config, MODELS["4"], others.get)

    assert found.notes == (
        "config.txt:1 includes none.txt, which is not there",
        "loop.txt:1 includes loop.txt, which includes itself",
        "config.txt:3 is cut after 98 characters",
    )
    assert len(found.lines[0].text) == firmware.LINE_LENGTH


@pytest.mark.parametrize(
    ("values", "board", "names"),
    [
        ({}, "zero-w", ("kernel.img",)),
        ({"arm_64bit": "1"}, "zero-w", ("kernel.img",)),
        ({}, "3", ("kernel7.img", "kernel8.img")),
        ({"arm_64bit": "1"}, "3", ("kernel8.img",)),
        ({"arm_64bit": "0"}, "3", ("kernel7.img",)),
        ({}, "4", ("kernel8.img", "kernel7l.img")),
        ({"arm_64bit": "0"}, "4", ("kernel7l.img",)),
        ({"arm_64bit": "0"}, "5", ("kernel_2712.img", "kernel8.img")),
        ({"kernel": "mine", "arm_64bit": "1"}, "4", ("mine",)),
    ],
)
def test_kernel_names(values: dict[str, str], board: str, names: tuple[str, ...]) -> None:
    """The kernel is the named one, else the model's own by the width that is asked for."""
    assert kernel_names(values, MODELS[board]) == names


PI_4_FILES = {"start4.elf", "fixup4.dat", "kernel8.img", "bcm2711-rpi-4-b.dtb"}


def test_a_board_boots_when_all_its_files_are_there() -> None:
    """Firmware, kernel and device tree make a board boot; what is missing is named."""
    nothing = read("", MODELS["4"])

    assert judge(nothing, MODELS["4"], PI_4_FILES).boots
    assert judge(nothing, MODELS["4"], PI_4_FILES - {"start4.elf"}).missing == ("start4.elf",)
    assert judge(nothing, MODELS["4"], PI_4_FILES - {"kernel8.img"}).missing == (
        "kernel8.img or kernel7l.img",
    )
    assert judge(nothing, MODELS["400"], PI_4_FILES).missing == ("bcm2711-rpi-400.dtb",)


@pytest.mark.parametrize(
    ("board", "names"),
    [("3", ("start_cd.elf", "fixup_cd.dat")), ("4", ("start4cd.elf", "fixup4cd.dat"))],
)
def test_the_smallest_memory_takes_the_small_firmware(board: str, names: tuple[str, ...]) -> None:
    """With gpu_mem=16 the cut-down firmware has to be there, and the usual one is not asked for."""
    found = read("gpu_mem=16\nkernel=mine\n", MODELS[board])
    there = {"bootcode.bin", "mine", *MODELS[board].dtbs}

    assert judge(found, MODELS[board], there).missing == names
    assert judge(found, MODELS[board], {*there, *names}).boots


def test_a_prefix_counts_where_files_lie_under_it() -> None:
    """os_prefix names a folder, is left out where nothing lies there, and / bypasses it."""
    found = read("os_prefix=next/\n", MODELS["4"])
    rooted = read("os_prefix=next/\nkernel=/kernel8.img\n", MODELS["4"])

    assert judge(found, MODELS["4"], {*PI_4_FILES, "next/kernel8.img"}).kernel == "next/kernel8.img"
    assert judge(found, MODELS["4"], PI_4_FILES).kernel == "kernel8.img"
    assert judge(rooted, MODELS["4"], {*PI_4_FILES, "next/kernel8.img"}).kernel == "kernel8.img"


ZIMAGE = bytes(36) + b"\x18\x28\x6f\x01" + bytes(24)
IMAGE_64 = bytes(56) + b"ARM\x64" + bytes(4)


@pytest.mark.parametrize(
    ("name", "head", "settings", "sets"),
    [
        ("kernel8.img", IMAGE_64, "", {"64-bit Arm"}),
        ("kernel8.img", b"\x1f\x8b" + bytes(62), "", {"64-bit Arm"}),
        ("kernel.img", ZIMAGE, "", {"ARMv6"}),
        ("kernel7l.img", ZIMAGE, "", {"ARMv7"}),
        ("vmlinuz-6.12-rpi", ZIMAGE, "CONFIG_CPU_V6K=y\n# CONFIG_CPU_V7 is not set\n", {"ARMv6"}),
        ("vmlinuz-6.12", ZIMAGE, "CONFIG_CPU_V6K=y\nCONFIG_CPU_V7=y\n", {"ARMv6", "ARMv7"}),
        ("vmlinuz-6.12", ZIMAGE, "", set()),
        ("mine", b"text", "", set()),
    ],
)
def test_what_a_kernel_is_for(name: str, head: bytes, settings: str, sets: set[str]) -> None:
    """Its head tells 64 bits, its settings ARMv6 from ARMv7; what nothing tells stays open."""
    assert firmware.instruction_sets(name, head, settings) == sets


def test_a_kernel_for_another_processor_boots_no_board() -> None:
    """All files being there is not enough: the processor must know the instructions."""
    reading = read("kernel=mine\n", MODELS["4"])
    names = {*PI_4_FILES, "mine"}

    assert judge(reading, MODELS["4"], names, lambda _name: {"ARMv6"}).missing == (
        "kernel for it (mine is for ARMv6)",
    )
    assert judge(reading, MODELS["4"], names, lambda _name: {"ARMv6", "ARMv7"}).boots
    assert judge(reading, MODELS["4"], names, lambda _name: ()).boots


def test_flat_lines_keep_their_filter() -> None:
    """For a comparison each line carries the filter it stands under."""
    assert firmware.flat("a=1\n[pi4]\n# no\nb=1 # so\n[all]\nc=1") == [
        "a=1", "[pi4] b=1 # so", "c=1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "note"),
    [
        ("dtoverlay=x #c", "config.txt:1 has a # behind its value, it is a part of the value"),
        ("kernel = other.img", "config.txt:1 has a space before =, which is a part of the name"),
        ("kernel= other.img", "config.txt:1 has a space behind =, which is a part of the value"),
        ("initramfs", "config.txt:1 has initramfs without the name of a file: it says nothing"),
        ("[cm9]\na=1", "config.txt:1 [cm9] is no filter known here: what stands under it"),
        ("[secure-boot]\na=1", "config.txt:1 [secure-boot] is no filter known here"),
        ("[pi9]\na=1", "config.txt:1 [pi9] is no filter known here"),
    ],
)
def test_what_the_firmware_does_with_a_line_is_said(line: str, note: str) -> None:
    """A line that is not written as the firmware reads it has a note that names file and line."""
    found = firmware.read(line, firmware.MODELS["4"])

    assert len(found.notes) == 1
    assert found.notes[0].startswith(note)


def test_a_number_ends_before_a_comment() -> None:
    """Of a number the firmware reads the digits; of a name it reads all there is."""
    found = firmware.read("arm_64bit=1 # yes\ndevice_tree=a.dtb # no\n", firmware.MODELS["4"])

    assert found.values == {"arm_64bit": "1", "device_tree": "a.dtb # no"}


@pytest.mark.parametrize(("partition", "seen"), [(2, ["a=1"]), (3, ["b=1"]), (None, [])])
def test_a_filter_of_the_boot_partition(partition: int | None, seen: list[str]) -> None:
    """Lines of another slot do not count; where the slot is not known, none is certain."""
    text = "[boot_partition=2]\na=1\n[boot_partition=3]\nb=1\n"

    found = firmware.read(text, firmware.MODELS["4"], partition=partition)

    assert [line.text for line in found.certain] == seen
    assert found.notes == ()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 0),
        ("boot_partition=2\n", 2),
        ("[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n", 2),
        ("[tryboot]\nboot_partition=3\n[all]\nboot_partition=2\n", 2),
        ("#boot_partition=2\n", 0),
        ("boot_partition=" + "9" * 5000, 0),
        ("\n" * 600 + "boot_partition=2\n", 0),
    ],
)
def test_autoboot(text: str, number: int) -> None:
    """A plain start is from the partition that autoboot.txt names outside of [tryboot]."""
    assert firmware.boot_partition(text) == number


def test_files_that_include_each_other_come_to_an_end() -> None:
    """Three includes in each file would be read 6561 times: so many are not, and it is said."""
    text = "include config.txt\n" * 3 + "a=1\n"

    found = firmware.read(text, firmware.MODELS["4"], lambda _name: text)

    assert len(found.lines) < 40
    assert any("which is one of too many" in note for note in found.notes)
