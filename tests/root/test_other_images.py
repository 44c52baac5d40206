"""Images as other people make them, and some made to harm: read right, or refused in a sentence."""

from __future__ import annotations

import os
import shutil
import struct
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.build import imported
from glovebox.card import bootfiles, fat, media, packing
from glovebox.errors import GloveboxError, ImageError
from glovebox.host import files, mounts
from glovebox.host.monitor import Monitor
from glovebox.host.run import run
from glovebox.images import diff, inventory, mounted, resize
from glovebox.store.store import Store
from tests.root import small_card

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("sfdisk", "mformat", "mcopy", "mtype", "mke2fs", "debugfs", "resize2fs"),
]
MIB = 1 << 20
QUIET = Monitor(quiet=True)
LAYOUT = small_card.LAYOUTS["trixie"]


@pytest.fixture
def store(folder: Path) -> Store:
    """Give an empty store."""
    return Store(root=folder / "store").open()


@pytest.fixture(autouse=True)
def _own_records(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOVEBOX_MOUNTS", str(folder / "mounts"))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a card in the layout of trixie, to be copied."""
    folder = tmp_path_factory.mktemp("shelf")
    small_card.make(folder / "card.img", LAYOUT)
    return folder / "card.img"


@pytest.fixture
def image(shelf: Path, folder: Path) -> Path:
    """Give a copy of the card."""
    return Path(shutil.copy(shelf, folder / "card.img"))


def as_gpt(image: Path) -> Path:
    """Give the same partitions a GPT, with room for its second table."""
    before = media.card.table(image)
    with image.open("rb+") as file:
        file.truncate(image.stat().st_size + MIB)
    types = {"c": "U", "83": "L"}
    lines = [
        f"start={one.start // 512}, size={one.size // 512}, type={types[one.kind]}"
        for one in before.partitions
    ]
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--wipe", "never", image],
        input="label: gpt\n" + "\n".join(lines))  # fmt: skip
    table = media.card.table(image)
    put(image, "cmdline.txt", f"console=tty1 root=PARTUUID={table.partitions[1].uuid} rootwait")
    return image


def put(image: Path, name: str, text: str) -> None:
    """Write a file of the boot partition."""
    source = image.parent / "put"
    source.write_text(text)
    media.card.copy_in(image, source, name)


def config_of(image: Path, store: Store) -> dict[str, object]:
    """Give what `info` says of config.txt and the command line."""
    with inventory.viewed(image, store, QUIET) as view:
        found = inventory.facts(view, inventory.model_named("4"))["config"]
    assert isinstance(found, dict)
    return found


def test_a_gpt_is_read_and_resized(image: Path, store: Store, folder: Path) -> None:
    """A card with a GPT is looked into; resized, its second table lies at the end of the file."""
    as_gpt(image)
    found = media.look(image, store, QUIET)
    assert (found.table.kind, found.root.number, found.guess) == ("gpt", 2, "")

    for wish, name in (
        (resize.Wish(by=8 * MIB), "grown.img"),
        (resize.Wish(), "least.img"),
    ):
        _, after, _ = resize.plan(found, wish, store)
        resize.apply(found, after, folder / name, QUIET)

        new = media.look(folder / name, store, QUIET)
        assert (folder / name).stat().st_size == after.file
        assert new.root.size == after.partition
        told = run(["sfdisk", "--verify", folder / name], check=False)
        assert told.returncode == 0, told.stdout + told.stderr
        with (folder / name).open("rb") as file:
            file.seek(-512, os.SEEK_END)
            header = file.read(512)
        assert header[:8] == b"EFI PART"
        assert struct.unpack_from("<Q", header, 24)[0] == after.file // 512 - 1


def test_a_boot_partition_of_type_ef(image: Path, store: Store) -> None:
    """An MBR whose FAT has the type of an EFI system is a card like others."""
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--part-type", image, "1", "ef"])

    assert media.look(image, store, QUIET).boot.number == 1


