"""Reading stages: what runs, in which order, and which variables can decide a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox.errors import ConfigError
from glovebox.host import files
from glovebox.stage import stage, untracked

if TYPE_CHECKING:
    from pathlib import Path


def make(folder: Path, *names: str) -> Path:
    """Fill a folder with empty files, and with folders where a name ends in a slash."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if name.endswith("/") else path.touch()
    return folder


def test_actions_run_by_number_then_by_kind(tmp_path: Path) -> None:
    """Numbers come first; within one, sources and tools precede pi-gen's order."""
    last_to_first = [
        "02-debconf",
        "01-run-chroot.sh",
        "01-run.sh",
        "01-templates/",
        "01-overlay/",
        "01-patches/",
        "01-packages",
        "01-packages-nr",
        "01-debconf",
        "01-on-tools.sh",
        "01-libraries",
        "01-tools",
        "01-sources",
        "00-run-chroot.sh",
    ]

    sub = stage.read_sub_stage(make(tmp_path, *last_to_first), "car/00-all")

    assert [action.path.name for action in sub.actions] == [
        name.rstrip("/") for name in reversed(last_to_first)
    ]


@pytest.mark.parametrize(
    "name",
    ["README", "files/", "1-run.sh", "001-run.sh", "00-run.sh~", "00-run.sh.orig", "00-unknown",
     "00_run.sh", "EDIT",
     "00-prerun.sh", "00-run.sh/", "00-patches", "00-packages/"],
)  # fmt: skip
def test_other_names_mean_nothing(tmp_path: Path, name: str) -> None:
    """What has no meaning in the format is no action, and no error."""
    assert stage.read_sub_stage(make(tmp_path, name), "car/00-all").actions == ()


def test_recommends_come_with_packages_alone(tmp_path: Path) -> None:
    """`packages` brings recommended packages, `packages-nr` does not."""
    sub = stage.read_sub_stage(make(tmp_path, "00-packages", "00-packages-nr"), "car/00-all")

    assert {action.kind: action.recommends for action in sub.actions} == {
        stage.Kind.PACKAGES: True,
        stage.Kind.PACKAGES_NR: False,
    }


def test_sub_stages_in_order(tmp_path: Path) -> None:
    """Folders are sub-stages in the order of their names; files beside them are none."""
    for name in ("10-late", "01-early", "02-next", ".git", "files"):
        make(tmp_path, f"car/{name}/00-run.sh" if name != "files" else "car/files/x")
    make(tmp_path, "car/prerun.sh", "car/EXPORT")

    read = stage.read(tmp_path / "car")

    assert [sub.name for sub in read.sub_stages] == ["car/01-early", "car/02-next", "car/10-late"]


def test_skip_leaves_out_what_it_stands_in(tmp_path: Path) -> None:
    """A file SKIP takes its sub-stage out, and in the stage's own folder all of them."""
    make(tmp_path, "one/00-a/SKIP", "one/00-a/00-run.sh", "one/01-b/00-run.sh")
    make(tmp_path, "two/SKIP", "two/00-a/00-run.sh")

    assert [sub.name for sub in stage.read(tmp_path / "one").sub_stages] == ["one/01-b"]
    assert stage.read(tmp_path / "two").sub_stages == ()


def test_a_stage_is_a_name_or_a_path(tmp_path: Path) -> None:
    """A bare name lies below stages/, one with a slash is a path."""
    make(tmp_path, "stages/car/", "elsewhere/car/")

    assert stage.find("car", tmp_path) == tmp_path / "stages/car"
    assert stage.find(f"{tmp_path}/elsewhere/car", tmp_path) == tmp_path / "elsewhere/car"


def test_a_stage_that_is_not_there(tmp_path: Path) -> None:
    """The error names the stage, the folder looked in, and what to write."""
    with pytest.raises(ConfigError) as caught:
        stage.find("cra", tmp_path)

    assert "cra" in caught.value.message
    assert str(tmp_path / "stages/cra") in caught.value.message
    assert caught.value.hint


def test_variables_read(tmp_path: Path) -> None:
    """A variable that any file of the sub-stage names can decide its result; no other can."""
    (tmp_path / "00-run.sh").write_text('echo "$PLAIN ${BRACED:-x}" "$NOT_MY_PLAIN"')
    make(tmp_path, "files/deep/")
    (tmp_path / "files/deep/blob").write_bytes(b"\xff\x00DEEP\x00")
    (tmp_path / "link").symlink_to("LINKED")
    given = dict.fromkeys(["PLAIN", "BRACED", "DEEP", "MY_PLAIN", "LINKED", "PLA"], "value")

    read = stage.variables_read(stage.read_sub_stage(tmp_path, "car/00-all"), given)

    assert set(read) == {"PLAIN", "BRACED", "DEEP"}


@pytest.mark.parametrize(
    "line", ["env | sort >x", 'echo "${!name}"', "printenv", "export -p", "import os; os.environ"]
)
def test_a_script_that_can_read_any_variable(tmp_path: Path, line: str) -> None:
    """Where names are not written down all variables count."""
    (tmp_path / "00-run.sh").write_text(f"#!/usr/bin/env bash\n{line}\n")

    read = stage.variables_read(stage.read_sub_stage(tmp_path, "car/00"), {"OTHER": "value"})

    assert read == {"OTHER": "value"}


