"""What decides a step's result: each thing with its kind, so that nobody has to read it off a name.

A key and a result's meta.json hold the label and the digest alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path  # noqa: TC003  a dataclass field's hint


class InputKind(StrEnum):
    """What an input is."""

    VALUE = "value"  # short enough to stand for itself
    RUN = "run"  # a volatile stage's: another one each time
    VARIABLE = "variable"
    PACKAGES = "packages"
    WHEELS = "wheels"
    FILES = "files"  # a file, or a folder of them
    RENDERED = "rendered"  # a template, filled in
    DEBIAN_SOURCE = "source package"
    DOWNLOAD = "download"  # the digest is its sha256
    IMAGE = "image"


@dataclass(frozen=True, kw_only=True)
class Input:
    """One thing that decides a result."""

    kind: InputKind
    label: str
    digest: str
    path: Path | None = None  # of FILES
    listing: str = ""  # of WHEELS: the lock's name of the list
    request: tuple[str, str] | None = None  # of PACKAGES: the lock's chain, and the request in it


Inputs = Mapping[str, Input]


def by_label(found: Iterable[Input]) -> dict[str, Input]:
    """Give inputs by their labels; of one that is given twice the last one counts."""
    return {one.label: one for one in found}


def digests(inputs: Inputs) -> dict[str, str]:
    """Give what a key and meta.json hold: each label with its digest."""
    return {label: one.digest for label, one in inputs.items()}


def value(label: str, text: str) -> Input:
    """Name a value that stands for itself."""
    return Input(kind=InputKind.VALUE, label=label, digest=text)
