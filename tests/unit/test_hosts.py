"""What is tried in roots of other hosts; that it works there, `test --hosts` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from invoke import Collection

import tasks
from glovebox.errors import ConfigError
from glovebox.host.monitor import Monitor
from glovebox.store.store import Store
from glovebox.trials import hosts
from glovebox.trials.parts import choose

if TYPE_CHECKING:
    from pathlib import Path


def test_a_root_is_told_how_to_reach_the_network_and_no_more() -> None:
    """Nothing else of the caller's environment makes a fresh machine another one."""
    caller = {"PIP_CERT": "/ca", "https_proxy": "http://p", "GLOVEBOX_STORE": "/s", "TOKEN": "x"}

    told = hosts.environment(caller)

    assert {name: told[name] for name in told.keys() & caller} == {
        "PIP_CERT": "/ca",
        "https_proxy": "http://p",
    }
    assert told["CI"] == "true", "what is missing there must not be skipped"


def test_each_thing_that_is_tried_has_its_root(tmp_path: Path) -> None:
    """One part can be asked for alone: its root is made first."""
    parts = hosts.parts_in(Monitor(), tmp_path, Store(root=tmp_path), tmp_path)

    assert [part.name for part in choose(parts, only=["debian-13-build"])] == [
        "debian-13",
        "debian-13-build",
    ]
    assert [part.name for part in choose(parts, only=["arm64-plan"])] == ["arm64", "arm64-plan"]
    with pytest.raises(ConfigError, match="no part 'debian-12'"):
        choose(parts, only=["debian-12"])


def test_what_is_tried_are_words_that_a_person_types() -> None:
    """Each begins with a verb of this project."""
    verbs = set(Collection.from_module(tasks).task_names)

    assert {words[0] for guest in hosts.GUESTS for _, words in guest.tried} <= verbs
