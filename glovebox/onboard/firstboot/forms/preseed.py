"""TOML: rpi-preseed.toml, which Imager writes from 2.0.11 on, and custom.toml, which people know.

The keys of both mean the same, as far as a board like this has them: `schema/rpi-preseed.schema` in
rpi-preseed's source, `init_config` in that of raspberrypi-sys-mods.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

from glovebox.config.problem import Problem
from glovebox.onboard.firstboot.forms.asked import (
    KEYS_ALONE,
    NO_CONNECT,
    PMK_DIGITS,
    SUDO_ASKS,
    Asked,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FILES = ("custom.toml", "rpi-preseed.toml")
_PLACE = re.compile(r"line (\d+)")
# Said with others, or true here in any case.
_SILENT = {
    "ssh.enabled", "user.password_encrypted", "user.groups", "wlan.ssid_hex", "wlan.password",
    "wlan.password_encrypted", "wlan.hidden", "wlan.key_mgmt", "connect.mode", "connect.token",
    "debug",
}  # fmt: skip
_NAMES = {"system.hostname": "hostname", "user.name": "user.name"}
_NAMES |= {"user.password": "user.password_hash", "wlan.country": "wifi.country"}
_NAMES |= {"locale.keymap": "keyboard", "locale.timezone": "timezone"}


def read(text: bytes, source: str) -> Asked:
    """Read such a file."""
    asked = Asked(source=source)
    try:
        told = text.decode("utf-8-sig")
        values = _flat(tomllib.loads(told))
    except UnicodeDecodeError:
        _wrong(asked, "", "a character is not UTF-8", "save the file as UTF-8", 0)
        return asked
    except (ValueError, OverflowError, RecursionError) as error:  # a number of 5,000 digits, too
        place = _PLACE.search(str(error))
        line = int(place[1]) if place else 0
        _wrong(asked, "", "this is not TOML", 'write key = "value" below its [section]', line)
        return asked
    lines = _lines(told)
    for name, value in values.items():
        line = lines.get(name, 0)
        if name in _NAMES:
            _take(asked, name, value, line)
        elif name == "ssh.authorized_keys" and isinstance(value, list):
            keys = [asked.text(str(one).strip(), line) for one in value]
            asked.put_list("user.ssh_keys", keys, line)
        elif name == "wlan.ssid" and "wlan.ssid_hex" not in values:
            _network(asked, str(value), values, line)
        elif name == "wlan.ssid_hex":
            _network_by_bytes(asked, str(value), values, line)
        elif value not in (False, "", []):
            _note(asked, name)
    return asked


def _flat(values: Mapping[str, object]) -> dict[str, object]:
    """Give the values by section and key."""
    found: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= {f"{name}.{key}": one for key, one in value.items()}
        elif name != "config_version":
            found[name] = value
    return found


def _lines(text: str) -> dict[str, int]:
    """Find the line of each key, which tomllib does not tell."""
    found: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        begin = re.match(r"\s*\[([\w.-]+)\]", line)
        key = re.match(r"\s*([\w-]+)\s*=", line)
        if begin:
            section = f"{begin[1]}."
        elif key:
            found.setdefault(f"{section}{key[1]}", number)
    return found


def _take(asked: Asked, name: str, value: object, line: int) -> None:
    if not isinstance(value, str):
        _wrong(asked, name, "this is not text", "put it in quotes", line)
    elif name == "system.hostname":
        asked.put_hostname(value, line)
    else:
        asked.put(_NAMES[name], value, line)


def _network(asked: Asked, ssid: str, values: Mapping[str, object], line: int) -> None:
    key, kind = str(values.get("wlan.password", "")), values.get("wlan.key_mgmt")
    if kind == "sae" and len(key) == PMK_DIGITS:
        what = "is a derived key, and WPA3 (sae) takes passphrases alone"
        _wrong(asked, "wlan.password", what, "write the passphrase", line)
    if kind == "owe":
        asked.note("wlan.key_mgmt: the network is joined as an open one, without owe")
    asked.put_network(ssid, key, line, hidden=values.get("wlan.hidden") is True)


def _network_by_bytes(asked: Asked, digits: str, values: Mapping[str, object], line: int) -> None:
    try:
        _network(asked, bytes.fromhex(digits).decode(), values, line)
    except ValueError:
        what = "is the name of a network that is not UTF-8, which this board cannot join"
        _wrong(asked, "wlan.ssid_hex", what, "give the network a name in UTF-8", line)


def _note(asked: Asked, name: str) -> None:
    match name:
        case "ssh.password_authentication":
            asked.note(KEYS_ALONE)
        case "user.passwordless_sudo":
            asked.note(SUDO_ASKS)
        case "connect.enabled":
            asked.note(NO_CONNECT)
        case _ if name not in _SILENT:
            asked.note(f"{name} is not done on this board")


def _wrong(asked: Asked, path: str, what: str, cure: str, line: int) -> None:
    problem = Problem(path=path, what=what, cure=cure, source=asked.source, line=line)
    asked.problems.append(problem)


READERS: Mapping[str, Callable[[bytes, str], Asked]] = dict.fromkeys(FILES, read)
