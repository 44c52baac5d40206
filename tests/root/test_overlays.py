"""Layers over layers, as the kernel shows them."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from glovebox.build import layer
from glovebox.build.builder import Builder
from glovebox.host import mounts
from glovebox.host.monitor import Monitor
from glovebox.host.run import run
from glovebox.lock.lock import Lock
from glovebox.plan.plan import Plan, Step, StepKind
from glovebox.store.store import Store
from tests.root.tools import suite_tools

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = [pytest.mark.root, pytest.mark.needs("mount", "umount")]


def make_layers(folder: Path, number: int) -> list[Path]:
    """Make layers that each add a file and change a common one, in folders with long names."""
    made = []
    for index in range(number):
        path = folder / ("a-rather-long-name-" * 8) / f"layer-{index}"
        path.mkdir(parents=True)
        (path / f"of-{index}").touch()
        (path / "top").write_text(str(index))
        made.append(path)
    return made


@pytest.fixture(params=["the host's", "the suite's"])
def _mount(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use one mount program or the other: a newer one speaks to the kernel in another way."""
    if request.param == "the suite's":
        program = suite_tools().command("mount")

        def instead(command: Sequence[str | Path], **more: Any) -> object:  # noqa: ANN401  as run has them
            words = [*program, *command[1:]] if command[0] == "mount" else command
            return run(words, **more)

        monkeypatch.setattr(mounts, "run", instead)


@pytest.mark.usefixtures("_mount")
@pytest.mark.parametrize("number", [1, 2, 64, 300])
@pytest.mark.parametrize("writable", [True, False])
def test_many_layers(folder: Path, number: int, *, writable: bool) -> None:
    """More layers than any image has are shown as one tree, the last one on top."""
    lower = make_layers(folder, number)
    target, scratch, upper = (folder / name for name in ("root", "scratch", "upper"))
    for path in (target, scratch, upper):
        path.mkdir()

    with mounts.overlay(lower, target, scratch=scratch, upper=upper if writable else None) as root:
        shown = {path.name for path in root.iterdir()}
        top = (root / "top").read_text()
        if writable:
            (root / "new").touch()
            (root / "of-0").unlink()
        else:
            with pytest.raises(OSError, match="Read-only"):
                (root / "new").touch()

    assert shown == {"top", *(f"of-{index}" for index in range(number))}
    assert top == str(number - 1)
    assert sorted(path.name for path in upper.iterdir()) == (["new", "of-0"] if writable else [])


@pytest.mark.parametrize("name", ["a,b", "a b", "a:b", 'a"b', "a\\b", "ä"])
def test_any_folder_will_do(folder: Path, name: str) -> None:
    """A store may lie in a folder whose name means something to mount."""
    odd = folder / name
    target, scratch, upper = (odd / part for part in ("root", "scratch", "upper"))
    lower = odd / "lower"
    for path in (target, scratch, upper, lower):
        path.mkdir(parents=True)
    (lower / "file").touch()

    with mounts.overlay([lower], target, scratch=scratch, upper=upper) as root:
        (root / "new").touch()
        assert (root / "file").exists()

    assert (upper / "new").exists()


def test_a_busy_mount_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What still uses a mount makes its end fail: nothing is detached behind its back."""
    place = folder / "place"
    place.mkdir()
    monkeypatch.setattr(mounts, "PATIENCE_S", 0.1)

    with (
        pytest.raises(OSError, match="busy"),
        mounts.mount("tmpfs", place, kind="tmpfs"),
    ):
        held = os.open(place, os.O_RDONLY)
    os.close(held)

    mounts.run(["umount", place])


def test_what_was_just_ended_may_hold_a_mount_a_moment_longer(folder: Path) -> None:
    """A program that ends a little later than the one that started it makes no mount fail."""
    place = folder / "place"
    place.mkdir()

    with mounts.mount("tmpfs", place, kind="tmpfs"):
        mounts.run(["sh", "-c", "sleep 0.5 </dev/null >/dev/null 2>&1 &"], cwd=place)

    assert not place.is_mount()


def test_a_chroot_has_seven_harmless_devices(folder: Path) -> None:
    """A program in a chroot finds what it expects, and none of the machine's disks."""
    with mounts.chroot_mounts(folder) as root:
        devices = {path.name for path in (root / "dev").iterdir() if not path.is_symlink()}
        (root / "dev/null").write_text("gone")
        assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777
        assert (root / "proc/self").exists()
        with pytest.raises(OSError, match="Read-only"):
            (root / "sys/new").mkdir()

    assert devices == {"null", "zero", "full", "random", "urandom", "tty", "pts", "shm"}
    assert list((folder / "dev").iterdir()) == []


