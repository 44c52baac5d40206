"""Render `NN-templates/`: Jinja2 files that become files of the image, filled from image.yaml.

A template that renders to nothing gives no file. In a name, `@wifi.networks@` stands for one file
per entry of that list, numbered from 1, the entry being `item` in the template.
"""

from __future__ import annotations

import json
import re
import shlex
import traceback
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import jinja2
import jinja2.sandbox

from glovebox.config import keyfile
from glovebox.config.schema import Secret
from glovebox.errors import StepError
from glovebox.host import files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from glovebox.errors import Mistakes

_HINT = "what templates find: docs/configuration.md"
_LOOP = re.compile(r"@([a-z_.]+)@")


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """One file to be written below the root of the image."""

    name: str
    text: str = field(repr=False)  # it may hold a secret
    program: bool


def render(folder: Path, context: Mapping[str, Any]) -> tuple[Rendered, ...]:
    """Render every template below ``folder``; raises StepError naming file and line."""
    environment = _environment(folder)
    return tuple(
        made for path in _templates(folder) for made in _render(path, folder, environment, context)
    )


def examine(folder: Path, context: Mapping[str, Any] | None, found: Mistakes) -> None:
    """Gather what is wrong with the templates of a folder; without a context, of their syntax."""
    environment = _environment(folder)
    for path in _templates(folder):
        with found.gathered():
            if context is None:
                _read(path, folder, environment)
            else:
                list(_render(path, folder, environment, context))


def _environment(folder: Path) -> jinja2.Environment:
    # Whoever wrote a template may not be who builds: it sees values, and nothing of Python.
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # configuration files, no HTML
        finalize=_refuse_secret,
    )
    environment.filters["secret"] = _reveal
    environment.filters["json"] = _json
    environment.filters["sh"] = shlex.quote
    environment.filters["keyfile"] = keyfile.value
    environment.filters["keyfile_bytes"] = keyfile.as_bytes
    return environment


def _templates(folder: Path) -> Iterator[Path]:
    return (path for path in files.walk(folder) if not path.is_dir())


def _read(path: Path, folder: Path, environment: jinja2.Environment) -> jinja2.Template:
    if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
        raise StepError(
            f"{path}: it is a link to {path.readlink()}, and not to another template",
            hint="what goes onto the image as it is, links too, belongs into an overlay",
        )
    try:
        return environment.get_template(str(path.relative_to(folder)))
    except jinja2.TemplateSyntaxError as error:
        raise StepError(f"{path}:{error.lineno}: {error.message}", hint=_HINT) from error
    except jinja2.TemplateNotFound as error:
        raise StepError(f"{path}: it is a link to nothing", hint="remove it") from error
    except UnicodeDecodeError as error:
        raise StepError(
            f"{path}: it is no UTF-8 text (byte {error.start + 1})",
            hint="what goes onto the image as it is belongs into an overlay",
        ) from error


def _render(
    path: Path, folder: Path, environment: jinja2.Environment, context: Mapping[str, Any]
) -> Iterator[Rendered]:
    template = _read(path, folder, environment)
    program = bool(path.stat().st_mode & 0o100)
    try:
        for target, values in _targets(str(path.relative_to(folder)), context):
            text = template.render(values)
            if text.strip():
                yield Rendered(name=target, text=text, program=program)
    except Exception as error:  # a template is a program of its owner: any mistake is theirs
        lines = [
            one.lineno
            for one in traceback.extract_tb(error.__traceback__)
            if one.filename == str(path)
        ]
        at = ":".join([str(path), *map(str, lines[-1:])])
        raise StepError(f"{at}: {error}", hint=_HINT) from error


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
