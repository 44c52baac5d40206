"""Where pi-gen is silent: things in a stage that do not do what they look like are said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox.stage import check as stage_check, pi_gen, stage, untracked

if TYPE_CHECKING:
    from pathlib import Path


def warnings(folder: Path, files: dict[str, str], *executable: str) -> list[str]:
    """Write a stage ``car``, and give what is said of it without its place."""
    for name, text in files.items():
        path = folder / "car" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if name in executable else 0o644)
    found = stage_check.warnings((stage.read(folder / "car"),), {"GIVEN": "x"})
    return [one.replace(f"{folder}/car/", "") for one in found]


@pytest.mark.parametrize("name", ["00-a/00-run.sh", "prerun.sh", "00-a/00-on-tools.sh"])
def test_a_script_without_its_bit(tmp_path: Path, name: str) -> None:
    """A script that would run by its executable bit and lacks it is named, with the cure."""
    files = {name: "#!/bin/sh\n", "00-a/01-run.sh": ""}

    said = warnings(tmp_path, files, "00-a/01-run.sh")

    assert said == [f"{name}: it is not executable, so it does not run; chmod +x {name}"]
    assert warnings(tmp_path, files, "00-a/01-run.sh", name) == []


@pytest.mark.parametrize("name", ["00-a/files/x", "files/x"])
def test_files_nobody_uses(tmp_path: Path, name: str) -> None:
    """A folder files/ that no script names is said; one that a script names is not."""
    run = "00-a/00-run.sh"

    assert "no script names it" in warnings(tmp_path, {name: "", run: ""}, run)[0]
    assert warnings(tmp_path, {name: "", run: "cp files/x ."}, run) == []


@pytest.mark.parametrize("name", ["SKIP", "00-a/SKIP"])
def test_a_skip_that_leaves_something_out(tmp_path: Path, name: str) -> None:
    """A SKIP is said with what it means here, unless there is nothing it leaves out."""
    assert warnings(tmp_path, {name: "", "01-b/00-packages": "x"}) == (
        [] if name == "00-a/SKIP" else warnings(tmp_path, {})
    )
    said = warnings(tmp_path, {name: "", "00-a/00-packages": "x"})
    assert len(said) == 1
    assert "nothing of it gets into the image" in said[0]


@pytest.mark.parametrize(
    ("script", "is_said"),
    [
        ("cat >/etc/x\n", True),
        ("read answer\n", True),
        ("python3\n", True),
        ("ssh host true\n", True),
        ("cat </etc/x\n", False),
        ("cat <<END >/etc/x\nread this\nEND\n", False),
        ("cat /etc/x\n", False),
        ("echo x | cat >/etc/x\n", False),
        ("while read -r line; do :; done </etc/x\n", False),
        ("read -r line </etc/x\n", False),
        ("python3 -m compileall /opt\n", False),
        ("readlink /x\n", False),
    ],
)
def test_a_script_that_reads_itself(tmp_path: Path, script: str, is_said: bool) -> None:  # noqa: FBT001
    """In a script on standard input, a command that reads that is named by its line."""
    said = warnings(tmp_path, {"00-a/00-run-chroot.sh": f"true\n{script}"})

    assert bool(said) is is_said
    if is_said:
        assert said[0].startswith("00-a/00-run-chroot.sh:2: ")


@pytest.mark.parametrize(
    ("script", "names"),
    [
        ('echo "$GIVEN $STAGE_DIR $ROOTFS_DIR $HOME $RANDOM $TOOLS_OUT_00"', []),
        ('echo "$NEVER ${NEVER} ${ALSO%x}"', ["NEVER", "ALSO"]),
        ('echo "${NEVER:-x} ${NEVER-x} ${NEVER:+x} ${NEVER:?}"', []),
        ('OWN=1; local MORE=2; echo "$OWN$MORE"', []),
        ('for EACH in a; do read -r WORD; echo "$EACH$WORD"; done', []),
        ("# $NEVER\necho \\$NEVER $lower", []),
        ('. ./config\necho "$NEVER"', []),
    ],
)  # fmt: skip
def test_a_variable_never_set(tmp_path: Path, script: str, names: list[str]) -> None:
    """What neither the build nor the script sets is named, once, with where it could be set."""
    said = warnings(tmp_path, {"00-a/00-run-chroot.sh": script})

    assert [one.partition("$")[2].partition(" ")[0] for one in said] == names


def test_a_variable_never_set_in_a_list(tmp_path: Path) -> None:
    """Lists name variables too."""
    said = warnings(tmp_path, {"00-a/00-packages": "$KERNEL ${MORE:-} $GIVEN"})

    assert len(said) == 1
    assert "$KERNEL is never set" in said[0]


def test_stages_after_the_last_image(tmp_path: Path) -> None:
    """Stages that get into no image are named, and what asked for that."""
    for name in ("one", "two", "three", "settings"):
        (tmp_path / name / "00-a").mkdir(parents=True)
    stages = tuple(stage.read(tmp_path / name) for name in ("one", "two", "three", "settings"))

    said = stage_check.warnings(stages, {}, (pi_gen.Export(stage="one"),))

    assert len(said) == 1
    assert said[0].startswith("stages: two, three: after the last EXPORT_IMAGE (in one)")
    assert stage_check.warnings(stages, {}, (pi_gen.Export(stage="three"),)) == []


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("curl -O https://example.org/x", "the network"),
        ("  FOO=1 wget x", "the network"),
        ("git clone https://example.org/x", "the network"),
        ("x=$(git describe --always)", "a repository of git"),
        ("pip install x", "the network"),
        ("apt-get -y install x", "the network"),
        ("date >/etc/built", "the clock"),
        ("echo $RANDOM", "chance"),
        ('cp "${BASE_DIR}/x" .', "files outside its stage"),
        ("# curl x", None),
        ("date -u -d @$SOURCE_DATE_EPOCH", None),
        ("install -m 644 files/curl.conf /etc", None),
        ("systemctl enable update.service", None),
    ],
)  # fmt: skip
def test_inputs_no_key_knows(tmp_path: Path, line: str, what: str | None) -> None:
    """A script that reads the network, the clock or a repository is named with its line."""
    (tmp_path / "00-run.sh").write_text(f"#!/bin/sh\n{line}\n")

    found = untracked.inputs(stage.read_sub_stage(tmp_path, "car/00-a"))

    assert found == ((f"00-run.sh:2 reads {what}",) if what else ())
