"""Print what the verbs for any image found: tables for a person, JSON for programs."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from glovebox.errors import plain
from glovebox.images.resize import mib

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from glovebox.images.mounted import Record
    from glovebox.images.resize import Sizes

# Packages a person asks for first.
_NOTABLE = re.compile(
    r"^(linux-image-\S+|raspberrypi-kernel|raspberrypi-bootloader|raspi-firmware|libc6|systemd"
    r"|python3|openssh-server|network-manager|dhcpcd5?|gpsd|redis-server|cloud-init)$"
)
_MOST = 40  # lines of one kind, unless all are asked for
Facts = dict[str, Any]  # what inventory and differ give as JSON


def info(found: Mapping[str, object]) -> None:
    """Print what an image is."""
    facts = _plain(found)
    console = _console()
    packed = f", packed with {facts['packed']}" if facts["packed"] else ""
    console.print(f"[bold]{escape(facts['image'])}[/]  {mib(facts['bytes'])}{packed}")
    _rows(_system_rows(facts["system"]))
    _title(f"Partitions  (disk {facts['disk_id']})")
    table = Table("", "", "", "from", "size", "free", box=None, header_style="dim", padding=(0, 2))
    for name in ("from", "size", "free"):
        table.columns[["from", "size", "free"].index(name) + 3].justify = "right"
    for part in facts["partitions"]:
        kind = part["file_system"] or f"type {part['type']}"
        table.add_row(
            f"  {part['number']} {part['role'] or ''}",
            kind,
            part["label"] or "",
            mib(part["start"]),
            mib(part["bytes"]),
            mib(part["free"]) if part["free"] is not None else "",
        )
    console.print(table)
    _boards(facts["boards"])
    if facts["config"]:
        _config(facts["config"])
    _people(facts)


def _system_rows(system: Facts) -> list[tuple[str, str]]:
    rows = [
        ("system", system["name"] or "says no name"),
        ("processor", system["arch"] or "unknown: no dpkg"),
        ("host name", system["hostname"] or "none"),
        ("kernels", ", ".join(system["kernels"]) or "none with modules"),
        ("boot files at", system["boot"]),
    ]
    if system["made"]:
        rows.append(("made", system["made"]))
    if not system["clean"]:
        rows.append(("state", "not cleanly unmounted: what its journal holds is not seen here"))
    return rows


def _boards(boards: Sequence[Facts]) -> None:
    _title("Boards it has all files for  (Raspberry Pi …)")
    boots = [board for board in boards if board["boots"]]
    # Which kernel starts is one question, so boards with the same answer share a line.
    kernels: dict[str, list[str]] = {}
    for board in boots:
        kernels.setdefault(board["kernel"], []).append(_short(board))
    for kernel, titles in kernels.items():
        _console().print(f"  [green]✓[/] {escape(', '.join(titles))}  [dim]{escape(kernel)}[/]")
    lacks: dict[str, list[str]] = {}
    for board in boots:
        for what in board["lacks"]:
            lacks.setdefault(what, []).append(_short(board))
    for what, titles in lacks.items():
        _console().print(f"  [yellow]! {escape(', '.join(titles))}: {escape(what)}[/]")
    missing: dict[str, list[str]] = {}
    for board in boards:
        if not board["boots"]:
            what = board["missing"][-1]
            what = "device tree" if what.endswith(".dtb") else what
            missing.setdefault(what, []).append(_short(board))
    for what, titles in missing.items():
        _console().print(f"  [dim]✗ {escape(', '.join(titles))}: no {escape(what)}[/]")


def _short(board: Facts) -> str:
    return str(board["title"]).removeprefix("Raspberry Pi ")


def _config(config: Facts) -> None:
    _title(f"config.txt, as board {config['board']} reads it  (another: --board)")
    rows = [(key, value) for key, value in config["values"].items()]
    _rows(rows)
    for order in config["orders"]:
        _console().print(f"  {order}", markup=False)
    for one in config["only_if"]:
        _console().print(f"  only if {' '.join(one['filters'])}: {one['line']}", markup=False)
    for note in config["notes"]:
        _console().print(f"  note: {note}", style="yellow", markup=False)
    _title("Kernel command line")
    _console().print(f"  {config['cmdline'] or 'none'}", markup=False)


def _people(facts: Facts) -> None:
    if facts["first_start"]:
        _title("What it does by itself when it starts")
        _rows((job, ", ".join(doers)) for job, doers in facts["first_start"].items())
    _title("Users")
    rows = []
    for user in facts["users"]:
        keys = f", {user['keys']} SSH key{'s' * (user['keys'] != 1)}" if user["keys"] else ""
        password = {"none": "no password", "set": "password", "empty": "EMPTY PASSWORD"}
        rows.append((user["name"], f"{user['uid']}, {password[user['password']]}{keys}"))
    _rows(rows)
    units = facts["units"]
    masked = [name for name, where in units.items() if where == "masked"]
    enabled = [name for name in units if name not in masked]
    _title(f"Units enabled  ({len(enabled)})")
    _console().print(f"  {', '.join(enabled) or 'none'}", markup=False)
    if masked:
        _console().print(f"  masked: {', '.join(masked)}", markup=False)
    packages = facts["packages"]
    _title(f"Packages  ({len(packages)}; all of them: --json)")
    _rows((name, packages[name]) for name in packages if _NOTABLE.match(name))


def diff(found: Mapping[str, object], *, everything: bool) -> None:
    """Print what two images differ in."""
    facts = _plain(found)
    if not facts:
        _console().print("no difference (times are not compared)")
        return
    for name in ("sizes", "system"):
        if facts.get(name):
            pairs = {
                key: (_shown(one, name), _shown(other, name))
                for key, (one, other) in facts[name].items()
            }
            rows = [
                (key, f"{one} → {other}") for key, (one, other) in pairs.items() if one != other
            ]
            if rows:  # less than a tenth of a MiB shows in --json alone
                _title(name.capitalize())
                _rows(rows)
    for name in ("packages", "units", "users"):
        if facts.get(name):
            changes = facts[name]
            count = ", ".join(f"{len(names)} {what}" for what, names in changes.items())
            _title(f"{name.capitalize()}  ({count})")
            _most(_mapping_lines(changes), everything=everything)
    for name in ("config.txt", "cmdline.txt"):
        if facts.get(name):
            _title(name)
            _most(facts[name], everything=everything)
    if facts.get("files"):
        _files(facts, everything=everything)


def _files(facts: Facts, *, everything: bool) -> None:
    packages = facts.get("packages", {})
    named = {name.partition(":")[0] for names in packages.values() for name in names}
    # Files of a package that is listed above say nothing new.
    rest = [one for one in facts["files"] if everything or one["package"] not in named]
    hidden = len(facts["files"]) - len(rest)
    count = Counter(one["what"] for one in facts["files"])
    _title(f"Files  ({', '.join(f'{number} {what}' for what, number in count.items())})")
    if hidden:
        _console().print(f"  {hidden} of them belong to the packages above", style="dim")
    _most(_file_lines(rest), everything=everything)


def _file_lines(changes: Sequence[Facts]) -> list[str]:
    """Give a line a change; a whole folder that came or went is one line."""
    lines: list[str] = []
    inside = ("", 0)
    for one in changes:
        path, what = one["path"], one["what"]
        if what != "changed" and inside[0] and path.startswith(inside[0]):
            inside = (inside[0], inside[1] + 1)
            lines[-1] = f"{'+' if what == 'added' else '-'} {inside[0]}  ({inside[1]} inside)"
            continue
        sign = {"added": "+", "removed": "-", "changed": "~"}[what]
        inside = (f"{path}/", 0) if one["how"] == ["folder"] else ("", 0)
        lines.append(f"{sign} {path}" + (f"  {', '.join(one['how'])}" if sign == "~" else ""))
    return lines


def _mapping_lines(changes: Facts) -> list[str]:
    lines = [f"+ {name}  {value}" for name, value in changes.get("added", {}).items()]
    lines += [f"- {name}  {value}" for name, value in changes.get("removed", {}).items()]
    lines += [
        f"~ {name}  {one} → {other}" for name, (one, other) in changes.get("changed", {}).items()
    ]
    return lines


def _most(lines: Sequence[str], *, everything: bool) -> None:
    styles = {"+": "green", "-": "red", "~": "yellow"}
    shown = lines if everything else lines[:_MOST]
    for line in shown:
        _console().print(f"  {line}", style=styles.get(line[:1]), markup=False)
    if len(shown) < len(lines):
        _console().print(f"  … and {len(lines) - len(shown)} more (--all)", style="dim")


def _shown(value: object, name: str) -> str:
    if value is None:
        return "none"
    return mib(value) if name == "sizes" and isinstance(value, int) else str(value)


def resize(before: Sizes, after: Sizes, least: int) -> None:
    """Print the arithmetic of a resize."""
    table = Table("", "before", "after", "", box=None, header_style="dim", padding=(0, 2))
    for column in table.columns[1:]:
        column.justify = "right"
    for name, one, other in (
        ("  image", before.file, after.file),
        ("  root partition, from", before.start, after.start),
        ("  root partition, size", before.partition, after.partition),
        ("  its file system", before.system, after.system),
    ):
        change = "" if one == other else f"{'+' if other > one else '-'}{mib(abs(other - one))}"
        table.add_row(name, mib(one), mib(other), change)
    table.add_row("  its files need", mib(least), mib(least), "")
    _console().print(table)


def mounted(record: Record) -> None:
    """Say where the two partitions of an image are."""
    how = "writable" if record.write else "read-only"
    rows = [(record.place, f"root, {how}")]
    if record.boot_place is not None:
        copy = {
            ("copy", False): "; a copy, as this kernel has no vfat",
            ("copy", True): "; a copy, as this kernel has no vfat: umount writes it back",
        }.get((record.boot, record.write), "")
        rows.append((record.boot_place, f"boot, {how}{copy}"))
    else:
        rows.append(("(boot)", "not shown: the image has no folder for it"))
    _rows(rows)


def mounts(records: Iterable[tuple[Path, Record]]) -> None:
    """List what is mounted."""
    rows = [
        (record.place, f"{record.image}{', writable' if record.write else ''}")
        for _, record in records
    ]
    _rows(rows)
    if not rows:
        _console().print("no image is mounted")


def as_json(found: Mapping[str, object]) -> None:
    """Print what was found for programs."""
    json.dump(found, sys.stdout, indent=1)
    sys.stdout.write("\n")


def _plain(found: Mapping[str, object]) -> Facts:
    """Give what was found with every text plain: it comes out of somebody's image."""

    def clean(value: object) -> object:
        if isinstance(value, str):
            return plain(value).replace("\n", "\\n")
        if isinstance(value, Mapping):
            return {clean(name): clean(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [clean(one) for one in value]
        return value

    return cast("Facts", clean(found))


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)


def _title(text: str) -> None:
    _console().print(f"\n{text}", style="bold", markup=False)


def _rows(rows: Iterable[tuple[str, str]]) -> None:
    listed = list(rows)
    width = min(max((len(name) for name, _ in listed), default=0), 44)
    for name, value in listed:
        _console().print(f"  {name:<{width}}  {value}", markup=False)
