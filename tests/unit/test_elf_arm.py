"""For which 32-bit Arm a file was compiled, and whether its base's boards all run that."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from glovebox.build import layer
from glovebox.card import elf
from glovebox.errors import StepError

if TYPE_CHECKING:
    from pathlib import Path

V6, V6KZ, V7 = 6, 7, 10


def arm_object(level: int | None, *, before: bytes = b"", vendor: bytes = b"aeabi") -> bytes:
    """Make a small object file that says it was compiled for a level; ``before`` are other tags."""
    tags = before + (b"" if level is None else bytes([6, level]))
    of_file = b"\x01" + struct.pack("<I", 5 + len(tags)) + tags
    section = vendor + b"\0" + of_file
    attributes = b"A" + struct.pack("<I", 4 + len(section)) + section
    head = bytearray(elf.MAGIC + bytes([1, 1, 1]) + bytes(9) + struct.pack("<HH", 1, 40))
    head = head.ljust(52, b"\0")
    place = 52
    struct.pack_into("<I", head, 32, place + len(attributes))
    struct.pack_into("<HH", head, 46, 40, 2)
    sections = bytes(40) + struct.pack("<6I", 0, 0x70000003, 0, 0, place, len(attributes)).ljust(
        40, b"\0"
    )
    return bytes(head) + attributes + sections


@pytest.mark.parametrize(
    ("before", "what"),
    [
        (b"", "nothing before it"),
        (b"\x05" + b"ARM1176JZF-S\0", "a processor's name"),
        (b"\x08\x01" + b"\x0a\x02", "numbers"),
        (b"\x43" + b"2.09\0", "the ABI's version, a text"),
        (b"\x20\x00gnu\0", "compatibility, a number and a text"),
        (b"\x22\x81\x01", "a number of two bytes"),
    ],
)
def test_level_of_an_object(before: bytes, what: str) -> None:
    """The level is found behind other attributes, each of which is as long as its tag says."""
    assert elf.arm_level(arm_object(V6KZ, before=before)) == V6KZ, what


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"#!/bin/sh\n",
        arm_object(None),
        arm_object(V7, vendor=b"another"),
        arm_object(V7)[:-30],
        arm_object(V7, before=b"\x05no end"),
        elf.MAGIC + bytes([2, 1, 1]) + bytes(60),
    ],
)
def test_no_level(data: bytes) -> None:
    """What says nothing of a level, or is cut off, has none."""
    assert elf.arm_level(data) is None


def compiled(root: Path, name: str, level: int) -> None:
    """Lay an object into a tree."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(arm_object(level))


def test_a_later_arm_than_the_base(tmp_path: Path) -> None:
    """What was compiled for ARMv7 is an error on a base made for ARMv6, and named with both."""
    compiled(tmp_path, "usr/bin/redis-server", V7)
    compiled(tmp_path, "usr/bin/gpsd", V6)

    with pytest.raises(StepError) as caught:
        layer.prove_old_enough(tmp_path, arm_object(V6), step="queue/00-server")

    said = str(caught.value)
    assert "queue/00-server" in said
    assert "C library is made for Armv6" in said
    assert "  /usr/bin/redis-server: Armv7" in said
    assert "gpsd" not in said


@pytest.mark.parametrize("base", [V6KZ, V7])
def test_as_early_as_the_base(tmp_path: Path, base: int) -> None:
    """The base's own level and earlier ones run wherever the base does."""
    compiled(tmp_path, "usr/bin/redis-server", V6KZ)
    compiled(tmp_path, "usr/bin/gpsd", V6)

    layer.prove_old_enough(tmp_path, arm_object(base), step="queue/00-server")


def test_packages_are_the_archives(tmp_path: Path) -> None:
    """A package's module for a later board is its archive's choice; links are not followed."""
    compiled(tmp_path, "usr/lib/modules/6.12/a.ko", V7)
    listing = tmp_path / "var/lib/dpkg/info/linux-image.list"
    listing.parent.mkdir(parents=True)
    listing.write_text("/.\n/lib/modules/6.12/a.ko\n")
    (tmp_path / "usr/bin").mkdir()
    (tmp_path / "usr/bin/link").symlink_to("../lib/modules/6.12/a.ko")

    layer.prove_old_enough(tmp_path, arm_object(V6), step="base/01-kernel")


def test_another_processor_has_no_levels(tmp_path: Path) -> None:
    """Without a 32-bit Arm's C library there is nothing to compare with."""
    compiled(tmp_path, "usr/bin/redis-server", V7)

    layer.prove_old_enough(tmp_path, b"", step="queue/00-server")
