"""Read config.txt as the firmware of one model of board would.

Filters of one kind replace each other, filters of different kinds hold together, ``[all]`` ends all
of them; of a value given twice the last one counts. Source: "Conditional filters" and "Boot
options" in Raspberry Pi's documentation of config.txt. It does not say of which kind ``[none]`` is;
here it is a filter of the model that no model passes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003  a dataclass field's hint
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

# The firmware ignores what stands further right.
LINE_LENGTH = 98
_DEPTH = 8
_INCLUDES = 32  # of all files together
_AUTOBOOT = 512  # bytes of autoboot.txt that are read
_UNKNOWN = "unknown"
_COUNTS = "has a # behind its value"
# Orders are carried out one after the other; every other key is a value, and the last one counts.
ORDERS = frozenset({"dtoverlay", "dtparam", "gpio", "initramfs", "device_tree_param"})
_ARMV6 = ("kernel.img",)
_ARMV7 = ("kernel7.img", "kernel8.img")
_PI_4 = ("kernel8.img", "kernel7l.img")
_PI_5 = ("kernel_2712.img", "kernel8.img")
# The instruction sets a kernel can be built for; a 64-bit processor takes ARMv7 too, but the Pi 5's
# firmware starts nothing but 64 bits.
ARMV6, ARMV7, ARM64 = "ARMv6", "ARMv7", "64-bit Arm"


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model of board as the firmware knows it."""

    name: str
    title: str
    filters: frozenset[str]
    board_type: int  # bits 4 to 11 of the revision code
    kernels: tuple[str, ...]  # what is started when config.txt names none, in this order
    dtbs: tuple[str, ...]  # Raspberry Pi's name, then the upstream kernel's
    firmware: tuple[str, ...]  # what has to lie on the card for the boot ROM or EEPROM

    @property
    def takes(self) -> frozenset[str]:
        """The instruction sets its processor starts a kernel of."""
        if self.kernels is _ARMV6:
            return frozenset({ARMV6})
        if self.name == "2":
            return frozenset({ARMV7})
        return frozenset({ARM64} if self.kernels is _PI_5 else {ARMV7, ARM64})

    @property
    def has_rp1(self) -> bool:
        """Tell whether its USB and network ports are behind RP1."""
        return self.kernels is _PI_5


_OLD = ("bootcode.bin", "start.elf", "fixup.dat")
_NEW = ("start4.elf", "fixup4.dat")
# With the smallest memory for graphics the firmware takes its cut-down form ("Boot options").
_SMALLEST = "16"
_CUT_DOWN = {
    "start.elf": "start_cd.elf",
    "fixup.dat": "fixup_cd.dat",
    "start4.elf": "start4cd.elf",
    "fixup4.dat": "fixup4cd.dat",
}


def _model(
    name: str, title: str, filters: str, board_type: int, kernels: tuple[str, ...], dtbs: str
) -> Model:
    firmware = () if kernels is _PI_5 else _NEW if kernels is _PI_4 else _OLD
    return Model(
        name=name,
        title=title,
        filters=frozenset(filters.split()),
        board_type=board_type,
        kernels=kernels,
        dtbs=tuple(f"{stem}.dtb" for stem in dtbs.split()),
        firmware=firmware,
    )


