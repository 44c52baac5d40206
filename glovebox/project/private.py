"""Tell whether an image may hold secrets: then it is for its owner alone, and offered to nobody.

What is not ours is not looked into: who knows what a file of a stage or an overlay is for?
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.checkout import CHECKOUT
from glovebox.config.build import RASPIOS
from glovebox.config.schema import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glovebox.config.schema import Config


def held(config: Config) -> list[str]:
    """Name what may be secret in an image of this configuration; no value is named."""
    return [*_secrets(config, ""), *_of_others(config)]


def _secrets(value: object, path: str) -> Iterator[str]:
    """Name the values that the configuration itself calls secret."""
    if isinstance(value, Secret):
        yield path
    elif isinstance(value, tuple):
        for number, one in enumerate(value):
            yield from _secrets(one, f"{path}[{number}]")
    elif is_dataclass(value):
        for field in fields(value):
            inner, name = getattr(value, field.name), f"{path}.{field.name}".lstrip(".")
            if field.metadata.get("secret") and inner:
                yield name
            else:
                yield from _secrets(inner, name)


def _of_others(config: Config) -> Iterator[str]:
    if config.environment:
        yield "environment"
    if config.base not in ("debian", RASPIOS):
        yield "base"
    for what in ("overlays", "templates"):
        if any(not _ours(what, name) for name in getattr(config, what)):
            yield what
    if any(not _ours("stages", entry.path) for entry in config.stages):
        yield "stages"


def _ours(kind: str, name: str) -> bool:
    """Tell whether a name means a folder of this project."""
    if Path(name).name == name:
        return (CHECKOUT / kind / name).is_dir()
    return Path(name).resolve().is_relative_to(CHECKOUT / kind)
