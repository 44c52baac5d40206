"""Scripts for a root: whether their end can be seen, and what EDIT asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import pytest

from glovebox.build import actions, patches
from glovebox.errors import StepError
from glovebox.stage import stage

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("script", "openly"),
    [
        ("true\n", True),
        ("true", True),
        ("cat <<END\nx\nEND\n", True),
        ("cat <<-'END'\n\tx\n\tEND\n", True),
        ("cat <<<word\n", True),
        ("cat <<END\nx\n", False),
        ("echo x \\\n", False),
        ("if x; then exit 0; fi\n", False),
        ("exec 2>/dev/null\n", False),
        ("echo exit\n", True),
    ],
)
def test_ends_openly(script: str, openly: bool) -> None:  # noqa: FBT001
    """A line may be put behind a script only where it would be one of its commands."""
    assert actions.ends_openly(script) is openly


@dataclass
class NoSite:
    """Stands for a site that is not reached."""


def test_edit_needs_a_terminal(tmp_path: Path) -> None:
    """Without a terminal a file EDIT ends the build with its place and the way out."""
    (tmp_path / "00-patches").mkdir()
    (tmp_path / "00-patches/EDIT").touch()
    action = stage.Action(number="00", kind=stage.Kind.PATCHES, path=tmp_path / "00-patches")

    with pytest.raises(StepError, match="EDIT asks for a shell") as caught:
        patches.apply(action, cast("actions.Site", NoSite()))

    assert "remove the file EDIT" in (caught.value.hint or "")


def test_what_is_edited_is_not_kept(tmp_path: Path) -> None:
    """With EDIT the patches change while they are applied, so the sub-stage runs every time."""
    (tmp_path / "00-patches").mkdir()

    assert not stage.read_sub_stage(tmp_path, "car/00-a").volatile
    (tmp_path / "00-patches/EDIT").touch()
    assert stage.read_sub_stage(tmp_path, "car/00-a").volatile
