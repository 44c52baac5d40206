"""A tree's own links and names never reach the build machine: no canary is read or harmed."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.boards.firmware import MODELS
from glovebox.build import actions, failure, imported, layer, workdir
from glovebox.card import system
from glovebox.errors import ConfigError, GloveboxError, StepError
from glovebox.host import files, mounts
from glovebox.images import inventory
from glovebox.lock import apt
from glovebox.plan.base import Base
from glovebox.stage import stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CANARY = "the host's own words"


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """Give a folder of the host with files a root must not reach; all is as it was afterwards."""
    folder = tmp_path / "host"
    folder.mkdir()
    for name in ("x", "os-release", "status", "fstab", "authorized_keys", "machine-id", "a.list"):
        (folder / name).write_text(CANARY)
        (folder / name).chmod(0o600)
    before = files.stamp_tree(folder)

    yield folder

    assert files.stamp_tree(folder) == before, "a file of the host was made or changed"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give an empty root."""
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def overlay(folder: Path, *names: str) -> Path:
    """Make an overlay with some files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"overlay {name}")
    return folder


@pytest.mark.parametrize("to", ["{host}", "../host", "../../../../../../..{host}"])
def test_an_overlay_lands_in_the_root(to: str, root: Path, canary: Path, tmp_path: Path) -> None:
    """A file below a link of the root, as /var/lock is one, gets where the board has it."""
    (root / "var").mkdir()
    (root / "var/lock").symlink_to(to.format(host=canary))

    actions.lay(overlay(tmp_path / "ov", "var/lock/x", "var/lock/deep/y"), root)
    actions._write(root, "var/lock/z", "a template", program=False)

    assert (root / "var/lock").is_symlink()
    laid = {path.name: path.read_text() for path in root.rglob("*") if path.is_file()}
    assert laid == {
        "x": "overlay var/lock/x",
        "y": "overlay var/lock/deep/y",
        "z": "a template",
    }


def test_an_overlay_replaces_a_link_of_the_root(root: Path, canary: Path, tmp_path: Path) -> None:
    """Where the root has a link and the overlay a file, the file takes its place."""
    (root / "etc").mkdir()
    (root / "etc/motd").symlink_to(canary / "x")

    actions.lay(overlay(tmp_path / "ov", "etc/motd"), root)

    assert not (root / "etc/motd").is_symlink()


def test_the_system_of_an_image_is_read_from_it(root: Path, canary: Path) -> None:
    """Release, packages, users, units, kernels, owners: a link shows nothing of the host."""
    for name, to in {
        "etc/os-release": "os-release", "var/lib/dpkg/status": "status", "etc/fstab": "fstab",
        "etc/hostname": "x", "etc/shadow": "x", "home/me/.ssh/authorized_keys": "authorized_keys",
        "var/lib/dpkg/info/a.list": "a.list", "etc/apt/sources.list": "x",
        "lib/modules/6.1": "", "etc/systemd/system/a.wants": "", "boot/firmware": "",
        "etc/apt/sources.list.d/a.sources": "x",
    }.items():  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(canary / to)
    (root / "etc/passwd").write_text("me:x:1000:1000::/home/me:/bin/sh\n")

    assert system.os_release(root) == {}
    assert system.found_arch(root) is None
    assert system.versions(root) == {}
    assert [(user.name, user.keys, user.password) for user in system.users(root)] == [
        ("me", 0, "none")
    ]
    assert system.units(root) == {}
    assert system.kernels(root) == []
    assert system.owners(root) == {}
    assert list(apt.sources_of(root)) == []
    assert CANARY not in system.boot_point(root)


@pytest.mark.parametrize(
    "place",
    ["/boot/../../../../../../tmp/x", "/boot/..", "/boot/a/../../..", "/boot/./x", "/bootleg"],
)
def test_a_boot_point_lies_below_boot(place: str, root: Path) -> None:
    """What fstab says is taken where it is a place below /boot, and never climbs out of it."""
    (root / "etc").mkdir()
    (root / "etc/fstab").write_text(f"LABEL=boot {place} vfat defaults 0 2\n")

    assert system.boot_point(root) == "boot/firmware"


def test_a_line_of_fstab_that_is_commented_out_says_nothing(root: Path) -> None:
    """Only a line that counts tells where the boot partition belongs."""
    (root / "etc").mkdir()
    (root / "etc/fstab").write_text(
        "#LABEL=old /boot vfat defaults 0 2\n # x /boot/old vfat\nLABEL=b /boot//efi/ vfat rw 0 2\n"
    )

    assert system.boot_point(root) == "boot/efi"


def test_sources_that_mean_the_board_are_not_asked_here(root: Path) -> None:
    """The host's apt fetches from the network alone: a file: of an image is nothing here."""
    (root / "etc/apt").mkdir(parents=True)
    (root / "etc/apt/sources.list").write_text(
        f"deb file:{root} trixie main\ndeb cdrom:[x]/ trixie main\ndeb copy:/root trixie main\n"
        "deb http://example.org/d trixie main\ndeb 'broken http://example.org/e trixie main\n"
    )
    base = Base(
        layer=type("Layer", (), {"tree": root})(), digest="", arch="arm64", suite="trixie", boot=""
    )

    found = imported.archives(base, apt.Mirror(main="http://m/debian", security="http://m/sec"))

    assert [one.url for one in found] == ["http://example.org/d"]


