"""Debian's security tracker: its data, fetched once in a while or given as a file."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glovebox.errors import ConfigError, LockError
from glovebox.host import files
from glovebox.lock import download

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.host.monitor import Monitor
    from glovebox.store.store import Store

ADDRESS = "https://security-tracker.debian.org/tracker/data/json"
FRESH_S = 12 * 3600
MOST = 512 << 20  # its data has some 70 MB
_HINT = f"fetch {ADDRESS} where it can be reached, and name the file: --tracker FILE"


@dataclass(frozen=True, kw_only=True)
class Tracker:
    """The tracker's data: by source package, by CVE, and the time it is of."""

    data: dict[str, dict[str, Any]]
    time: float

    @property
    def day(self) -> str:
        """When it was fetched, for people."""
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(self.time))


def given(path: Path) -> Tracker:
    """Read a file of the tracker's data; raises ConfigError where it is none."""
    try:
        text, when = path.read_bytes(), path.stat().st_mtime
    except OSError as error:
        raise ConfigError(f"--tracker: {path}: {error.strerror}", hint=_HINT) from error
    return Tracker(data=_parsed(text, str(path)), time=when)


def fetched(store: Store, monitor: Monitor, *, url: str, refresh: bool) -> Tracker:
    """Fetch the data, or take what the store has of the last hours; an older one with a warning."""
    kept = store.root / "tracker" / f"{files.digest(url)[:16]}.json"
    kept.parent.mkdir(exist_ok=True)
    with store.exclusive(f"tracker-{kept.stem}"):
        age = time.time() - kept.stat().st_mtime if kept.exists() else None
        # Written while a clock was ahead, it would be fresh for years.
        if age is not None and 0 <= age < FRESH_S and not refresh:
            return given(kept)
        try:
            with monitor.step("tracker", f"fetching {url}"):
                data = download.small(url, hint=_HINT, most=MOST)
                _parsed(data, url)  # a login page of the network's is none
        except (LockError, ConfigError) as error:
            if age is None or refresh:
                raise
            found = given(kept)
            monitor.warn(f"{error.message}; the data of {found.day} counts")
            return found
        files.write_whole(kept, data)
        return given(kept)


def _parsed(text: bytes, where: str) -> dict[str, dict[str, Any]]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{where} is no JSON: {error}", hint=_HINT) from error
    whole = isinstance(data, dict) and all(isinstance(one, dict) for one in data.values())
    known = whole and any(
        isinstance(entry, dict) and isinstance(entry.get("releases"), dict)
        for one in data.values()
        for entry in one.values()
    )
    if not known:
        raise ConfigError(f"{where} is not the data of Debian's security tracker", hint=_HINT)
    found: dict[str, dict[str, Any]] = data
    return found
