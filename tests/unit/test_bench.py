"""What is built twice for a ratio is compared as well: without the accelerator it is the same."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from glovebox.errors import VerifyError
from glovebox.store.store import Store
from glovebox.trials import bench

if TYPE_CHECKING:
    from pathlib import Path

KEYS = {name: f"{number:064x}" for number, name in enumerate(bench._EMULATED_QUICK)}
SLOW_S, QUICK_S = 30.0, 6.0
EPOCH = 1_700_000_000


@dataclass(kw_only=True)
class FakeBench:
    """Two steps that take a while, and longer without the accelerator."""

    work: Path
    store: Store
    spoiled: str = ""  # the step that makes something else without it
    salt: int = 0
    quick: bool = True

    def __post_init__(self) -> None:
        """Give what a bench has."""
        self.site = SimpleNamespace(store=self.store, out=self.work.parent / "out")
        self.site.out.mkdir()

    def warm(self, _board: str) -> None:
        """Make nothing: another image has other steps."""

    def build(self, _board: str, *options: str) -> None:
        """Make what is missing, and the image's papers."""
        name = next(one for one in options if one.startswith("hostname=")).removeprefix("hostname=")
        papers = self.site.out / f"{name}-{bench.SMALL}.manifest.json"
        papers.write_text(json.dumps({"steps": KEYS}))
        emulated = "--no-accelerator" in options
        for name, key in KEYS.items():
            if self.store.find(key) is None:
                with self.store.scratch() as scratch:
                    (scratch / "result/tree").mkdir(parents=True)
                    made = "other" if emulated and name == self.spoiled else "same"
                    (scratch / "result/tree/file").write_text(made)
                    for path in ("result/tree/file", "result/tree"):
                        os.utime(scratch / path, (EPOCH, EPOCH))  # as a layer is finished
                    seconds = SLOW_S if emulated else QUICK_S
                    self.store.commit(key, scratch / "result", {"seconds": seconds})


@pytest.fixture
def made(tmp_path: Path) -> FakeBench:
    """Give a bench."""
    return FakeBench(work=tmp_path / "work", store=Store(root=tmp_path / "store").open())


def test_the_accelerator_s_ratio(made: FakeBench) -> None:
    """Both kinds of build are timed by their steps, nothing is kept of the first."""
    (row,) = bench.emulated(cast("bench.Bench", made))

    assert row.values == (SLOW_S / QUICK_S,)
    assert f"{2 * SLOW_S:.0f} s / {2 * QUICK_S:.0f} s" in row.note
    assert list(made.work.iterdir()) == []


@pytest.mark.parametrize("spoiled", KEYS)
def test_a_layer_that_differs_is_an_error(made: FakeBench, spoiled: str) -> None:
    """The ratio means nothing when the results differ: step and path are named."""
    made.spoiled = spoiled

    with pytest.raises(VerifyError, match=rf"{spoiled} differs without the accelerator:\n.*/file"):
        bench.emulated(cast("bench.Bench", made))
