"""The verbs for any image: mount, umount, resize, chroot, info and diff do what they say.

And the image that was given stays, bit for bit, unless it is asked for by name.
"""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import select
import shutil
import signal
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.boards import firmware
from glovebox.build import imported
from glovebox.card import bmap, bootfiles, media, table as card
from glovebox.errors import ConfigError, GloveboxError, HostError, ImageError
from glovebox.host import files, mounts
from glovebox.host.monitor import Monitor
from glovebox.host.run import end, environment, run, start
from glovebox.images import diff as differ, enter, inventory, mounted, resize
from glovebox.plan import code
from glovebox.store.store import Store
from tests.root.small_card import DISK_ID, LAYOUTS, MACHINES, MIB, SECTOR, make
from tests.unit import test_card_solid as solid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("e2fsck", "losetup", "mcopy", "mformat", "mke2fs", "resize2fs", "sfdisk"),
]
CHECKOUT = Path(__file__).parents[2]
QUIET = Monitor(quiet=True)
LOOKS = 100
PATIENCE_S = 60
THIRD = os.urandom(2 * MIB)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of images, one of each layout, that no test changes."""
    folder = tmp_path_factory.mktemp("shelf")
    for name, layout in LAYOUTS.items():
        make(folder / f"{name}.img", layout)
    return folder


@pytest.fixture
def store(folder: Path) -> Store:
    """Give an empty store."""
    return Store(root=folder / "store").open()


@pytest.fixture(autouse=True)
def _own_records(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the records of mounts from those of the machine."""
    monkeypatch.setenv("GLOVEBOX_MOUNTS", str(folder / "mounts"))


@pytest.fixture(params=LAYOUTS)
def image(request: pytest.FixtureRequest, shelf: Path, folder: Path) -> Path:
    """Give a copy of an image of each layout, in a folder with a space in its name."""
    (folder / "my cards").mkdir()
    return copied(shelf / f"{request.param}.img", folder / "my cards" / f"{request.param}.img")


@pytest.fixture
def trixie(shelf: Path, folder: Path) -> Path:
    """Give a copy of an image of trixie's layout."""
    return copied(shelf / "trixie.img", folder / "card.img")


def copied(source: Path, target: Path) -> Path:
    """Copy an image."""
    run(["cp", "--sparse=always", source, target])
    return target


