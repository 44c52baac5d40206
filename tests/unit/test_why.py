"""The reason a step runs again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox import plan, why
from glovebox.errors import ConfigError
from glovebox.store import Store

if TYPE_CHECKING:
    from pathlib import Path


def _step(name: str, key: str, *, below: str | None = None, **inputs: str) -> plan.Step:
    return plan.Step(name=name, kind=plan.StepKind.SUB_STAGE, below=below, inputs=inputs, key=key)


def _plan(*steps: plan.Step) -> plan.Plan:
    image = plan.Step(name="image", kind=plan.StepKind.IMAGE, below=steps[-1].name, key="i")
    return plan.Plan(
        steps={step.name: step for step in (*steps, image)},
        disk_id="00000001",
        arch="armel",
        epoch=1,
        variables={},
    )


def _finish(store: Store, step: plan.Step, *, key: str, **before: str) -> None:
    with store.scratch() as scratch:
        (scratch / "result" / "tree").mkdir(parents=True)
        meta = {"name": step.name, "arch": "armel", "inputs": dict(step.inputs), "before": before}
        store.commit(key, scratch / "result", meta)


def test_differences() -> None:
    """The inputs that differ are named, each with what became of it."""
    now = {"same": "1", "other": "2", "more": "3"}
    then = {"same": "1", "other": "1", "less": "4"}

    said = list(why.differences(now, then))

    assert said == ["less is gone", "more is new", "other changed"]


def test_a_changed_file_is_named_through_the_layers_above(tmp_path: Path) -> None:
    """A step whose own inputs stand names the step beneath that runs again, and what changed."""
    store = Store(root=tmp_path / "store").open()
    below, above = _step("a/00", "new-a", script="2"), _step("b/00", "new-b", below="a/00")
    _finish(store, _step("a/00", "old-a", script="1"), key="old-a")
    _finish(store, above, key="old-b", **{"a/00": "old-a"})

    said = why.explain(_plan(below, above), store, "b/00")

    assert said == ["a/00 runs again:", "  script changed"]


def test_what_stands_does_not_run(tmp_path: Path) -> None:
    """A step whose result is there says so."""
    store = Store(root=tmp_path / "store").open()
    step = _step("a/00", "key")
    _finish(store, step, key="key")

    said = why.explain(_plan(step), store, "a/00")

    assert said == ["a/00 does not run: its result is in the store"]


def test_an_unknown_step_names_the_known_ones(tmp_path: Path) -> None:
    """A typing mistake is answered with the names there are."""
    store = Store(root=tmp_path / "store").open()

    with pytest.raises(ConfigError, match="no step a/01") as error:
        why.explain(_plan(_step("a/00", "key")), store, "a/01")

    assert "a/00" in (error.value.hint or "")
