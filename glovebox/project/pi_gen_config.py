"""Read pi-gen's `config`: shell variables, as the part of `image.yaml` that they stand for.

What Glovebox has a key for becomes that key, anything else a variable for the stages.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from glovebox.config import rules
from glovebox.config.yamltree import Kind, Node, Scalar
from glovebox.stage import pi_gen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# pi-gen's variables that are keys of ours, by their place.
_KEYS = {
    "TARGET_HOSTNAME": "hostname",
    "RELEASE": "suite",
    "FIRST_USER_NAME": "user.name",
    "LOCALE_DEFAULT": "locale",
    "TIMEZONE_DEFAULT": "timezone",
    "KEYBOARD_KEYMAP": "keyboard",
    "WPA_COUNTRY": "wifi.country",
}


def read(path: Path) -> Node:
    """Source the file and give what it sets as a tree; raises ConfigError when it fails."""
    found = pi_gen.source(path, {})
    tree: dict[str, Node] = {}
    for name, key in _KEYS.items():
        if found.get(name):
            _put(tree, key, _text(found[name], path))
    if found.get("PUBKEY_SSH_FIRST_USER"):
        keys = found["PUBKEY_SSH_FIRST_USER"].splitlines()
        _put(tree, "user.ssh_keys", _list([key for key in keys if key.strip()], path))
    if found.get("STAGE_LIST"):
        _put(tree, "stages", _list(_stages(found["STAGE_LIST"], path.parent), path))
    taken = {*_KEYS, "PUBKEY_SSH_FIRST_USER"}
    others = {
        name: value
        for name, value in found.items()
        if name not in taken and not rules.is_reserved(name)
    }
    _put(tree, "environment", _section({n: _text(v, path) for n, v in others.items()}, path))
    return _section(tree, path)


def _stages(words: str, folder: Path) -> list[str]:
    """Give the stages of a list as a shell in the folder of the file would: patterns and all."""
    found: list[str] = []
    for word in shlex.split(words):
        matching = sorted(folder.glob(word)) if not word.startswith("/") else []
        found += [str(one) for one in matching] or [str(folder / word)]
    return found


def _put(tree: dict[str, Node], key: str, node: Node) -> None:
    section, _, name = key.rpartition(".")
    if not section:
        tree[name] = node
        return
    below = tree.setdefault(section, Node(value={}, source=node.source)).value
    if isinstance(below, dict):
        below[name] = node


def _section(values: Mapping[str, Node], path: Path) -> Node:
    return Node(value=dict(values), source=path.name)


def _list(words: list[str], path: Path) -> Node:
    return Node(value=tuple(_text(word, path) for word in words), source=path.name)


def _text(text: str, path: Path) -> Node:
    return Node(value=Scalar(text=text, kind=Kind.TEXT, quoted=True), source=path.name)
