"""Reading stages: what runs, in which order, and which variables can decide a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox import stage
from glovebox.errors import ConfigError

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
        "01-packages",
        "01-packages-nr",
        "01-debconf",
        "01-on-tools.sh",
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
     "00_run.sh", "EDIT"],
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
    make(tmp_path, "car/10-late/", "car/01-early/", "car/02-next/", "car/prerun.sh", "car/EXPORT")

    read = stage.read(tmp_path / "car")

    assert [sub.name for sub in read.sub_stages] == ["car/01-early", "car/02-next", "car/10-late"]


def test_skip_leaves_out_what_it_stands_in(tmp_path: Path) -> None:
    """A file SKIP takes its sub-stage out, and in the stage's own folder all of them."""
    make(tmp_path, "one/00-a/SKIP", "one/01-b/", "two/SKIP", "two/00-a/")

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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("\n\n", ()),
        ("gpsd", ("gpsd",)),
        ("gpsd chrony\n  tzdata\n", ("gpsd", "chrony", "tzdata")),
        ("# all of it\ngpsd # the reader\n", ("gpsd",)),
        ("gpsd#glued\nchrony", ("gpsd", "chrony")),
        # pi-gen's sed joins lines first, so that a lone line never loses its comment.
        ("gpsd # the reader", ("gpsd", "#", "the", "reader")),
        ("$KERNEL ${KERNEL}-dbg\n", ("linux", "linux-dbg")),
        ("$UNKNOWN\n", ("$UNKNOWN",)),
        ("$PAIR\n", ("one", "two")),
        ("vim- gpsd/backports x=1:2-3 y:arm64", ("vim-", "gpsd/backports", "x=1:2-3", "y:arm64")),
    ],
)  # fmt: skip
def test_words_of(text: str, words: tuple[str, ...]) -> None:
    """Comments go, variables are put in, apt's own notation stays."""
    given = {"KERNEL": "linux", "PAIR": "one two"}

    assert stage.words_of(text, given) == words


def test_variables_read(tmp_path: Path) -> None:
    """A variable that any file of the sub-stage names can decide its result; no other can."""
    (tmp_path / "00-run.sh").write_text('echo "$PLAIN ${BRACED:-x}" "$NOT_MY_PLAIN"')
    make(tmp_path, "files/deep/")
    (tmp_path / "files/deep/blob").write_bytes(b"\xff\x00DEEP\x00")
    (tmp_path / "link").symlink_to("LINKED")
    given = dict.fromkeys(["PLAIN", "BRACED", "DEEP", "MY_PLAIN", "LINKED", "PLA"], "value")

    read = stage.variables_read(stage.read_sub_stage(tmp_path, "car/00-all"), given)

    assert set(read) == {"PLAIN", "BRACED", "DEEP"}
