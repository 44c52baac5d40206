"""What such a file asks for: the tree that glovebox.yaml would be, and what is not done.

The rules for the values are those of glovebox.yaml, so a mistake is told in the same words, with
the file and line where it stands. What this board does not do is no mistake: it is noted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from glovebox.config.yamltree import Kind, Node, Scalar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from glovebox.config.problem import Problem

KEYS_ALONE = "SSH asks for a key here, never for a password; the password is for sudo and a screen"
NO_CONNECT = "Raspberry Pi Connect is not on this board"
NO_COMMANDS = "commands are not run on this board"
SUDO_ASKS = "sudo asks for the password where one is set"
# 256 bits in hexadecimal: what a passphrase and the network's name make, see IEEE 802.11, J.4.
PMK_DIGITS = 64
PMK = (
    "the network is known by its derived key, not by its passphrase: that is WPA2; for a network"
    " that is WPA3 alone write the passphrase into glovebox.yaml"
)


@dataclass(kw_only=True)
class Asked:
    """What one file asks for."""

    source: str
    settings: Node = field(init=False)
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with nothing."""
        self.settings = Node(value={}, source=self.source)

    def put(self, path: str, text: str, line: int) -> None:
        """Set a value; one that is empty was left out in the dialog."""
        if text:
            self._section(path)[path.rpartition(".")[2]] = self.text(text, line)

    def put_list(self, path: str, items: Iterable[Node], line: int) -> None:
        """Set a list; an empty one asks for nothing."""
        found = tuple(items)
        if found:
            node = Node(value=found, source=self.source, line=line)
            self._section(path)[path.rpartition(".")[2]] = node

    def put_hostname(self, name: str, line: int) -> None:
        """Set the board's name; the dialog takes capital letters, which mean the same."""
        self.put("hostname", name.lower(), line)

    def put_network(self, ssid: str, key: str, line: int, *, hidden: bool) -> None:
        """Set the one network that the dialog asks for."""
        found = {"ssid": self.text(ssid, line)}
        if key:
            found["psk"] = self.text(key, line)
        if hidden:
            found["hidden"] = self.node(Scalar(text="true", kind=Kind.BOOL), line)
        if len(key) == PMK_DIGITS:
            self.note(PMK)
        self.put_list("wifi.networks", [Node(value=found, source=self.source, line=line)], line)

    def note(self, text: str) -> None:
        """Note what is not done, once."""
        said = f"{self.source}: {text}"
        if said not in self.notes:
            self.notes.append(said)

    def text(self, text: str, line: int) -> Node:
        """Give a value as it was written: here nothing is read as YAML reads it."""
        return self.node(Scalar(text=text, kind=Kind.TEXT, quoted=True), line)

    def node(self, value: Scalar, line: int) -> Node:
        """Give a value with its place."""
        return Node(value=value, source=self.source, line=line)

    def _section(self, path: str) -> dict[str, Node]:
        """Give the section that a path's last word stands in, made where it is not there."""
        section = self.settings.value
        for name in path.split(".")[:-1]:
            assert isinstance(section, dict)  # noqa: S101  only this class writes it
            section = section.setdefault(name, Node(value={}, source=self.source)).value
        assert isinstance(section, dict)  # noqa: S101
        return section
