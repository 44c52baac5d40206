"""Add what a suite is too old for: stages that compile it come beside those that install it.

An interpreter is not added: the suite's library for Kafka would not go with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from glovebox.config.schema import RECORDER_STAGE, StageEntry
from glovebox.errors import ConfigError

if TYPE_CHECKING:
    from glovebox.config.build import BuildConfig


@dataclass(frozen=True, kw_only=True)
class _Older:
    """What a stage installs that is too old in some suites, and the stage that compiles it."""

    installs: str
    compiles: str
    suites: frozenset[str]
    what: str


_OLDER = (
    _Older(
        installs="gnss",
        compiles="gnss-source",
        suites=frozenset({"bullseye", "bookworm"}),
        what="gpsd is 3.22, the recorder is made for 3.25 and later",
    ),
)
# The service is written for Python 3.11.
_OLDER_PYTHON = {"bullseye": "3.9"}


def to_suite(config: BuildConfig, suite: str) -> tuple[BuildConfig, tuple[str, ...]]:
    """Give the configuration with the stages that a suite makes necessary, and why, a line each.

    Raises ConfigError where the service cannot run on the suite's Python.
    """
    stages, why = list(config.stages), []
    if suite in _OLDER_PYTHON and any(entry.path == RECORDER_STAGE for entry in stages):
        raise ConfigError(
            f"stages: {RECORDER_STAGE} needs Python 3.11, {suite} has {_OLDER_PYTHON[suite]}",
            hint="start from an image of bookworm or trixie, or leave the stage out",
        )
    for one in _OLDER:
        names = [entry.path for entry in stages]
        if suite in one.suites and one.installs in names and one.compiles not in names:
            stages.insert(names.index(one.installs) + 1, StageEntry(path=one.compiles))
            why.append(
                f"{suite}'s {one.what}: the stage {one.compiles} is added, which compiles a newer"
            )
    return replace(config, stages=tuple(stages)), tuple(why)
