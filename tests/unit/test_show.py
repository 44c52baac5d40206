"""What `plan` prints: every step with its key, and what of it is there already."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from glovebox.card.first_start import Doer, FirstStart, How, Job
from glovebox.plan.plan import RASPIOS_STAGE, Step, StepKind
from glovebox.project import show
from glovebox.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.project.project import Project

KEYS = {"base/00-system": "a" * 64, "gnss/00-gpsd": "b" * 64}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Give a plan of two steps, the first of which is done."""
    store = Store(root=tmp_path / "store").open()
    with store.scratch() as scratch:
        (scratch / "result/tree").mkdir(parents=True)
        (scratch / "result/tree/file").write_bytes(bytes(2_000_000))
        store.commit(KEYS["base/00-system"], scratch / "result", {"name": "base/00-system"})
    steps = {name: Step(name=name, kind=StepKind.SUB_STAGE, key=key) for name, key in KEYS.items()}
    plan = SimpleNamespace(steps=steps, first_start=FirstStart(), stages=())
    return cast("Project", SimpleNamespace(plan=plan, store=store))


def test_the_plan_for_programs(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Each step has its whole key, whether it is cached, and the bytes its result takes."""
    show.steps(project, as_json=True)

    done, wanted = cast("list[dict[str, Any]]", json.loads(capsys.readouterr().out))
    assert {done["step"]: done["key"], wanted["step"]: wanted["key"]} == KEYS
    assert (done["cached"], wanted["cached"]) == (True, False)
    assert done["bytes"] >= 2_000_000
    assert wanted["bytes"] is None


def test_the_plan_for_a_person(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Each step is a line: kind, the key's beginning, cached or to do, and megabytes."""
    show.steps(project, as_json=False)

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["base/00-system", "sub-stage", "a" * 12, "cached", "2.0"] in lines
    assert ["gnss/00-gpsd", "sub-stage", "b" * 12, "to", "do"] in lines


@pytest.mark.parametrize(
    ("stage", "here"),
    [(RASPIOS_STAGE, "glovebox-grow.service grows the data partition"), ("gnss", "the same")],
)
def test_what_the_base_does_by_itself(
    project: Project, capsys: pytest.CaptureFixture[str], stage: str, here: str
) -> None:
    """The plan says what grows an official image, and whether a car's own does it instead."""
    word = Doer(how=How.WORD, name="resize", jobs=(Job.GROWTH,))
    project.plan.first_start = FirstStart(doers=(word,))
    project.plan.stages = (SimpleNamespace(name=stage),)

    show.steps(project, as_json=False)

    told = capsys.readouterr().out.splitlines()
    at = told.index("  growth: word resize")
    assert told[at + 1].startswith(f"      here: {here}")
