"""Make room in a store: what was used longest ago goes first, what current plans need never.

A current plan is the last one of each configuration file and board, in whichever checkout; it stops
being one when its configuration file is gone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.config import rules
from glovebox.config.problem import WrongValueError
from glovebox.errors import ConfigError
from glovebox.host import files
from glovebox.store.store import size_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from glovebox.store.store import Store

_DOWNLOADS = ("debs", "sources", "wheels")


@dataclass(frozen=True, kw_only=True)
class Room:
    """What making room came to, in bytes."""

    freed: int
    left: int


@dataclass(frozen=True, kw_only=True)
class _Item:
    """One result or download that no current plan needs."""

    used: float  # seconds since 1970
    path: Path
    key: str | None = None


def parse_size(text: str) -> int:
    """Read a size such as ``10G``, ``10GB`` or ``1.5GiB``; raises ConfigError."""
    try:
        return rules.size(text.strip())
    except WrongValueError as error:
        raise ConfigError(
            f"--keep: '{text}' is no size", hint="write it as 10G or 10GiB"
        ) from error


def remember(
    store: Store, config: Path, board: str, *, keys: Sequence[str], downloads: Collection[str]
) -> None:
    """Keep what a plan needs as the current one of its configuration and board.

    ``keys`` name its steps' results, ``downloads`` the sums of what those are made from.
    """
    place = str(config.resolve())
    record = {
        "config": place, "board": board, "keys": list(keys), "downloads": sorted(set(downloads)),
    }  # fmt: skip
    path = store.root / "plans" / f"{files.digest(place, board)[:32]}.json"
    files.write_whole(path, json.dumps(record, indent=1), mode=0o600)
    store.touch(keys)


def needed(store: Store) -> tuple[frozenset[str], frozenset[str]]:
    """Give the keys and the downloads that current plans need; forget plans that are none."""
    keys: set[str] = set()
    downloads: set[str] = set()
    for path in sorted((store.root / "plans").glob("*.json")):
        match files.read_object(path):
            case {"config": str() as config, "keys": [*more], "downloads": [*fetched]}:
                if Path(config).exists():
                    keys |= {str(key) for key in more}
                    downloads |= {str(one) for one in fetched}
                else:
                    path.unlink(missing_ok=True)
            case _:  # damaged: the next build writes it again
                continue
    return frozenset(keys), frozenset(downloads)


def shrink(store: Store, size: int) -> Room:
    """Remove what was used longest ago until the store takes no more than ``size`` bytes.

    Raises HostError while a build runs.
    """
    freed = 0
    with store.alone():
        store.sweep()
        total = size_of(store.root)
        for item in sorted(_removable(store), key=lambda one: one.used):
            if total - freed <= size:
                break
            freed += size_of(item.path)
            layer = store.find(item.key) if item.key else None
            if layer is not None:
                store.remove(layer)
            else:
                item.path.unlink(missing_ok=True)
    return Room(freed=freed, left=total - freed)


def _removable(store: Store) -> Iterator[_Item]:
    keys, downloads = needed(store)
    for layer in store.layers():
        if layer.key not in keys:
            used = (layer.path / "meta.json").stat().st_mtime
            yield _Item(used=used, path=layer.path, key=layer.key)
    for folder in _DOWNLOADS:
        for path in (store.root / folder).iterdir():
            if path.is_file() and path.name not in downloads:
                # When it came: its own time is the server's.
                yield _Item(used=path.stat().st_ctime, path=path)