def test_the_slot_of_autoboot(folder: Path, store: Store) -> None:
    """Of a card with two slots the one that autoboot.txt names is shown, with its own filters."""
    image = folder / "ab.img"
    fat, ext4 = 34 * 2048, 48 * 2048
    starts = [2048, 2048 + fat, 2048 + 2 * fat]
    with image.open("wb") as file:
        file.truncate((starts[2] + ext4 + 2048) * 512)
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", image],
        input=f"label: dos\nlabel-id: 0x0badcafe\nstart={starts[0]}, size={fat}, type=c\n"
              f"start={starts[1]}, size={fat}, type=c\n"
              f"start={starts[2]}, size={ext4}, type=83\n")  # fmt: skip
    texts = (
        {"autoboot.txt": "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=1\n",
         "config.txt": "slot=wrong\n", "cmdline.txt": "root=/dev/mmcblk0p9"},
        {"config.txt": "[boot_partition=1]\nslot=1\n[boot_partition=2]\nslot=2\n[all]\n"
                       "cmdline=mine.txt\n",
         "mine.txt": "root=/dev/mmcblk0p3", "cmdline.txt": "root=/dev/mmcblk0p9"},
    )  # fmt: skip
    for start, files_of in zip(starts[:2], texts, strict=True):
        place = f"{image}@@{start * 512}"
        run(["mformat", "-i", place, "-F", "-c", "1", "-T", str(fat), "::"])
        for name, text in files_of.items():
            (folder / name).write_text(text)
            run(["mcopy", "-i", place, folder / name, f"::{name}"])
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-E", f"offset={starts[2] * 512}", image, "48m"])

    found = media.look(image, store, QUIET)
    told = config_of(image, store)

    assert (found.boot.number, found.root.number, found.guess) == (2, 3, "")
    assert told["values"] == {"slot": "2", "cmdline": "mine.txt"}
    assert told["cmdline"] == "root=/dev/mmcblk0p3"


def test_nothing_is_written_on_a_guess(folder: Path, store: Store) -> None:
    """Where root is guessed it is the partition with a system, it is said, and no verb writes."""
    image = folder / "two.img"
    small_card.make(image, LAYOUT, third=bytes(8 * MIB))
    put(image, "cmdline.txt", "root=LABEL=elsewhere")
    before = files.sha256_file(image)

    found = media.look(image, store, QUIET)

    assert found.root.number == 2
    assert "says root=LABEL=elsewhere" in found.guess
    assert "the only one that holds a system" in found.guess
    for write in (
        lambda: resize.plan(found, resize.Wish(), store),
        lambda: media.require_writable(found),
        lambda: mounted.mount(image, store, QUIET, place=folder / "place", write=True),
    ):
        with pytest.raises(ImageError, match="on a guess nothing is written"):
            write()
    assert files.sha256_file(image) == before


def test_an_image_of_any_name(image: Path, store: Store) -> None:
    """The name a@@0.img, which mtools would cut in two, is a name like others."""
    odd = image.rename(image.with_name("a@@0 ?offset=1.img"))

    found = media.look(odd, store, QUIET)

    assert (found.root.number, found.guess) == (2, "")
    assert config_of(odd, store)["cmdline"]


def test_a_text_without_end_is_read_so_far(image: Path) -> None:
    """Of a config.txt of many megabytes the first is read; one that is not there is none."""
    put(image, "long.txt", "a=1\n" * (1 << 20))
    start = media.card.table(image).boot.start

    assert fat.text(image, start, "long.txt") == "a=1\n" * (1 << 18)
    assert fat.text(image, start, "CONFIG.TXT") is not None
    assert fat.text(image, start, "gone.txt") is None
    assert fat.text(image, start, "../x*") is None


