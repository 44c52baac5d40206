"""Receivers' names in records: short, in plain letters, and each its own."""

from __future__ import annotations

import re
from pathlib import Path
from zlib import crc32

# So that the record of a second receiver stays small as well.
NAME_MAX = 8
_OTHER = re.compile(r"[^A-Za-z0-9._-]")


class Names:
    """Gives each receiver of a run its name; the first one needs none."""

    def __init__(self) -> None:
        """Begin before the first record."""
        self._known: dict[str, str | None] = {}

    def of(self, device: str) -> str | None:
        """Give the name of a receiver by its path at gpsd; the same path has the same name."""
        if device not in self._known:
            self._known[device] = self._new(device) if self._known else None
        return self._known[device]

    def _new(self, device: str) -> str:
        file = Path(device).name
        name = _OTHER.sub("-", file)[:NAME_MAX]
        salt = 0
        # Cut or changed it may be another one's too: then its end is a sum of the whole path.
        while not name or (name != file and not salt) or name in self._known.values():
            path = device.encode(errors="surrogatepass") + bytes(salt)
            name = f"{name[:3]}-{crc32(path) & 0xFFFF:04x}"
            salt += 1
        return name
