"""Modes and owners that a list names; what the disk has does not decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox.errors import ConfigError
from glovebox.lock.lock import Lock
from glovebox.plan import plan
from glovebox.plan.inputs import by_label, digests
from glovebox.stage import check, modes, stage, untracked

if TYPE_CHECKING:
    from pathlib import Path

LOCK = Lock(suite="trixie", epoch=0, chains={})


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    """Give an overlay with three files and a link."""
    folder = tmp_path / "mine"
    (folder / "etc").mkdir(parents=True)
    for name in ("etc/secret", "etc/open", "etc/with space"):
        (folder / name).write_text("text\n")
        (folder / name).chmod(0o644)
    (folder / "etc/link").symlink_to("open")
    for path in (folder, folder / "etc"):
        path.chmod(0o755)
    return folder


def test_a_list_is_read(overlay: Path) -> None:
    """Mode, owner and path of each line; a dash leaves one as it is, comments and BOM count not."""
    (overlay.parent / "mine.modes").write_text(
        "\ufeff# mode owner path\n0600 - etc/secret\n\n4755 root:mail  etc/with space\n"
        "-\t7 /etc/link\n"
    )

    found = modes.read(overlay)

    assert [(one.path, one.mode, one.user, one.group) for one in found] == [
        ("etc/secret", 0o600, None, None),
        ("etc/with space", 0o4755, "root", "mail"),
        ("etc/link", None, "7", None),
    ]
    assert found[1].where == f"{overlay}.modes:4"
    assert modes.names(found) == {"root", "mail"}


def test_every_mistake_of_a_list_at_once(overlay: Path) -> None:
    """Each line that is wrong is named by file and number, with the way to write it."""
    (overlay.parent / "mine.modes").write_text(
        "rw-r--r-- - etc/secret\n0600 - etc/gone\n0600 - ../x\n0600 - etc/link\n0600 -\n"
    )

    with pytest.raises(ConfigError) as caught:
        modes.read(overlay)

    for number in range(1, 6):
        assert f"mine.modes:{number}: " in caught.value.message
    assert "0640 root:adm" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("mode", "folder", "said"),
    [
        (0o600, 0o755, "etc/secret (0600)"),
        (0o640, 0o755, "etc/secret (0640)"),
        (0o4755, 0o755, "etc/secret (4755)"),
        (0o644, 0o700, "etc (0700)"),
        (0o644, 0o1777, "etc (1777)"),
        (0o755, 0o755, None),
        (0o666, 0o775, None),
        (0o644, 0o2755, None),
    ],
)
def test_what_the_disk_says_in_vain_is_told(
    overlay: Path, mode: int, folder: int, said: str | None
) -> None:
    """A file that is narrower than in the image, or set-ID, is named, with the line for it."""
    (overlay / "etc/secret").chmod(mode)
    (overlay / "etc").chmod(folder)

    found = list(modes.warnings(overlay))

    assert len(found) == (said is not None)
    if said is not None:
        assert said in found[0]
        assert "mine.modes" in found[0]
        path, _, octal = said.partition(" ")
        (overlay.parent / "mine.modes").write_text(f"{octal.strip('()')} - {path}\n")
        assert list(modes.warnings(overlay)) == []


def test_stages_are_looked_at(tmp_path: Path) -> None:
    """Overlays of a stage, and the files its scripts copy."""
    for name in ("00-overlay/x", "files/y"):
        path = tmp_path / "car/00-a" / name
        path.parent.mkdir(parents=True)
        path.touch()
        path.chmod(0o600)
    (tmp_path / "car/00-a/00-run.sh").write_text("#!/bin/sh\ncp -a files/y x\n")
    (tmp_path / "car/00-a/00-run.sh").chmod(0o755)

    found = check.warnings([stage.read(tmp_path / "car")], {})

    assert [one.partition(":")[0].rpartition("/")[2] for one in found] == ["00-overlay", "files"]


def test_a_list_decides_and_the_disk_does_not(overlay: Path) -> None:
    """The disk changes no key; a line in the list does, also beside what a link leads to."""
    sub_path = overlay.parent / "stages/car/00-a"
    sub_path.mkdir(parents=True)
    (sub_path / "00-overlay").symlink_to("../../../mine")

    def keys() -> list[dict[str, str]]:
        sub = stage.read_sub_stage(sub_path, "car/00-a")
        found = (plan.read_by(sub, given={}, lock=LOCK), plan.laid_from([overlay]))
        return [digests(by_label(one)) for one in found]

    before = keys()

    (overlay / "etc/secret").chmod(0o600)
    assert keys() == before
    (overlay.parent / "mine.modes").write_text("0600 - etc/secret\n")

    assert all(now != then for now, then in zip(keys(), before, strict=True))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("cat ../../common/data", True),
        ('install -m 644 "../../VERSION" x', True),
        ('source "${STAGE_DIR}/../common/functions"', True),
        ("ln -s ../../lib/x y", False),
        ('cat "${ROOTFS_DIR}/../../x"', False),
        ("cat ../files/x", False),
    ],
)
def test_files_beside_a_stage_are_said(tmp_path: Path, line: str, *, told: bool) -> None:
    """A script that reads beside its stage depends on what no key knows, and that is said."""
    (tmp_path / "00-run.sh").write_text(f"#!/bin/bash\n{line}\n")

    found = untracked.inputs(stage.read_sub_stage(tmp_path, "car/00-a"))

    assert bool(found) == told
    assert not told or found == ("00-run.sh:2 reads files outside its stage",)
