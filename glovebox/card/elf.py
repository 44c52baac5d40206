"""Read what the headers of an ELF file tell: its processor, and whether it is stripped."""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAGIC = b"\x7fELF"
HEAD = 64
_CLASS_64 = 2
_LITTLE = 1
_SHT_SYMTAB = 2
_ARM_SOFT_FLOAT = 0x200  # EF_ARM_ABI_FLOAT_SOFT
_ARM_HARD_FLOAT = 0x400  # EF_ARM_ABI_FLOAT_HARD
_SHT_ARM_ATTRIBUTES = 0x70000003
_TAG_FILE, _TAG_CPU_ARCH, _TAG_COMPATIBILITY = 1, 6, 32
_TAGS_OF_TEXT = frozenset({4, 5})  # CPU_raw_name, CPU_name
_ARM_LEVELS = (
    " before v4", "v4", "v4T", "v5T", "v5TE", "v5TEJ", "v6", "v6KZ", "v6T2", "v6K", "v7",
)  # fmt: skip
_PROCESSORS = {
    3: "i386",
    8: "mips",
    40: "arm",
    62: "amd64",
    183: "arm64",
    243: "riscv64",
    247: "bpf",
}


@dataclass(frozen=True, kw_only=True)
class Elf:
    """The headers of an ELF file."""

    processor: str
    flags: int

    def runs_on(self, arch: str) -> bool:
        """Tell whether a Debian architecture's files look like this one."""
        if self.processor == "arm":
            # Shared objects leave the float bits out, so only the other ABI's bit is telling.
            wrong = {"armel": _ARM_HARD_FLOAT, "armhf": _ARM_SOFT_FLOAT}.get(arch)
            return wrong is not None and not self.flags & wrong
        return self.processor == arch


def is_soft_float(elf: Elf) -> bool:
    """Tell whether a 32-bit Arm program says that it is of the soft-float kind."""
    return bool(elf.flags & _ARM_SOFT_FLOAT)


def read(head: bytes) -> Elf | None:
    """Read the first 64 bytes of a file; None if it is no ELF file."""
    if len(head) < 52 or not head.startswith(MAGIC):  # noqa: PLR2004  the smaller header's size
        return None
    order = "<" if head[5] == _LITTLE else ">"
    number = struct.unpack_from(f"{order}H", head, 18)[0]
    flags = struct.unpack_from(f"{order}I", head, 48 if head[4] == _CLASS_64 else 36)[0]
    return Elf(processor=_PROCESSORS.get(number, f"processor {number}"), flags=flags)


def stripped(data: bytes) -> bool:
    """Tell whether a little-endian ELF file has no symbol table but the dynamic one."""
    if data[4] == _CLASS_64:
        offset, size, count = (
            struct.unpack_from("<Q", data, 40)[0],
            *struct.unpack_from("<HH", data, 58),
        )
    else:
        offset, size, count = (
            struct.unpack_from("<I", data, 32)[0],
            *struct.unpack_from("<HH", data, 46),
        )
    kinds = [struct.unpack_from("<I", data, offset + size * n + 4)[0] for n in range(count)]
    return _SHT_SYMTAB not in kinds


def arm_level(data: bytes) -> int | None:
    """Give Tag_CPU_arch of a little-endian 32-bit Arm file; None where it says nothing.

    Addenda to the ABI for the Arm architecture (ADDENDA32), 3.3: a higher number is a later
    architecture, whose code an earlier processor may not know.
    """
    section = _section(data, _SHT_ARM_ATTRIBUTES)
    if section[:1] != b"A":
        return None
    try:
        return _tag_of_file(section)
    except (IndexError, struct.error, ValueError):  # cut off
        return None


def arm_level_name(level: int) -> str:
    """Give the name of an architecture of 32-bit Arm."""
    return f"Arm{_ARM_LEVELS[level]}" if level < len(_ARM_LEVELS) else f"Arm (level {level})"


def _section(data: bytes, kind: int) -> bytes:
    """Give the first section of a kind of a little-endian 32-bit file; nothing where none is."""
    if read(data[:HEAD]) is None or data[4] == _CLASS_64 or data[5] != _LITTLE:
        return b""
    offset = struct.unpack_from("<I", data, 32)[0]
    size, count = struct.unpack_from("<HH", data, 46)
    for number in range(count):
        if offset + size * (number + 1) > len(data):
            break
        _, found, _, _, place, length = struct.unpack_from("<6I", data, offset + size * number)
        if found == kind:
            return data[place : place + length]
    return b""


def _tag_of_file(section: bytes) -> int | None:
    """Read the attributes that hold for the whole file, as the tools' own vendor has them."""
    at = 1
    while at < len(section):
        end = at + max(struct.unpack_from("<I", section, at)[0], 4)
        vendor = section.index(b"\0", at + 4)
        if section[at + 4 : vendor] == b"aeabi" and section[vendor + 1] == _TAG_FILE:
            inner = vendor + 2
            stop = vendor + 1 + struct.unpack_from("<I", section, inner)[0]
            return _value(section[:stop], inner + 4)
        at = end
    return None


def _value(section: bytes, at: int) -> int | None:
    while at < len(section):
        tag, at = _number(section, at)
        if tag == _TAG_CPU_ARCH:
            return _number(section, at)[0]
        if tag == _TAG_COMPATIBILITY:
            at = section.index(b"\0", _number(section, at)[1]) + 1
        elif tag in _TAGS_OF_TEXT or (tag > _TAG_COMPATIBILITY and tag % 2):
            at = section.index(b"\0", at) + 1
        else:
            at = _number(section, at)[1]
    return None


def _number(section: bytes, at: int) -> tuple[int, int]:
    """Read a number in seven bits a byte (ULEB128); give it, and where it ends."""
    value = shift = 0
    while True:
        byte = section[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
