"""What a step is made of is what its key says, also while somebody edits the files."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from glovebox.build.snapshot import Snapshots, require_same
from glovebox.errors import ConfigError, StepError
from glovebox.host import files
from glovebox.lock.lock import Lock
from glovebox.plan import plan
from glovebox.plan.inputs import by_label, digests
from glovebox.stage import stage

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root
EPOCH = 1_700_000_000
LOCK = Lock(suite="trixie", epoch=EPOCH, chains={})


@pytest.fixture
def sub(folder: Path) -> stage.SubStage:
    """Give a sub-stage whose script is a link to one beside its stage, with a linked file."""
    path = folder / "stages/mine/00-a"
    (path / "files").mkdir(parents=True)
    (folder / "stages/common").mkdir()
    (folder / "stages/common/script").write_text("echo $LINKED\n")
    (folder / "stages/common/data").write_text("data\n")
    (path / "00-run-chroot.sh").symlink_to("../../common/script")
    (path / "files/data").symlink_to("../../../common/data")
    (path / "files/plain").write_text("plain\n")
    return stage.read_sub_stage(path, "mine/00-a")


def inputs(sub: stage.SubStage) -> dict[str, str]:
    """Give what the sub-stage reads now."""
    return digests(by_label(plan.read_by(sub.read_again(), given={}, lock=LOCK)))


def places(sub: stage.SubStage) -> list[Path]:
    """Give what the sub-stage's step reads, and a person may change."""
    found = plan.read_by(sub, given={}, lock=LOCK)
    return [sub.path, *(one.path for one in found if one.path is not None)]


def copies(folder: Path) -> Snapshots:
    """Give an empty shelf."""
    (folder / "copies").mkdir()
    return Snapshots(folder / "copies", epoch=EPOCH)


def test_an_edit_while_the_build_runs_reaches_no_step(folder: Path, sub: stage.SubStage) -> None:
    """What is changed and put back while a step runs was not read by it: not by links either."""
    before = inputs(sub)
    edited = [sub.path / "files/plain", *(folder / "stages/common").iterdir()]
    # Opened before: as in another mount namespace, an editor reaches the originals.
    editor = [os.open(one, os.O_WRONLY) for one in edited]
    with copies(folder) as shelf:
        shelf.show(places(sub))
        for one in editor:
            os.ftruncate(one, 0)
            os.write(one, b"edited\n")
            os.close(one)

        assert (sub.path / "files/plain").read_text() == "plain\n"
        assert (sub.path / "files/data").read_text() == "data\n"
        assert (sub.path / "00-run-chroot.sh").read_text() == "echo $LINKED\n"
        assert inputs(sub) == before
        shelf.require_shown(places(sub), step="mine/00-a")

    assert (sub.path / "files/plain").read_text() == "edited\n"
    with pytest.raises(StepError, match="changed while the build ran") as caught:
        require_same(before, inputs(sub), step="mine/00-a")
    assert "00-run-chroot.sh" in caught.value.message


def test_what_came_before_the_copy_is_refused(folder: Path, sub: stage.SubStage) -> None:
    """A file that came, went or changed since the plan was made ends the step, by name."""
    planned = inputs(sub)
    (sub.path / "files/new").touch()
    (sub.path / "01-packages").write_text("gpsd\n")
    with copies(folder) as shelf:
        shelf.show(places(sub))
        with pytest.raises(StepError, match=r"01-packages, files\n"):
            require_same(planned, inputs(sub), step="mine/00-a")


def test_a_folder_that_is_replaced_is_noticed(folder: Path, sub: stage.SubStage) -> None:
    """Where an original's place is taken by another folder, what is read is no copy: refused."""
    with copies(folder) as shelf:
        shelf.show(places(sub))
        # As another process would: there the folder is no mount.
        shelf._shown[sub.path.resolve()] = folder / "stages/common"
        with pytest.raises(StepError, match="changed while the build ran"):
            shelf.require_shown([sub.path], step="mine/00-a")


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o000])
def test_modes_do_not_come_from_the_disk(folder: Path, sub: stage.SubStage, mask: int) -> None:
    """The copy has 0644 and 0755, whatever the umask was, and the build's time."""
    (sub.path / "files/plain").chmod(0o600)
    (sub.path / "files").chmod(0o700)
    (sub.path / "files/tool").touch(mode=0o700)
    old = os.umask(mask)
    try:
        with copies(folder) as shelf:
            shelf.show(places(sub))
            found = {path.name: path.stat() for path in (sub.path / "files").iterdir()}
            found["files"] = (sub.path / "files").stat()
    finally:
        os.umask(old)

    modes = {name: stat.S_IMODE(one.st_mode) for name, one in found.items()}
    assert modes == {"plain": 0o644, "tool": 0o755, "data": 0o644, "files": 0o755}
    assert {int(found[name].st_mtime) for name in ("plain", "tool", "files")} == {EPOCH}


def test_a_pipe_is_refused(folder: Path, sub: stage.SubStage) -> None:
    """What is neither file, folder nor link is named, and nothing waits for it."""
    os.mkfifo(sub.path / "files/pipe")
    with copies(folder) as shelf, pytest.raises(ConfigError, match="files/pipe"):
        shelf.show(places(sub))


def test_one_copy_serves_all(folder: Path, sub: stage.SubStage) -> None:
    """Steps of one build that read the same place share its copy, and each is checked by it."""
    with copies(folder) as shelf:
        shelf.show(places(sub))
        shown = dict(shelf._shown)
        shelf.show([*places(sub), sub.path / "files"])

        assert shelf._shown == shown
        step = replace(sub, name="mine/other")
        assert inputs(step) == inputs(sub)
        assert files.digest_tree(sub.path / "files") == inputs(sub)["files"]
