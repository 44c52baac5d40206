"""Settings that the builder alone reads: whence base `raspios` comes, how an image is handed over.

They stand apart from schema.py and rules.py because those go onto the board as well: what only the
builder reads shall not make another image of every car.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from glovebox.config import rules
from glovebox.config.problem import WrongValueError
from glovebox.config.schema import Config

if TYPE_CHECKING:
    from glovebox.config.rules import Place

RASPIOS = "raspios"
_WORDS = ("debian", RASPIOS)


def base(text: str, place: Place) -> str:
    """Check what the image starts from: a word, or an image that is there."""
    if text in _WORDS:
        return text
    if not text.endswith((".img", ".img.xz")):
        what = "is neither a base nor the path of an .img or .img.xz file"
        raise WrongValueError(what, rules.nearest(text, _WORDS, otherwise="use debian or raspios"))
    path = place.path(text)
    if not path.is_file():
        what = "is an image that is not there"
        raise WrongValueError(what, f"looked for {path}")
    return str(path)


@dataclass(frozen=True, kw_only=True)
class RaspiOs:
    """Where the image of base `raspios` comes from; nothing here matters to another base."""

    server: str | None = field(
        default=None,
        metadata={
            "help": "a mirror of Raspberry Pi's downloads, with the list, images and signatures at"
            " the same paths, and the key beside the list; none: Raspberry Pi's own",
            "rule": rules.url,
        },
    )
    archive: str | None = field(
        default=None,
        metadata={
            "help": "a mirror of Raspberry Pi's package archive, that stands in for the one that"
            " the image names while packages are looked for; none: that one",
            "rule": rules.url,
        },
    )
    key: str | None = field(
        default=None,
        metadata={
            "help": "a file with Raspberry Pi's signing key; it counts by its fingerprint alone;"
            " none: fetched",
            "resolve": rules.existing,
        },
    )
    image: str | None = field(
        default=None,
        metadata={
            "help": "the image as an `.img.xz` file that you fetched, checked like any other; its"
            " signature may lie beside it, as `.img.xz.sig`; none: fetched",
            "resolve": rules.existing,
        },
    )


class KernelFrom(StrEnum):
    """Where the kernel of base `debian` comes from."""

    SUITE = "suite"
    BACKPORTS = "backports"


class Network(StrEnum):
    """How a board is reached."""

    WIFI = "wifi"
    USB = "usb"
    NONE = "none"


class Packed(StrEnum):
    """How an image is packed for others, by the end of its name."""

    ZST = "zst"
    XZ = "xz"


class Sbom(StrEnum):
    """How the parts of an image are listed for programs."""

    SPDX = "spdx"
    CYCLONEDX = "cyclonedx"


def gpg_key(text: str) -> str:
    """Check how a key of GnuPG is named: by fingerprint, long identity or mail."""
    if not re.fullmatch(r"(0x)?[0-9A-Fa-f]{16,64}|[^\s<>@-][^\s<>@]*@[^\s<>@]+", text):
        what = "names no key of GnuPG"
        raise WrongValueError(what, "its fingerprint, as `gpg --list-secret-keys` shows it")
    return text


@dataclass(frozen=True, kw_only=True)
class Sign:
    """Keys of yours that sign the lists of checksums (docs/card.md); none: nothing is signed."""

    minisign: str | None = field(
        default=None,
        metadata={
            "help": "the file with minisign's secret key, as in `~/.minisign/minisign.key`",
            "resolve": rules.existing,
        },
    )
    gpg: str | None = field(
        default=None,
        metadata={
            "help": "a secret key that GnuPG has: its fingerprint, or its mail address",
            "rule": gpg_key,
        },
    )


@dataclass(frozen=True, kw_only=True)
class Export:
    """How the image is handed over; nothing here changes a byte of it."""

    pack: tuple[Packed, ...] = field(
        default=(),
        metadata={
            "help": "packed copies beside the `.img`, made anew with each image: `zst` takes"
            " seconds, `xz` is smaller and takes a minute"
        },
    )
    sbom: tuple[Sbom, ...] = field(
        default=(),
        metadata={
            "help": "lists of all parts with versions, sums and licences beside the image:"
            " `NAME.spdx.json` (SPDX 2.3), `NAME.cdx.json` (CycloneDX 1.6)"
        },
    )
    sign: Sign = field(default_factory=Sign)


@dataclass(frozen=True, kw_only=True)
class BuildConfig(Config):
    """What the image is."""

    base: str = field(
        default="debian",
        metadata={
            "help": "what it starts from: `debian`, `raspios` (Raspberry Pi OS Lite), or the path"
            " of an `.img` or `.img.xz` file; see docs/bases.md",
            "resolve": base,
        },
    )
    kernel: KernelFrom | None = field(
        default=None,
        metadata={
            "help": "where base `debian` takes its kernel from: the suite itself, or its backports,"
            " which have a newer one and keep it for a few weeks (docs/bases.md); `auto`: what the"
            " board needs",
            "none": "auto",
        },
    )
    network: Network = field(
        default=Network.WIFI,
        metadata={
            "help": "how the board is reached: `usb` is an adapter at its USB port, `none` not at"
            " all; only said, so that an image whose board would have no Wi-Fi is not built by"
            " mistake"
        },
    )
    raspios: RaspiOs = field(default_factory=RaspiOs)
    export: Export = field(default_factory=Export)
