"""Pages of docs/ that are written from the code: configuration.md, and the table in record.md.

The first comes from the same metadata that image.yaml is checked with, the second from the record's
schema. Write both anew with: PYTHONPATH=app python -m glovebox.docs
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import StrEnum
from typing import Any

from glovebox.checkout import CHECKOUT
from glovebox.config.build import BuildConfig
from glovebox.config.reader import amount
from glovebox.config.schema import Secret
from telematics.record import SCHEMA

PAGE = CHECKOUT / "docs/configuration.md"
RECORD_PAGE = CHECKOUT / "docs/record.md"
_BEGIN, _END = "<!-- places: begin -->", "<!-- places: end -->"

_INTRODUCTION = """\
# Configuration

<!-- Written by glovebox/docs.py from the configuration's types: change it there. -->

`image.yaml` says what the image is.
`image.local.yaml` beside it holds what is yours alone, such as Wi-Fi and keys; git ignores it.
`--set key=value` changes one value of one run: `--set board=3 --set disk.root=4GiB`.

Later ones win in this order: default, `image.yaml`, `image.local.yaml`, `--set`.
Sections merge key by key; a list or a value replaces the one before it.
All mistakes are reported at once, each with its place and its cure.
So are those in the files of stages, overlays and templates, and what this machine lacks.
Text that looks like something else to YAML needs quotes: `country: "NO"`, `psk: "12345678"`.
A path is relative to the file it stands in, or with `--set` to the folder you are in.
What can be changed on the flashed card, without building: [first boot](first-boot.md).
A value marked *secret* never shows in messages, and belongs in `image.local.yaml` (mode 0600).
"""

_TYPES: Mapping[object, str] = {
    str: "text",
    Secret: "text, *secret*",
    int: "whole number",
    float: "number",
    bool: "true or false",
}


def reference_markdown() -> str:
    """Write the whole page."""
    return f"{_INTRODUCTION}\n{_section('Top level', '', BuildConfig)}".rstrip("\n") + "\n"


def _section(title: str, prefix: str, kind: type) -> str:
    """Write the keys of one section as a table, and the sections below it after it."""
    hints = typing.get_type_hints(kind)
    rows, below = [], []
    for one in fields(kind):
        key = f"{prefix}{one.name}"
        inner = _inner(hints[one.name])
        if inner is not None:
            listed = typing.get_origin(hints[one.name]) is tuple
            key = f"{key}[]" if listed else key
            below.append(_section(f"`{key}`", f"{key}.", inner))
            if not listed:
                continue
        rows.append(
            f"| `{prefix}{one.name}` | {_type(hints[one.name], one)} | {_shown_default(one)}"
            f" | {_meaning(one)} |"
        )
    about = (kind.__doc__ or "").split("\n\n    ")
    text = " ".join(" ".join(part.split()) for part in about)
    table = "\n".join(["| Key | Type | Default | Meaning |", "|---|---|---|---|", *rows])
    return "\n".join([f"## {title}\n\n{text}\n\n{table}\n", *below])


def _inner(hint: object) -> type | None:
    """Find the section that a key is, or that the items of its list are."""
    for one in (hint, *typing.get_args(hint)):
        if isinstance(one, type) and is_dataclass(one):
            return one
    return None


def _type(hint: object, one: Field[Any]) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = next(argument for argument in arguments if argument is not types.NoneType)
        return _type(inner, one)
    if origin is tuple:
        return "list" if _inner(hint) else f"list of {_type(arguments[0], one)}"
    if origin is Mapping:
        return "names and texts"
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return ", ".join(f"`{member}`" for member in hint)
    if one.metadata.get("unit") == "bytes":
        return "size"
    return f"{_TYPES[hint]}{', *secret*' if one.metadata.get('secret') else ''}"


def _shown_default(one: Field[Any]) -> str:
    if one.default is MISSING:
        return "*required*" if one.default_factory is MISSING else "none"
    if one.default is None:
        return f"`{one.metadata['none']}`" if "none" in one.metadata else "none"
    if isinstance(one.default, tuple):
        return f"`[{', '.join(map(str, one.default))}]`" if one.default else "none"
    if isinstance(one.default, bool):
        return f"`{str(one.default).lower()}`"
    if isinstance(one.default, int | float):
        return f"`{amount(one.default, one.metadata.get('unit', ''))}`"
    return f"`{one.default}`" if one.default else "empty"


def _meaning(one: Field[Any]) -> str:
    """Give the help, and the bounds after it."""
    meta = one.metadata
    text = str(meta.get("help", "")).rstrip(".")
    words = [text[:1].upper() + text[1:]]
    unit = meta.get("unit", "")
    words += [
        f"{word} {amount(meta[bound], unit)}"
        for word, bound in (("at least", "minimum"), ("at most", "maximum"))
        if bound in meta
    ]
    return "; ".join(words).replace("|", r"\|")


def record_table() -> str:
    """Give the places of a record as a table."""
    places = json.loads(SCHEMA.read_text(encoding="utf-8"))["prefixItems"]
    required = json.loads(SCHEMA.read_text(encoding="utf-8"))["minItems"]
    lines = ["| place | name | always | meaning |", "|---|---|---|---|"]
    for number, place in enumerate(places):
        always = "yes" if number < required else "if known"
        if "null" in place.get("type", ()) and number < required:
            always = "or null"
        lines.append(f"| {number} | `{place['title']}` | {always} | {place['description']} |")
    return "\n".join(lines)


def record_page(text: str) -> str:
    """Give the page with the table of today's schema in it."""
    head, rest = text.split(_BEGIN)
    return f"{head}{_BEGIN}\n{record_table()}\n{_END}{rest.split(_END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(reference_markdown(), encoding="utf-8")
    RECORD_PAGE.write_text(record_page(RECORD_PAGE.read_text(encoding="utf-8")), encoding="utf-8")
