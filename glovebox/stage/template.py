"""Render `NN-templates/`: Jinja2 files that become files of the image, filled from image.yaml.

A template that renders to nothing gives no file. In a name, `@wifi.networks@` stands for one file
per entry of that list, numbered from 1, the entry being `item` in the template.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import jinja2

from glovebox.config import keyfile
from glovebox.config.schema import Secret
from glovebox.errors import StepError
from glovebox.host import files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_LOOP = re.compile(r"@([a-z_.]+)@")


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """One file to be written below the root of the image."""

    name: str
    text: str = field(repr=False)  # it may hold a secret
    program: bool


def render(folder: Path, context: Mapping[str, Any]) -> tuple[Rendered, ...]:
    """Render every template below ``folder``; raises StepError naming file and line."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701  configuration files, no HTML
        finalize=_refuse_secret,
    )
    environment.filters["secret"] = _reveal
    environment.filters["json"] = _json
    environment.filters["sh"] = shlex.quote
    environment.filters["keyfile"] = keyfile.value
    environment.filters["keyfile_bytes"] = keyfile.as_bytes
    return tuple(_render_all(folder, environment, context))


def _render_all(
    folder: Path, environment: jinja2.Environment, context: Mapping[str, Any]
) -> Iterator[Rendered]:
    for path in files.walk(folder):
        if path.is_dir():
            continue
        name = str(path.relative_to(folder))
        program = bool(path.stat().st_mode & 0o100)
        try:
            template = environment.get_template(name)
            for target, values in _targets(name, context):
                text = template.render(values)
                if text.strip():
                    yield Rendered(name=target, text=text, program=program)
        except jinja2.TemplateSyntaxError as error:
            raise StepError(f"{path}:{error.lineno}: {error.message}") from error
        except (jinja2.TemplateError, AttributeError, TypeError) as error:
            raise StepError(f"{path}: {error}", hint="see docs/configuration.md") from error


def _targets(name: str, context: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    found = _LOOP.search(name)
    if found is None:
        yield name, dict(context)
        return
    entries: Any = context["config"]
    for part in found[1].split("."):
        entries = getattr(entries, part)
    for number, item in enumerate(entries, start=1):
        yield name.replace(found[0], str(number)), {**context, "item": item}


def _refuse_secret(value: Any) -> Any:  # noqa: ANN401  whatever a template prints
    if isinstance(value, Secret):
        raise jinja2.UndefinedError("a secret is printed only with the filter |secret")
    return value


def _reveal(value: Secret | str) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def _json(value: Any) -> str:  # noqa: ANN401  any dataclass
    return json.dumps(asdict(value), indent=2, sort_keys=True)
