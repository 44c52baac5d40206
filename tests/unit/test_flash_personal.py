"""Cards that are somebody's: checked first, and whole before they start anything."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from invoke import Context, Exit

import tasks
from glovebox.card import disks, fat, flash
from glovebox.config.schema import Network, Secret
from glovebox.errors import ConfigError
from glovebox.host.run import run
from glovebox.onboard.firstboot import screen
from glovebox.onboard.firstboot.card import FILE, read
from glovebox.project import personal
from tests.owners_card import PSK, board, shipped
from tests.unit import test_card_solid as solid

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
BOOT, SIZE, CARD = 8 * MIB, 80 * MIB, 84 * MIB

needs = pytest.mark.needs("mkfs.fat", "mtools", "sfdisk", "fsck.fat")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Make an image whose boot partition has the shipped glovebox.yaml."""
    path = tmp_path / "car.img"
    with path.open("wb") as file:
        file.truncate(SIZE)
    table = f"label: dos\nstart={BOOT // 512}, size={(SIZE - BOOT) // 512}, type=c\n"
    run(["sfdisk", "--quiet", path], input=table)
    run(["mkfs.fat", "-F", "32", "-s", "1", "--offset", str(BOOT // 512), path, "73728"])
    fat.put(path, BOOT, FILE, shipped().decode())
    return path


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> disks.Disk:
    """Let the verb take a file full of something else for a card, with somebody at the terminal."""
    path = tmp_path / "sdx"
    path.write_bytes(b"\xa5" * CARD)
    found = disks.Disk(name=str(path), bus="USB", model="Stick", size=CARD, used=())
    monkeypatch.setattr(disks, "named", lambda *_: found)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    return found


def on(card: Path) -> str:
    """Give what the board would read."""
    return fat.text(card, BOOT, FILE) or ""


def says(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Answer what is asked, and keep the questions."""
    asked: list[str] = []
    left = list(answers)

    def answer(question: str) -> str:
        asked.append(question)
        return left.pop(0)

    monkeypatch.setattr("builtins.input", answer)
    monkeypatch.setattr("getpass.getpass", answer)
    return asked


@pytest.mark.parametrize("ssid", ["garage", "no", "0x1F", "Zürich: #7", " two  words ", "'\"{&*"])
@pytest.mark.parametrize("psk", [PSK, "12345678", "# quote ' \" :", None])
def test_the_board_reads_what_was_typed(tmp_path: Path, ssid: str, psk: str | None) -> None:
    """Whatever stands in a name or a passphrase, the board takes over the same."""
    secret = Secret(psk) if psk else None

    owner = personal.personal(name="truck-7", wifi=ssid, passphrase=secret, country="DE")

    wanted = read(owner.text.reveal().encode(), {}, board(tmp_path))
    assert wanted.hostname == "truck-7"
    assert wanted.networks == (Network(ssid=ssid, psk=secret),)
    assert wanted.country == "DE"
    assert PSK not in repr(owner)


@needs
def test_a_name_and_a_network(
    image: Path, disk: disks.Disk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The passphrase is asked for; all is on the card, whose file system is sound."""
    asked = says(monkeypatch, PSK, disk.name)

    tasks.flash(Context(), device=disk.name, image=str(image), name="truck-7", wifi="garage",
                country="DE")  # fmt: skip

    assert "Passphrase of garage" in asked[0]
    wanted = read(on(disk.device).encode(), {}, board(tmp_path / "board"))
    assert (wanted.hostname, wanted.country) == ("truck-7", "DE")
    assert wanted.networks == (Network(ssid="garage", psk=Secret(PSK)),)
    part = tmp_path / "part"
    part.write_bytes(disk.device.read_bytes()[BOOT:SIZE])
    run(["fsck.fat", "-n", part])
    assert image.read_bytes()[:512] == disk.device.read_bytes()[:512]


@needs
def test_out_of_a_file(image: Path, disk: disks.Disk, tmp_path: Path) -> None:
    """A passphrase may stand in a file, with the end of its line."""
    (tmp_path / "secret").write_text(f"{PSK}\n")

    tasks.flash(Context(), device=disk.name, image=str(image), wifi="garage", country="DE",
                passphrase_file=str(tmp_path / "secret"), yes=True)  # fmt: skip

    assert f"psk: {PSK}" in on(disk.device)


@needs
def test_what_is_cut_before_it_starts_nothing(
    image: Path, disk: disks.Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card whose settings do not get onto it has no table."""

    def fails(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(personal, "put_on", fails)
    with pytest.raises(Exit, match="half written and starts nothing") as caught:
        tasks.flash(Context(), device=disk.name, image=str(image), name="t", yes=True)

    assert caught.value.code == 130
    assert not any(disk.device.read_bytes()[:512])


@needs
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": "Truck 7"}, "flash: hostname: 'Truck 7' is not a host name"),
        ({"wifi": "garage"}, "flash: wifi.country: is missing"),
        ({"wifi": "garage", "country": "de"}, "hint: write DE"),
        ({"wifi": "g" * 33, "country": "DE"}, "networks"),
        ({"country": "DE"}, "a country, and no network"),
        ({"name": "t", "devices": "x.csv"}, "--devices says all"),
        ({"wifi": "g", "country": "DE", "passphrase_file": "/nowhere"}, "/nowhere cannot be read"),
    ],
)
def test_a_mistake_is_told_first(
    image: Path, disk: disks.Disk, options: dict[str, str], told: str
) -> None:
    """What the board would refuse is refused here, in its words, before anything is written."""
    with pytest.raises(Exit) as caught:
        tasks.flash(Context(), device=disk.name, image=str(image), yes=True, **options)

    assert caught.value.code == 2
    assert told in caught.value.message
    assert disk.device.read_bytes()[:MIB] == b"\xa5" * MIB


@needs
@pytest.mark.parametrize(
    ("text", "told"), [(None, "it takes nothing over"), ("hostname: own\n", "says something")]
)
def test_an_image_that_takes_nothing_over(
    image: Path, disk: disks.Disk, text: str | None, told: str
) -> None:
    """An image without the file, or with one that is filled in, is told before it is written."""
    if text is None:
        fat.call("mdel", image, BOOT, [f"::{FILE}"])
    else:
        fat.put(image, BOOT, FILE, text)

    with pytest.raises(Exit, match=told):
        tasks.flash(Context(), device=disk.name, image=str(image), name="truck", yes=True)

    assert disk.device.read_bytes()[:MIB] == b"\xa5" * MIB


LIST = "name,wifi,passphrase,country\ntruck-1,garage,{psk},DE\ntruck-2,,,\ntruck-3,yard,,AT\n"


@needs
def test_one_card_after_the_other(
    image: Path, disk: disks.Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row is a card of its own; one is left out, and one that fails is asked for again."""
    (tmp_path / "cards.csv").write_text(LIST.format(psk=PSK))
    taken: list[str] = []
    real, first = flash.flash, True

    def flashed(*words: object, **more: object) -> None:
        nonlocal first
        if first:
            first = False
            small = replace(disk, size=MIB)
            flash.require_fit(words[0], small)  # type: ignore[arg-type]
        real(*words, **more)  # type: ignore[arg-type]
        taken.append(on(disk.device))

    monkeypatch.setattr(flash, "flash", flashed)
    asked = says(monkeypatch, "", "", "s", "")

    tasks.flash(Context(), device=disk.name, image=str(image), yes=True,
                devices=str(tmp_path / "cards.csv"))  # fmt: skip

    assert [one.split(":")[0] for one in asked] == [
        "Card 1 of 3, truck-1", "Card 1 of 3, truck-1", "Card 2 of 3, truck-2",
        "Card 3 of 3, truck-3",
    ]  # fmt: skip
    assert len(taken) == 2
    assert "hostname: truck-1" in taken[0]
    assert f"psk: {PSK}" in taken[0]
    assert "hostname: truck-3" in taken[1]
    assert PSK not in taken[1]


@needs
@pytest.mark.parametrize("end", ["q", None])
def test_a_list_that_is_ended(
    image: Path, disk: disks.Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str | None
) -> None:
    """Who ends it, or is gone, is told which cards are written."""
    (tmp_path / "cards.csv").write_text("name\ntruck-1\ntruck-2\n")
    answers = ["", end]

    def answer(_: str) -> str:
        said = answers.pop(0)
        if said is None:
            raise EOFError
        return said

    monkeypatch.setattr("builtins.input", answer)
    with pytest.raises(Exit, match="stopped; written: truck-1"):
        tasks.flash(Context(), device=disk.name, image=str(image), yes=True,
                    devices=str(tmp_path / "cards.csv"))  # fmt: skip


def test_a_list_of_a_spreadsheet(tmp_path: Path) -> None:
    """Semicolons, a mark in front, quotes and the line ends of Windows are read."""
    path = tmp_path / "cards.csv"
    path.write_bytes('\ufeffName;Wifi;Country\r\ntruck-1;"a;b";DE\r\n'.encode())

    (one,) = personal.listed(path)

    assert "ssid: a;b" in one.text.reveal()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the columns are none"),
        ("hostname\ntruck\n", "the columns are hostname"),
        ("name,name\na,b\n", "the columns are name, name"),
        ("name\n", "names no card"),
        ("name,wifi\ntruck\n", ":2: it has not as many fields"),
        ("name\ntruck,more\n", ":2: it has not as many fields"),
        ("name,wifi\n,x\n", ":2: name: is missing"),
        ("name\ntruck\ntruck\n", ":3: name: truck is there twice"),
        ("name\nok\nTruck 7\n", ":3: hostname: 'Truck 7' is not a host name"),
        ("name,passphrase\nok,hunter22\n", ":2: a passphrase or a country, and no network"),
    ],
)
def test_mistakes_in_a_list(tmp_path: Path, text: str, told: str) -> None:
    """Each has its line, and none quotes a passphrase."""
    path = tmp_path / "cards.csv"
    path.write_text(text)

    with pytest.raises(ConfigError) as caught:
        personal.listed(path)

    assert told in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_all_mistakes_of_a_list_at_once(tmp_path: Path) -> None:
    """A list is mended in one go."""
    path = tmp_path / "cards.csv"
    path.write_text("name,wifi,passphrase,country\nA b,,,\nok,net,hunter2,DE\n,,,\n")

    with pytest.raises(ConfigError) as caught:
        personal.listed(path)

    assert [one.split(": ")[0] for one in caught.value.each] == [f"{path}:{n}" for n in (2, 3, 4)]
    assert "hunter2" not in str(caught.value)


@needs
@pytest.mark.needs("debugfs", "mke2fs")
@pytest.mark.parametrize("is_set_up", [True, False])
def test_the_screen_of_a_board_that_is_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_set_up: bool
) -> None:
    """With `--keep-data` the picture at HDMI stays off where the board has its settings."""
    image, layout = solid.assembled(tmp_path, car=True)
    fat.put(image, layout.boot_start, screen.FILE, "# why\r\ngpu_mem=1\r\n")
    path = tmp_path / "sdx"
    with path.open("wb") as file:
        file.truncate(layout.total)
    found = disks.Disk(name=str(path), bus="USB", model="Stick", size=layout.total, used=())
    monkeypatch.setattr(disks, "named", lambda *_: found)
    tasks.flash(Context(), device=str(path), image=str(image), yes=True)
    if is_set_up:
        run(["debugfs", "-w", "-R", "mkdir settings", f"{path}?offset={layout.data_start}"])

    tasks.flash(Context(), device=str(path), image=str(image), yes=True, keep_data=True)

    told = fat.text(path, layout.boot_start, screen.FILE)
    assert told == ("# why\n#pu_mem=1\n" if is_set_up else "# why\ngpu_mem=1\n")
