"""Running steps: what stands is not made again, what fails leaves nothing."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from glovebox.build import builder as build
from glovebox.build.builder import Builder
from glovebox.errors import StepError
from glovebox.host import files
from glovebox.host.monitor import Monitor
from glovebox.host.run import run
from glovebox.lock.lock import Lock, Package
from glovebox.plan.plan import Plan, Step, StepKind
from glovebox.stage import stage
from glovebox.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def step(name: str, *, below: str | None = None, uses: tuple[str, ...] = ()) -> Step:
    """Make a layer that needs no download."""
    return Step(name=name, kind=StepKind.UNPACK, below=below, uses=uses, key=f"key-of-{name}")


def planned(*steps: Step) -> Plan:
    """Make a plan of steps, with an image on the last one."""
    image = Step(name="image", kind=StepKind.IMAGE, below=steps[-1].name, key="key-of-image")
    return Plan(
        steps={one.name: one for one in (*steps, image)},
        disk_id="01234567",
        arch="armel",
        epoch=1_700_000_000,
        variables={},
    )


@dataclass
class FakeWork:
    """Stands for what fills a layer: writes its name, and remembers the order."""

    ran: list[str] = field(default_factory=list)
    before: Callable[[str], None] = lambda _name: None

    def __call__(
        self, made: Step, tree: Path, _scratch: Path, _line: Callable[[str], None]
    ) -> None:
        """Fill a layer."""
        self.before(made.name)
        self.ran.append(made.name)
        (tree / made.name).write_text(made.name)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> FakeWork:
    """Put the fake in the place of the work."""
    fake = FakeWork()
    monkeypatch.setattr(Builder, "_fill", lambda _self, *given: fake(*given[:4]))
    return fake


def builder(root: Path, *steps: Step) -> Builder:
    """Give a builder with a store of its own."""
    return Builder(
        plan=planned(*steps),
        lock=Lock(suite="trixie", epoch=0, chains={}),
        store=Store(root=root).open(),
        monitor=Monitor(quiet=True),
        checkout=root,
    )


THREE = (step("one"), step("two", below="one"), step("three", below="two"))


def test_layers_are_made_from_below(tmp_path: Path, work: FakeWork) -> None:
    """Each layer is made after those beneath it, and is in the store afterwards."""
    made = builder(tmp_path, *THREE)

    made.build(["image"])

    assert work.ran == ["one", "two", "three"]
    assert [tree.parent.name for tree in made.layers("three")] == [one.key for one in THREE]


def test_what_stands_is_not_made_again(tmp_path: Path, work: FakeWork) -> None:
    """A second build makes nothing; after a layer is gone, only that one."""
    made = builder(tmp_path, *THREE)
    made.build(["image"])
    work.ran.clear()

    made.build(["image"])

    assert work.ran == []
    made.store.remove(made.layer("two"))
    made.build(["image"])
    assert work.ran == ["two"]


def test_fresh_makes_everything(tmp_path: Path, work: FakeWork) -> None:
    """With `fresh` even what stands is made anew."""
    made = builder(tmp_path, *THREE)
    made.build(["image"])
    work.ran.clear()

    made.build(["image"], fresh=True)

    assert work.ran == ["one", "two", "three"]


def test_a_failure_leaves_what_was_whole(tmp_path: Path, work: FakeWork) -> None:
    """A step that fails leaves no layer and no temporary files; the next build goes on there."""
    made = builder(tmp_path, *THREE)

    def fail(name: str) -> None:
        if name == "two":
            message = "no room"
            raise StepError(message)

    work.before = fail
    with pytest.raises(StepError, match="no room"):
        made.build(["image"])

    assert work.ran == ["one"]
    assert [layer.key for layer in made.store.layers()] == ["key-of-one"]
    assert list((tmp_path / "tmp").iterdir()) == []
    work.before = lambda _name: None
    made.build(["image"])
    assert work.ran == ["one", "two", "three"]


def test_two_builds_make_a_layer_once(tmp_path: Path, work: FakeWork) -> None:
    """A build that waited for another's step takes its result instead of replacing it."""
    first, second = builder(tmp_path, *THREE), builder(tmp_path, *THREE)
    entered, go_on = threading.Event(), threading.Event()

    def hold(name: str) -> None:
        if name == "one" and not entered.is_set():
            entered.set()
            go_on.wait()

    work.before = hold
    builds = [threading.Thread(target=one.build, args=(["image"],)) for one in (first, second)]
    builds[0].start()
    entered.wait()
    builds[1].start()
    go_on.set()
    for one in builds:
        one.join()

    assert sorted(work.ran) == ["one", "three", "two"]


