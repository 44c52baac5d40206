"""The two scripts that every start runs: is there something new, and lay over what is kept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from glovebox.config.rules import DEFAULT_HOSTNAME, hostname
from glovebox.host.run import run
from glovebox.onboard.firstboot.card import FILE
from tests.owners_card import ACCOUNTS, STAGE, board, shipped

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.onboard.firstboot.card import Places

SCRIPTS = STAGE / "01-overlay/usr/lib/glovebox"
HASH = "$6$odd&salt$" + "a" * 86
KEYS = "ssh-ed25519 AAAA one\nssh-ed25519 BBBB two\n"


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Give a board that was never told anything."""
    return board(tmp_path)


def apply(places: Places, *, serial: str = "") -> None:
    """Lay over what is kept, twice: the second time changes nothing."""
    number = places.root.parent / "serial"
    number.write_bytes(serial.encode() + b"\0" if serial else b"")
    command = ["sh", SCRIPTS / "apply-settings", places.root]
    run(command, env={"SERIAL": str(number)})
    once = tree(places)
    run(command, env={"SERIAL": str(number)})
    assert tree(places) == once


def tree(places: Places) -> dict[str, tuple[int, str]]:
    """Give the mode and text of each file of the root."""
    return {
        str(path.relative_to(places.root)): (path.stat().st_mode & 0o777, path.read_text())
        for path in places.root.rglob("*")
        if path.is_file() and not path.is_symlink() and not path.is_relative_to(places.data)
    }


def keep(places: Places, **texts: str) -> None:
    """Put settings onto the data partition."""
    places.kept.mkdir(exist_ok=True)
    for name, text in texts.items():
        (places.kept / name).write_text(text)


@pytest.mark.parametrize(
    ("serial", "name"),
    [
        ("00000000a1b2c3d4", "glovebox-a1b2c3d4"),
        ("1000000012345678", "glovebox-12345678"),
        # An emulated board says it has none: then it is the card that is unique.
        ("0000000000000000", "glovebox-01234567"),
        ("", "glovebox-01234567"),
    ],
)
def test_each_board_has_a_name_of_its_own(places: Places, serial: str, name: str) -> None:
    """A board whose image says `auto` is called by its serial number."""
    apply(places, serial=serial)

    etc = places.root / "etc"
    assert (etc / "hostname").read_text() == f"{name}\n"
    assert f"127.0.1.1 {name}\n" in (etc / "hosts").read_text()
    assert hostname(name) == name
    assert name.startswith(DEFAULT_HOSTNAME)


def test_a_name_of_the_image_stays(places: Places) -> None:
    """A board whose owner named it in image.yaml is not renamed, and nothing else changes."""
    (places.root / "etc/glovebox/baked").write_text("user=pi\nhostname=truck\n")
    before = tree(places)

    apply(places, serial="00000000a1b2c3d4")

    assert tree(places) == before


@pytest.mark.parametrize(("asked", "name"), [("truck-7", "truck-7"), ("auto", "glovebox-a1b2c3d4")])
def test_the_card_counts_more_than_the_image(places: Places, asked: str, name: str) -> None:
    """The name that the owner put on the card is the board's, also when it is `auto`."""
    (places.root / "etc/glovebox/baked").write_text("user=pi\nhostname=van\n")
    keep(places, hostname=f"{asked}\n")

    apply(places, serial="00000000a1b2c3d4")

    assert (places.root / "etc/hostname").read_text() == f"{name}\n"


def test_keys_replace_those_before(places: Places) -> None:
    """A lost key opens the board no longer; the new ones are their user's alone."""
    folder = places.root / "home/pi/.ssh"
    folder.mkdir()
    (folder / "authorized_keys").write_text("ssh-ed25519 LOST\n")
    keep(places, authorized_keys=KEYS)

    apply(places)

    assert (folder / "authorized_keys").read_text() == KEYS
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "authorized_keys").stat().st_mode & 0o777 == 0o600


