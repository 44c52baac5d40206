"""Places beside the store in which builds are repeated and measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox import elsewhere
from glovebox.errors import HostError
from glovebox.store import Store

if TYPE_CHECKING:
    from pathlib import Path


def test_a_place_to_work_in_is_one_s_own(tmp_path: Path) -> None:
    """Two at once would remove each other's files: the second is told, and nothing of it begins."""
    store = Store(root=tmp_path / "store").open()

    with elsewhere.workplace(store, "bench") as work:
        (work / "kept").touch()
        with (
            pytest.raises(HostError, match="another `bench` works"),
            elsewhere.workplace(store, "bench"),
        ):
            pass
        with elsewhere.workplace(store, "reproduce") as other:
            assert other != work

        assert (work / "kept").exists()


def test_what_another_run_left_is_gone(tmp_path: Path) -> None:
    """A run that was killed left its files: the next one begins with an empty folder."""
    store = Store(root=tmp_path / "store").open()
    with elsewhere.workplace(store, "bench") as work:
        (work / "left").touch()

    with elsewhere.workplace(store, "bench") as work:
        assert list(work.iterdir()) == []