_ALL = (
    _model("1", "Raspberry Pi 1 B+", "pi1", 0x03, _ARMV6,
           "bcm2708-rpi-b-plus bcm2835-rpi-b-plus"),
    _model("zero", "Raspberry Pi Zero", "pi0", 0x09, _ARMV6,
           "bcm2708-rpi-zero bcm2835-rpi-zero"),
    _model("zero-w", "Raspberry Pi Zero W", "pi0 pi0w", 0x0C, _ARMV6,
           "bcm2708-rpi-zero-w bcm2835-rpi-zero-w"),
    _model("zero-2-w", "Raspberry Pi Zero 2 W", "pi0 pi0w pi02", 0x12, _ARMV7,
           "bcm2710-rpi-zero-2-w bcm2837-rpi-zero-2-w bcm2710-rpi-zero-2"),
    _model("2", "Raspberry Pi 2 B", "pi2", 0x04, _ARMV7,
           "bcm2709-rpi-2-b bcm2836-rpi-2-b"),
    _model("3", "Raspberry Pi 3 B", "pi3", 0x08, _ARMV7,
           "bcm2710-rpi-3-b bcm2837-rpi-3-b"),
    _model("3+", "Raspberry Pi 3 B+", "pi3 pi3+", 0x0D, _ARMV7,
           "bcm2710-rpi-3-b-plus bcm2837-rpi-3-b-plus"),
    _model("3a+", "Raspberry Pi 3 A+", "pi3 pi3+", 0x0E, _ARMV7,
           "bcm2710-rpi-3-b-plus bcm2837-rpi-3-a-plus"),
    _model("cm3", "Compute Module 3", "pi3 cm3", 0x0A, _ARMV7,
           "bcm2710-rpi-cm3 bcm2837-rpi-cm3-io3"),
    _model("cm3+", "Compute Module 3+", "pi3 cm3 cm3+", 0x10, _ARMV7,
           "bcm2710-rpi-cm3 bcm2837-rpi-cm3-io3"),
    _model("4", "Raspberry Pi 4 B", "pi4", 0x11, _PI_4, "bcm2711-rpi-4-b"),
    _model("400", "Raspberry Pi 400", "pi4 pi400", 0x13, _PI_4, "bcm2711-rpi-400"),
    _model("cm4", "Compute Module 4", "pi4 cm4", 0x14, _PI_4,
           "bcm2711-rpi-cm4 bcm2711-rpi-cm4-io"),
    _model("cm4s", "Compute Module 4S", "pi4 cm4s", 0x15, _PI_4, "bcm2711-rpi-cm4s"),
    _model("5", "Raspberry Pi 5", "pi5", 0x17, _PI_5, "bcm2712-rpi-5-b bcm2712d0-rpi-5-b"),
    _model("500", "Raspberry Pi 500", "pi5 pi500", 0x19, _PI_5, "bcm2712-rpi-500"),
    _model("cm5", "Compute Module 5", "pi5 cm5", 0x18, _PI_5, "bcm2712-rpi-cm5-cm5io"),
)  # fmt: skip
MODELS: Mapping[str, Model] = MappingProxyType({model.name: model for model in _ALL})


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line that counts; ``only_if`` are filters that the image alone cannot decide."""

    text: str
    file: str
    number: int
    only_if: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What is set: the word before ``=``, or before the first space."""
        return re.split(r"[=\s]", self.text, maxsplit=1)[0]

    @property
    def value(self) -> str:
        """What it is set to; of a number, what stands behind it is not read."""
        said = self.text[len(self.key) :].lstrip("= \t")
        number = re.match(r"(0x[0-9a-fA-F]+|-?[0-9]+)\s", said)
        return number[1] if number else said


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a model makes of config.txt; ``notes`` name what it stumbles over."""

    lines: tuple[Line, ...]
    notes: tuple[str, ...]

    @property
    def certain(self) -> tuple[Line, ...]:
        """The lines that count whatever is plugged in."""
        return tuple(line for line in self.lines if not line.only_if)

    @property
    def values(self) -> dict[str, str]:
        """The values, the last of each key."""
        return {line.key: line.value for line in self.certain if line.key not in ORDERS}

    @property
    def orders(self) -> list[str]:
        """Overlays, parameters and pins, in their order."""
        return [line.text for line in self.certain if line.key in ORDERS]


@dataclass
class _Filters:
    """The filters in force: for each kind its header, and whether it holds (None: who knows)."""

    model: Model
    partition: int | None
    held: dict[str, tuple[str, bool | None]] = field(default_factory=dict)

    def header(self, words: str) -> bool:
        """Take a header; False where it is none that is known here."""
        lowered = words.lower()
        if lowered == "all":
            self.held.clear()
            return True
        kind, holds = _decide(lowered, self.model, self.partition)
        self.held[kind] = (f"[{words}]", holds)
        return not kind.startswith(_UNKNOWN)

    @property
    def fails(self) -> bool:
        return any(holds is False for _, holds in self.held.values())

    @property
    def unknown(self) -> tuple[str, ...]:
        return tuple(header for header, holds in self.held.values() if holds is None)


def _decide(words: str, model: Model, partition: int | None) -> tuple[str, bool | None]:
    """Tell a filter's kind and whether it holds."""
    if words in {"none", "tryboot"}:
        return ("model" if words == "none" else "tryboot"), False
    if re.fullmatch(r"(pi|cm)\d\w*\+?", words):
        known = any(words in one.filters for one in _ALL)
        return "model" if known else f"{_UNKNOWN} model", words in model.filters
    name, equals, value = words.partition("=")
    if name == "boot_partition" and equals:
        held = None if partition is None else value == str(partition)
        return name, held if re.fullmatch(r"[0-9]{1,3}", value) else False
    if name == "board-type" and equals:
        number = re.fullmatch(r"0x([0-9a-f]{1,8})|([0-9]{1,8})", value)
        told = number and int(number[1] or number[2], 16 if number[1] else 10)
        return "model", told == model.board_type
    for kind, pattern in (("gpio", r"gpio\d+=[01]"), ("edid", "edid=.+"), ("hdmi", r"hdmi:[01]"),
                          ("serial", "0x[0-9a-f]+"), ("partition", r"partition=\d+")):  # fmt: skip
        if re.fullmatch(pattern, words):
            return kind, None
    return f"{_UNKNOWN} {words}", False


