"""config.txt as the firmware reads it: each board finds all it is told to load, and it fits."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from glovebox.boards import firmware
from glovebox.boards.boards import BOARDS
from glovebox.config.build import RASPIOS
from glovebox.config.schema import BoardName
from glovebox.emulator import devicetree
from glovebox.host import native
from glovebox.host.files import walk

if TYPE_CHECKING:
    from pathlib import Path

    from testinfra.host import Host

    from glovebox.boards.firmware import Model, Reading
    from glovebox.verify.verify import Facts

FIRMWARE = "boot/firmware"
HOOK = "/etc/kernel/postinst.d/z50-raspi-firmware"


def boards(facts: Facts) -> list[Model]:
    """Give every board whose processor this image is for: its card may be put into any of them.

    Into a Pi 5 only one that was made for it: others have a kernel without its USB.
    """
    return [
        board.model
        for board in BOARDS.values()
        if board.arch == facts.arch
        and (board.name is not BoardName.PI_5 or facts.board == board.name or facts.base == RASPIOS)
    ]


def read(tree: Path, model: Model) -> Reading:
    """Read config.txt, with what it includes."""
    folder = tree / FIRMWARE

    def include(name: str) -> str | None:
        return (folder / name).read_text() if (folder / name).is_file() else None

    return firmware.read((folder / "config.txt").read_text(), model, include)


@pytest.fixture(scope="session")
def fdtoverlay(pytestconfig: pytest.Config) -> list[str]:
    """Give what starts fdtoverlay: that of the native root, else the host's own."""
    root = pytestconfig.getoption("native_root")
    if root is not None:
        return native.Root(tree=root).command("fdtoverlay")
    found = shutil.which("fdtoverlay")
    if found is None:
        pytest.skip(
            "neither --native-root nor device-tree-compiler is there: no overlay is applied"
        )
    return [found]


@pytest.mark.level("chroot", highest="chroot")
def test_every_board_finds_what_it_loads(tree: Path, facts: Facts) -> None:
    """Firmware, kernel and device tree are there, no line is cut and no include is missing."""
    names = [str(path.relative_to(tree / FIRMWARE)) for path in walk(tree / FIRMWARE)]

    for model in boards(facts):
        reading = read(tree, model)

        assert reading.notes == (), model.title
        assert firmware.judge(reading, model, names).missing == (), model.title


@pytest.mark.level("chroot", highest="chroot")
def test_no_line_does_nothing(tree: Path, facts: Facts) -> None:
    """Debian's device trees have no parameters, so no line of config.txt counts on any."""
    if facts.base != "debian":
        pytest.skip("the device trees of this base have parameters")
    for model in boards(facts):
        reading = read(tree, model)
        overlays = devicetree.overlays(reading)

        assert [line for line in reading.orders if line.startswith("dtparam")] == []
        assert [one for one in overlays if one.parameters] == []


@pytest.mark.level("chroot", highest="chroot")
def test_overlays_fit_every_board(
    tree: Path, facts: Facts, fdtoverlay: list[str], tmp_path: Path
) -> None:
    """Each overlay that is asked for is there, and applies to each board's device tree."""
    for model in boards(facts):
        names = [path.name for path in (tree / FIRMWARE).iterdir()]
        reading = read(tree, model)
        dtb = firmware.judge(reading, model, names).dtb
        assert dtb is not None

        made = devicetree.apply(
            tree / FIRMWARE / dtb,
            tree / FIRMWARE,
            tmp_path / dtb,
            reading=reading,
            by=fdtoverlay,
        )

        if facts.base == RASPIOS:
            continue  # a stand-in's own overlays are empty
        asked = bool(devicetree.overlays(reading))
        assert (made.read_bytes() != (tree / FIRMWARE / dtb).read_bytes()) is asked


@pytest.mark.level("chroot", highest="chroot")
def test_settings_outlive_an_update_of_the_kernel(host: Host, facts: Facts) -> None:
    """The hook that an update runs writes both files anew, and they are the same again."""
    if facts.base != "debian":
        pytest.skip("only Debian writes config.txt and cmdline.txt anew")
    files = f"/{FIRMWARE}/config.txt /{FIRMWARE}/cmdline.txt"
    before = host.check_output(f"cat {files}")
    host.check_output(f"rm {files}")
    host.check_output(f"DEB_MAINT_PARAMS=configure {HOOK}")

    assert host.check_output(f"cat {files}") == before


@pytest.mark.stage("boot")
@pytest.mark.level("chroot", highest="chroot")
def test_contradicting_fragments_stop_the_update(host: Host) -> None:
    """Two fragments that disagree are named, and config.txt stays as it was."""
    folder = "/etc/glovebox/config.txt.d"
    before = host.check_output(f"cat /{FIRMWARE}/config.txt")
    host.check_output(f"mkdir -p {folder}")
    host.check_output(f"echo arm_freq=700 >{folder}/80-one.txt")
    host.check_output(f"echo arm_freq=800 >{folder}/81-two.txt")
    done = host.run("/usr/lib/glovebox/compose-boot")
    host.check_output(f"rm {folder}/80-one.txt {folder}/81-two.txt")

    assert done.failed
    assert "80-one.txt" in done.stderr
    assert "81-two.txt" in done.stderr
    assert host.check_output(f"cat /{FIRMWARE}/config.txt") == before
