"""The house rules of the car's service: it stands alone, and its modules in one order."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
APP = PROJECT / "app/telematics"
STAGE = PROJECT / "stages/telematics/00-service"
MODULES = sorted(APP.glob("*.py"))


def imported(module: Path) -> set[str]:
    """Give every module that one imports, wherever the import stands, also for types alone."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_service_imports_nothing_of_the_builder(module: Path) -> None:
    """What is shipped to the car needs nothing that stays at home."""
    tops = {name.partition(".")[0] for name in imported(module)}

    assert not tops & {"glovebox", "firstboot", "onboard", "tests"}


def test_no_circle_of_imports() -> None:
    """The modules can be read in an order in which each knows only what came before it."""
    known = {f"telematics.{path.stem}" for path in MODULES}
    arrows = {f"telematics.{path.stem}": imported(path) & known for path in MODULES}

    order = list(TopologicalSorter(arrows).static_order())

    assert sorted(order) == sorted(known)


def test_stage_ships_what_it_names() -> None:
    """The stage's sources are the service, its command and its units, and nothing else of app/."""
    named = [
        Path(word.removeprefix("path:")) for word in (STAGE / "00-sources").read_text().split()
    ]
    units = sorted(
        path.relative_to(PROJECT)
        for kind in ("service", "path", "timer")
        for path in (PROJECT / "app").glob(f"*.{kind}")
    )

    assert named[:2] == [Path("app/telematics"), Path("app/telematics.launcher")]
    assert sorted(named[2:]) == units
