"""A board as far as the owner's settings concern it: folders in place of its partitions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.onboard.firstboot.card import FILE, Places
from glovebox.onboard.firstboot.disk import CardDisk
from glovebox.onboard.firstboot.takeover import TEMPLATE

if TYPE_CHECKING:
    from typing import Any

STAGE = Path(__file__).parent.parent / "stages/first-boot/01-take-over"
SHIPPED = STAGE / "01-overlay" / TEMPLATE
SECTOR = 512
ACCOUNTS = {
    "passwd": "root:x:0:0:root:/root:/bin/bash\nqueue:x:990:990::/var/lib/queue:/bin/false\n"
    "pi:x:1000:1000::/home/pi:/bin/bash\n",
    "shadow": "root:*:1::::::\nqueue:!:1::::::\npi:!:1:0:99999:7:::\n",
    "group": "root:x:0:\nadm:x:4:pi\nsudo:x:27:other,pi\nother:x:999:\npi:x:1000:\n",
    "gshadow": "root:*::\nadm:*::pi\nsudo:*::other,pi\npi:!::\n",
    "subuid": "pi:100000:65536\n",
    "hosts": "127.0.0.1\tlocalhost\n127.0.1.1\tglovebox\n",
    "hostname": "glovebox\n",
    "machine-id": "0123456789abcdef0123456789abcdef\n",
    "timezone": "Etc/UTC\n",
    "sudoers.d/010-first-user": "pi ALL=(ALL) NOPASSWD: ALL\n",
    "modprobe.d/power.conf": "",
    "glovebox/baked": "# What the image was made with.\nuser=pi\nhostname=auto\n",
    "glovebox/publish-to": "",
}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDuZc3RrZXl0ZXN0a2V5dGVzdGtleXRlc3RrZXl0ZXN0 me"
PSK = "correct horse battery"
FILLED = f"""\
hostname: truck-7
user:
  ssh_keys: ["{KEY}"]
wifi:
  country: DE
  networks:
    - ssid: garage
      psk: {PSK}
service:
  device: t7
"""
SERVICE = {
    "device": "", "publish_to": "", "stale_s": 10, "publish_servers": "", "publish_security": "tls",
}  # fmt: skip


def shipped() -> bytes:
    """Give the file as the stage puts it onto the card."""
    return SHIPPED.read_bytes().replace(b"\n", b"\r\n")


def board(folder: Path) -> Places:
    """Make a board that was never told anything."""
    places = Places(boot=folder / "boot", data=folder / "root/data", root=folder / "root")
    for path in (
        places.boot,
        places.data / "network/system-connections",
        places.secrets,
        places.root / "home/pi",
        (places.root / TEMPLATE).parent,
    ):
        path.mkdir(parents=True)
    for name, text in ACCOUNTS.items():
        path = places.root / "etc" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (places.root / "home/pi/.profile").write_text("# pi\n")
    places.service.write_text(json.dumps(SERVICE))
    for path in (places.root / TEMPLATE, places.boot / FILE):
        path.write_bytes(shipped())
    return places


class PowerCut(BaseException):
    """The power is gone: nothing that would mend an error runs."""


class FakeDisk(CardDisk):
    """A disk whose boot partition is a folder; the power goes at a call, in the middle of it."""

    def __init__(self, cut: int | None = None) -> None:
        """Let ``cut`` calls happen, and half of the next one."""
        self.calls = 0
        self.writable = False
        self._cut = cut

    def _counted(self) -> bool:
        self.calls += 1
        return self._cut is not None and self.calls > self._cut

    def write(self, path: Path, content: bytes) -> None:
        """See Disk."""
        if self._counted():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(f".{path.name}.new").write_bytes(content[: len(content) // 2])
            raise PowerCut
        super().write(path, content)

    def remove(self, path: Path) -> None:
        """See Disk."""
        if self._counted():
            raise PowerCut
        super().remove(path)

    def rename(self, path: Path, to: Path) -> None:
        """See Disk."""
        if self._counted():
            raise PowerCut
        super().rename(path, to)

    def make_folder(self, path: Path) -> None:
        """See Disk."""
        if not path.is_dir() and self._counted():
            raise PowerCut
        super().make_folder(path)

    def clear(self, folder: Path) -> None:
        """See Disk."""
        if folder.exists() and self._counted():
            raise PowerCut
        super().clear(folder)

    def overwrite(self, path: Path, offset: int, content: bytes) -> None:
        """See Disk; a card writes sectors in any order, and each whole."""
        assert self.writable
        if self._counted():
            parts = range(0, len(content), SECTOR)
            for place in [*parts][1::2]:
                super().overwrite(path, offset + place, content[place : place + SECTOR])
            raise PowerCut
        super().overwrite(path, offset, content)

    def truncate(self, path: Path, size: int) -> None:
        """See Disk."""
        assert self.writable
        if self._counted():
            raise PowerCut
        super().truncate(path, size)

    def read_only(self, path: Path) -> bool:
        """See Disk."""
        return path.name == "boot" and not self.writable

    def remount(self, path: Path, *, writable: bool) -> None:
        """See Disk."""
        assert path.name == "boot"
        if self._counted():
            raise PowerCut
        self.writable = writable


def kept(places: Places) -> dict[str, Any]:
    """Give all that lies on the data partition, by name; what a cut left under other names not."""
    return {
        str(path.relative_to(places.data)): path.read_text()
        for path in sorted(places.data.rglob("*"))
        if path.is_file() and not path.name.endswith(".new") and ".taking" not in path.parts
    }
