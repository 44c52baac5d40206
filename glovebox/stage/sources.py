"""Read `NN-sources`: what a compiling program finds in ``$SOURCES``, each by where it comes from.

`debian:NAME` is a source package of the suite, `debian:NAME/SUITE` of another, `path:NAME` a folder
or file of the checkout, and `URL [URL …] sha256:HEX` a file that is fetched once, from the first
address that has it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from glovebox.errors import ConfigError
from glovebox.stage import wordlist

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from glovebox.stage.stage import Action, SubStage


class Origin(StrEnum):
    """Where a source comes from."""

    DEBIAN = "debian"
    PATH = "path"
    URL = "url"


@dataclass(frozen=True, kw_only=True)
class Source:
    """One source; ``what`` is a package, what stands in the checkout, or a download's name."""

    origin: Origin
    what: str
    urls: tuple[str, ...] = ()
    sha256: str = ""


def of(action: Action, variables: Mapping[str, str]) -> tuple[Source, ...]:
    """Read a list of sources; raises ConfigError naming the file and the word that is wrong."""
    words = wordlist.words_of(action.path, variables)
    return tuple(_read(action.path, words))


def require_there(action: Action, variables: Mapping[str, str], checkout: Path) -> None:
    """Raise ConfigError where a list of sources is wrong, or names what the checkout has not."""
    for source in of(action, variables):
        if source.origin is Origin.PATH:
            in_checkout(action, source, checkout)


def in_checkout(action: Action, source: Source, checkout: Path) -> Path:
    """Give the place of a source in the checkout; raises ConfigError where there is nothing."""
    place = checkout / source.what
    if not place.exists():
        raise ConfigError(
            f"{action.path}: path:{source.what}: there is no {place}",
            hint="a folder or file of the checkout, by its path from there",
        )
    return place


def for_action(
    sub: SubStage, action: Action, variables: Mapping[str, str]
) -> Iterator[tuple[Action, Source]]:
    """Give the sources of a compiling program: those of the list with its number."""
    for listing in sub.actions:
        if listing.kind == "sources" and listing.number == action.number:
            for source in of(listing, variables):
                yield listing, source


def _read(path: Path, words: Sequence[str]) -> Iterator[Source]:
    urls: list[str] = []
    for word in words:
        kind, _, what = word.partition(":")
        if kind in ("http", "https"):
            urls.append(word)
        elif kind == "sha256" and urls:
            if not re.fullmatch(r"[0-9A-Fa-f]{64}", what):
                raise ConfigError(
                    f"{path}: '{word}' is not a sum", hint="sha256: and the 64 digits of sha256sum"
                )
            name = unquote(Path(urlsplit(urls[0]).path).name)
            if not name:
                raise ConfigError(f"{path}: {urls[0]} does not end in a file's name")
            yield Source(origin=Origin.URL, what=name, urls=tuple(urls), sha256=what.lower())
            urls = []
        elif kind in (Origin.DEBIAN, Origin.PATH) and what and not urls:
            yield Source(origin=Origin(kind), what=what)
        elif urls:
            break
        else:
            raise ConfigError(
                f"{path}: '{word}' is no source",
                hint="write debian:PACKAGE, path:FOLDER, or https://… sha256:…",
            )
    if urls:
        raise ConfigError(
            f"{path}: {urls[-1]} has no sum: anything could come from there",
            hint="write sha256: and what sha256sum prints after the address",
        )