def builder(folder: Path, trees: int) -> Builder:
    """Give a builder whose layers are in the store already, still to be filled."""
    store = Store(root=folder / "store").open()
    steps = {}
    below = None
    for index in range(trees):
        name = f"layer-{index}"
        steps[name] = Step(name=name, kind=StepKind.UNPACK, below=below, key=name)
        with store.scratch() as scratch:
            (scratch / "result/tree").mkdir(parents=True)
            store.commit(name, scratch / "result", {})
        below = name
    made = Plan(steps=steps, disk_id="0", arch="armel", epoch=0, variables={})
    return Builder(
        plan=made,
        lock=Lock(suite="trixie", epoch=0, chains={}),
        store=store,
        monitor=Monitor(quiet=True),
        checkout=folder,
    )


def test_a_hidden_folder_is_empty_and_otherwise_the_same(folder: Path) -> None:
    """The folder is shown empty, with owner, mode and time as they are; all around it stays."""
    built = builder(folder, 2)
    lower, upper = built.layers("layer-1")
    for tree in (lower, upper):
        (tree / "boot/firmware/deep").mkdir(parents=True)
    (lower / "boot/firmware/config.txt").touch()
    (lower / "boot/vmlinuz").touch()
    (upper / "boot/initrd").touch()
    (upper / "boot/firmware").chmod(0o750)
    os.chown(upper / "boot/firmware", 12, 34)
    (upper / "boot").chmod(0o711)
    for path in ("boot/firmware", "boot", ""):
        os.utime(upper / path, (1, 1_700_000_000))

    with built.merged("layer-1") as whole, built.merged("layer-1", hide=["boot/firmware"]) as root:
        assert (whole / "boot/firmware/config.txt").exists()
        assert list((root / "boot/firmware").iterdir()) == []
        assert {path.name for path in (root / "boot").iterdir()} == {
            "firmware",
            "vmlinuz",
            "initrd",
        }
        for path in ("boot/firmware", "boot", "."):
            one, other = (whole / path).stat(), (root / path).stat()
            assert (one.st_mode, one.st_uid, one.st_gid, one.st_mtime_ns) == (
                other.st_mode,
                other.st_uid,
                other.st_gid,
                other.st_mtime_ns,
            )


def test_hiding_hides_nothing_else(folder: Path) -> None:
    """A folder that a step replaced as a whole is still shown when one inside it is hidden."""
    built = builder(folder, 2)
    lower, upper = built.layers("layer-1")
    (lower / "boot/firmware").mkdir(parents=True)
    (lower / "boot/old").touch()
    (upper / "boot/firmware").mkdir(parents=True)
    (upper / "boot/new").touch()
    os.setxattr(upper / "boot", "trusted.overlay.opaque", b"y")

    with built.merged("layer-1", hide=["boot/firmware"]) as root:
        shown = {path.name for path in (root / "boot").iterdir()}

    assert shown == {"firmware", "new"}


def test_changes_to_a_merged_root_are_thrown_away(folder: Path) -> None:
    """Whatever is done to a writable view, the layers stay as they are."""
    built = builder(folder, 2)
    (built.layers("layer-1")[0] / "file").write_text("kept")

    with built.merged("layer-1", writable=True) as root:
        (root / "file").write_text("changed")
        (root / "more").touch()

    with built.merged("layer-1") as root:
        assert [path.name for path in root.iterdir()] == ["file"]
        assert (root / "file").read_text() == "kept"
    assert list((built.store.root / "tmp").iterdir()) == []


def test_a_removed_file_stays_removed(folder: Path) -> None:
    """A layer remembers what its step removed, also after it was scrubbed and its times settled."""
    lower, upper, target, scratch = (folder / name for name in ("low", "up", "root", "scratch"))
    for path in (lower, upper, target, scratch, lower / "gone"):
        path.mkdir()
    (lower / "gone/file").touch()
    (lower / "also").touch()
    with mounts.overlay([lower], target, scratch=scratch, upper=upper) as root:
        (root / "gone/file").unlink()
        (root / "gone").rmdir()
        (root / "gone").mkdir()
        (root / "also").unlink()

    layer.scrub(upper)
    layer.settle_times(upper, started_ns=0, epoch=1_700_000_000)

    again = folder / "again"
    again.mkdir()
    with mounts.overlay([lower, upper], target, scratch=again) as root:
        assert [path.name for path in root.iterdir()] == ["gone"]
        assert list((root / "gone").iterdir()) == []