def digest(path: Path) -> str:
    """Give the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def part_digest(image: Path, part: card.Partition) -> str:
    """Give the sha256 of a partition."""
    with image.open("rb") as file:
        file.seek(part.start)
        return hashlib.sha256(file.read(part.size)).hexdigest()


def loops() -> str:
    """List the loop devices in use."""
    return run(["losetup", "--list", "--noheadings", "--output", "BACK-FILE"]).stdout


@contextmanager
def untouched(image: Path) -> Iterator[None]:
    """Look that an image is the same afterwards, and that nothing holds it."""
    before = digest(image)
    yield
    assert digest(image) == before
    # The kernel lets go of a device a moment after its last user was killed.
    for _ in range(LOOKS):
        if str(image) not in loops():
            break
        time.sleep(0.1)
    assert str(image) not in loops()


def umount(name: Path, monitor: Monitor = QUIET) -> None:
    """Unmount an image that is mounted."""
    found = mounted.find(name)
    assert found is not None
    mounted.umount(*found, monitor)


# --- mount and umount ---------------------------------------------------------------------------


def test_mount_shows_both_partitions_read_only(image: Path, store: Store, folder: Path) -> None:
    """Each layout has its boot files where its system has them; nothing can be written."""
    place = folder / "a place"
    with untouched(image):
        record = mounted.mount(image, store, QUIET, place=place, write=False)

        boot = place / LAYOUTS[image.stem].boot
        assert (place / "etc/hostname").read_text() == "raspberrypi\n"
        assert "arm_64bit=1" in (boot / "config.txt").read_text()
        assert (boot / "overlays/disable-bt.dtbo").is_file()
        assert record.boot_place == str(boot)
        for path in (place / "etc/hostname", boot / "config.txt"):
            with pytest.raises(OSError, match="Read-only"):
                path.write_text("no")
        umount(image)
    assert not place.exists()
    assert mounted.find(image) is None


def test_what_is_written_is_in_the_image(image: Path, store: Store, folder: Path) -> None:
    """Mounted writable, both partitions keep what was changed, and only that."""
    place = folder / "place"
    place.mkdir()
    boot = place / LAYOUTS[image.stem].boot
    mounted.mount(image, store, QUIET, place=place, write=True)
    (place / "etc/hostname").write_text("truck\n")
    (boot / "config.txt").write_text("arm_64bit=0\n")
    (boot / "ssh").touch()
    (boot / "overlays/disable-bt.dtbo").unlink()
    (boot / "mine").mkdir()
    (boot / "mine/a longer name.txt").write_text("mine")
    umount(place)

    with inventory.viewed(image, store, QUIET) as view:
        assert (view.root / "etc/hostname").read_text() == "truck\n"
        assert (view.boot / "config.txt").read_text() == "arm_64bit=0\n"
        assert (view.boot / "mine/a longer name.txt").read_text() == "mine"
        assert (view.boot / "kernel8.img").read_text() == "kernel8.img\n"
        assert {"ssh", "mine/a longer name.txt"} <= view.boot_names
        assert "overlays/disable-bt.dtbo" not in view.boot_names
    assert place.is_dir()  # it was there before
    assert str(image) not in loops()


def test_mounting_again_changes_nothing(trixie: Path, store: Store, folder: Path) -> None:
    """A second mount gives the first; one of another kind is refused with the way out."""
    first = mounted.mount(trixie, store, QUIET, place=folder / "place", write=False)

    assert mounted.mount(trixie, store, QUIET, place=folder / "else", write=False) == first
    with pytest.raises(HostError, match="mounted already, read-only"):
        mounted.mount(trixie, store, QUIET, place=folder / "place", write=True)
    with pytest.raises(HostError, match="in use"):
        media.require_writable(media.look(trixie, store, QUIET))
    umount(trixie)


def test_what_is_being_written_to_is_not_read(trixie: Path, store: Store, folder: Path) -> None:
    """While an image is mounted writable the other verbs wait: half a change is not the image."""
    mounted.mount(trixie, store, QUIET, place=folder / "place", write=True)

    with pytest.raises(HostError, match="being written to, by /dev/loop"):
        media.look(trixie, store, QUIET)
    umount(trixie)
    media.look(trixie, store, QUIET)


def test_a_card_that_lost_its_power(trixie: Path, store: Store, folder: Path) -> None:
    """An image whose journal was not replayed is read as it is, and resized after a check."""
    place = folder / "place"
    mounted.mount(trixie, store, QUIET, place=place, write=True)
    (place / "etc/late").write_text("in the journal")
    os.sync()
    lost = copied(trixie, folder / "lost.img")
    umount(trixie)

    with untouched(lost):
        with inventory.viewed(lost, store, QUIET) as view:
            assert not view.card.system.clean
            assert (view.root / "etc/hostname").exists()
        resized(lost, store, folder / "new.img", grow="10MiB")
    with inventory.viewed(folder / "new.img", store, QUIET) as view:
        assert view.card.system.clean
        assert (view.root / "etc/late").read_text() == "in the journal"


def test_who_uses_a_mount_is_named(trixie: Path, store: Store, folder: Path) -> None:
    """A busy mount stays as it is, its user is named, and umount can be done again."""
    place = folder / "place"
    mounted.mount(trixie, store, QUIET, place=place, write=True)
    boot = place / "boot/firmware"
    (boot / "later.txt").write_text("kept")
    process = start(["sh", "-c", f"cd '{place}/etc' && echo here && exec sleep 60"])
    assert process.stdout is not None
    process.stdout.readline()

    with pytest.raises(HostError, match=rf"in use by sleep \({process.pid}\)"):
        umount(trixie)
    end(process, grace_s=5)
    umount(trixie)

    with inventory.viewed(trixie, store, QUIET) as view:
        assert view.boot_text("later.txt") == "kept"


def test_a_restart_loses_nothing(
    trixie: Path, store: Store, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """When the mounts went away without umount, it says so and still writes the boot files back."""
    place = folder / "place"
    mounted.mount(trixie, store, QUIET, place=place, write=True)
    (place / "boot/firmware/later.txt").write_text("kept")
    for point in (place / "boot/firmware", place):
        run(["umount", point])

    umount(trixie, Monitor())

    said = capsys.readouterr().out
    assert "is no longer mounted (by hand, it seems); clearing up" in said
    assert "boot files written back into card.img: 1 written, 0 removed" in said
    with inventory.viewed(trixie, store, QUIET) as view:
        assert view.boot_text("later.txt") == "kept"
    assert mounted.find(trixie) is None
    assert list((folder / "mounts").iterdir()) == []


def test_boot_files_that_do_not_fit_are_kept(trixie: Path, store: Store, folder: Path) -> None:
    """A full boot partition is said, what was changed stays, and umount goes on when it fits."""
    place = folder / "place"
    mounted.mount(trixie, store, QUIET, place=place, write=True)
    with (place / "boot/firmware/huge").open("wb") as file:
        file.truncate(64 * MIB)

    with pytest.raises(ImageError, match="cannot take"):
        umount(trixie)
    found = mounted.find(trixie)
    assert found is not None
    (found[0] / "boot/huge").write_text("small now")
    umount(trixie)

    with inventory.viewed(trixie, store, QUIET) as view:
        assert view.boot_text("huge") == "small now"


def test_a_mount_that_fails_leaves_nothing(trixie: Path, store: Store, folder: Path) -> None:
    """A root file system that cannot be mounted is a sentence; folder and record are gone."""
    root = card.table(trixie).root
    with trixie.open("rb+") as file:
        file.seek(root.start + 4096)  # the group descriptors
        file.write(os.urandom(8192))

    with untouched(trixie), pytest.raises(ImageError, match="cannot be mounted"):
        mounted.mount(trixie, store, QUIET, place=folder / "place", write=False)

    assert not (folder / "place").exists()
    assert list(mounted.records()) == []


def test_a_mount_that_was_killed_is_cleared_away(folder: Path) -> None:
    """A record that was never finished goes with the next look."""
    (folder / "mounts/0123/boot").mkdir(parents=True)

    assert list(mounted.records()) == []
    assert list((folder / "mounts").iterdir()) == []


def test_a_link_never_leads_out_of_the_image(shelf: Path, store: Store, folder: Path) -> None:
    """Where /boot/firmware is a link onto the host, nothing is mounted there."""
    image = copied(shelf / "trixie.img", folder / "evil.img")
    victim = folder / "victim"
    victim.mkdir()
    found = media.look(image, store, QUIET)
    (folder / "inside").mkdir()
    with media.mounted(found, folder / "inside", writable=True) as root:
        (root / "boot/firmware").rmdir()
        (root / "boot/firmware").symlink_to(victim)

    record = mounted.mount(image, store, QUIET, place=folder / "place", write=False)

    assert record.boot == "nowhere"
    assert list(victim.iterdir()) == []
    umount(image)

    enter.enter(image, ["true"], store=store, monitor=QUIET)

    assert list(victim.iterdir()) == []
    assert not victim.is_mount()


# --- resize -------------------------------------------------------------------------------------


def resized(image: Path, store: Store, output: Path | None, **options: str) -> resize.Sizes:
    """Resize an image into another file; gives the sizes that were promised."""
    found = media.look(image, store, QUIET)
    words = {name: options.get(name, "") for name in ("to", "grow", "shrink")}
    _, after, _ = resize.plan(found, resize.wish(**words), store)
    resize.apply(found, after, output, QUIET)
    return after


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("trixie", {"to": "256MiB"}),
        ("trixie", {"to": "133333333"}),
        ("trixie", {"grow": "7MiB"}),
        ("trixie", {"shrink": "8MiB"}),
        ("trixie", {"to": "least"}),
        ("bookworm", {"to": "least"}),
        ("bullseye", {"grow": "100MiB"}),
    ],
)
def test_resize_keeps_every_file(
    name: str, options: dict[str, str], shelf: Path, store: Store, folder: Path
) -> None:
    """Grown or shrunk: the sizes are those promised, all files and the boot partition the same."""
    image, output = shelf / f"{name}.img", folder / "new card.img"
    with untouched(image):
        after = resized(image, store, output, **options)

    old, new = card.table(image), card.table(output)
    assert output.stat().st_size == after.file
    assert (new.root.start, new.root.size) == (old.root.start, after.partition)
    assert (new.disk_id, new.boot) == (DISK_ID, old.boot)
    assert part_digest(output, new.boot) == part_digest(image, old.boot)
    assert run(["sfdisk", "--verify", output]).returncode == 0
    with (
        inventory.viewed(image, store, QUIET) as one,
        inventory.viewed(output, store, QUIET) as other,
    ):
        found = differ.compare(one, other)
        assert other.card.system.size == after.system
    assert set(found) <= {"sizes"}


@pytest.mark.needs(*solid.CHECKERS, "dumpe2fs")
def test_a_resized_image_by_its_blocks(trixie: Path, store: Store, folder: Path) -> None:
    """Written by its blocks onto a used card, all tables of the grown file system are there."""
    new = folder / "new.img"
    resized(trixie, store, new, grow="300MiB")
    files.write_whole(folder / "new.img.bmap", bmap.dump(bmap.of(new)))

    written = solid.written(new, solid.used_card(folder / "card", new.stat().st_size))

    solid.sound(written, folder)
    root = card.table(new).root
    run(["dd", f"if={new}", f"of={folder / 'root'}", "bs=1M", f"skip={root.start >> 20}",
         f"count={root.size >> 20}", "conv=sparse", "status=none"])  # fmt: skip
    told = run(["dumpe2fs", folder / "root"]).stdout
    block = int(re.findall(r"^Block size: +(\d+)", told, re.MULTILINE)[0])
    places = re.findall(r"(?:bitmap|table) at (\d+)(?:-(\d+))?", told)
    assert len(places) > 6
    with new.open("rb") as one, written.open("rb") as other:
        for first, last in places:
            size = (int(last or first) - int(first) + 1) * block
            one.seek(root.start + int(first) * block)
            other.seek(root.start + int(first) * block)
            assert one.read(size) == other.read(size), (first, last)


def test_resize_stops_at_the_next_partition(store: Store, folder: Path) -> None:
    """Root grows up to the partition behind it and no further, and that one keeps its bytes."""
    image = make(
        folder / "three.img", LAYOUTS["bookworm"], third=THIRD, gap_sectors=4 * MIB // SECTOR
    )
    behind = card.table(image).partitions[2]
    with untouched(image):
        resized(image, store, folder / "grown.img", grow="4MiB")
        resized(image, store, folder / "shrunk.img", shrink="4MiB")
        with pytest.raises(ConfigError, match="next partition begins"):
            resized(image, store, folder / "no.img", grow="5MiB")
        with pytest.raises(ConfigError, match="keeps its size"):
            resized(image, store, folder / "no.img", to="1GiB")

    for name in ("grown.img", "shrunk.img"):
        assert card.table(folder / name).partitions[2] == behind
        assert part_digest(folder / name, behind) == hashlib.sha256(THIRD).hexdigest()
        assert (folder / name).stat().st_size == image.stat().st_size
    assert not (folder / "no.img").exists()


def test_resize_of_an_odd_image(store: Store, folder: Path) -> None:
    """A partition of odd sectors, with a file system smaller than it, comes out sound."""
    image = make(folder / "odd.img", LAYOUTS["trixie"], root_sectors=48 * MIB // SECTOR + 13)

    after = resized(image, store, folder / "new.img", to="200000001")

    assert after.file == 199999488 + 512
    assert media.look(folder / "new.img", store, QUIET).system.size == after.system


def test_bytes_behind_the_last_partition_are_not_lost(trixie: Path, store: Store) -> None:
    """What lies outside of all partitions is somebody's: resize says so and does nothing."""
    with trixie.open("ab") as file:
        file.write(b"my secrets" + bytes(MIB))

    with untouched(trixie), pytest.raises(ImageError, match="not empty"):
        resized(trixie, store, trixie.parent / "new.img", grow="1MiB")