def test_steps_that_do_not_need_each_other_run_side_by_side(tmp_path: Path, work: FakeWork) -> None:
    """Two such steps are both begun before either has ended."""
    meeting = threading.Barrier(2, timeout=30)
    work.before = lambda name: meeting.wait() and None if name != "top" else None
    made = builder(
        tmp_path, step("left"), step("right"), step("top", below="left", uses=("right",))
    )

    made.build(["image"])

    assert work.ran[-1] == "top"
    assert set(work.ran) == {"left", "right", "top"}


def test_a_missing_result_is_said(tmp_path: Path) -> None:
    """When another build cleaned the store meanwhile, that is what the error says."""
    made = builder(tmp_path, *THREE)

    with pytest.raises(build.GloveboxError, match="the result of one is missing") as caught:
        made.layers("three")

    assert caught.value.hint


def test_a_compiling_program_sees_what_its_key_knows(tmp_path: Path) -> None:
    """Beside itself it finds `files/`, and nothing that could change without its key changing."""
    sub, inside = tmp_path / "sub", tmp_path / "inside"
    for name in ("00-on-tools.sh", "01-run.sh", "files/patch", "patches/more", "02-overlay/etc/x"):
        (sub / name).parent.mkdir(parents=True, exist_ok=True)
        (sub / name).write_text("#!/bin/sh")
    (sub / "00-on-tools.sh").chmod(0o755)
    inside.mkdir()
    read = stage.read_sub_stage(sub, "car/00-sub")

    build._bring_stage(read, read.of(stage.Kind.ON_TOOLS)[0], inside)

    assert {str(path.relative_to(inside)) for path in files.walk(inside)} == {
        "00-on-tools.sh",
        "files",
        "files/patch",
    }
    assert (inside / "00-on-tools.sh").stat().st_mode & 0o100


def test_libraries_are_a_root_to_link_with(tmp_path: Path) -> None:
    """A package is extracted, not run, and found where a linker script names it: below lib too."""
    packed = tmp_path / "packed"
    control = "Package: x-dev\nVersion: 1\nArchitecture: armel\nMaintainer: x\nDescription: x\n"
    for name, text in (
        ("DEBIAN/control", control),
        ("DEBIAN/postinst", "#!/bin/sh\nexit 1\n"),
        ("usr/lib/libx.so.1", "x"),
    ):
        (packed / name).parent.mkdir(parents=True, exist_ok=True)
        (packed / name).write_text(text)
    (packed / "DEBIAN/postinst").chmod(0o755)
    made = builder(tmp_path / "store", step("one"))
    (made.store.root / "debs").mkdir(exist_ok=True)
    run(["dpkg-deb", "--build", packed, made.store.root / "debs" / "sum"])
    one = Package(name="x-dev", version="1", arch="armel", url="", size=1, sha256="sum", stanza="")
    chains = {"libraries of car/00-sub/00": {"00-libraries": (one,)}}
    made = replace(made, lock=replace(made.lock, chains=chains))
    sub = tmp_path / "sub"
    sub.mkdir()
    for name in ("00-on-tools.sh", "00-libraries"):
        (sub / name).touch()
    read = stage.read_sub_stage(sub, "car/00-sub")

    made._libraries(read, read.of(stage.Kind.ON_TOOLS)[0], tmp_path / "libraries")

    assert (tmp_path / "libraries/lib/libx.so.1").read_text() == "x"