def test_an_interpreter_found_by_env_reads_no_variable(tmp_path: Path) -> None:
    """The usual first line of a script does not make it depend on everything."""
    (tmp_path / "00-run.sh").write_text("#!/usr/bin/env python3\nimport os; os.environ['OWN']\n")

    read = stage.variables_read(
        stage.read_sub_stage(tmp_path, "car/00"), {"OTHER": "value", "OWN": "mine"}
    )

    assert set(read) == {"OWN"}


def test_prerun_comes_first(tmp_path: Path) -> None:
    """An executable prerun.sh is the first sub-stage of its stage, unless that is skipped."""
    make(tmp_path, "car/00-a/00-run.sh", "car/prerun.sh", "car/files/x", "car/SKIP_IMAGES")
    names = lambda: [sub.name for sub in stage.read(tmp_path / "car").sub_stages]  # noqa: E731

    assert names() == ["car/00-a"]
    (tmp_path / "car/prerun.sh").chmod(0o755)
    assert names() == ["car/prerun.sh", "car/00-a"]
    first = stage.read(tmp_path / "car").sub_stages[0]
    assert [path.name for path in first.others()] == ["files"]
    make(tmp_path, "car/SKIP")
    assert names() == []


@pytest.mark.parametrize(
    ("names", "exports"),
    [
        (["EXPORT_IMAGE"], True),
        (["EXPORT_IMAGE", "SKIP"], True),
        (["EXPORT_IMAGE", "SKIP_IMAGES"], False),
        (["SKIP_IMAGES"], False),
        ([], False),
    ],
)
def test_exports(tmp_path: Path, names: list[str], exports: bool) -> None:  # noqa: FBT001
    """EXPORT_IMAGE counts also in a skipped stage, and not beside SKIP_IMAGES."""
    make(tmp_path, *names)

    assert stage.read(tmp_path).exports is exports


def test_files_of_the_stage_count_where_a_script_looks_there(tmp_path: Path) -> None:
    """What stands in the stage's own folder is an input of the sub-stages that reach for it."""
    make(tmp_path, "car/00-a/", "car/01-b/", "car/files/x")
    (tmp_path / "car/00-a/00-run.sh").write_text('cp "$STAGE_DIR/files/x" .')
    (tmp_path / "car/01-b/00-run.sh").write_text("true")

    one, other = stage.read(tmp_path / "car").sub_stages

    assert [path.name for path in one.shared()] == ["files"]
    assert other.shared() == []


def linked(tmp_path: Path) -> stage.SubStage:
    """Give a sub-stage with links that lead to every kind of place."""
    make(tmp_path, "stages/car/00-a/files/own", "stages/common/x.sh", "stages/common/data")
    (tmp_path / "stages/common/x.sh").write_text("echo $LINKED")
    path = tmp_path / "stages/car/00-a"
    (path / "00-run-chroot.sh").symlink_to("../../common/x.sh")
    (path / "files/beside").symlink_to("../../../common/data")
    (path / "files/inside").symlink_to("own")
    (path / "files/image").symlink_to("/etc/hostname")
    (path / "files/gone").symlink_to("../../nowhere")
    (path / "files/above").symlink_to("../../..")
    make(tmp_path, "stages/car/00-a/00-overlay/etc/")
    (path / "00-overlay/etc/laid").symlink_to("../../../../common/x.sh")
    return stage.read_sub_stage(path, "car/00-a")


def test_what_links_lead_to_counts(tmp_path: Path) -> None:
    """A linked script is read, and what a link in files/ leads to; a link of the image's is not."""
    sub = linked(tmp_path)
    before = files.digest_tree(sub.actions[-1].path)

    assert sub.linked() == {"files/beside → ../../common/data": tmp_path / "stages/common/data"}
    assert set(stage.variables_read(sub, {"LINKED": "1", "OTHER": "2"})) == {"LINKED"}
    (tmp_path / "stages/common/x.sh").write_text("echo other")
    assert sub.actions[-1].path.name == "00-run-chroot.sh"
    assert files.digest_tree(sub.actions[-1].path) != before


def test_links_in_what_is_linked_count(tmp_path: Path) -> None:
    """A linked folder's own links are followed as well; one out of the stages' folder is said."""
    make(
        tmp_path, "stages/car/00-a/", "stages/common/lib/", "stages/other/deep/x",
        "stages/third/y", "outside/z",
    )  # fmt: skip
    path = tmp_path / "stages/car/00-a"
    (path / "00-run.sh").write_text("#!/bin/sh\ncp -rL files .\n")
    (path / "files").symlink_to("../../common/lib")
    (tmp_path / "stages/common/lib/deep").symlink_to("../../other/deep")
    (tmp_path / "stages/other/deep/y").symlink_to("../../third/y")
    (tmp_path / "stages/other/deep/back").symlink_to(".")
    (tmp_path / "stages/common/lib/z").symlink_to("../../../outside/z")
    sub = stage.read_sub_stage(path, "car/00-a")

    assert set(sub.linked().values()) == {
        tmp_path / "stages/other/deep", tmp_path / "stages/third/y"
    }  # fmt: skip
    assert tmp_path / "stages/other/deep/x" in stage.files_of(sub)
    (said,) = untracked.inputs(sub)
    assert said == f"files/z leads to {tmp_path}/outside/z, outside the folder of its stages"


def test_a_link_to_what_holds_it_is_not_followed(tmp_path: Path) -> None:
    """A link to a folder above its own would bring in everything: it stays a link."""
    (link,) = [name for name in linked(tmp_path).linked() if "above" in name] or [None]

    assert link is None
