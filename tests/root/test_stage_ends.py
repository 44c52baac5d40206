"""What a stage meets at its edges: a library preloaded in the root, and postrun.sh after it all."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from glovebox.build import builder as build
from glovebox.errors import StepError
from glovebox.host.monitor import Monitor
from glovebox.plan.plan import Made, Plan
from glovebox.project import postrun
from glovebox.stage.stage import Stage

if TYPE_CHECKING:
    from glovebox.project.opened import Project

pytestmark = pytest.mark.root


def project(folder: Path) -> Project:
    """Give what postrun.sh is run for: stages of two folders, an image written."""
    stages = tuple(
        Stage(name=name, path=folder / place / name, sub_stages=())
        for place, name in (("mine", "stage0"), ("mine", "stage1"), ("other", "stage2"))
    )
    plan = Plan(
        steps={}, disk_id="0", arch="arm64", epoch=0, variables={"IMG_NAME": "van"}, stages=stages,
        chosen=Made(step="image", disk_id="0", suffix="-lite"),
    )  # fmt: skip
    (folder / "out").mkdir()
    made = SimpleNamespace(plan=plan, out=folder / "out", monitor=Monitor(quiet=True))
    return cast("Project", made)


def write(path: Path, text: str, *, executable: bool = True) -> None:
    """Write a script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash -e\n{text}\n")
    path.chmod(0o755 if executable else 0o644)


def test_postrun_runs_beside_the_stages(tmp_path: Path) -> None:
    """It runs once for a folder, there, with pi-gen's variables; without its bit it does not."""
    write(tmp_path / "mine/postrun.sh", 'echo "$PWD $IMG_NAME$IMG_SUFFIX" >>"$DEPLOY_DIR/said"')
    write(tmp_path / "other/postrun.sh", 'touch "$DEPLOY_DIR/never"', executable=False)

    postrun.run_all(project(tmp_path))

    assert (tmp_path / "out/said").read_text() == f"{tmp_path}/mine van-lite\n"
    assert not (tmp_path / "out/never").exists()


def test_a_postrun_that_fails(tmp_path: Path) -> None:
    """The error names the script, what it said, and that the images are there."""
    write(tmp_path / "mine/postrun.sh", "echo no ship; false")

    with pytest.raises(StepError, match=r"mine/postrun\.sh failed") as caught:
        postrun.run_all(project(tmp_path))

    assert "no ship" in caught.value.message
    assert "the images are written" in (caught.value.hint or "")


def test_a_preloaded_library_is_kept_aside(tmp_path: Path) -> None:
    """Where a layer has /etc/ld.so.preload, scripts see an empty one; elsewhere they see none."""
    lower = tmp_path / "lower"
    (lower / "etc").mkdir(parents=True)

    plain = build._harness(tmp_path / "plain", foreign=False, below=[lower])
    (lower / "etc/ld.so.preload").write_text("/usr/lib/libarmmem.so\n")
    aside = build._harness(tmp_path / "aside", foreign=False, below=[lower])

    assert not (plain / "etc").exists()
    assert (aside / "etc/ld.so.preload").read_text() == ""


def test_names_are_looked_up_as_on_the_host(tmp_path: Path) -> None:
    """A stage that is not ours finds the host's name servers; for our own there are none."""
    own = build._harness(tmp_path / "own", foreign=False, below=[])
    other = build._harness(tmp_path / "other", foreign=True, below=[])

    assert not (own / "etc/resolv.conf").exists()
    servers = Path("/etc/resolv.conf")
    assert (other / "etc/resolv.conf").exists() is servers.exists()
