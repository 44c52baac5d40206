"""Keep on the data partition what was taken from the card: all of it, or nothing.

Everything is written aside first, which is all that needs room. One rename says that it is whole;
then each file moves to its place. Until that rename nothing has changed, after it the next start
goes on where this one was stopped, by a power cut or by the medium.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from glovebox.config import keyfile

if TYPE_CHECKING:
    from glovebox.config.schema import Network
    from glovebox.onboard.firstboot.card import Places, Wanted
    from glovebox.onboard.firstboot.disk import Disk

# As the image's own are called, see stages/settings: a list replaces the one before it.
_NETWORK = "wifi-{}.nmconnection"
_RADIO_ON = "[main]\nNetworkingEnabled=true\nWirelessEnabled=true\n"
_CONNECTIONS = "network/system-connections"
# Below the folder of settings, where nothing looks at names with a dot.
_TAKING, _TAKEN = ".taking", ".taken"
# The networks that the list has: all others of an earlier one go.
_LIST = ".networks"


class NothingKeptError(OSError):
    """The data partition did not take it, and is as it was before."""


def stage(wanted: Wanted, places: Places, disk: Disk) -> None:
    """Write aside all that was asked for; NothingKeptError if there is no room for all of it."""
    aside = places.kept / _TAKING
    try:
        disk.clear(aside)
        for name, content in _files(wanted, places).items():
            disk.write(aside / name, content)
            # The folder that it moves to, while there can still be no room for one.
            disk.make_folder((places.data / name).parent)
        disk.rename(aside, places.kept / _TAKEN)
    except OSError as error:
        with suppress(OSError):
            disk.clear(aside)
        raise NothingKeptError(*error.args) from error


def unfinished(places: Places) -> bool:
    """Tell whether an earlier start wrote all of it aside and did not come to move it."""
    return (places.kept / _TAKEN).exists()


def install(places: Places, disk: Disk) -> None:
    """Move to its place what stands aside whole; raises OSError, and can be asked again."""
    aside = places.kept / _TAKEN
    listed = aside / _LIST
    for path in sorted(each for each in aside.rglob("*") if each.is_file() and each != listed):
        disk.rename(path, places.data / path.relative_to(aside))
    if listed.exists():
        names = listed.read_text(encoding="utf-8").splitlines()
        for path in sorted((places.data / _CONNECTIONS).glob(_NETWORK.format("*"))):
            if path.name not in names:
                disk.remove(path)
    disk.clear(aside)


def _files(wanted: Wanted, places: Places) -> dict[str, bytes]:
    """Give what there is to write, by its name on the data partition."""
    kept = places.kept.relative_to(places.data)
    # Nothing to publish to is an empty file, see telematics-publish.service.
    files = {
        f"{kept}/{name}": f"{text}\n".encode() if text else b""
        for name, text in _texts(wanted, places).items()
    }
    for name, content in wanted.credentials.items():
        files[f"{kept}/publish/{name}"] = content
    if wanted.networks is not None:
        names = [_NETWORK.format(number) for number in range(1, len(wanted.networks) + 1)]
        for name, network in zip(names, wanted.networks, strict=True):
            files[f"{_CONNECTIONS}/{name}"] = connection(network).encode()
        files[_LIST] = "".join(f"{name}\n" for name in names).encode()
    if wanted.country is not None:
        # Without a country the image keeps the radio off, and NetworkManager remembers.
        files["network/state/NetworkManager.state"] = _RADIO_ON.encode()
    return files


def _texts(wanted: Wanted, places: Places) -> dict[str, str]:
    """Give the files that `apply-settings` reads, each with its text."""
    asked = {
        "hostname": wanted.hostname,
        "user": wanted.user,
        "password": wanted.password_hash.reveal() if wanted.password_hash else None,
        "authorized_keys": "\n".join(wanted.ssh_keys) or None,
        "country": wanted.country,
        "timezone": wanted.timezone,
        "keyboard": wanted.keyboard,
    }
    if wanted.service:
        merged = json.loads(places.service.read_text(encoding="utf-8")) | wanted.service
        asked["telematics.json"] = json.dumps(merged, indent=2, sort_keys=True)
        asked["publish-to"] = str(merged.get("publish_to", ""))
    return {name: text for name, text in asked.items() if text is not None}


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
