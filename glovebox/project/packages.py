"""The list of packages beside an image: a line each, with the source where it has another name.

`name version architecture [source [(version)]]`, the last as dpkg's field `Source` has it; what was
compiled or came as a wheel has that word for an architecture (compiled.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_FIELD = re.compile(r"^(Package|Version|Architecture|Status|Source): (.+)$", re.MULTILINE)
_LINE = re.compile(
    r"(?P<name>\S+) (?P<version>\S+) (?P<arch>\S+)"
    r"(?: (?P<source>[^\s()]+)(?: \((?P<source_version>[^\s()]+)\))?)?"
)
_REBUILT = re.compile(r"\+b[0-9]+$")  # compiled again from the same source
COMPILED, WHEEL = "compiled", "wheel"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A package of an image, or something that was compiled for it."""

    name: str
    version: str
    arch: str
    source: str | None  # none: the list does not tell
    source_version: str

    @property
    def is_debians(self) -> bool:
        """Whether dpkg knows it."""
        return self.arch not in (COMPILED, WHEEL)


def in_status(status: str) -> str:
    """List every package that is installed by dpkg's status, sorted."""
    found = {}
    for stanza in status.split("\n\n"):
        fields = dict(_FIELD.findall(stanza))
        if fields.get("Status", "").endswith(" installed") and "Package" in fields:
            name, arch = fields["Package"], fields.get("Architecture", "?")
            version = fields.get("Version", "?")
            found[name, arch] = f"{name} {version} {arch} {_source(name, version, fields)}\n"
    return "".join(found[key] for key in sorted(found))


def _source(name: str, version: str, fields: dict[str, str]) -> str:
    """Give the source, and its version where it is not the package's."""
    told = fields.get("Source", name).strip()
    if "(" not in told and _REBUILT.search(version):
        return f"{told} ({_REBUILT.sub('', version)})"
    return told


def read(text: str) -> list[Part]:
    """Read a list; also one of an older build, which does not name the sources.

    Raises ValueError naming a line that is none of such a list.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        told = _LINE.fullmatch(line)
        if told is None:
            raise ValueError(f"line {number}: '{line[:60]}' names no package")
        name, version, arch = told["name"], told["version"], told["arch"]
        # What is compiled has its source's name and version.
        source = told["source"] or (name if arch == COMPILED else None)
        found.append(
            Part(
                name=name,
                version=version,
                arch=arch,
                source=source,
                source_version=told["source_version"] or _REBUILT.sub("", version),
            )
        )
    return found


def completed(parts: Sequence[Part], indices: Iterable[str]) -> list[Part]:
    """Name the sources that a list does not name, by apt's indices, which may be of another day."""
    wanted = {one.name for one in parts if one.is_debians and one.source is None}
    exact: dict[tuple[str, str], str] = {}
    near: dict[str, str] = {}
    for text in indices if wanted else ():
        for stanza in text.split("\n\n"):
            name = stanza.partition("\n")[0].removeprefix("Package: ")
            if name in wanted:
                fields = dict(_FIELD.findall(stanza))
                version = fields.get("Version", "?")
                exact[name, version] = told = _source(name, version, fields)
                # Of another version only a source counts whose version follows the package's.
                if told in (plain := told.split(" ")[0], f"{plain} ({_REBUILT.sub('', version)})"):
                    near[name] = plain
    return [
        _with_source(one, exact.get((one.name, one.version)) or near.get(one.name))
        if one.source is None
        else one
        for one in parts
    ]


def _with_source(part: Part, told: str | None) -> Part:
    if told is None:
        return part
    source, _, version = told.partition(" ")
    return replace(part, source=source, source_version=version.strip("()") or part.source_version)