def test_a_password_is_asked_for(places: Places) -> None:
    """Only the first user's hash changes, whatever characters it has, and sudo asks for it."""
    (places.root / "etc/shadow").chmod(0o640)
    keep(places, password=f"{HASH}\n")

    apply(places)

    assert (places.root / "etc/shadow").read_text() == ACCOUNTS["shadow"].replace(
        "pi:!", f"pi:{HASH}"
    )
    assert (places.root / "etc/shadow").stat().st_mode & 0o777 == 0o640
    assert tree(places)["etc/sudoers.d/010-first-user"][1] == "pi ALL=(ALL) ALL\n"


def test_the_user_gets_another_name(places: Places) -> None:
    """Account, groups, folder and sudo are the new name's, and nothing of the old one is left."""
    keep(places, user="driver\n", authorized_keys=KEYS, password=f"{HASH}\n")

    apply(places)

    files = tree(places)
    for name in ("passwd", "group", "gshadow", "subuid", "shadow", "sudoers.d/010-first-user"):
        wanted = re.sub(r"\bpi\b", "driver", ACCOUNTS[name]).replace("NOPASSWD: ", "")
        assert files[f"etc/{name}"][1] == wanted.replace("driver:!:1:0", f"driver:{HASH}:1:0"), name
    assert files["home/driver/.ssh/authorized_keys"] == (0o600, KEYS)
    assert files["home/driver/.profile"][1] == "# pi\n"
    assert not (places.root / "home/pi").exists()


def test_the_rest_is_laid_over(places: Places) -> None:
    """Country, zone, keyboard, the service's settings and the broker's secrets are in place."""
    (places.kept / "publish").mkdir(parents=True)
    (places.root / "etc/default").mkdir()
    (places.root / "etc/default/keyboard").write_text('XKBLAYOUT="us"\nXKBVARIANT=""\n')
    (places.kept / "publish/client.key").write_text("secret")
    keep(
        places, country="DE\n", timezone="Europe/Berlin\n", keyboard="de\n", **{
            "telematics.json": "{}\n", "publish-to": "kafka\n",
        },
    )  # fmt: skip

    apply(places)

    files = tree(places)
    assert files["etc/modprobe.d/wifi-country.conf"][1] == "options cfg80211 ieee80211_regdom=DE\n"
    assert files["etc/timezone"][1] == "Europe/Berlin\n"
    assert files["etc/default/keyboard"][1] == 'XKBLAYOUT="de"\nXKBVARIANT=""\n'
    zone = (places.root / "etc/localtime").readlink()
    assert str(zone) == "/usr/share/zoneinfo/Europe/Berlin"
    assert files["etc/glovebox/telematics.json"] == (0o644, "{}\n")
    assert files["etc/glovebox/publish-to"][1] == "kafka\n"
    assert files["etc/glovebox/publish/client.key"] == (0o600, "secret")


def anything_new(places: Places) -> bool:
    """Ask as the unit does before it starts a Python."""
    command = ["sh", SCRIPTS / "anything-new", places.boot, places.kept]
    done = run(command, check=False)
    assert not done.stderr
    return done.returncode == 0


def test_a_usual_start_has_nothing_new(places: Places) -> None:
    """The file as it is shipped, one with a mark before it, and none at all: no Python starts."""
    assert not anything_new(places)
    (places.boot / FILE).write_bytes("\ufeff".encode() + shipped() + b"  # mine\r\n\r\n")
    assert not anything_new(places)
    (places.boot / FILE).unlink()
    assert not anything_new(places)


@pytest.mark.parametrize(
    "text",
    [b"hostname: a", b"\xef\xbb\xbfhostname: a\r\n", b"# a\r\n  b: c\r\n", bytes(600), b"\xe4"],
)
def test_a_line_of_the_owners_is_new(places: Places, text: bytes) -> None:
    """Whatever is neither blank nor a comment is looked at, also what is no text."""
    (places.boot / FILE).write_bytes(text)

    assert anything_new(places)


@pytest.mark.parametrize("name", ["ca.pem", "client.key", "glovebox-mistakes.txt"])
def test_a_file_beside_it_is_new(places: Places, name: str) -> None:
    """Certificates count alone, and what was said about a mistake is looked at again."""
    (places.boot / name).touch()

    assert anything_new(places)


def test_a_wipe_is_ended(places: Places) -> None:
    """A wipe that was cut is gone on with, whatever the file looks like."""
    keep(places, wiping="")

    assert anything_new(places)
