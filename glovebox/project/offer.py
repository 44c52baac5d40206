"""Offer images to others: which, by what addresses, and the list by which Imager finds them.

Imager knows no address relative to its list, so whoever offers says where everything will lie.
"""

from __future__ import annotations

import html
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from glovebox.config.build import Sign
from glovebox.errors import ConfigError, HostError
from glovebox.host import files
from glovebox.project import imager, sbom, signing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LIST, SUMS, ICON, PAGE = "os_list.json", "SHA256SUMS", "icon.svg", "index.html"
_OURS, _IMAGERS = ".manifest.json", ".rpi-imager-manifest"
_BUILD = "./invoke build-image"


@dataclass(frozen=True, kw_only=True)
class Offer:
    """An image that others may have, with its papers."""

    name: str
    file: Path  # the image, or its packed copy
    shared: tuple[Path, ...]  # that, its block map, the lists of its parts and of packages
    sums: dict[str, str]
    told: dict[str, Any]  # Imager's manifest
    sign: Sign = field(default_factory=Sign)  # what its own checksums are signed with


@dataclass(frozen=True, kw_only=True)
class Found:
    """What there is to offer, and what is kept back for the secrets it may hold."""

    offers: tuple[Offer, ...]
    kept_back: dict[str, tuple[str, ...]]


def find(out: Path, names: Sequence[str] = ()) -> Found:
    """Look for images in a folder; one that may hold secrets counts only where it is named.

    Raises ConfigError for a name there is no image of, HostError where there is nothing at all.
    """
    known = {path.name.removesuffix(_OURS): path for path in sorted(out.glob(f"*{_OURS}"))}
    wanted = [name.removesuffix(".img") for name in names]
    for name in wanted:
        if name not in known:
            there = ", ".join(known) or "none"
            raise ConfigError(f"there is no image {name} in {out}", hint=f"there: {there}")
    if not known:
        raise HostError(f"there is no image in {out}", hint=_BUILD)
    offers, kept_back = [], {}
    for name in wanted or known:
        ours = files.read_object(known[name]) or {}
        secrets = tuple(ours.get("holds_secrets", ("it is of an older build",)))
        if secrets and not wanted:
            kept_back[name] = secrets
        else:
            offers.append(_offer(out, name, ours))
    return Found(offers=tuple(offers), kept_back=kept_back)


def only_image(out: Path) -> Path:
    """Give the image that was built; raises HostError where there are none or several."""
    found = [out / f"{path.name.removesuffix(_OURS)}.img" for path in sorted(out.glob(f"*{_OURS}"))]
    if not found:
        raise HostError(f"there is no image in {out}", hint=f"{_BUILD}, or name one: --image FILE")
    if len(found) > 1:
        names = ", ".join(map(str, found))
        raise HostError("there are several images", hint=f"name one: --image FILE, of {names}")
    return found[0]


def _offer(out: Path, name: str, ours: dict[str, Any]) -> Offer:
    told = files.read_object(out / f"{name}{_IMAGERS}")
    handed, offered = ours.get("files"), str(ours.get("offered"))
    if told is None or not isinstance(handed, dict) or offered not in handed:
        raise HostError(f"{name}: its papers are not whole", hint=f"build it again: {_BUILD}")
    for each, known in handed.items():
        if not (out / each).is_file() or (out / each).stat().st_size != known["size"]:
            raise HostError(
                f"{out / each} is not the file that was built", hint=f"build it again: {_BUILD}"
            )
    endings = (".bmap", *sbom.ENDINGS)
    shared = [out / offered, *(out / each for each in handed if each.endswith(endings))]
    packages = out / f"{name}.packages.txt"
    sums = {path.name: handed[path.name]["sha256"] for path in shared}
    sums[packages.name] = files.sha256_file(packages)
    signed = ours.get("signed_by") or {}
    return Offer(
        name=name,
        file=out / offered,
        shared=(*shared, packages),
        sums=sums,
        told=told,
        sign=Sign(minisign=signed.get("minisign"), gpg=signed.get("gpg")),
    )


def link(base: str) -> str:
    """Give the link that opens Raspberry Pi Imager with the list at an address."""
    return f"rpi-imager://open?repo={quote(f'{base}/{LIST}', safe='')}"


def texts(offers: Sequence[Offer], base: str) -> dict[str, bytes]:
    """Give the small files, by name, for images that lie at an address: list, sums, icon, page.

    The sums are signed with the key that signed those of the images.
    """
    manifests = []
    for one in offers:
        entry = {
            **one.told["os_list"][0],
            "url": f"{base}/{quote(one.file.name)}",
            "icon": f"{base}/{ICON}",
            "website": f"{base}/",
        }
        manifests.append({**one.told, "os_list": [entry]})
    totals = {name: total for one in offers for name, total in one.sums.items()}
    sums = "".join(f"{total}  {name}\n" for name, total in sorted(totals.items())).encode()
    sign = signing.one_of([one.sign for one in offers])
    signed = {} if sign is None else signing.signatures(sign, SUMS, sums)
    found = {
        LIST: json.dumps(imager.together(manifests), indent=1) + "\n",
        ICON: imager.ICON,
        PAGE: _page(offers, base, signed=list(signed)),
    }
    return {SUMS: sums, **signed, **{name: text.encode() for name, text in found.items()}}


def _page(offers: Sequence[Offer], base: str, *, signed: Sequence[str]) -> str:
    """Give the page a person sees: the link, and each file for those who write it otherwise."""
    rows = "".join(
        f'<li><a href="{html.escape(quote(path.name))}">{html.escape(path.name)}</a>'
        f" {path.stat().st_size / 1e6:.1f} MB</li>\n"
        for one in offers
        for path in one.shared
    )
    links = "".join(f', <a href="{name}">{name}</a>' for name in signed)
    return (
        '<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>Glovebox images</title>\n'
        '<meta name="viewport" content="width=device-width">\n'
        "<style>body{font:1.1em/1.6 sans-serif;max-width:40em;margin:2em auto}</style>\n"
        "<h1>Glovebox images</h1>\n"
        f'<p><a href="{html.escape(link(base))}">Open in Raspberry Pi Imager</a>'
        f" ({imager.NEEDED} or newer), choose the board, the image and the card.</p>\n"
        f"<p>From a terminal: <code>rpi-imager --repo {html.escape(base)}/{LIST}</code></p>\n"
        f"<p>Or write a file yourself, and check it: "
        f'<a href="{SUMS}">{SUMS}</a>{links}</p>\n<ul>\n{rows}</ul>\n</html>\n'
    )
