"""pi-gen's variables, and its files that a shell sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox.boards.boards import BOARDS
from glovebox.config.build import BuildConfig
from glovebox.errors import ConfigError
from glovebox.project.load import load
from glovebox.stage import pi_gen, stage

if TYPE_CHECKING:
    from pathlib import Path


def stages(folder: Path, **exports: str) -> tuple[stage.Stage, ...]:
    """Write stages with these EXPORT_IMAGE files."""
    for name, text in exports.items():
        (folder / name).mkdir()
        (folder / name / "EXPORT_IMAGE").write_text(text)
    return tuple(stage.read(folder / name) for name in exports)


def test_sourcing(tmp_path: Path) -> None:
    """What a shell sets is given, exported or not; what was there before is not."""
    script = tmp_path / "config"
    script.write_text(
        'PLAIN=one\nexport TWO="a b"\nMADE="$(basename "$PWD")-$KNOWN"\n'
        "MANY=$'x\\ny'\necho loud\n[ -e no ] || KNOWN=$KNOWN\n"
    )

    found = pi_gen.source(script, {"KNOWN": "given"})

    assert found == {
        "PLAIN": "one", "TWO": "a b", "MADE": f"{tmp_path.name}-given", "MANY": "x\ny"
    }  # fmt: skip


@pytest.mark.parametrize("text", ["false\n", "if\n", "nosuchcommand_x\n"])
def test_a_file_that_cannot_be_sourced(tmp_path: Path, text: str) -> None:
    """The error names the file and what the shell said."""
    (tmp_path / "config").write_text(text)

    with pytest.raises(ConfigError, match="config cannot be sourced"):
        pi_gen.source(tmp_path / "config", {})


def test_two_images_of_one_name(tmp_path: Path) -> None:
    """pi-gen would write one over the other; here both stages are named, and the way out."""
    with pytest.raises(ConfigError, match="one and two would have the same name") as caught:
        pi_gen.exports(stages(tmp_path, one="IMG_SUFFIX=-a", two=""), {})

    assert "SKIP_IMAGES" in (caught.value.hint or "")


def test_a_suffix_is_part_of_a_name(tmp_path: Path) -> None:
    """It cannot lead elsewhere."""
    with pytest.raises(ConfigError, match="names a folder"):
        pi_gen.exports(stages(tmp_path, one="IMG_SUFFIX=/../x"), {})


def test_dates_are_those_of_the_packages() -> None:
    """Names with a date follow from the lock, so the same packages give the same names."""
    config = BuildConfig(hostname="van")
    given = pi_gen.variables(config, BOARDS[config.board])

    dated = pi_gen.dated(given, 1_700_000_000)

    assert dated["IMG_DATE"] == "2023-11-14"
    assert dated["IMG_FILENAME"] == "2023-11-14-van-zero-w"
    assert dated["ARCHIVE_FILENAME"] == "image_2023-11-14-van-zero-w"
    assert pi_gen.dated({**given, "IMG_DATE": "x"}, 0)["IMG_FILENAME"] == "x-van-zero-w"


CONFIG = """\
IMG_NAME=mine
TARGET_HOSTNAME=van
FIRST_USER_NAME=driver
FIRST_USER_PASS=geheim
export OWN_VARIABLE="x y"
TIMEZONE_DEFAULT=Europe/Berlin
LOCALE_DEFAULT=de_DE.UTF-8
WPA_COUNTRY=DE
WORK_DIR=/somewhere
STAGE_LIST="stage* /last"
"""


def configured(folder: Path, yaml: str) -> BuildConfig:
    """Load image.yaml beside pi-gen's file."""
    for name in ("stage1", "stage0"):
        (folder / name).mkdir()
    (folder / "config").write_text(CONFIG.replace("/last", str(folder / "stage0/../stage1")))
    (folder / "image.yaml").write_text(f"pi_gen_config: ./config\n{yaml}")
    return load(folder / "image.yaml").config


def test_pi_gens_config(tmp_path: Path) -> None:
    """What it sets becomes keys where there are some, and variables for the stages elsewhere."""
    config = configured(tmp_path, "")

    assert (config.hostname, config.user.name, config.locale) == ("van", "driver", "de_DE.UTF-8")
    assert (config.timezone, config.wifi.country) == ("Europe/Berlin", "DE")
    assert [entry.path for entry in config.stages] == [
        f"{tmp_path}/stage0", f"{tmp_path}/stage1", f"{tmp_path}/stage0/../stage1"
    ]  # fmt: skip
    assert config.environment == {
        "IMG_NAME": "mine", "FIRST_USER_PASS": "geheim", "OWN_VARIABLE": "x y"
    }  # fmt: skip


def test_image_yaml_lies_over_pi_gens_config(tmp_path: Path) -> None:
    """What image.yaml says counts, key by key."""
    config = configured(
        tmp_path, "hostname: truck\nenvironment: {IMG_NAME: other}\nstages: [base]\n"
    )

    assert (config.hostname, config.user.name) == ("truck", "driver")
    assert config.environment["IMG_NAME"] == "other"
    assert config.environment["OWN_VARIABLE"] == "x y"
    assert [entry.path for entry in config.stages] == ["base"]
    given = pi_gen.variables(config, BOARDS[config.board])
    assert given["TARGET_HOSTNAME"] == "truck"


def test_a_mistake_in_pi_gens_config_names_it(tmp_path: Path) -> None:
    """A value of that file is checked by the rules of the key it becomes."""
    (tmp_path / "config").write_text("FIRST_USER_NAME=Root\n")
    (tmp_path / "image.yaml").write_text("pi_gen_config: config\n")

    with pytest.raises(ConfigError, match=r"config: user\.name: 'Root' is not a login name"):
        load(tmp_path / "image.yaml")


def test_no_such_config(tmp_path: Path) -> None:
    """A file that is not there is said with the place that was looked at."""
    (tmp_path / "image.yaml").write_text("pi_gen_config: ./config\n")

    with pytest.raises(ConfigError, match="is a file that is not there"):
        load(tmp_path / "image.yaml")
