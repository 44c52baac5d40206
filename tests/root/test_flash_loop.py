"""The verb `flash` on a loop device: what a person types, to a card that starts."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.card import bmap, fat, table
from glovebox.host import files, loop
from glovebox.host.run import run, start
from tests.unit import test_card_solid as solid

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20
CHECKOUT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.root, pytest.mark.needs(*solid.MAKERS, *solid.CHECKERS)]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Assemble a small image, with its map."""
    path, _ = solid.assembled(tmp_path_factory.mktemp("image"))
    files.write_whole(path.with_name("card.img.bmap"), bmap.dump(bmap.of(path)))
    return path


@pytest.fixture
def card(image: Path, tmp_path: Path) -> Path:
    """Make a used card, a little larger than the image."""
    return solid.used_card(tmp_path / "card", image.stat().st_size + 8 * MIB)


@pytest.fixture
def device(card: Path) -> Iterator[Path]:
    """Show it as a disk."""
    with loop.device(card, start=0, size=card.stat().st_size, writable=True) as found:
        yield found


def invoke(*words: str) -> tuple[int, str]:
    """Run a verb; give its status and what it said."""
    process = start([CHECKOUT / ".venv/bin/python", "-m", "invoke", *words], cwd=CHECKOUT)
    said = process.communicate(timeout=120)[0].decode()
    return process.returncode, said


def test_a_card_that_starts(image: Path, card: Path, device: Path, tmp_path: Path) -> None:
    """By name a loop device is written; both file systems on it are sound."""
    status, said = invoke("flash", "--device", str(device), "--image", str(image), "--yes")

    assert status == 0, said
    assert f"card.img is on {device}, whole" in said
    os.sync()
    assert table.table(card).partitions == table.table(image).partitions
    solid.sound(card, tmp_path)


def test_nobody_is_asked_without_a_terminal(image: Path, card: Path, device: Path) -> None:
    """Without --yes and nobody to ask, nothing is written."""
    status, said = invoke("flash", "--device", str(device), "--image", str(image))

    assert status == 2, said
    assert "nobody is there to ask" in said
    assert card.read_bytes()[:MIB] == b"\xa5" * MIB


def test_what_is_mounted_is_not_written(image: Path, tmp_path: Path) -> None:
    """A mounted disk is refused, also where the mount is in a namespace that cannot be seen."""
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(image.stat().st_size)
    run(["mke2fs", "-q", "-F", disk])
    before = files.sha256_file(disk)
    place = tmp_path / "place"
    place.mkdir()
    with loop.device(disk, start=0, size=disk.stat().st_size, writable=True) as device:
        words = ("flash", "--device", str(device), "--image", str(image), "--yes")
        run(["mount", "--options", "ro", device, place])
        try:
            seen = invoke(*words)
        finally:
            run(["umount", place])
        hidden = start(
            ["unshare", "--mount", "bash", "-c", f"mount -o ro {device} {place} && echo in && cat"],
            input=True,
        )
        try:
            assert hidden.stdout is not None
            assert hidden.stdout.readline() == b"in\n"
            unseen = invoke(*words)
        finally:
            hidden.communicate()

    assert seen[0] == unseen[0] == 3
    assert f"{device} is in use: {device.name} is mounted on {place}" in seen[1]
    assert re.search(r"/dev/loop\d+: .*busy", unseen[1])
    assert files.sha256_file(disk) == before


def test_a_name_and_the_data_that_was_there(tmp_path: Path) -> None:
    """On a real block device the settings get into its boot partition, and the data stays."""
    image, layout = solid.assembled(tmp_path, car=True)
    fat.put(image, layout.boot_start, "glovebox.yaml", "# all comments\r\n")
    files.write_whole(image.with_name("card.img.bmap"), bmap.dump(bmap.of(image)))
    card = solid.used_card(tmp_path / "card", layout.total)
    words = ("--image", str(image), "--yes", "--name")
    with loop.device(card, start=0, size=card.stat().st_size, writable=True) as device:
        first = invoke("flash", "--device", str(device), *words, "truck-7")
        with device.open("rb+") as file:
            file.seek(layout.data_start + layout.data_size - MIB)
            file.write(b"a record" * 9999)
        os.sync()
        data = card.read_bytes()[layout.data_start :]
        second = invoke("flash", "--device", str(device), *words, "truck-8", "--keep-data")

    assert (first[0], second[0]) == (0, 0), first[1] + second[1]
    assert "it answers to truck-8.local" in second[1]
    os.sync()
    assert "hostname: truck-8" in (fat.text(card, layout.boot_start, "glovebox.yaml") or "")
    assert card.read_bytes()[layout.data_start :] == data
    solid.sound(card, tmp_path)
