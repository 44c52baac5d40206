"""Stages laid out for pi-gen: its own files stay, additions become scripts, the rest is named."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from glovebox.config.build import BuildConfig
from glovebox.config.schema import StageEntry
from glovebox.errors import ConfigError
from glovebox.project import for_pi_gen

if TYPE_CHECKING:
    from pathlib import Path


def write(stage: Path, files: dict[str, str]) -> None:
    """Write a stage; what begins with `#!` is a program."""
    for name, text in files.items():
        path = stage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if text.startswith("#!"):
            path.chmod(0o755)


def config(*stages: Path | str) -> BuildConfig:
    """Give a configuration with these stages."""
    return BuildConfig(hostname="van", stages=tuple(StageEntry(path=str(one)) for one in stages))


def test_what_pi_gen_knows_stays_as_it_is(tmp_path: Path) -> None:
    """Lists, scripts, their files and marks are copied; a stage without prerun.sh gets one."""
    mine = tmp_path / "mine"
    write(
        mine,
        {
            "00-sub/00-packages": "hello # a word\n",
            "00-sub/01-run.sh": "#!/bin/bash -e\ninstall files/x /\n",
            "00-sub/02-run-chroot.sh": "true\n",
            "00-sub/files/x": "x",
            "01-off/SKIP": "",
            "01-off/00-run-chroot.sh": "false\n",
        },
    )

    made = for_pi_gen.lay_out(config(mine), tmp_path / "out")

    place = tmp_path / "out/mine"
    assert made.stages == (place,)
    for name in ("00-packages", "01-run.sh", "02-run-chroot.sh", "files/x"):
        assert (place / "00-sub" / name).read_bytes() == (mine / "00-sub" / name).read_bytes()
    assert (place / "00-sub/01-run.sh").stat().st_mode & stat.S_IXUSR
    assert "copy_previous" in (place / "prerun.sh").read_text()
    assert not (place / "01-off").exists()
    assert (place / "EXPORT_IMAGE").read_text() == 'IMG_SUFFIX="-glovebox"\n'


def test_an_overlay_is_laid_before_the_script_of_its_number(tmp_path: Path) -> None:
    """It is copied with the modes of an image, links as links, and laid by a run.sh of its own."""
    mine = tmp_path / "mine"
    write(
        mine,
        {
            "00-sub/01-overlay/etc/plain": "plain",
            "00-sub/01-overlay/usr/bin/tool": "#!/bin/sh\n",
            "00-sub/01-overlay.modes": "0600 root:mail etc/plain\n",
            "00-sub/01-templates/etc/name": "{{ config.hostname }}\n",
            "00-sub/01-run.sh": "#!/bin/bash -e\ntrue\n",
        },
    )
    (mine / "00-sub/01-overlay/etc/link").symlink_to("plain")

    for_pi_gen.lay_out(config(mine), tmp_path / "out")

    sub = tmp_path / "out/mine/00-sub"
    lines = (sub / "01-run.sh").read_text().splitlines()
    assert lines[-1] == "./01-then-run.sh"
    order = ["01-overlay", "chown --no-dereference root:mail /etc/plain", "chmod 0600 /etc/plain",
             "01-templates"]  # fmt: skip
    at = [next(n for n, line in enumerate(lines) if word in line) for word in order]
    assert at == sorted(at)
    assert (sub / "01-then-run.sh").read_bytes() == (mine / "00-sub/01-run.sh").read_bytes()
    assert (sub / "01-templates/etc/name").read_text() == "van\n"
    assert (sub / "01-overlay/etc/link").is_symlink()
    modes = {name: stat.S_IMODE((sub / "01-overlay" / name).stat().st_mode)
             for name in ("etc/plain", "usr/bin/tool")}  # fmt: skip
    assert modes == {"etc/plain": 0o644, "usr/bin/tool": 0o755}


def test_what_has_no_counterpart_is_named(tmp_path: Path) -> None:
    """A stage that compiles, one that needs it, and those of base debian are left out, with why."""
    mine = tmp_path / "mine"
    write(mine, {"00-sub/00-run-chroot.sh": "true\n"})

    made = for_pi_gen.lay_out(
        config("base", "gnss", "queue", "python", "telematics", mine), tmp_path / "out"
    )

    assert [one.name for one in made.stages] == ["gnss", "python", "mine"]
    assert made.left_out["base"] == "it is made for base debian, and pi-gen's root has all that"
    assert made.left_out["queue"].startswith("pi-gen has nothing for 00-server/00-")
    assert set(made.left_out) == {"base", "queue", "telematics"}
    text = made.config.read_text()
    assert text.endswith(f'STAGE_LIST="stage0 stage1 stage2 {" ".join(map(str, made.stages))}"\n')
    assert "export TARGET_HOSTNAME=van\n" in text
    assert stat.S_IMODE(made.config.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("name", "stages", "said"),
    [
        ("a b", ("gnss",), "with a space in its path"),
        ("full", ("gnss",), "is there already"),
        ("out", ("queue",), "none of them can run in pi-gen: queue: pi-gen has nothing for"),
    ],
)
def test_mistakes_leave_nothing(
    tmp_path: Path, name: str, stages: tuple[str, ...], said: str
) -> None:
    """What cannot be laid out is said, and no half of it stands there."""
    write(tmp_path / "full", {"x": ""})
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(ConfigError, match=said):
        for_pi_gen.lay_out(config(*stages), tmp_path / name)

    assert sorted(tmp_path.rglob("*")) == before