@pytest.mark.needs("unzip", "zstd")
def test_packed_as_people_pack(image: Path, folder: Path) -> None:
    """A zip by macOS with notes beside the image, a name in capitals, a long window of zstd."""
    for kind, names in {
        "mac": ("card.img", "__MACOSX/._card.img"), "capitals": ("CARD.IMG",),
        "odd": ("a [1] *.img",),
    }.items():  # fmt: skip
        with zipfile.ZipFile(folder / kind, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(image, names[0])
            for name in names[1:]:
                archive.writestr(name, b"notes")
        packing.unpack(folder / kind, packing.Packing.ZIP, folder / f"{kind}.out")
        assert files.sha256_file(folder / f"{kind}.out") == files.sha256_file(image)

    run(["zstd", "--quiet", "--long=28", image, "-o", folder / "long.zst"])
    packing.unpack(folder / "long.zst", packing.Packing.ZSTD, folder / "long.out")
    assert files.sha256_file(folder / "long.out") == files.sha256_file(image)


@pytest.mark.needs("unzip")
def test_a_zip_that_python_does_not_know_goes_to_unzip(
    image: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is packed by another method, deflate64 say, unzip unpacks: names are no patterns."""
    with zipfile.ZipFile(folder / "w.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(image, "a [1] *.img")
        archive.writestr("a [1] x.txt", b"another")
    monkeypatch.setattr(packing, "_ZIP_KNOWN", frozenset())

    packing.unpack(folder / "w.zip", packing.Packing.ZIP, folder / "out")

    assert files.sha256_file(folder / "out") == files.sha256_file(image)


# --- made to harm -------------------------------------------------------------------------------


@pytest.fixture
def canary(folder: Path) -> Iterator[Path]:
    """Give a folder of the host that no verb reads or changes."""
    made = folder / "host"
    made.mkdir()
    for name in ("passwd", "status", "x.list", "os-release", "secret"):
        (made / name).write_text("CANARY:x:1234:1234::/CANARY:/bin/sh\n")
    before = files.stamp_tree(made)
    yield made
    assert files.stamp_tree(made) == before


@pytest.fixture
def evil(image: Path, store: Store, folder: Path, canary: Path) -> Path:
    """Give a card full of links to the host, with an fstab that climbs out, and odd devices."""
    found = media.look(image, store, QUIET)
    (folder / "inside").mkdir()
    with media.mounted(found, folder / "inside", writable=True) as root:
        for name, to in {
            "etc/passwd": "passwd", "etc/hostname": "secret", "etc/motd": "secret",
            "var/lib/dpkg/info/libc6.list": "x.list", "etc/apt": "", "home": "",
            "usr/lib/modules": "",
        }.items():  # fmt: skip
            place = root / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
            place.symlink_to(canary / to)
        (root / "etc/fstab").write_text(f"LABEL=b /boot/../../../../..{canary}/boot vfat rw 0 2\n")
        (root / "boot/firmware").rmdir()
        (root / "boot/firmware").symlink_to(canary)
        os.mkfifo(root / "etc/shadow.pipe")
        (root / "etc/shadow").unlink()
        (root / "etc/shadow").symlink_to("shadow.pipe")
        os.mknod(root / "disk", 0o60666, os.makedev(254, 0))
    run(["tune2fs", "-e", "panic", f"{image}?offset={found.root.start}"])
    return image


def test_no_verb_reads_or_writes_the_host(evil: Path, store: Store, folder: Path) -> None:
    """Look, compare, import and mount an image of links: no canary is read, none is changed."""
    with (
        inventory.viewed(evil, store, QUIET) as view,
        inventory.viewed(evil, store, QUIET) as other,
    ):
        assert "CANARY" not in str(inventory.facts(view, None))
        assert "CANARY" not in str(diff.compare(view, other))
    base = imported.bring_in(evil, store, QUIET, arch="arm64")
    assert base.boot == "boot"
    assert "CANARY" not in base.status
    record = mounted.mount(evil, store, QUIET, place=folder / "place", write=False)
    try:
        assert record.boot_place == str(folder / "place/boot")
        with pytest.raises(OSError, match="Permission"):
            (folder / "place/disk").open("rb").close()
    finally:
        mounted.umount(*next(mounted.records()), QUIET)


def test_no_image_decides_that_the_host_panics(evil: Path, store: Store, folder: Path) -> None:
    """Whatever its superblock asks for: an error makes the mount read-only, and no more."""
    found = media.look(evil, store, QUIET)
    (folder / "m").mkdir()

    with media.mounted(found, folder / "m", writable=True) as root:
        told = next(
            line for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if f" {root} " in line
        )  # fmt: skip

    assert "errors=panic" not in told
    assert "nosuid" in told
    assert "nodev" in told
    assert set(mounts.GUARDED.split(",")) >= {"errors=remount-ro", "nosuid", "nodev"}


def test_a_fat_with_hostile_names(image: Path, store: Store, folder: Path) -> None:
    """A long name of FAT with ../ in it makes no file outside the folder it is copied to."""
    put(image, "evil-name-of-a-file.txt", "x")
    found = media.look(image, store, QUIET)
    data = bytearray(image.read_bytes())
    name = "evil-name-of-a-file.txt".encode("utf-16-le")
    at = data.find(name[:10], found.boot.start)
    assert at > 0
    # The first five characters of its first entry: "../x-" in place of "evil-".
    data[at : at + 10] = "../x-".encode("utf-16-le")
    image.write_bytes(bytes(data))
    target = folder / "deep/boot"
    target.parent.mkdir()

    with suppress(GloveboxError):
        bootfiles.copy(image, found.boot, target)

    assert [path.name for path in target.parent.iterdir()] in (["boot"], [])
