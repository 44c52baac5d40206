"""Read image.yaml, image.local.yaml and --set into one Config, or say all that is wrong with them.

Later sources win: defaults, image.yaml, image.local.yaml, --set.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Mapping, Sequence  # noqa: TC003  a dataclass field's hint
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003  likewise

from glovebox.boards.boards import BOARDS
from glovebox.boards.check import check_board, check_power, check_raspios, check_receiver
from glovebox.checkout import CHECKOUT
from glovebox.config import locales
from glovebox.config.build import BuildConfig
from glovebox.config.problem import Problem
from glovebox.config.reader import Reader
from glovebox.config.rules import Place
from glovebox.config.yamltree import Node, Scalar, merge
from glovebox.errors import ConfigError
from glovebox.project import keys, pi_gen_config


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The configuration, where each of its values came from, and what to say before building."""

    config: BuildConfig
    origins: Mapping[str, str]
    warnings: tuple[str, ...]
    problems: tuple[Problem, ...] = ()


def load(
    path: Path,
    *,
    overrides: Sequence[str] = (),
    checkout: Path = CHECKOUT,
    home: Path | None = None,
) -> Loaded:
    """Read the file, the `.local` file beside it and `a.b=c` overrides, or raise ConfigError."""
    loaded = examine(path, overrides=overrides, checkout=checkout, home=home)
    if loaded.problems:
        raise mistakes(loaded.problems)
    return loaded


def examine(
    path: Path,
    *,
    overrides: Sequence[str] = (),
    checkout: Path = CHECKOUT,
    home: Path | None = None,
) -> Loaded:
    """Do the same, and give what is wrong with it beside a configuration of what is right.

    A value that is wrong is its default there, an entry of a list is left out.
    """
    local = path.with_suffix(f".local{path.suffix}")
    place = Place(
        folder=path.resolve().parent, checkout=checkout, home=home or keys.caller(os.environ).home
    )
    reader = Reader(place=place)
    tree = reader.parse_file(path)
    if local.exists():
        tree = merge(tree, reader.parse_file(local))
    for override in overrides:
        tree = merge(tree, reader.parse_override(override))
    tree = _over_pi_gens(tree, reader)

    config = reader.read(tree, BuildConfig)
    warnings = _exposed(reader, path=path, local=local)
    if config is None:  # a value without a default is wrong: nothing can stand in for it
        raise mistakes(reader.problems)
    board = BOARDS[config.board]
    found = check_board(config, board)
    found += [*check_raspios(config, board), *locales.check(config)]
    for finding in (*found, *check_power(config, board), *check_receiver(config, board)):
        at = dataclasses.replace(finding, source=reader.origins[finding.path])
        if isinstance(at, Problem):
            reader.problems.append(at)
        else:
            warnings.append(str(at))
    return Loaded(
        config=config, origins=reader.origins, warnings=tuple(warnings),
        problems=tuple(reader.problems),
    )  # fmt: skip


def _over_pi_gens(tree: Node, reader: Reader) -> Node:
    """Lay a tree over what the `config` file of pi-gen that it names sets."""
    named = tree.value.get("pi_gen_config") if isinstance(tree.value, dict) else None
    if named is None or not isinstance(named.value, Scalar):
        return tree
    path = reader.place_of(named).path(named.value.text)
    if not path.is_file():
        return tree
    try:
        return merge(pi_gen_config.read(path), tree)
    except ConfigError as error:
        reader.problems.append(
            Problem(
                path="pi_gen_config", what=error.message, cure=error.hint or "",
                source=named.source, line=named.line,
            )
        )  # fmt: skip
        reader.broken = True  # what stands there is not known
        return tree


def mistakes(problems: Sequence[Problem]) -> ConfigError:
    """Put all problems into one error, a line each."""
    count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
    sources = [problem.source for problem in problems]
    ordered = sorted(problems, key=lambda problem: (sources.index(problem.source), problem.line))
    each = [str(problem) for problem in ordered]
    lines = "\n".join(f"  {line}" for line in each)
    return ConfigError(f"the configuration has {count}:\n{lines}", each=each)


def _exposed(reader: Reader, *, path: Path, local: Path) -> list[str]:
    """Warn of secrets that stand where others can read them."""
    said = []
    in_main = [key for key, source in reader.secrets.items() if source == path.name]
    if in_main:
        said.append(
            f"{path.name}: {', '.join(in_main)}: a secret stands in a file that is shared;"
            f" hint: move it to {local.name}"
        )
    if local.name in reader.secrets.values() and local.stat().st_mode & (
        stat.S_IRGRP | stat.S_IROTH
    ):
        said.append(
            f"{local.name} holds secrets and other users can read it; hint: chmod 600 {local}"
        )
    return said
