"""Find the disks a card can be: what hangs on USB or is an MMC, and whether it is in use.

Read from /sys and /proc as the kernel shows them. No library: those that list disks start lsblk,
whose columns say less about who uses a disk.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterator

SECTOR = 512  # the unit of /sys, whatever the disk's own is
_MMC = re.compile(r"mmcblk\d+")  # without its boot areas, mmcblk0boot0
_LOOP = re.compile(r"loop\d+")
# /proc/self/mountinfo: where it is mounted, and the number of its device.
_MOUNT = re.compile(r"^\d+ \d+ (?P<number>\d+:\d+) \S+ (?P<place>\S+) .* - \S+ (?P<source>\S+)")
_LISTED = "./invoke flash lists the disks there are"


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A whole disk; ``used`` says what keeps it from being written, a reason each."""

    name: str
    bus: str  # USB, MMC, loop; empty: neither
    model: str
    size: int
    used: tuple[str, ...]

    @property
    def device(self) -> Path:
        """Where its bytes are."""
        return Path("/dev") / self.name


@dataclass(frozen=True, kw_only=True)
class Host:
    """The machine to look at; tests make one up."""

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")


def listed(host: Host) -> list[Disk]:
    """Give the disks on USB and MMC that have a medium in them, sorted by name."""
    found = [_disk(host, path.name) for path in sorted((host.sys / "block").iterdir())]
    return [one for one in found if one.bus in ("USB", "MMC") and one.size]


def named(host: Host, device: str) -> Disk:
    """Give the disk a person named; raises HostError where it is none that may be written."""
    # /dev/disk/by-id/… is a link, and a good way to name one.
    path = Path("/dev", device).resolve()
    name = path.name
    if path.parent != Path("/dev") or not (host.sys / "block" / name).is_dir():
        whole = _whole(host, name)
        if whole:
            raise HostError(
                f"{device} is a partition", hint=f"a card is written as a whole: /dev/{whole}"
            )
        raise HostError(f"{device} is no disk", hint=_LISTED)
    found = _disk(host, name)
    if not found.bus:
        raise HostError(f"{device} is on neither USB nor MMC: it is no card", hint=_LISTED)
    if not found.size:
        raise HostError(f"{device} has no card in it", hint="put one in")
    if found.used:
        raise HostError(
            f"{device} is in use: {', '.join(found.used)}",
            hint="unmount it, if it is the card: umount " + str(found.device) + "?*",
        )
    return found


def _whole(host: Host, name: str) -> str | None:
    """Name the disk of a partition."""
    parents = (path.parent.name for path in (host.sys / "block").glob(f"*/{name}/partition"))
    return next(parents, None)


def _disk(host: Host, name: str) -> Disk:
    folder = host.sys / "block" / name
    words = [_text(folder / "device" / each) for each in ("vendor", "model", "name")]
    if _LOOP.fullmatch(name):
        words = [_text(folder / "loop/backing_file")]
    return Disk(
        name=name,
        bus=_bus(folder),
        model=" ".join(word for word in words if word) or "unknown",
        size=int(_text(folder / "size") or 0) * SECTOR,
        used=tuple(dict.fromkeys(_used(host, folder))),
    )


def _bus(folder: Path) -> str:
    if _LOOP.fullmatch(folder.name):
        return "loop"
    if _MMC.fullmatch(folder.name):
        return "MMC"
    # /sys/block/sdb links to …/usb1/1-2/…/block/sdb.
    return "USB" if any(re.fullmatch(r"usb\d+", one) for one in folder.resolve().parts) else ""


def _used(host: Host, folder: Path) -> Iterator[str]:
    """Say what uses a disk or one of its partitions."""
    if _text(folder / "ro") == "1":
        yield "it is write-protected"
    parts = [folder, *sorted(path.parent for path in folder.glob("*/partition"))]
    numbers = {_text(part / "dev"): part.name for part in parts}
    sources = {f"/dev/{part.name}": part.name for part in parts}
    for line in _text(host.proc / "self/mountinfo").splitlines():
        mount = _MOUNT.match(line)
        if mount and (mount["number"] in numbers or mount["source"] in sources):
            name = numbers.get(mount["number"]) or sources[mount["source"]]
            yield f"{name} is mounted on {_unescaped(mount['place'])}"
    for line in _text(host.proc / "swaps").splitlines()[1:]:
        if line.split()[:1] and line.split()[0] in sources:
            yield f"{sources[line.split()[0]]} is swap space"
    for part in parts:
        for holder in sorted(path.name for path in part.glob("holders/*")):
            yield f"{part.name} belongs to {holder} (LVM, RAID or encryption)"


def _unescaped(place: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), place)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