def test_a_layer_is_scrubbed_within_itself(root: Path, canary: Path) -> None:
    """A layer with a link in place of /etc loses nothing of the host when it is cleaned."""
    (root / "etc").symlink_to(canary)

    layer.scrub(root)

    assert (root / "etc").is_symlink()


def test_what_a_script_leaves_for_us_is_not_followed(root: Path, canary: Path) -> None:
    """A link at the place where a script's line is told is removed, not what it points to."""
    (root / "run").mkdir()
    (root / "tmp").mkdir()
    (root / failure.PLACE).symlink_to(canary)

    watch = failure.Watch(root=root)
    watch.environment("x", inside=True)
    (root / failure.PLACE / "failed").symlink_to(canary / "x")

    assert watch.line("x", "") is None

    files.clear(root / failure.PLACE)
    (root / failure.PLACE).symlink_to(canary)
    workdir.take_out(root / "work", "stage", root)

    assert not (root / failure.PLACE).is_symlink()


def test_mounts_of_a_root_land_in_it(root: Path, canary: Path) -> None:
    """A root whose /run is a link gets no mount on the host's folder: it is refused by name."""
    (root / "run").symlink_to(canary)

    with pytest.raises(GloveboxError, match="/run is a link"):
        mounts.require_plain(root, "run")


def pipe(path: Path) -> None:
    """Make a pipe, which waits for ever when it is opened."""
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    """Make a socket."""
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(path.parent)  # its name is short
        made.bind(path.name)
        os.chdir(here)


def null(path: Path) -> None:
    """Make a device, or at least say it cannot be."""
    if os.geteuid() != 0:
        pytest.skip("a device is made by root")
    os.mknod(path, 0o20600, os.makedev(1, 3))


@pytest.mark.parametrize(
    ("make", "said"), [(pipe, "a pipe"), (a_socket, "a socket"), (null, "a device")]
)
def test_what_has_no_bytes_is_named(
    make: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    """A pipe, a socket, a device in a stage or an overlay is a sentence, and nothing hangs."""
    sub = tmp_path / "stage/00-a"
    sub.mkdir(parents=True)
    (sub / "00-overlay").mkdir()
    make(sub / "00-overlay/x")

    with pytest.raises(ConfigError, match=rf"00-overlay/x is {said}"):
        files.digest_tree(sub / "00-overlay")
    with pytest.raises(StepError, match=rf"00-overlay/x is {said}"):
        actions.lay(sub / "00-overlay", tmp_path)


@pytest.mark.parametrize("to", ["/", "..", "../..", "/proc", "/dev", "/sys/kernel"])
def test_a_link_to_the_whole_machine_is_refused(to: str, tmp_path: Path) -> None:
    """A link of a sub-stage to a folder that holds it, or to the kernel's own, is named."""
    sub = tmp_path / "stage/00-a"
    sub.mkdir(parents=True)
    (sub / "00-run-chroot.sh").write_text("true\n")
    (sub / "all").symlink_to(to)

    with pytest.raises(ConfigError, match=r"00-a/all is a link to .*: all of that would be read"):
        stage.read(tmp_path / "stage")


def test_any_name(root: Path, tmp_path: Path) -> None:
    """A name that is not UTF-8 is digested and laid like others."""
    folder = tmp_path / "ov"
    folder.mkdir()
    empty = files.digest_tree(folder)
    Path(os.fsdecode(bytes(folder) + b"/caf\xe9")).write_text("latin")

    assert files.digest_tree(folder) != empty
    actions.lay(folder, root)
    assert os.fsencode(next(root.iterdir()).name) == b"caf\xe9"


def test_any_depth(tmp_path: Path) -> None:
    """A tree 1,500 folders deep is refused as input in a sentence; walked and removed, it is."""
    folder = deep = tmp_path / "ov"
    folder.mkdir()
    for _ in range(1500):
        deep /= "d"
        deep.mkdir()

    with pytest.raises(ConfigError, match="lies more than 400 folders deep"):
        files.digest_tree(folder)
    assert sum(1 for _ in files.walk(folder)) == 1500
    files.stamp_tree(folder)
    files.clear(folder)
    assert not folder.exists()


def test_boot_files_of_hostile_names(root: Path) -> None:
    """config.txt may name any file: only those of the boot partition are read."""
    view = inventory.View(card=None, root=root, boot=root)  # type: ignore[arg-type]  not looked at
    (root / "config.txt").write_text("include ../host/x\ninclude /etc/passwd\n")

    reading = view.config(MODELS["4"])

    assert reading.lines == ()
    assert len(reading.notes) == 2
