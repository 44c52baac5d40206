"""Match an image's packages with Debian's security tracker: what is open, what a new lock mends.

Our own few rules: debsbom's scan knows neither what the suite has by now, nor backports, nor that
the signed kernels of a PC's and a board's processor are the source `linux`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from debian.debian_support import Version

from glovebox.project import packages

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from glovebox.project.packages import Part

FIXES_OUT, STILL_OPEN = 8, 9  # exit codes
_BACKPORT = re.compile(r"~bpo[0-9]+\+[0-9]+$")
_RASPBERRY_PIS = re.compile(r"\+rp[it]")
_SIGNED = "linux-signed-"
_UNSTABLE = "sid"  # where backports are from
_OURS = "telematics"

_Source = tuple[str, str, bool]  # name, version, and whether that is whole


class Kind(StrEnum):
    """How a flaw stands, the worst first."""

    FIXED = "fixed"  # in the suite, and not in the image
    OPEN = "open"
    MINOR = "minor"  # Debian's security team gives no advisory of its own
    UNIMPORTANT = "unimportant"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A flaw that an image has by the tracker's word."""

    cve: str
    kind: Kind
    source: str
    version: str
    packages: tuple[str, ...]
    fixed: str | None  # the version that has the fix
    lock_brings: str | None  # the newest that the suite has
    urgency: str
    note: str
    description: str


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What was found in one image."""

    suite: str
    judged: int  # packages
    findings: tuple[Finding, ...]
    not_judged: Mapping[str, str]  # by name and version, why

    def of(self, kind: Kind) -> list[Finding]:
        """Give the findings of a kind."""
        return [one for one in self.findings if one.kind is kind]


def exit_code(audits: Iterable[Audit]) -> int:
    """Tell by a number: 0, nothing to do; else that fixes are out, or that flaws are open."""
    kinds = {one.kind for audit in audits for one in audit.findings}
    if Kind.FIXED in kinds:
        return FIXES_OUT
    return STILL_OPEN if Kind.OPEN in kinds else 0


def audit(
    parts: Sequence[Part],
    data: Mapping[str, Mapping[str, Any]],
    *,
    suite: str,
) -> Audit:
    """Match a list of packages with the tracker's data."""
    groups: dict[_Source, list[str]] = {}
    not_judged: dict[str, str] = {}
    for part in parts:
        why = _cannot_be_judged(part)
        if why:
            not_judged[f"{part.name} {part.version}"] = why
        elif part.source is not None:
            groups.setdefault(_tracked(part, part.source), []).append(part.name)
    findings = [
        found
        for source, names in sorted(groups.items())
        for cve, entry in sorted(data.get(source[0], {}).items(), key=lambda it: _by_number(it[0]))
        if (found := _judge(cve, entry, source, tuple(names), suite)) is not None
    ]
    return Audit(
        suite=suite,
        judged=sum(map(len, groups.values())),
        findings=tuple(findings),
        not_judged=not_judged,
    )


def _cannot_be_judged(part: Part) -> str | None:
    if part.arch == packages.WHEEL:
        return "a Python wheel, which Debian does not track"
    if part.name == _OURS and not part.is_debians:
        return "Glovebox's own service"
    if part.version.startswith("sha256:"):
        return "compiled from an address, which Debian does not track"
    if _RASPBERRY_PIS.search(part.source_version):
        return "Raspberry Pi's, which Debian does not track"
    if part.source is None:
        return "its source is not known: the list is of an older build"
    return None


def _tracked(part: Part, source: str) -> _Source:
    """Give a source as the tracker names it: a signed kernel is `linux`, 6.1+1 of it 6.1-1."""
    version, whole = part.source_version, part.is_debians
    if source.startswith(_SIGNED):
        return "linux", version.replace("+", "-", 1), whole
    return source, version, whole


def _mends(fixed: str, version: str, *, whole: bool) -> bool:
    """Tell whether a version has the fix; that of a source's file name has lost its epoch."""
    if not whole and ":" not in version:
        fixed = fixed.partition(":")[2] or fixed
    return bool(Version(fixed) <= Version(_BACKPORT.sub("", version)))


def _judge(
    cve: str,
    entry: Mapping[str, Any],
    source: _Source,
    names: tuple[str, ...],
    suite: str,
) -> Finding | None:
    name, version, whole = source
    releases = entry.get("releases", {})
    # A backport is unstable's version; what its suite's own older one has says nothing of it.
    backport = _BACKPORT.search(version)
    told = releases.get(_UNSTABLE if backport else suite)
    if told is None:  # the suite never had the flaw, or the source
        return None
    fixed = told.get("fixed_version")
    if told.get("status") == "resolved":
        if fixed is not None and _mends(fixed, version, whole=whole):
            return None
        kind = Kind.FIXED if fixed else Kind.OPEN
    else:
        kind = Kind.MINOR if told.get("nodsa") else Kind.OPEN
    urgency = str(told.get("urgency", ""))
    if urgency == "unimportant":
        kind = Kind.UNIMPORTANT
    return Finding(
        cve=cve,
        kind=kind,
        source=name,
        version=version,
        packages=tuple(sorted(names)),
        fixed=fixed if kind is Kind.FIXED else None,
        lock_brings=None if backport else _newest(told.get("repositories", {})),
        urgency=urgency,
        note=str(told.get("nodsa", "")),
        description=str(entry.get("description", "")),
    )


def _newest(repositories: Mapping[str, str]) -> str | None:
    """Give the newest version that the suite has, in its archive for security or its own."""
    return max(repositories.values(), key=Version, default=None)


def _by_number(cve: str) -> tuple[str, int]:
    """Sort CVE-2025-999 before CVE-2025-1000."""
    year, _, number = cve.rpartition("-")
    return (year, int(number)) if number.isdigit() else (cve, 0)
