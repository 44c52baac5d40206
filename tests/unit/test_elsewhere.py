"""Places beside the store in which builds are repeated and measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox.errors import HostError
from glovebox.project.opened import secret_file, secret_of
from glovebox.store.store import Store
from glovebox.trials import elsewhere

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


def test_a_shared_secret_stays_one(tmp_path: Path) -> None:
    """A store that was given another's secret has that one, and nobody else may read it."""
    ours, other = (Store(root=tmp_path / name).open() for name in ("ours", "other"))
    secret = secret_of(ours)
    assert secret_of(Store(root=tmp_path / "third").open()) != secret

    elsewhere.share_secret(ours, other)

    assert secret_of(other) == secret
    assert secret_file(other).stat().st_mode & 0o777 == 0o600
