"""What a list of modes names is given in a root, by that root's own users and groups."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from glovebox.build import modes
from glovebox.errors import StepError
from glovebox.plan.plan import Step, StepKind
from glovebox.stage.template import Rendered
from tests.root.test_overlays import builder

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root


@pytest.fixture
def laid(tmp_path: Path) -> tuple[Path, Path]:
    """Give an overlay and a root over which it was laid; the root's /srv is an absolute link."""
    overlay, root = tmp_path / "mine", tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0::/:\ncar:x:777:7::/:\n")
    (root / "etc/group").write_text("root:x:0:\nmail:x:8:\n")
    (root / "var/srv/data").mkdir(parents=True)
    (root / "srv").symlink_to("/var/srv")
    (overlay / "etc").mkdir(parents=True)
    (overlay / "srv/data").mkdir(parents=True)
    for name in ("etc/secret", "srv/data/tool"):
        (overlay / name).touch()
    (root / "etc/secret").touch()
    (root / "var/srv/data/tool").touch()
    return overlay, root


def test_modes_and_owners_are_given(laid: tuple[Path, Path]) -> None:
    """By name or number, set-ID bits too, through the root's own links."""
    overlay, root = laid
    overlay.with_name("mine.modes").write_text(
        "0600 car:mail etc/secret\n2755 0:mail srv/data/tool\n0700 car srv/data\n"
    )

    modes.give(overlay, root)

    found = {
        name: (oct(stat.S_IMODE(one.st_mode)), one.st_uid, one.st_gid)
        for name in ("etc/secret", "var/srv/data/tool", "var/srv/data")
        for one in [(root / name).stat()]
    }
    assert found == {
        "etc/secret": ("0o600", 777, 8),
        "var/srv/data/tool": ("0o2755", 0, 8),
        "var/srv/data": ("0o700", 777, 0),
    }


def test_a_user_that_is_not_there(laid: tuple[Path, Path]) -> None:
    """The line and the name are told, with what helps."""
    overlay, root = laid
    overlay.with_name("mine.modes").write_text("0600 www-data etc/secret\n")

    with pytest.raises(StepError, match=r"mine\.modes:1: .* no user www-data") as caught:
        modes.give(overlay, root)
    assert caught.value.hint


def test_templates_of_the_owner(folder: Path) -> None:
    """What came of them has the modes that a list beside their folder names, in the image."""
    templates, scratch, tree = folder / "mine", folder / "scratch", folder / "tree"
    for path in (templates, scratch, tree):
        path.mkdir()
    templates.with_name("mine.modes").write_text("0600 7:8 etc/secret\n0600 - etc/not-made\n")
    made = Rendered(name="etc/secret", text="x", program=False)
    step = Step(
        name="own", kind=StepKind.OWN_FILES, below="layer-0", key="own", templates=(templates,),
        rendered={"template 0": (made,)},
    )  # fmt: skip

    builder(folder, 1)._own_files(step, tree, scratch)

    found = (tree / "etc/secret").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o600, 7, 8)