def test_resize_in_place_is_all_or_nothing(trixie: Path, store: Store, folder: Path) -> None:
    """The image is replaced, also through a link, when the new one is whole; else it stays."""
    trixie.chmod(0o640)
    os.chown(trixie, 1000, 1000)
    (folder / "link.img").symlink_to(trixie)

    resized(folder / "link.img", store, None, to="160MiB")

    status = trixie.stat()
    assert (folder / "link.img").is_symlink()
    assert (status.st_size, status.st_uid, status.st_mode & 0o777) == (160 * MIB, 1000, 0o640)
    with untouched(trixie), pytest.raises(ImageError, match="exists already"):
        resized(trixie, store, trixie, grow="10MiB")
    with trixie.open("rb+") as file:  # what is lost there no check mends by itself
        file.seek(card.table(trixie).root.start + 40 * 4096)
        file.write(os.urandom(64 * 4096))
    with untouched(trixie), pytest.raises(GloveboxError, match=r"damaged|does not understand"):
        resized(trixie, store, None, grow="10MiB")
    assert not list(folder.glob(".glovebox-*"))


@pytest.mark.parametrize("moment", ["copy", "resize", "check"])
def test_a_resize_that_is_stopped_leaves_nothing(moment: str, trixie: Path, folder: Path) -> None:
    """Stopped in any step: the image is as it was, the output whole or absent, no device left."""
    command = [*invoke("resize", str(trixie)), "--to", "4GiB", "--output", str(folder / "new.img")]
    with untouched(trixie):
        process = start(command, cwd=CHECKOUT, env=cli(folder))
        assert process.stdout is not None
        while f"… {moment}:".encode() not in (line := process.stdout.readline()):
            assert line, "it ended before that"
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read().decode()
        status = process.wait()

    assert "Traceback" not in rest
    assert (status, (folder / "new.img").exists()) in {(130, False), (0, True)}, rest
    assert not list(folder.glob(".glovebox-*"))


