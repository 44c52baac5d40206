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
