"""Audit images that were built, or a list of packages; say what was found."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from glovebox.config import rules
from glovebox.config.problem import WrongValueError
from glovebox.errors import ConfigError, HostError, plain
from glovebox.host import files
from glovebox.project import packages, tracker
from glovebox.project.audit import Audit, Kind, audit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from glovebox.host.monitor import Monitor
    from glovebox.project.audit import Finding
    from glovebox.store.store import Store

_LIST, _OURS = ".packages.txt", ".manifest.json"
_FEW = 4
_LONGEST = 90
_WIDE = 200


def lists(out: Path, names: Sequence[str], given: Sequence[str]) -> list[Path]:
    """Give the lists to look at: those given, else those of the images in a folder."""
    if given:
        return [Path(one) for one in given]
    there = {path.name.removesuffix(_LIST): path for path in sorted(out.glob(f"*{_LIST}"))}
    for image in (one.removesuffix(".img") for one in names):
        if image not in there:
            known = ", ".join(there) or "none"
            raise ConfigError(f"there is no image {image} in {out}", hint=f"there: {known}")
    if not there:
        raise HostError(f"there is no image in {out}", hint="./invoke build-image")
    return [there[one.removesuffix(".img")] for one in names] or list(there.values())


def name(path: Path) -> str:
    """Give what an audited list is called."""
    return path.name.removesuffix(_LIST)


def known(given: str, store: Store, monitor: Monitor, *, refresh: bool) -> tracker.Tracker:
    """Give the tracker's data: of a file, or of an address."""
    if given and not given.startswith(("http://", "https://")):
        return tracker.given(Path(given))
    return tracker.fetched(store, monitor, url=given or tracker.ADDRESS, refresh=refresh)


def of(path: Path, data: tracker.Tracker, store: Store, *, suite: str) -> Audit:
    """Audit one list; the suite is its image's, where none is given."""
    try:
        parts = packages.read(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is no list of packages: {error}") from error
    ours = files.read_object(path.with_name(f"{name(path)}{_OURS}")) or {}
    chosen = suite or str(ours.get("suite", ""))
    if not chosen:
        raise ConfigError(
            f"{path}: no manifest beside it says which suite it is", hint="--suite trixie"
        )
    try:
        rules.suite(chosen)
    except WrongValueError as error:
        raise ConfigError(f"--suite: '{chosen}' {error}") from error
    return audit(packages.completed(parts, _indices(store, parts, chosen)), data.data, suite=chosen)


def _indices(store: Store, parts: Sequence[packages.Part], suite: str) -> Iterator[str]:
    """Give what apt was told of the suite: lists of older builds do not name their sources."""
    for arch in sorted({one.arch for one in parts if one.is_debians} - {"all"}):
        for release in (suite, "stable"):
            for path in sorted(store.root.glob(f"apt/{arch}-*/lists/*_dists_{release}*_Packages")):
                yield path.read_text(errors="replace")


def as_json(found: dict[str, Audit], data: tracker.Tracker) -> None:
    """Print all of it for programs."""
    told = {"tracker": data.day, "images": {name: asdict(one) for name, one in found.items()}}
    json.dump(told, sys.stdout, indent=1)
    sys.stdout.write("\n")


def tell(image: str, found: Audit, data: tracker.Tracker, *, everything: bool) -> None:
    """Say what was found in an image."""
    # A terminal wraps inside a column; a file or a pipe gets whole lines.
    wide = None if sys.stdout.isatty() else _WIDE
    console = Console(highlight=False, soft_wrap=True, width=wide)
    judged = f"{found.judged} packages against Debian {found.suite}"
    console.print(f"{image}: {judged}, by the tracker's data of {data.day}", markup=False)
    fixed, still = found.of(Kind.FIXED), found.of(Kind.OPEN)
    if fixed:
        cure = "./invoke build-image --refresh brings them, with a lock file ./invoke lock first"
        console.print(f"Fixes are out that are not in the image ({cure}):", markup=False)
        _table(console, fixed, "fresh lock brings", everything=everything)
    if still:
        console.print(f"Open in {found.suite}, no fix yet:", markup=False)
        _table(console, still, "newest there is", everything=everything)
    if not fixed and not still:
        console.print("Nothing known is open that Debian has an advisory for, or would.")
    for kind, what in (
        (Kind.MINOR, "Minor by Debian's word, no advisory of their own"),
        (Kind.UNIMPORTANT, "Unimportant by Debian's word"),
    ):
        those = found.of(kind)
        if those and everything:
            console.print(f"{what}:", markup=False)
            _table(console, those, "newest there is", everything=True)
        elif those:
            sources = len({one.source for one in those})
            console.print(f"{what}: {len(those)} in {sources} sources (--all lists them)")
    _not_judged(console, found, everything=everything)


def _table(console: Console, findings: Sequence[Finding], brings: str, *, everything: bool) -> None:
    heads = ("  source", "in the image", brings, "packages", "what")
    table = Table(*heads, box=None, header_style="bold")
    groups: dict[tuple[str, str], list[Finding]] = {}
    for one in findings:
        groups.setdefault((one.source, one.version), []).append(one)
    for (source, version), those in groups.items():
        names = those[0].packages
        words = [f"  {source}", version, those[0].lock_brings or "?", _some(names)]
        if everything:
            for one in those:
                about = one.description[:_LONGEST] + "…" * (len(one.description) > _LONGEST)
                _row(table, *words, f"{one.cve} {about}".strip())
        else:
            _row(table, *words, _some([one.cve for one in reversed(those)]))
    console.print(table)


def _some(words: Sequence[str]) -> str:
    """Give the first few, and how many there are."""
    few = ", ".join(words[:_FEW])
    return few if len(words) <= _FEW else f"{few} … ({len(words)})"


def _row(table: Table, *words: str) -> None:
    """Add texts as they are: what others wrote may look like rich's own markup."""
    table.add_row(*(Text(plain(word)) for word in words))


def _not_judged(console: Console, found: Audit, *, everything: bool) -> None:
    by_reason: dict[str, list[str]] = {}
    for part, why in found.not_judged.items():
        by_reason.setdefault(why, []).append(part)
    for why, names in by_reason.items():
        shown = names if everything or len(names) <= _FEW else [*names[:_FEW], "…"]
        said = f"Not judged, {len(names)}: {', '.join(shown)} ({why})"
        console.print(plain(said), markup=False)