# --- chroot -------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["arm64", "armel"])
def foreign(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an image whose programs are for another processor, with those of the built base."""
    layout = LAYOUTS["bullseye" if request.param == "armel" else "trixie"]
    return make(tmp_path_factory.mktemp("foreign") / f"{request.param}.img", layout,
                arch=request.param)  # fmt: skip


def invoke(*words: str) -> list[str]:
    """Give the command line of a task."""
    return [sys.executable, "-m", "invoke", *words]


def cli(folder: Path) -> dict[str, str]:
    """Give the environment of a command line: a store of its own."""
    path = f"{Path(sys.executable).parent}:{environment()['PATH']}"
    return {"GLOVEBOX_STORE": str(folder / "store"), "PATH": path}


def test_one_line_enters_a_stock_like_image(foreign: Path, folder: Path) -> None:
    """The line of the README: a command runs on the image's processor, its status is ours."""
    script = 'read machine </etc/machine; echo "$machine"; uname -m; echo "a  b" >/made; exit 7'
    with untouched(foreign):
        said = run(
            [*invoke("chroot", str(foreign)), "--", "sh", "-c", script],
            check=False, cwd=CHECKOUT, env=cli(folder),
        )  # fmt: skip

    assert said.stdout.split() == [foreign.stem, MACHINES[foreign.stem]], said.stderr
    assert said.stderr == ""  # the preloaded library of another machine is not asked for
    assert said.returncode == 7


def entered(image: Path, store: Store, words: Sequence[str], **options: object) -> int:
    """Run a command in an image."""
    return enter.enter(image, words, store=store, monitor=QUIET, **options)  # type: ignore[arg-type]  the options' own


WRITES = ["sh", "-c", "echo kept >/etc/made; echo kept >/boot/firmware/made; echo x >/run/x"]


def test_a_chroot_keeps_only_what_it_is_told_to(foreign: Path, store: Store, folder: Path) -> None:
    """Nothing is kept by itself, all of it with --output and --write, and nothing of ours."""
    if foreign.stem != "arm64":
        script = [*WRITES[:2], WRITES[2].replace("boot/firmware", "boot")]
    else:
        script = WRITES
    with untouched(foreign):
        assert entered(foreign, store, script) == 0
        assert entered(foreign, store, script, output=folder / "copy.img") == 0
    mine = copied(foreign, folder / "mine.img")
    assert entered(mine, store, script, write=True, network=True) == 0

    for kept in ("copy.img", "mine.img"):
        with (
            inventory.viewed(foreign, store, QUIET) as one,
            inventory.viewed(folder / kept, store, QUIET) as other,
        ):
            changes = differ.compare(one, other)["files"]
        assert [(one["path"], one["what"]) for one in changes] == [  # type: ignore[attr-defined]  a list of them
            ("/etc/made", "added"),
            ("boot:made", "added"),
        ]
    assert list((store.root / "tmp").iterdir()) == []
    assert str(folder) not in loops()


def test_network_brings_a_resolver_and_takes_it_away(foreign: Path, store: Store) -> None:
    """With a network the host's resolv.conf is shown; without, there is no network at all."""
    script = """
        [ -e /etc/resolv.conf ] || exit 2
        while read a b; do [ "$a" != nameserver ] || exit 9; done </etc/resolv.conf
        exit 8
    """
    look = ["sh", "-c", script]
    servers = "nameserver" in Path("/etc/resolv.conf").read_text()

    with untouched(foreign):
        assert entered(foreign, store, look, network=True) == (9 if servers else 8)
        assert entered(foreign, store, look) == 2
        count = "count=0; while read x; do count=$((count + 1)); done </proc/net/dev; exit $count"
        lonely = ["sh", "-c", count]
        assert entered(foreign, store, lonely) == 3  # two lines of heading, and lo


def test_a_shell_is_one_to_work_in(foreign: Path, folder: Path) -> None:
    """On a terminal it greets, ^C is for the command in it, and its status is ours."""
    with untouched(foreign):
        said, status = typed(
            [*invoke("chroot", str(foreign))],
            [(b"leave with `exit`", b""), (b"# ", b"echo $((40 + 2)); read word\n"),
             (b"42", b"\x03"), (b"# ", b"echo 1 >/x; exit 4\n")],
            cli(folder),
        )  # fmt: skip

    assert status == 4, said
    assert b"through QEMU" in said
    assert b"job control" not in said


def test_a_command_is_stopped_and_its_changes_are_kept(foreign: Path, folder: Path) -> None:
    """^C ends the command alone: with --write what it changed until then is in the image, whole."""
    mine = copied(foreign, folder / "mine.img")
    boot = LAYOUTS["trixie" if foreign.stem == "arm64" else "bullseye"].boot
    # It waits in a builtin: QEMU loses a signal that comes while a program forks.
    script = f"echo 1 >/etc/made; echo 1 >/{boot}/made; echo now; read word"

    said, status = typed(
        [*invoke("chroot", str(mine), "--write"), "--", "sh", "-c", script],
        [(b"now", b"\x03")],
        cli(folder),
    )

    assert status == 128 + signal.SIGINT, said
    with inventory.viewed(mine, Store(root=folder / "store").open(), QUIET) as view:
        assert (view.root / "etc/made").read_text() == "1\n"
        assert view.boot_text("made") == "1\n"


def typed(
    command: Sequence[str], talk: Sequence[tuple[bytes, bytes]], env: dict[str, str]
) -> tuple[bytes, int]:
    """Run a program on a terminal: when it has said one thing, type the other."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(CHECKOUT)
        os.execvpe(command[0], command, environment(env))  # noqa: S606  no shell wanted
    said = heard = b""
    for expected, typing in talk:
        while expected not in heard:
            ready, _, _ = select.select([terminal], [], [], PATIENCE_S)
            assert ready, said
            data = os.read(terminal, 4096)
            said, heard = said + data, heard + data
        heard = heard.partition(expected)[2]
        os.write(terminal, typing)
    with suppress(OSError):  # EIO: the other side is closed
        while data := os.read(terminal, 4096):
            said += data
    return said, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_chroot_that_is_killed_leaves_nothing(foreign: Path, folder: Path) -> None:
    """SIGKILL takes mounts and processes along; what lies in the store goes with the next run."""
    with untouched(foreign):
        process = start(
            [*invoke("chroot", str(foreign)), "--", "sh", "-c", "echo here; exec sleep 1234.5"],
            cwd=CHECKOUT, env=cli(folder),
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
        # The kernel ends the others of the namespace; their pipe closes when the last one is gone.
        assert process.stdout.read() == b""
    Store(root=folder / "store").open()
    assert list((folder / "store/tmp").iterdir()) == []


# --- info and diff ------------------------------------------------------------------------------


def test_info_tells_what_is_there(image: Path, store: Store) -> None:
    """Layout, system, boards, config.txt, users, units and packages are those of the image."""
    layout = LAYOUTS[image.stem]
    with untouched(image), inventory.viewed(image, store, QUIET) as view:
        found = json.loads(json.dumps(inventory.facts(view, None)))
        as_pi_4 = inventory.facts(view, firmware.MODELS["4"])["config"]

    assert [(part["role"], part["start"]) for part in found["partitions"]] == [
        ("boot", layout.start * SECTOR),
        ("root", layout.start * SECTOR + 34 * MIB),
    ]
    assert found["system"] == {
        "name": f"Debian GNU/Linux {layout.number} ({layout.suite})",
        "suite": layout.suite,
        "arch": "arm64",
        "hostname": "raspberrypi",
        "made": None,
        "boot": f"/{layout.boot}",
        "clean": True,
        "kernels": ["6.12.1-v8"],
    }
    assert [one["board"] for one in found["boards"] if one["boots"]] == ["3", "4"]
    assert found["config"]["board"] == "3"
    assert found["config"]["values"] == {"arm_64bit": "1"}
    assert as_pi_4["values"] == {"arm_boost": "1", "arm_64bit": "1"}  # type: ignore[index]  a mapping
    assert found["config"]["cmdline"].startswith("console=tty1")
    assert [one["name"] for one in found["users"]] == ["root", "pi"]
    assert found["units"] == {"ssh.service": "multi-user.target"}
    assert found["packages"] == {"dpkg": "1", "libc6": "1", "raspi-firmware": "1"}


def test_diff_finds_what_was_changed(trixie: Path, store: Store, folder: Path) -> None:
    """Packages, files with modes and owners, units, users and boot files are compared."""
    other = copied(trixie, folder / "other.img")
    found = media.look(other, store, QUIET)
    (folder / "inside").mkdir()
    with media.mounted(found, folder / "inside", writable=True) as root:
        status = root / "var/lib/dpkg/status"
        status.write_text(status.read_text().replace("Package: libc6\n", "Package: libc7\n"))
        (root / "etc/hostname").chmod(0o600)
        os.chown(root / "etc/fstab", 1000, 1000)
        (root / "usr/lib/libc.note").write_text("LIBC\n")
        (root / "etc/systemd/system/multi-user.target.wants/ssh.service").unlink()
        (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    boot = folder / "boot"
    bootfiles.copy(other, found.boot, boot)
    before = bootfiles.listing(boot)
    (boot / "config.txt").write_text("dtparam=audio=on\n[pi4]\narm_boost=0\n[all]\narm_64bit=1\n")
    bootfiles.write_back(other, found.boot, boot, before)

    with (
        untouched(trixie), untouched(other),
        inventory.viewed(trixie, store, QUIET) as one,
        inventory.viewed(other, store, QUIET) as another,
    ):  # fmt: skip
        same = differ.compare(one, one)
        changes = json.loads(json.dumps(differ.compare(one, another)))

    assert same == {}
    assert changes["packages"] == {"added": {"libc7": "1"}, "removed": {"libc6": "1"}}
    assert changes["units"] == {"removed": {"ssh.service": "multi-user.target"}}
    assert list(changes["users"]["removed"]) == ["pi"]
    assert changes["config.txt"] == ["- [pi4] arm_boost=1", "+ [pi4] arm_boost=0"]
    assert {one["path"]: (one["how"], one["package"]) for one in changes["files"]} == {
        "/etc/fstab": (["owner 0:0 → 1000:1000"], None),
        "/etc/hostname": (["mode 0644 → 0600"], None),
        "/etc/passwd": (["size 63 → 30"], None),
        "/etc/systemd/system/multi-user.target.wants/ssh.service": (["link"], None),
        "/usr/lib/libc.note": (["content"], "libc6"),
        "/var/lib/dpkg/status": (["content"], None),
        "boot:config.txt": (["content"], None),
    }


# --- packed images, and disks that are full or read-only ---------------------------------------


@pytest.mark.needs("xz", "zstd", "gzip")
@pytest.mark.parametrize("packer", ["xz -0", "zstd", "gzip -1"])
def test_a_packed_image_is_as_good(packer: str, trixie: Path, store: Store, folder: Path) -> None:
    """info, diff, mount and resize take it as it is; what would change it is refused."""
    run([*packer.split(), "--keep", "--quiet", trixie])
    packed = next(path for path in folder.glob("card.img.*"))

    with untouched(packed):
        with (
            inventory.viewed(packed, store, QUIET) as one,
            inventory.viewed(trixie, store, QUIET) as other,
        ):
            assert differ.compare(one, other) == {}
        record = mounted.mount(packed, store, QUIET, place=folder / "place", write=False)
        assert (Path(record.place) / "etc/hostname").exists()
        umount(packed)
        resized(packed, store, folder / "new.img", to="150MiB")
        with pytest.raises(ImageError, match="is packed"):
            mounted.mount(packed, store, QUIET, place=folder / "place", write=True)
    assert (folder / "new.img").stat().st_size == 150 * MIB


@pytest.mark.needs("xz")
def test_a_packed_image_is_a_base(image: Path, store: Store) -> None:
    """The same reading of an image gives a build its lowest layer, boot files in their place."""
    run(["xz", "-0", "--keep", image])
    packed = image.with_name(f"{image.name}.xz")

    with untouched(packed):
        base = imported.bring_in(packed, store, QUIET, arch="arm64")

    layout = LAYOUTS[image.stem]
    assert (base.suite, base.arch, base.boot) == (layout.suite, "arm64", layout.boot)
    assert (base.layer.tree / layout.boot / "config.txt").is_file()
    assert (base.layer.tree / "etc/hostname").read_text() == "raspberrypi\n"


def test_another_builder_reads_a_base_again(
    image: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an earlier builder read of an image is not taken for what this one reads."""
    first = imported.bring_in(image, store, QUIET, arch="arm64")
    again = imported.bring_in(image, store, QUIET, arch="arm64")
    monkeypatch.setattr(code, "of_this_builder", lambda: "another")
    other = imported.bring_in(image, store, QUIET, arch="arm64")

    assert again.layer.path == first.layer.path
    assert other.layer.path != first.layer.path


@pytest.mark.needs("xz")
def test_a_full_disk_is_a_sentence(trixie: Path, folder: Path) -> None:
    """Neither an unpacked image nor a copy is half there when the disk has no room for it."""
    packed = folder / "noise.img.xz"
    noise = folder / "noise"
    noise.write_bytes(os.urandom(3 * MIB))
    run(["xz", "-0", "--keep", noise])
    shutil.move(folder / "noise.xz", packed)
    small = folder / "small"
    small.mkdir()
    with mounts.mount("tmpfs", small, kind="tmpfs", options="size=2m"):
        store = Store(root=small / "store").open()
        with pytest.raises(HostError, match="the disk of"):
            media.look(packed, store, QUIET)
        assert list((small / "store/unpacked").iterdir()) == []
        plenty = Store(root=folder / "store").open()
        with untouched(trixie), pytest.raises(HostError, match="the disk of"):
            resized(trixie, plenty, small / "new.img", grow="1MiB")
        assert not list(small.glob("*.img"))


def test_a_read_only_disk_is_a_sentence(trixie: Path, store: Store, folder: Path) -> None:
    """An image that cannot be written to can be read all the same."""
    disk = folder / "disk"
    disk.mkdir()
    with (
        mounts.bind(folder, disk, read_only=True),
        untouched(trixie),
    ):
        with inventory.viewed(disk / "card.img", store, QUIET) as view:
            assert view.card.system.label == "rootfs"
        with pytest.raises(ImageError, match="cannot be written to"):
            mounted.mount(disk / "card.img", store, QUIET, place=folder / "place", write=True)
        with pytest.raises((GloveboxError, OSError), match=r"[Rr]ead-only"):
            resized(disk / "card.img", store, disk / "new.img", grow="1MiB")


def test_who_is_not_root_is_told(trixie: Path, folder: Path) -> None:
    """Each verb says that it needs root, and how to be."""
    folder.chmod(0o755)
    for words in (["mount", str(trixie)], ["info", str(trixie)], ["chroot", str(trixie)],
                  ["resize", str(trixie), "--to", "1GiB"], ["diff", str(trixie), str(trixie)],
                  ["umount", "all"]):  # fmt: skip
        said = run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *invoke(*words)],
            check=False, cwd=CHECKOUT, env={**cli(folder), "HOME": "/"},
        )  # fmt: skip
        assert said.returncode == HostError.exit_code, said.stderr
        assert re.search(r"error: \w+ needs root.*\n  hint: sudo", said.stderr), said.stderr
