"""cloud-init's user-data and network-config, as Imager writes them for `init_format: cloudinit`.

What is understood is what Imager's dialog sets; cloud-init itself is not on the board, so nothing
is installed and no command runs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from glovebox.config.problem import Problem
from glovebox.config.yamltree import Kind, Node, Scalar, parse
from glovebox.onboard.firstboot.forms.asked import (
    KEYS_ALONE,
    NO_COMMANDS,
    NO_CONNECT,
    SUDO_ASKS,
    Asked,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

USER_DATA, NETWORK, META = "user-data", "network-config", "meta-data"
# What the dialog always writes along, and this board has or does by itself.
_SILENT = {
    "manage_etc_hosts", "manage_resolv_conf", "preserve_hostname", "enable_ssh", "apt",
    "instance_id", "instance-id", "dsmode", "ssh_pwauth", "packages", "runcmd", "user", "users",
    "hostname", "timezone", "keyboard", "ssh_authorized_keys",
}  # fmt: skip
_HAS = {"avahi-daemon"}
# Commands of the dialog's for what is so here, or told by another key.
_NO_MATTER = re.compile(
    r"systemctl enable --now ssh|rfkill unblock wifi|setupcon .*|sleep 2"
    r"|.*/var/lib/systemd/rfkill/.*|.*NOPASSWD:ALL.*|chmod 0440 /etc/sudoers\.d/.*"
)
# How Imager 1.8 sets the keyboard.
_KEYMAP = re.compile(r'localectl set-x11-keymap "?([^" ]+)"?.*')
_CONNECT = re.compile(r"rpi-connect|com\.raspberrypi\.connect|/linger|daemon-reload|systemd/user")


def read_user_data(text: bytes, source: str) -> Asked:
    """Read user-data."""
    asked = Asked(source=source)
    if not text.startswith((b"#cloud-config", b"\xef\xbb\xbf#cloud-config")):
        if any(line.strip() and not line.startswith(b"#") for line in text.splitlines()):
            asked.note(f"it does not begin with #cloud-config; {NO_COMMANDS}")
        return asked
    tree = _tree(text, asked)
    asked.put_hostname(_word(tree.get("hostname")), _line(tree.get("hostname")))
    asked.put("timezone", _word(tree.get("timezone")), _line(tree.get("timezone")))
    layout = _section(tree.get("keyboard")).get("layout")
    asked.put("keyboard", _word(layout), _line(layout))
    _keys(asked, tree.get("ssh_authorized_keys"))
    for user in [*_items(tree.get("users")), *([tree["user"]] if "user" in tree else [])][:1]:
        _user(asked, _section(user))
    if _is_true(tree.get("ssh_pwauth")):
        asked.note(KEYS_ALONE)
    for one in _items(tree.get("packages")):
        if _word(one) not in _HAS:
            asked.note("packages are not installed on this board")
    for one in _items(tree.get("runcmd")):
        _command(asked, one)
    for name in tree:
        if name not in _SILENT:
            asked.note(f"{name} is not done on this board")
    return asked


def read_network(text: bytes, source: str) -> Asked:
    """Read network-config."""
    asked = Asked(source=source)
    tree = _tree(text, asked)
    tree = _section(tree.get("network")) or tree
    for name in tree:
        if name not in {"version", "renderer", "ethernets", "wifis"}:
            asked.note(f"{name} is not done on this board")
    for kind in ("ethernets", "wifis"):
        for device in _section(tree.get(kind)).values():
            if {"addresses", "gateway4", "routes", "nameservers"} & set(_section(device)):
                asked.note("addresses are asked for by DHCP alone")
    networks: list[tuple[str, Node]] = []
    for radio in _section(tree.get("wifis")).values():
        found = _section(radio)
        country = found.get("regulatory-domain")
        asked.put("wifi.country", _word(country).upper(), _line(country))
        networks += _section(found.get("access-points")).items()
    for ssid, point in networks[:1]:
        keys = _section(point)
        auth = _section(keys.get("auth"))
        password = _word(keys.get("password")) or _word(auth.get("password"))
        hidden = _is_true(keys.get("hidden"))
        asked.put_network(_octets(ssid), password, _line(point), hidden=hidden)
    if len(networks) > 1:
        asked.note("of several networks the first is taken; write the others into glovebox.yaml")
    return asked


def read_meta(_: bytes, source: str) -> Asked:
    """Read meta-data: it names the instance, which concerns cloud-init alone."""
    return Asked(source=source)


def _tree(text: bytes, asked: Asked) -> dict[str, Node]:
    """Give the file's keys; its mistakes are noted."""
    parsed = parse(text, source=asked.source)
    asked.problems += parsed.problems
    if isinstance(parsed.node.value, dict) or parsed.node.is_null or parsed.problems:
        return _section(parsed.node)
    what, cure = "this is not a section", "write key: value"
    asked.problems.append(Problem(path="", what=what, cure=cure, source=asked.source))
    return {}


def _user(asked: Asked, user: Mapping[str, Node]) -> None:
    asked.put("user.name", _word(user.get("name")), _line(user.get("name")))
    for key in ("passwd", "hashed_passwd"):
        asked.put("user.password_hash", _word(user.get(key)), _line(user.get(key)))
    _keys(asked, user.get("ssh_authorized_keys"))
    if "NOPASSWD" in _word(user.get("sudo")) and "passwd" in user:
        asked.note(SUDO_ASKS)
    for name in ("plain_text_passwd", "ssh_import_id"):
        if name in user:
            asked.note(f"{name} is not done on this board")


def _keys(asked: Asked, node: Node | None) -> None:
    if node is not None:
        keys = [asked.text(_word(one), one.line) for one in _items(node)]
        asked.put_list("user.ssh_keys", keys, node.line)


def _command(asked: Asked, node: Node) -> None:
    said = _word(node) or " ".join(_word(one) for one in _items(node))
    keymap = _KEYMAP.fullmatch(said)
    if keymap:
        asked.put("keyboard", keymap[1], node.line)
    elif _CONNECT.search(said):
        asked.note(NO_CONNECT)
    elif not _NO_MATTER.fullmatch(said.removeprefix("sh -c ")):
        asked.note(NO_COMMANDS)


def _octets(ssid: str) -> str:
    r"""Give a network's name: Imager writes bytes as \xNN, and YAML reads a character in each."""
    try:
        return ssid.encode("latin-1").decode()
    except UnicodeError:
        return ssid


def _section(node: Node | None) -> dict[str, Node]:
    return node.value if node is not None and isinstance(node.value, dict) else {}


def _items(node: Node | None) -> Iterable[Node]:
    return node.value if node is not None and isinstance(node.value, tuple) else ()


def _word(node: Node | None) -> str:
    """Give a value as it was written, nothing for one that is none."""
    if node is None or not isinstance(node.value, Scalar) or node.value.kind is Kind.NULL:
        return ""
    return node.value.text


def _line(node: Node | None) -> int:
    return node.line if node is not None else 0


def _is_true(node: Node | None) -> bool:
    return _word(node).lower() in {"true", "yes", "on", "1"}


READERS: Mapping[str, Callable[[bytes, str], Asked]] = {
    META: read_meta,
    USER_DATA: read_user_data,
    NETWORK: read_network,
}
