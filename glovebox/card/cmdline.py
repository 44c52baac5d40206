"""Which partition a kernel's command line calls root, and how sure that is.

The forms are those of the kernel's name_to_dev_t (init/do_mounts.c, block/early-lookup.c), and of
the names initramfs-tools resolves: LABEL=, UUID= and the links of udev.
"""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003  a dataclass field's hint
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from glovebox.card.table import Partition, Table

_MMC, _SCSI = 179, 8
_SCSI_PARTS = 16  # minor numbers a disk has
_NO_QUOTES = str.maketrans("", "", '"')


@dataclass(frozen=True, kw_only=True)
class Named:
    """A partition's own names: of its file system and of its entry in the table."""

    label: str = ""
    uuid: str = ""
    entry: str = ""  # PARTLABEL, in a GPT alone


@dataclass(frozen=True, kw_only=True)
class Root:
    """The root partition; ``guess`` says in a sentence what it was taken for, and why."""

    partition: Partition
    guess: str = ""


@dataclass(frozen=True, kw_only=True)
class Names:
    """What is known of the partitions by number, and which of them hold a system."""

    named: Mapping[int, Named] = field(default_factory=dict)
    systems: Sequence[int] = ()


def words(text: str) -> list[str]:
    """Give the kernel's own words: those behind a lone `--` are for the first program."""
    found: list[str] = []
    for word in re.findall(r'(?:[^\s"]|"[^"]*")+', text.replace("\0", " ")):
        if word == "--":
            break
        found.append(word.translate(_NO_QUOTES))
    return found


def root_word(text: str) -> str | None:
    """Give what is behind the last ``root=``: the kernel takes that."""
    roots = [word.removeprefix("root=") for word in words(text) if word.startswith("root=")]
    return roots[-1] if roots else None


def find(table: Table, text: str, names: Names) -> Root | None:
    """Give the root partition; None when no partition could be one."""
    wanted = root_word(text)
    by_number = {one.number: one for one in table.partitions}
    if wanted is not None:
        number = _number(wanted, table, names)
        if number in by_number:
            return Root(partition=by_number[number])
    candidates = [by_number[number] for number in names.systems if number in by_number]
    why = "it is the only one that holds a system"
    if len(candidates) != 1:
        candidates = [one for one in table.partitions if one.is_linux] or candidates
        why = "it is the first Linux partition"
    if not candidates:
        return None
    if wanted is None and len(candidates) == 1 and sum(o.is_linux for o in table.partitions) <= 1:
        return Root(partition=candidates[0])
    says = f"says root={wanted[:80]}, which is none of its" if wanted else "names no root partition"
    return Root(
        partition=candidates[0],
        guess=f"the kernel's command line {says}; partition {candidates[0].number} is taken: {why}",
    )


def _number(wanted: str, table: Table, names: Names) -> int | None:
    """Give the number of the partition that a name means; None when it is none of this card's."""
    udev = re.fullmatch(r"/dev/disk/by-(label|uuid|partuuid|partlabel)/(.+)", wanted)
    if udev:
        wanted = f"{udev[1].upper()}={_unescaped(udev[2])}"
    kind, equals, value = wanted.partition("=")
    if equals:
        return _by_name(kind.upper(), value, table, names)
    return _by_device(wanted)


def _by_name(kind: str, value: str, table: Table, names: Names) -> int | None:
    match kind:
        case "PARTUUID":
            name, _, off = value.partition("/PARTNROFF=")
            found = next((n for n, one in _partuuids(table) if one.lower() == name.lower()), None)
            # Without a leading zero it is one digit of an MBR.
            short = re.fullmatch(r"([0-9a-f]{8})-([0-9a-f]{1,2})", name.lower())
            if found is None and short and short[1] == table.disk_id.lower():
                found = int(short[2], 16)
            shift = int(off) if re.fullmatch(r"-?[0-9]{1,3}", off) else 0
            return None if found is None else found + shift
        case "UUID":
            wanted = [n for n, one in names.named.items() if one.uuid.lower() == value.lower()]
        case "LABEL":
            wanted = [n for n, one in names.named.items() if one.label == value]
        case "PARTLABEL":
            wanted = [n for n, one in names.named.items() if one.entry == value]
        case _:
            wanted = []
    return wanted[0] if value and len(wanted) == 1 else None


def _partuuids(table: Table) -> Iterator[tuple[int, str]]:
    for one in table.partitions:
        yield one.number, table.partuuid(one)


def _by_device(name: str) -> int | None:
    """Read the number at the end of a device's name, or of its two numbers."""
    found = re.fullmatch(
        r"/dev/(?:mmcblk\d+p|nvme\d+n\d+p|[shv]d[a-z]+|disk/by-(?:path|id)/.+-part)(\d{1,3})", name
    )
    if found:
        return int(found[1])
    pair = re.fullmatch(r"(\d{1,3}):(\d{1,3})", name)
    if pair:
        return _by_numbers(int(pair[1]), int(pair[2]))
    old = re.fullmatch(r"(?:0x)?([0-9a-f]{1,2})([0-9a-f]{2})", name.lower())
    return _by_numbers(int(old[1], 16), int(old[2], 16)) if old else None


def _by_numbers(major: int, minor: int) -> int | None:
    """Read a device's two numbers: a board's first card has the lowest minor ones of its kind."""
    if major == _MMC:
        return minor or None
    return minor % _SCSI_PARTS or None if major == _SCSI else None


def _unescaped(name: str) -> str:
    """Give a name as it is: in the names of its links udev writes spaces as numbers."""
    return re.sub(r"\\x([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), name)
