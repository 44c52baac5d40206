"""Keep on the data partition what was taken from the card: all of a file, or nothing of it.

Doing it twice is doing it once, so a power cut in the middle does no harm: what stands on the card
is taken again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from glovebox.config import keyfile

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.config.schema import Network
    from glovebox.onboard.firstboot.card import Places, Wanted
    from glovebox.onboard.firstboot.disk import Disk

# As the image's own are called, see stages/settings: a list replaces the one before it.
_NETWORK = "wifi-{}.nmconnection"
_RADIO_ON = "[main]\nNetworkingEnabled=true\nWirelessEnabled=true\n"


def keep(wanted: Wanted, places: Places, disk: Disk) -> None:
    """Write all that was asked for; raises OSError when the data partition does not take it."""
    for name, text in _texts(wanted, places).items():
        # Nothing to publish to is an empty file, see telematics-publish.service.
        disk.write(places.kept / name, f"{text}\n".encode() if text else b"")
    for name, content in wanted.credentials.items():
        disk.write(places.kept / "publish" / name, content)
    if wanted.networks is not None:
        _keep_networks(wanted.networks, places.data / "network/system-connections", disk)
    if wanted.country is not None:
        # Without a country the image keeps the radio off, and NetworkManager remembers.
        disk.write(places.data / "network/state/NetworkManager.state", _RADIO_ON.encode())


def _texts(wanted: Wanted, places: Places) -> dict[str, str]:
    """Give the files that `apply-settings` reads, each with its text."""
    asked = {
        "hostname": wanted.hostname,
        "user": wanted.user,
        "password": wanted.password_hash.reveal() if wanted.password_hash else None,
        "authorized_keys": "\n".join(wanted.ssh_keys) or None,
        "country": wanted.country,
        "timezone": wanted.timezone,
    }
    if wanted.service:
        merged = json.loads(places.service.read_text(encoding="utf-8")) | wanted.service
        asked["telematics.json"] = json.dumps(merged, indent=2, sort_keys=True)
        asked["publish-to"] = str(merged.get("publish_to", ""))
    return {name: text for name, text in asked.items() if text is not None}


def _keep_networks(networks: tuple[Network, ...], folder: Path, disk: Disk) -> None:
    """Write one profile a network; those of an earlier list go, others made on the board stay."""
    written = {_NETWORK.format(number): each for number, each in enumerate(networks, start=1)}
    for name, network in written.items():
        disk.write(folder / name, connection(network).encode())
    for path in sorted(folder.glob(_NETWORK.format("*"))):
        if path.name not in written:
            disk.remove(path)


def connection(network: Network) -> str:
    """Give a network's profile, as the image's own are written by stages/settings."""
    lines = [
        "[connection]",
        f"id={keyfile.value(network.ssid)}",
        "type=wifi",
        "autoconnect=true",
        "",
        "[wifi]",
        "mode=infrastructure",
        f"ssid={keyfile.as_bytes(network.ssid)}",
    ]
    if network.hidden:
        lines.append("hidden=true")
    if network.psk is not None:
        psk = keyfile.value(network.psk.reveal())
        lines += ["", "[wifi-security]", "key-mgmt=wpa-psk", f"psk={psk}"]
    lines += ["", "[ipv4]", "method=auto", "", "[ipv6]", "method=auto", ""]
    return "\n".join(lines)