def read(
    text: str,
    model: Model,
    include: Callable[[str], str | None] | None = None,
    *,
    partition: int | None = None,
) -> Reading:
    """Read config.txt for a model; ``include`` gives the text of another file, or None.

    ``partition`` is the one the firmware starts from, where that is known.
    """
    reader = _Reader(
        filters=_Filters(model=model, partition=partition),
        include=include or (lambda _name: None),
    )
    lines = tuple(reader.lines(text, "config.txt", 0))
    return Reading(lines=lines, notes=tuple(dict.fromkeys(reader.notes)))


@dataclass
class _Reader:
    """Reads config.txt and what it includes; of files that include each other only so much."""

    filters: _Filters
    include: Callable[[str], str | None]
    notes: list[str] = field(default_factory=list)
    left: int = _INCLUDES

    def lines(self, text: str, file: str, depth: int) -> Iterator[Line]:
        for number, raw in enumerate(text.splitlines(), 1):
            place = f"{file}:{number}"
            line = raw.strip()
            # A comment has a line of its own; behind a value it is a part of that.
            if not line or line.startswith("#"):
                continue
            if len(line) > LINE_LENGTH:
                self.notes.append(f"{place} is cut after {LINE_LENGTH} characters")
                line = line[:LINE_LENGTH]
            if line.startswith("[") and line.endswith("]"):
                if not self.filters.header(line[1:-1].strip()):
                    self.notes.append(
                        f"{place} {line} is no filter known here: what stands under it is left out"
                    )
            elif self.filters.fails:
                continue
            elif line.split()[0] == "include":
                yield from self._included(line.removeprefix("include").strip(), place, depth)
            elif (complaint := _complaint(line)) is not None:
                self.notes.append(f"{place} {complaint}")
                if not complaint.startswith(_COUNTS):
                    continue
                yield self._line(line, file, number)
            else:
                yield self._line(line, file, number)

    def _line(self, text: str, file: str, number: int) -> Line:
        return Line(text=text, file=file, number=number, only_if=self.filters.unknown)

    def _included(self, name: str, place: str, depth: int) -> Iterator[Line]:
        if depth >= _DEPTH or self.left <= 0:
            why = "includes itself" if depth >= _DEPTH else "is one of too many"
            self.notes.append(f"{place} includes {name}, which {why}")
            return
        self.left -= 1
        inner = self.include(name)
        if inner is None:
            self.notes.append(f"{place} includes {name}, which is not there")
        else:
            yield from self.lines(inner, name, depth + 1)


def _complaint(line: str) -> str | None:
    """Say what the firmware makes of a line that is not written as it reads them."""
    key = re.match(r"[^=\s]*", line)
    word = key[0] if key else ""
    rest = line[len(word) :]
    if word == "initramfs" and not rest.strip():
        return "has initramfs without the name of a file: it says nothing"
    if re.match(r"\s+=", rest):
        return "has a space before =, which is a part of the name: the firmware knows no such name"
    if rest.startswith("=") and re.match(r"\s+\D", rest[1:]):
        return "has a space behind =, which is a part of the value: nothing has such a name"
    if re.search(r"\s#", rest):
        return f"{_COUNTS}, it is a part of the value: a comment has a line of its own"
    return None


