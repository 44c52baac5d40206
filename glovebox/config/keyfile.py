"""How values stand in GLib's key files, NetworkManager's among them.

The board writes such files too, so this imports nothing but the standard library.
"""

from __future__ import annotations

import re


def value(text: str) -> str:
    """Write a value as GLib's key files want it: backslashes doubled, outer spaces escaped."""
    text = text.replace("\\", "\\\\")
    return re.sub(r"^ | $", r"\\s", text)


def as_bytes(text: str) -> str:
    """Write a network's name as NetworkManager's list of bytes: safe for every character."""
    return "".join(f"{byte};" for byte in text.encode())
