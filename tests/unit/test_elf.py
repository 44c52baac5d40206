"""ELF headers: which processor a file is for."""

import struct
import sys
from pathlib import Path

import pytest

from glovebox.card import elf


def _head(machine: int, flags: int = 0, *, bits: int = 32) -> bytes:
    ident = elf.MAGIC + bytes([bits // 32, 1, 1]) + bytes(9)
    head = bytearray(ident + struct.pack("<HH", 2, machine) + bytes(44))
    struct.pack_into("<I", head, 36 if bits == 32 else 48, flags)
    return bytes(head)


@pytest.mark.parametrize(
    ("head", "arch", "runs"),
    [
        (_head(40, 0x5000200), "armel", True),
        (_head(40, 0x5000000), "armel", True),
        (_head(40, 0x5000400), "armel", False),
        (_head(40, 0x5000400), "armhf", True),
        (_head(40, 0x5000200), "armhf", False),
        (_head(40, 0x5000200), "arm64", False),
        (_head(183, bits=64), "arm64", True),
        (_head(62, bits=64), "arm64", False),
        (_head(62, bits=64), "armel", False),
    ],
)
def test_runs_on(head: bytes, arch: str, *, runs: bool) -> None:
    """Processor and float convention both count."""
    found = elf.read(head)

    assert found is not None
    assert runs == found.runs_on(arch)


def test_what_is_no_elf() -> None:
    """A script, a short file and nothing are no ELF files."""
    assert [elf.read(each) for each in (b"#!/bin/sh\n", elf.MAGIC, b"")] == [None] * 3


def test_own_interpreter() -> None:
    """A real file of this machine is told as such."""
    with Path(sys.executable).open("rb") as file:
        found = elf.read(file.read(elf.HEAD))

    assert found is not None
    assert found.processor in {"amd64", "arm64"}


def _with_sections(*kinds: int, bits: int = 32) -> bytes:
    size = 40 if bits == 32 else 64
    data = bytearray(_head(40 if bits == 32 else 183, bits=bits).ljust(64, b"\0"))
    if bits == 32:
        struct.pack_into("<I", data, 32, 64)
        struct.pack_into("<HH", data, 46, size, len(kinds))
    else:
        struct.pack_into("<Q", data, 40, 64)
        struct.pack_into("<HH", data, 58, size, len(kinds))
    for kind in kinds:
        data += struct.pack("<II", 0, kind).ljust(size, b"\0")
    return bytes(data)


@pytest.mark.parametrize("bits", [32, 64])
def test_stripped(bits: int) -> None:
    """A symbol table beside the dynamic one is what strip removes."""
    assert elf.stripped(_with_sections(1, 11, bits=bits))
    assert not elf.stripped(_with_sections(1, 11, 2, bits=bits))
