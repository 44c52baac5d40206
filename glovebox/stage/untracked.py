"""Say which inputs of a stage's scripts no key can know of: the network, the clock, a repository.

A guess by words, meant for a person: it can name a word that does no harm, and miss a program that
reads the network on its own account.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from glovebox.stage.stage import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glovebox.stage.stage import SubStage

_START = r"(?:^|[;&|(`]|\$\(|\b(?:then|do|else|sudo|exec|time|if|while|!)\s)\s*(?:\w+=\S*\s+)*"
_INPUTS = {
    "the network": re.compile(
        _START + r"(?:curl|wget|aria2c|rsync\s+\S*:|scp|svn|ssh|rpi-update|flatpak|snap"
        r"|git\s+(?:clone|fetch|pull|submodule|ls-remote)|pip3?\s+(?:install|download)"
        r"|python3?\s+-m\s+pip|npm|npx|yarn|pnpm|cargo\s+(?:install|fetch)|go\s+(?:get|install|mod)"
        r"|gem\s+install|docker\s+pull|apt(?:-get)?\s+(?:\S+\s+)*(?:update|install|upgrade"
        r"|dist-upgrade|full-upgrade))\b"
    ),
    "a repository of git": re.compile(
        _START + r"git\s+(?:\S+\s+)*(?:describe|rev-parse|log|show)\b"
    ),
    "the clock": re.compile(_START + r"date\b(?!.*(?:SOURCE_DATE_EPOCH|--reference|\s-r\b))"),
    "chance": re.compile(
        r"\$\{?RANDOM\b|/dev/u?random\b|\b(?:uuidgen|mktemp\s+-u|openssl\s+rand)\b"
    ),
    # Two steps up from a sub-stage is beside its stage; a link that is made means the image.
    "files outside its stage": re.compile(
        r"\$\{?(?:BASE_DIR|SCRIPT_DIR|PREV_STAGE_DIR)\b"
        r"|^(?!.*\bln\b).*(?:(?<![\w/.}])\.\./\.\./|\bSTAGE_DIR\}?\"?/\.\./)"
    ),
}


def inputs(sub: SubStage) -> tuple[str, ...]:
    """Give a line for each, naming file and line."""
    network = ("network: true: what its lists and scripts install",) if sub.network else ()
    return (*network, *_inputs(sub))


def _inputs(sub: SubStage) -> Iterator[str]:
    for link, target in sub.led_out():
        name = os.path.relpath(link, sub.path)
        yield f"{name} leads to {target}, outside the folder of its stages"
    for action in sub.of(Kind.PRERUN, Kind.RUN, Kind.RUN_CHROOT):
        lines = action.path.read_text(errors="replace").splitlines()
        for number, line in enumerate(lines, start=1):
            code = "" if line.lstrip().startswith("#") else line
            for what, pattern in _INPUTS.items():
                if pattern.search(code):
                    yield f"{action.path.name}:{number} reads {what}"
