"""All such files together: which there are, which counts more, what they ask for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glovebox.config.yamltree import Kind, Node, Scalar, merge
from glovebox.onboard.firstboot.forms import cloudinit, firstrun, preseed, words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from glovebox.config.problem import Problem
    from glovebox.onboard.firstboot.forms.asked import Asked

# In the order in which they count, the last most; the names are also in
# /usr/lib/glovebox/anything-new.
READERS: Mapping[str, Callable[[bytes, str], Asked]] = {
    **firstrun.READERS,
    **cloudinit.READERS,
    **preseed.READERS,
}
_REGDOM = re.compile(r"^options cfg80211 ieee80211_regdom=(\S+)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Together:
    """What all of them ask for, as glovebox.yaml would."""

    settings: Node
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


NOTHING = Together(settings=Node(value={}, source=""))


def read(texts: Mapping[str, bytes], cmdline: bytes, root: Path) -> Together:
    """Read them all."""
    asked = [words.read(cmdline, words.FILE)]
    asked += [reader(texts[name], name) for name, reader in READERS.items() if name in texts]
    settings = NOTHING.settings
    for one in asked:
        settings = merge(settings, one.settings)
    return Together(
        settings=_with_country(settings, root),
        notes=tuple(note for one in asked for note in one.notes),
        problems=tuple(problem for one in asked for problem in one.problems),
    )


def _with_country(settings: Node, root: Path) -> Node:
    """Where a network was asked for and no country: the board is where it was before."""
    assert isinstance(settings.value, dict)  # noqa: S101  sections merge into a section
    wifi = settings.value.get("wifi")
    table = root / "etc/modprobe.d/wifi-country.conf"
    if wifi is None or not isinstance(wifi.value, dict) or "country" in wifi.value:
        return settings
    found = _REGDOM.search(table.read_text(encoding="utf-8")) if table.exists() else None
    if found is None:
        return settings
    networks = wifi.value["networks"]
    country = Node(value={"country": _text(found[1], networks)}, source=networks.source)
    return merge(settings, Node(value={"wifi": country}, source=settings.source))


def _text(text: str, at: Node) -> Node:
    return Node(
        value=Scalar(text=text, kind=Kind.TEXT, quoted=True), source=at.source, line=at.line
    )
