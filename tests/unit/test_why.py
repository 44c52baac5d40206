"""Why a step runs again: its own inputs first, then what lies beneath it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from glovebox.errors import ConfigError
from glovebox.plan.inputs import Input, InputKind, Inputs, by_label, digests
from glovebox.plan.plan import Plan, Step, StepKind
from glovebox.plan.why import differences, explain
from glovebox.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path


def inputs(labels: dict[str, str]) -> Inputs:
    """Give files by label and digest."""
    return by_label(
        Input(kind=InputKind.FILES, label=label, digest=digest) for label, digest in labels.items()
    )


THEN = Plan(
    steps={
        "low": Step(
            name="low", kind=StepKind.SUB_STAGE, key="low-1", inputs=inputs({"run.sh": "a"})
        ),
        "top": Step(
            name="top",
            kind=StepKind.SUB_STAGE,
            below="low",
            key="top-1",
            inputs=inputs({"$A": "1"}),
        ),
        "image": Step(name="image", kind=StepKind.IMAGE, below="top", key="image-1"),
    },
    disk_id="0",
    arch="armel",
    epoch=0,
    variables={},
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give a store in which both layers stand."""
    made = Store(root=tmp_path / "store").open()
    for step in list(THEN.steps.values())[:2]:
        below = {step.below: THEN.steps[step.below].key} if step.below else {}
        with made.scratch() as scratch:
            (scratch / "result").mkdir()
            meta = {
                "name": step.name,
                "arch": "armel",
                "inputs": digests(step.inputs),
                "before": below,
            }
            made.commit(step.key, scratch / "result", meta)
    return made


def changed(**steps: dict[str, str]) -> Plan:
    """Give the plan with other inputs, and so other keys, of some steps."""
    now = dict(THEN.steps)
    for name, labels in steps.items():
        now[name] = replace(now[name], key=f"{name}-2", inputs=inputs(labels))
    return replace(THEN, steps=now)


LOW = {"low": {"run.sh": "b"}, "top": {"$A": "1"}}


@pytest.mark.parametrize(
    ("plan", "name", "said"),
    [
        (THEN, "top", ["top does not run: its result is in the store"]),
        (changed(top={"$A": "2"}), "top", ["$A changed"]),
        (changed(top={"$B": "1"}), "top", ["$A is gone", "$B is new"]),
        (changed(**LOW), "low", ["run.sh changed"]),
        (changed(**LOW), "top", ["low runs again:", "  run.sh changed"]),
        (
            changed(**LOW),
            "image",
            ["top beneath it runs again:", "  low runs again:", "    run.sh changed"],
        ),
        (replace(changed(**LOW), arch="arm64"), "low", ["low has not run yet for arm64"]),
        (
            changed(low={"run.sh": "a"}),
            "low",
            ["the builder makes a sub-stage in another way now"],
        ),
    ],
)
def test_explain(store: Store, plan: Plan, name: str, said: list[str]) -> None:
    """The reason is the input that changed, of the step itself or of one it stands on."""
    assert explain(plan, store, name) == said


def test_an_unknown_step_is_answered_with_those_there_are(store: Store) -> None:
    """The error lists the steps."""
    with pytest.raises(ConfigError) as caught:
        explain(THEN, store, "tpo")

    assert "tpo" in caught.value.message
    assert "top" in (caught.value.hint or "")


def test_differences() -> None:
    """Each input that differs is named with what became of it; the same ones are not."""
    now = {"same": "1", "other": "2", "more": "3"}

    assert list(differences(now, {"same": "1", "other": "1", "less": "4"})) == [
        "less is gone",
        "more is new",
        "other changed",
    ]


def test_what_is_not_tracked_is_said(store: Store) -> None:
    """A step whose scripts read what no key knows says so, also when its result stands."""
    steps = dict(THEN.steps)
    steps["top"] = replace(steps["top"], untracked=("00-run.sh:3 reads the clock",))

    said = explain(replace(THEN, steps=steps), store, "top")

    assert said[0] == "top does not run: its result is in the store"
    assert said[1] == "not tracked: 00-run.sh:3 reads the clock"
    assert "volatile: true" in said[2]


def test_a_volatile_step_says_so(store: Store) -> None:
    """Why it runs again needs no comparison."""
    steps = dict(THEN.steps)
    steps["top"] = replace(
        steps["top"], inputs=by_label([Input(kind=InputKind.RUN, label="run", digest="1")])
    )

    assert explain(replace(THEN, steps=steps), store, "top") == [
        "top runs in every build: its stage is volatile"
    ]


def test_what_an_input_is_made_of_is_named(store: Store) -> None:
    """Of a list of packages or a folder, the packages and files that differ are named."""
    plan = changed(top={"$A": "1", "00-packages": "b", "files": "b"})
    then = {"00-packages": {"gpsd": "3.22 aa", "libgps": "3.22 bb"}, "files": {"a": "1", "b": "1"}}
    now = {"00-packages": {"gpsd": "3.25 cc", "chrony": "4 dd"}, "files": {"a": "2", "b": "1"}}
    with store.scratch() as scratch:
        (scratch / "result").mkdir()
        inputs = {"$A": "1", "00-packages": "a", "files": "a"}
        meta = {"name": "top", "arch": "armel", "inputs": inputs, "details": then,
                "before": {"low": "low-1"}}  # fmt: skip
        store.commit("top-1", scratch / "result", meta)

    assert explain(plan, store, "top", detail=lambda _: now) == [
        "00-packages changed: chrony 4 is new, gpsd: 3.22 → 3.25, libgps 3.22 is gone",
        "files changed: a changed",
    ]
