"""`NN-wheels` in a build: resolved, fetched, installed, and built again without a network."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from glovebox.errors import GloveboxError
from glovebox.host import chroot
from glovebox.host.arch import ARCHES, host_arch
from glovebox.host.run import run
from glovebox.plan import details
from tests.root.test_conformance import Conformance, build, kept
from tests.wheel_index import served, wheel

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.store.store import Store

__all__ = ["kept"]
pytestmark = [pytest.mark.root, pytest.mark.needs("unshare", "setpriv", "mmdebstrap")]

PROGRAM = "def run():\n    import helper\n    print('helper', helper.VERSION)\n"


def a_stage(folder: Path, listing: str) -> Path:
    """Write a stage of one sub-stage with a list of wheels."""
    place = folder / "rule/stages/own/00-quick"
    place.mkdir(parents=True)
    (place / "01-wheels").write_text(listing)
    (place / "02-run-chroot.sh").write_text("quickly >/etc/said\n")
    return folder / "rule"


def test_a_command_of_a_wheel_runs_in_the_image(
    kept: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later script starts it; its modules have bytecode; a second build asks nobody."""
    native = f"cp313-cp313-manylinux2014_{ARCHES[host_arch()].wheels}"
    with served(monkeypatch, tmp_path) as index, ExitStack() as stack:
        index.add(
            wheel(
                "quick", tag=native, requires=("helper",), commands={"quickly": "quick.main:run"},
                files={"quick/main.py": PROGRAM, "quick/old.py": "print 'Python 2'\n"},
            ),
            wheel("helper", "1.0"),
        )  # fmt: skip
        rule = a_stage(tmp_path, "quick\n")
        made = build(rule, kept, stack)
        step = made.plan.steps["own/00-quick"]
        with made.builder().merged(step.name) as root:
            assert (root / "etc/said").read_text() == "helper 1.0\n"
            modules = root / "usr/local/lib/python3.13/dist-packages"
            (packed,) = (modules / "quick/__pycache__").glob("main.*.pyc")
            assert packed.read_bytes()[4:8] == b"\1\0\0\0"  # by hash, and not looked at again
            told = run(chroot.command(root, ["python3", "-c", "import helper"]), check=False)
            assert told.returncode == 0
        assert details.of(step, made.lock)["01-wheels"].keys() == {"helper", "quick"}

        index.add(wheel("helper", "2.0"))
        same = Conformance(rule, kept).plan.steps["own/00-quick"]
        asked = len(index.asked)
        again = Conformance(rule, kept)
        made.forget()
        again.builder().build(["own/00-quick"])

        assert again.plan.steps["own/00-quick"].key == same.key == step.key
        assert len(index.asked) == asked


def test_a_stage_that_wants_a_wheel_of_another_version_is_another_step(
    kept: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the list says is in the key, and so is the file that was found for it."""
    with served(monkeypatch, tmp_path) as index:
        index.add(wheel("helper", "1.0"), wheel("helper", "2.0"))
        rule = a_stage(tmp_path, "helper\n")
        newest = Conformance(rule, kept)
        (rule / "stages/own/00-quick/01-wheels").write_text("helper<2\n")
        older = Conformance(rule, kept)

        assert newest.plan.steps["own/00-quick"].key != older.plan.steps["own/00-quick"].key
        (rule / "stages/own/00-quick/01-wheels").write_text("helper>2\n")
        with pytest.raises(GloveboxError, match="own/00-quick/01-wheels: there is no wheel"):
            Conformance(rule, kept)