def boot_partition(autoboot: str) -> int:
    """Give the partition that autoboot.txt has the firmware start from; 0 is the first FAT one.

    That is of a plain start: what stands under [tryboot] is for one start alone.
    """
    found, held = 0, True
    for raw in autoboot[:_AUTOBOOT].splitlines():
        line = raw.strip()
        if line.startswith("["):
            held = line.lower() == "[all]"
        value = re.fullmatch(r"boot_partition=([0-9]{1,3})", line)
        if held and value:
            found = int(value[1])
    return found


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a model boots from a boot partition, by the files that lie there."""

    model: Model
    kernel: str | None
    dtb: str | None
    missing: tuple[str, ...]
    initramfs: str | None = None  # as config.txt asks for it, if it is there

    @property
    def boots(self) -> bool:
        """Tell whether nothing is missing."""
        return not self.missing


def judge(
    reading: Reading,
    model: Model,
    names: Collection[str],
    built_for: Callable[[str], Collection[str]] | None = None,
) -> Verdict:
    """Look for all that a model loads among the files ``names`` of the boot partition.

    ``built_for`` tells the instruction sets a kernel is for, none when it cannot tell.
    """
    # The names of a FAT file system are the same in either case.
    there = {name.lower() for name in names}
    values = reading.values
    prefix = values.get("os_prefix", "upstream/" if values.get("upstream_kernel") == "1" else "")
    kernels = kernel_names(values, model)
    named = values.get("device_tree")
    dtbs = (named,) if named else model.dtbs
    kernel = _first(kernels, there, prefix)
    dtb = _first(dtbs, there, prefix)
    cut_down = _CUT_DOWN if values.get("gpu_mem") == _SMALLEST else {}
    loaded = () if "start_file" in values else model.firmware
    missing = [name for name in (cut_down.get(each, each) for each in loaded) if name not in there]
    if kernel is None:
        missing.append(" or ".join(kernels))
    elif built_for and (sets := built_for(kernel)) and not model.takes & set(sets):
        missing.append(f"kernel for it ({kernel} is for {' and '.join(sorted(sets))})")
    if dtb is None:
        missing.append(" or ".join(dtbs[:2]))
    initramfs = initramfs_name(reading, kernel)
    return Verdict(
        model=model,
        kernel=kernel,
        dtb=dtb,
        missing=tuple(missing),
        initramfs=_first((initramfs,), there, prefix) if initramfs else None,
    )


def initramfs_name(reading: Reading, kernel: str | None) -> str | None:
    """Give the initramfs that is asked for: by its name, or the one that goes with the kernel."""
    named = [line.split()[1] for line in reading.orders if line.split()[0] == "initramfs"]
    if named:
        return named[-1]
    if reading.values.get("auto_initramfs") != "1" or kernel is None:
        return None
    name = kernel.rpartition("/")[2]
    return name.replace("kernel", "initramfs").removesuffix(".img")


def kernel_names(values: Mapping[str, str], model: Model) -> tuple[str, ...]:
    """Give the names a model looks for its kernel under, the first choice first."""
    if values.get("kernel"):
        return (values["kernel"],)
    bits = values.get("arm_64bit")
    names = model.kernels
    if model.kernels in (_ARMV7, _PI_4) and bits is not None:
        wide = bits != "0"
        names = tuple(name for name in names if (name == "kernel8.img") == wide)
    return names


def instruction_sets(kernel: str, head: bytes, settings: str) -> frozenset[str]:
    """Tell what a kernel was built for: by its first 64 bytes, the settings it was built with.

    Where neither tells, the name Raspberry Pi gives it does. Sources: the kernel's
    Documentation/arch/arm64/booting.rst (magic number at 56) and the head of its zImage (at 36).
    """
    if head[56:60] == b"ARM\x64" or head[:2] == b"\x1f\x8b":  # only those are started packed
        return frozenset({ARM64})
    found = set(re.findall(r"^CONFIG_(ARM64|CPU_V7|CPU_V6K?)=y", settings, re.MULTILINE))
    sets = {{"ARM64": ARM64, "CPU_V7": ARMV7}.get(name, ARMV6) for name in found}
    if not sets and head[36:40] == b"\x18\x28\x6f\x01":
        name = kernel.rpartition("/")[2]
        sets = {ARMV6} if name == "kernel.img" else {ARMV7} if name.startswith("kernel7") else set()
    return frozenset(sets)


def _first(names: Iterable[str], there: Collection[str], prefix: str) -> str | None:
    for name in names:
        # A prefix under which nothing lies is not used; a leading slash bypasses it.
        for place in (f"{prefix}{name}", name.removeprefix("/")):
            if place.lower() in there:
                return place
    return None


def flat(text: str) -> list[str]:
    """Give the lines of config.txt, without comments, each behind the filters it stands under."""
    filters = ""
    lines = []
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            filters = "" if line.lower() == "[all]" else f"{line} "
        elif line:
            lines.append(f"{filters}{line}")
    return lines
