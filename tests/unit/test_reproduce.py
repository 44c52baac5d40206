"""Where two builds differ, the first layer that does is named, and the files in it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from glovebox.host import clock
from glovebox.plan.plan import Plan, Step, StepKind
from glovebox.store.store import Store
from glovebox.trials import reproduce
from glovebox.trials.reproduce import Built

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

KINDS = {
    "tools": StepKind.NATIVE_ROOT,
    "base": StepKind.EXTRACT,
    "gnss": StepKind.SUB_STAGE,
    "settings": StepKind.SUB_STAGE,
}
PLAN = Plan(
    steps={name: Step(name=name, kind=kind, key=f"key-{name}") for name, kind in KINDS.items()},
    disk_id="0", arch="arm64", epoch=0, variables={},
)  # fmt: skip
KEYS = {name: step.key for name, step in PLAN.steps.items()}


def build(folder: Path, **texts: str) -> Built:
    """Commit a layer with one file for each step; ``texts`` are what is in some of them."""
    folder.mkdir()
    store = Store(root=folder / "store").open()
    for name, key in KEYS.items():
        result = folder / name
        (result / "tree/etc").mkdir(parents=True)
        (result / "tree/etc" / name).write_text(texts.get(name, "the same"))
        for path in (result / "tree/etc" / name, result / "tree/etc", result / "tree"):
            os.utime(path, (0, 0))
        store.commit(key, result, {"name": name})
    return Built(store=store, image=folder / "image", keys=KEYS)


def test_equal_builds_have_no_differing_layer(tmp_path: Path) -> None:
    """The same bytes under the same keys are no difference, in whatever store they lie."""
    one, other = build(tmp_path / "one"), build(tmp_path / "other")

    assert list(reproduce.differing_layers(PLAN, one, other)) == []


def test_the_first_differing_layer_is_named_and_no_later_one(tmp_path: Path) -> None:
    """Two layers differ: the lower one is the cause; the build's own tools do not count."""
    one = build(tmp_path / "one")
    other = build(tmp_path / "other", tools="a log", gnss="the sane", settings="more")

    assert list(reproduce.differing_layers(PLAN, one, other)) == [
        "  layer gnss: /etc/gnss: the bytes differ from byte 6 on (8 and 8 bytes)",
        "  layer gnss: 1 paths differ",
    ]


def test_a_layer_of_another_key_is_named(tmp_path: Path) -> None:
    """Where even the inputs differ, that is said."""
    one, other = build(tmp_path / "one"), build(tmp_path / "other")
    moved = Built(store=other.store, image=other.image, keys={**KEYS, "base": "another"})

    assert list(reproduce.differing_layers(PLAN, one, moved)) == ["  layer base: has another key"]


def test_a_usual_build_has_the_true_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's own LD_PRELOAD reaches no program; only a build that is told another time has."""
    monkeypatch.delenv(clock.FOLDER, raising=False)
    monkeypatch.setenv("LD_PRELOAD", "/somebody's.so")
    clock.lay(tmp_path / "root")
    assert clock.passed_on() == {}
    assert not (tmp_path / "root").exists()

    (tmp_path / "clock/lib").mkdir(parents=True)
    for name, value in clock.environment(tmp_path / "clock", 400).items():
        monkeypatch.setenv(name, value)
    clock.lay(tmp_path / "root")
    assert clock.passed_on()["LD_PRELOAD"] == "/run/lock/$LIB/clock.so"
    assert (tmp_path / "root/run/lock/lib").is_dir()
