"""The processors there are images for or builds on: ONE table, by Debian's names.

A new one is an entry here, and what `assert_never` and the tests of this table then ask for.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Mapping  # noqa: TC003  a dataclass field's hint
from dataclasses import dataclass
from types import MappingProxyType

from glovebox.errors import HostError
from glovebox.host.run import run

# e_machine of an ELF file (gABI).
EM_386, EM_ARM, EM_X86_64, EM_AARCH64 = 3, 40, 62, 183


@dataclass(frozen=True, kw_only=True)
class Arch:
    """What a build has to know of a processor and of Debian's port to it."""

    name: str  # Debian's
    triplet: str  # the folder of its libraries, and what its compilers' names begin with
    loader: str  # the file in that folder which starts programs
    interpreter: str  # what a program names as its loader
    elf_machines: frozenset[int]  # what the processor runs
    machine: str = ""  # what `uname -m` says where a build can run on it
    bits: int = 64
    handler: str = ""  # qemu-user's name in binfmt_misc
    qemu_cpu: str = ""  # the model qemu-user shall emulate, where its own is slow
    qemu_system: str = ""  # the program that emulates a whole board
    cross_packages: tuple[str, ...] = ()  # what compiles for it on another processor
    last_suite: str = ""  # Debian's last release with it, once that is known
    also_runs: frozenset[str] = frozenset()  # other ports whose programs it runs as they are
    wheels: str = ""  # what Python's wheels call it, where anybody makes some that run


_ALL = (
    Arch(
        name="amd64",
        triplet="x86_64-linux-gnu",
        loader="ld-linux-x86-64.so.2",
        interpreter="/lib64/ld-linux-x86-64.so.2",
        elf_machines=frozenset({EM_386, EM_X86_64}),
        machine="x86_64",
        also_runs=frozenset({"i386"}),
        wheels="x86_64",
    ),
    Arch(
        name="arm64",
        triplet="aarch64-linux-gnu",
        loader="ld-linux-aarch64.so.1",
        interpreter="/lib/ld-linux-aarch64.so.1",
        elf_machines=frozenset({EM_AARCH64}),
        machine="aarch64",
        handler="qemu-aarch64",
        # The default model emulates pointer authentication in software: 30 times slower in loops.
        qemu_cpu="cortex-a53",
        qemu_system="qemu-system-aarch64",
        cross_packages=("gcc-aarch64-linux-gnu", "g++-aarch64-linux-gnu", "libc6-dev-arm64-cross"),
        wheels="aarch64",
    ),
    Arch(
        name="armel",
        triplet="arm-linux-gnueabi",
        loader="ld-linux.so.3",
        interpreter="/lib/ld-linux.so.3",
        elf_machines=frozenset({EM_ARM}),
        bits=32,
        handler="qemu-arm",
        qemu_system="qemu-system-arm",
        cross_packages=("gcc-arm-linux-gnueabi", "g++-arm-linux-gnueabi", "libc6-dev-armel-cross"),
        last_suite="trixie",
    ),
    Arch(
        name="armhf",
        triplet="arm-linux-gnueabihf",
        loader="ld-linux-armhf.so.3",
        interpreter="/lib/ld-linux-armhf.so.3",
        elf_machines=frozenset({EM_ARM}),
        bits=32,
        handler="qemu-arm",
        qemu_system="qemu-system-arm",
        cross_packages=(
            "gcc-arm-linux-gnueabihf", "g++-arm-linux-gnueabihf", "libc6-dev-armhf-cross",
        ),
    ),
)  # fmt: skip
ARCHES: Mapping[str, Arch] = MappingProxyType({arch.name: arch for arch in _ALL})
HANDLERS = tuple(sorted({arch.handler for arch in _ALL if arch.handler}))


@functools.cache
def host_arch() -> str:
    """Give Debian's name of this machine's processor; raises HostError where no build can run."""
    machine = platform.machine()
    for arch in _ALL:
        if arch.machine == machine:
            return arch.name
    raise HostError(f"a build needs an x86-64 or a 64-bit Arm machine, this one is {machine}")


def builds_here() -> bool:
    """Tell whether a build can run on this machine's processor."""
    return any(arch.machine == platform.machine() for arch in _ALL)


def is_foreign(arch: str) -> bool:
    """Tell whether programs of a port need an emulator on this machine."""
    if not builds_here():
        return True
    own = ARCHES[host_arch()]
    return arch != own.name and arch not in own.also_runs


def require_emulation(arch: str) -> None:
    """Raise HostError unless programs of ``arch`` run here: one is tried."""
    if builds_here() and arch == host_arch():
        return
    # Inside a build's own /proc the kernel's list of emulators does not show; what runs, runs.
    if run(["arch-test", arch], check=False).returncode != 0:
        handler = ARCHES[arch].handler if arch in ARCHES else "an emulator of it"
        raise HostError(
            f"programs of {arch} do not run here: the kernel does not know {handler}",
            hint="./invoke setup, then ./invoke doctor",
        )
