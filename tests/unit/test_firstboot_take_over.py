"""Taking over from the card: all or nothing, once, and the power may go at any moment."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from glovebox.config.schema import Config, Network, Secret, Wifi
from glovebox.host.run import run
from glovebox.onboard.firstboot import habits, takeover, wipe
from glovebox.onboard.firstboot.card import CERTIFICATES, FILE
from glovebox.onboard.firstboot.keep import connection
from glovebox.onboard.firstboot.takeover import MISTAKES, take_over
from glovebox.stage import template
from tests.owners_card import FILLED, KEY, PSK, STAGE, FakeDisk, PowerCut, board, kept, shipped

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.onboard.firstboot.card import Places, Wanted

AUTHORITY = b"-----BEGIN CERTIFICATE-----\n"
# More than a sector, and longer than what comes in its place.
LONG = FILLED + "# a comment\n" * 400


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """Give a board; its data partition is on a disk, whatever this machine's folders are on."""
    monkeypatch.setattr(takeover, "_check_data", lambda _: None)
    return board(tmp_path)


def started(places: Places, disk: FakeDisk | None = None) -> tuple[int, list[Wanted]]:
    """Start the board; give the status and what it used at once."""
    used: list[Wanted] = []
    status = take_over(places, disk or FakeDisk(), use=used.append)
    return status, used


def on_card(places: Places) -> dict[str, bytes]:
    """Give all that is on the boot partition."""
    return {path.name: path.read_bytes() for path in places.boot.iterdir()}


def test_it_is_taken_over_once(places: Places) -> None:
    """The settings lie on the data partition, the card has the comments again and no secret."""
    (places.boot / FILE).write_text(FILLED)

    assert started(places)[0] == 0
    assert on_card(places) == {FILE: shipped()}
    found = kept(places)
    assert found["settings/hostname"] == "truck-7\n"
    assert found["settings/authorized_keys"] == f"{KEY}\n"
    assert found["settings/country"] == "DE\n"
    assert json.loads(found["settings/telematics.json"])["device"] == "t7"
    assert json.loads(found["settings/telematics.json"])["stale_s"] == 10
    assert found["settings/publish-to"] == ""
    assert PSK in found["network/system-connections/wifi-1.nmconnection"]
    assert "WirelessEnabled=true" in found["network/state/NetworkManager.state"]
    disk = FakeDisk()
    assert started(places, disk) == (0, [])
    assert disk.calls == 0


def test_with_a_mistake_nothing_is_taken(places: Places) -> None:
    """One mistake: no setting is kept, the file stays, and another beside it says why."""
    text = FILLED.replace("DE", "de").encode()
    (places.boot / FILE).write_bytes(text)

    assert started(places) == (1, [])
    assert kept(places) == {}
    card = on_card(places)
    assert card[FILE] == text
    said = card[MISTAKES].decode()
    assert "glovebox.yaml:5: wifi.country: 'de' is not a country code; hint: write DE\r\n" in said
    assert PSK not in said
    disk = FakeDisk()
    started(places, disk)
    assert disk.calls == 0, "the same is written again at each start"


def test_a_mended_file_is_taken(places: Places) -> None:
    """Once it is right it is taken over, and what was said about it is gone."""
    (places.boot / FILE).write_text("hostname: -\n")
    started(places)
    (places.boot / FILE).write_text("hostname: van\n")

    assert started(places)[0] == 0
    assert on_card(places) == {FILE: shipped()}


def test_what_was_said_goes_with_its_cause(places: Places) -> None:
    """An owner who takes the lines out again is told nothing any more."""
    (places.boot / FILE).write_text("hostname: -\n")
    started(places)
    (places.boot / FILE).write_bytes(shipped())

    assert started(places) == (0, [])
    assert on_card(places) == {FILE: shipped()}


def test_what_is_not_said_stays(places: Places) -> None:
    """A second file adds to the first; its lists replace earlier ones, not what was made here."""
    (places.boot / FILE).write_text(FILLED)
    started(places)
    made = places.data / "network/system-connections/workshop.nmconnection"
    made.write_text("by nmcli")
    (places.boot / FILE).write_text("wifi: {country: AT, networks: [{ssid: a}, {ssid: b}]}\n")
    started(places)
    (places.boot / FILE).write_text("wifi: {country: AT, networks: [{ssid: c}]}\n")
    started(places)

    found = kept(places)
    assert found["settings/hostname"] == "truck-7\n"
    assert found["settings/country"] == "AT\n"
    assert "ssid=99;" in found["network/system-connections/wifi-1.nmconnection"]
    assert "network/system-connections/wifi-2.nmconnection" not in found
    assert made.exists()


def fill(places: Places) -> None:
    """Put everything onto the card that can be taken over."""
    (places.boot / FILE).write_text(LONG)
    (places.boot / "ca.pem").write_bytes(AUTHORITY * 100)
    (places.data / "network/system-connections/wifi-9.nmconnection").write_text("before")


@pytest.mark.thorough
def test_the_power_goes_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is cut, the next start has all of it, and the card nothing."""
    monkeypatch.setattr(takeover, "_check_data", lambda _: None)
    monkeypatch.setattr("glovebox.onboard.firstboot.certificates.wrong", lambda *_, **__: iter(()))
    whole = board(tmp_path / "whole")
    fill(whole)
    uncut = FakeDisk()
    assert started(whole, uncut)[0] == 0
    assert uncut.calls > 15

    for cut in range(uncut.calls):
        places = board(tmp_path / str(cut))
        fill(places)
        with pytest.raises(PowerCut):
            started(places, FakeDisk(cut))
        # The power goes again while the rest is done.
        with suppress(PowerCut):
            started(places, FakeDisk(1))

        assert started(places)[0] == 0, f"cut {cut}"
        assert kept(places) == kept(whole), f"cut {cut}"
        card = {name: each for name, each in on_card(places).items() if not name.startswith(".")}
        assert card == {FILE: shipped()}, f"cut {cut}"


def test_a_file_edited_after_a_cut_is_read(places: Places) -> None:
    """What the owner wrote since is taken, not wiped unread."""
    (places.boot / FILE).write_text(FILLED)
    with pytest.raises(PowerCut):
        started(places, FakeDisk(9))
    (places.boot / FILE).write_text("hostname: other\n")

    assert started(places)[0] == 0
    assert kept(places)["settings/hostname"] == "other\n"


def test_old_bytes_are_overwritten_where_they_were(places: Places) -> None:
    """Each sector that held the file is written with zeros before another text comes."""
    (places.boot / FILE).write_text(LONG)
    zeroed: list[tuple[int, int]] = []

    class Watching(FakeDisk):
        def overwrite(self, path: Path, offset: int, content: bytes) -> None:
            if not any(content):
                zeroed.append((offset, len(content)))
            super().overwrite(path, offset, content)

    started(places, Watching())

    assert zeroed == [(0, wipe.SECTOR), (wipe.SECTOR, len(LONG) - wipe.SECTOR)]


def test_a_data_partition_that_takes_nothing(places: Places) -> None:
    """What could not be stored stays on the card, and the owner is told."""

    class Full(FakeDisk):
        def write(self, path: Path, content: bytes) -> None:
            if places.data in path.parents:
                raise OSError(28, "No space left on device")
            super().write(path, content)

    (places.boot / FILE).write_text(FILLED)

    assert started(places, Full()) == (1, [])
    card = on_card(places)
    assert card[FILE] == FILLED.encode()
    assert b"could not be stored: [Errno 28] No space left on device" in card[MISTAKES]


def test_a_card_that_cannot_be_wiped(places: Places) -> None:
    """What is kept is used all the same, and the next start wipes."""

    class Locked(FakeDisk):
        def remount(self, path: Path, *, writable: bool) -> None:
            raise OSError(5, f"{path}, {writable}")

    (places.boot / FILE).write_text(FILLED)
    status, used = started(places, Locked())

    assert (status, len(used)) == (1, 1)
    assert kept(places)["settings/hostname"] == "truck-7\n"
    assert on_card(places)[FILE] == FILLED.encode()
    assert started(places)[0] == 0
    assert on_card(places) == {FILE: shipped()}


def test_ram_is_no_place_to_keep_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a data partition nothing is taken: the card would be wiped and RAM forgets."""
    places = board(tmp_path)
    (places.boot / FILE).write_text(FILLED)
    monkeypatch.setattr(takeover.os, "major", lambda _: 0)

    assert started(places) == (1, [])
    assert on_card(places)[FILE] == FILLED.encode()
    assert b"no data partition" in on_card(places)[MISTAKES]


@pytest.mark.parametrize(
    "network",
    [
        Network(ssid="garage", psk=Secret(PSK)),
        Network(ssid=" Höfe; \\", psk=Secret(" pass\\word ")),
        Network(ssid="open", hidden=True),
    ],
)
def test_profiles_are_those_of_the_image(network: Network) -> None:
    """A network's profile is the same, whether it came with the image or by the card."""
    config = Config(wifi=Wifi(country="DE", networks=(network,)))
    folder = STAGE.parent.parent / "settings/00-board/01-templates/etc/NetworkManager"
    rendered = template.render(folder, {"config": config})

    assert [one.text for one in rendered] == [connection(network)]


class Failing(FakeDisk):
    """A disk of which the calls from one on fail, or that one alone, and nothing else happens."""

    def __init__(self, first: int, *, alone: bool) -> None:
        """Let ``first`` calls happen."""
        super().__init__()
        self._first, self._alone = first, alone
        self.failed = False

    def _counted(self) -> bool:
        self.calls += 1
        if self.calls == self._first + 1 or (self.calls > self._first and not self._alone):
            self.failed = True
            raise OSError(28, "No space left on device")
        return False


@pytest.mark.parametrize("alone", [True, False])
def test_whatever_write_fails_it_is_all_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, alone: bool
) -> None:
    """Each write in turn fails, alone or with all behind it: no traceback, no half, no false word.

    Where the owner reads that nothing was taken over nothing was; the next start, on a card that
    works, has all of it.
    """
    monkeypatch.setattr(takeover, "_check_data", lambda _: None)
    monkeypatch.setattr("glovebox.onboard.firstboot.certificates.wrong", lambda *_, **__: iter(()))
    whole = board(tmp_path / "whole")
    fill(whole)
    uncut = FakeDisk()
    started(whole, uncut)
    never = board(tmp_path / "never")
    fill(never)
    refused = 0
    for first in range(uncut.calls):
        places = board(tmp_path / str(first))
        fill(places)
        disk = Failing(first, alone=alone)
        status, used = started(places, disk)
        assert disk.failed, first
        said = places.boot / MISTAKES
        if said.exists() or not used:
            refused += said.exists()
            assert kept(places) == kept(never), f"call {first}"
            assert status == 1, f"call {first}"
        assert not list(places.boot.glob(".*")), f"call {first}"
        if not alone and kept(places) == kept(never):
            assert places.mistake.exists(), f"call {first}"

        assert started(places)[0] == 0, f"call {first}"
        assert kept(places) == kept(whole), f"call {first}"
        assert on_card(places) == {FILE: shipped()}, f"call {first}"
        assert not places.mistake.exists()
    assert refused == 0 if not alone else refused > 5


@pytest.mark.parametrize("name", [FILE, "ca.pem", "client.key"])
def test_folder_in_place_of_a_file_is_told(places: Places, name: str) -> None:
    """Damage to the card makes such: each start says so in words, until it is gone."""
    (places.boot / name).unlink(missing_ok=True)
    (places.boot / name).mkdir()
    (places.boot / name / "FSCK0000.REC").touch()

    assert started(places) == (1, [])
    assert (
        f"{name}: this is a folder, not a file; hint: remove it"
        in (places.boot / MISTAKES).read_text()
    )
    assert started(places) == (1, [])
    assert kept(places) == {}
    assert anything_new(places)


def test_folder_in_place_of_the_mistakes(places: Places) -> None:
    """Then they stand in a second file, which goes with its cause."""
    (places.boot / MISTAKES).mkdir()
    (places.boot / FILE).write_text("hostname: A B\n")

    assert started(places)[0] == 1
    assert "is not a host name" in (places.boot / takeover.OTHERWISE).read_text()
    (places.boot / FILE).write_text("hostname: van\n")
    assert started(places)[0] == 0
    assert not (places.boot / takeover.OTHERWISE).exists()


def test_full_boot_partition_is_no_traceback(places: Places) -> None:
    """Where not even the mistakes fit, the journal and the LED have them, and nothing half lies."""

    class Full(FakeDisk):
        def write(self, path: Path, content: bytes) -> None:
            if path.parent == places.boot:
                path.with_name(f".{path.name}.new").write_bytes(content[:1])
                path.with_name(f".{path.name}.new").unlink()
                raise OSError(28, "No space left on device")
            super().write(path, content)

    (places.boot / FILE).write_text("hostname: -\n")

    assert started(places, Full()) == (1, [])
    assert set(on_card(places)) == {FILE}
    assert places.mistake.exists()


def test_led_is_told_of_a_mistake_until_it_is_mended(places: Places) -> None:
    """A file in RAM is there while the card holds a mistake."""
    asking = places.mistake.parent / "state"
    asking.mkdir(parents=True)
    found = []
    for name in ("-", "van"):
        (places.boot / FILE).write_text(f"hostname: {name}\n")
        started(places)
        found.append((places.mistake.exists(), (asking / "ask").exists()))
        (asking / "ask").unlink()

    assert found == [(True, True), (False, True)]


def test_large_file_is_not_read_whole(places: Places) -> None:
    """300 MB in place of settings or a certificate: told, without the memory it would take."""
    for name in (FILE, "ca.pem"):
        with (places.boot / name).open("wb") as file:
            file.write(b"x")
            file.truncate(300 << 20)
    tracemalloc.start()

    status, _ = started(places)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert status == 1
    assert "too large" in (places.boot / MISTAKES).read_text()
    assert peak < 8 << 20


def test_thousands_of_mistakes_are_told_in_short(places: Places) -> None:
    """A file that is no settings at all fills neither the card nor a screen."""
    (places.boot / FILE).write_text("user: {ssh_keys: [" + "a, " * 5000 + "]}\n")

    started(places)

    lines = (places.boot / MISTAKES).read_text().splitlines()
    assert len(lines) < 60
    assert lines[-1] == "... and 4951 more"


PASSWORD = "a-password-for-the-garage"  # noqa: S105  nobody has it
STOCK = {
    "ssh": "", "ssh.txt": "", "userconf.txt": f"pi:{PASSWORD}\n", "userconf": f"pi:{PASSWORD}\n",
    "wpa_supplicant.conf": f'network={{\n psk="{PASSWORD}"\n}}\n',
    "custom.toml": f'[wlan]\npassword = "{PASSWORD}"\n',
}  # fmt: skip


def put_stock_files(places: Places) -> None:
    """Put beside our file what other systems are set up by."""
    for name, text in STOCK.items():
        (places.boot / name).write_text(text)


def test_files_of_other_systems_are_noted_and_wiped(places: Places) -> None:
    """Ours counts all the same; theirs are gone, without the LED, and a note says what to do."""
    put_stock_files(places)
    (places.boot / FILE).write_text(FILLED)
    assert anything_new(places)
    wiped: list[bytes] = []

    class Watching(FakeDisk):
        def remove(self, path: Path) -> None:
            if path.name in STOCK:
                wiped.append(path.read_bytes())
            super().remove(path)

    status, used = started(places, Watching())

    assert (status, len(used)) == (0, 1)
    assert kept(places)["settings/hostname"] == "truck-7\n"
    assert set(on_card(places)) == {FILE, habits.NOTES}
    assert not any(any(content) for content in wiped)
    assert len(wiped) == len(STOCK)
    assert not places.mistake.exists()
    notes = (places.boot / habits.NOTES).read_text()
    assert "ssh: not needed, SSH is on" in notes
    assert "wpa_supplicant.conf: Wi-Fi is set in glovebox.yaml: wifi.country" in notes
    assert PASSWORD not in notes
    assert not anything_new(places), "a note starts no Python at each start"


def test_files_of_other_systems_alone_are_no_mistake(places: Places) -> None:
    """Nothing was asked for: nothing is kept, and nobody is told of a mistake."""
    put_stock_files(places)

    assert started(places) == (0, [])
    assert kept(places) == {}
    assert set(on_card(places)) == {FILE, habits.NOTES}


def test_look_for_something_new_knows_every_name(places: Places) -> None:
    """The shell script that decides whether a Python is started looks for each of the names."""
    for name in (*habits.HABITS, *CERTIFICATES, MISTAKES, takeover.OTHERWISE):
        assert not anything_new(places), name
        (places.boot / name).touch()
        assert anything_new(places), name
        (places.boot / name).unlink()
    (places.kept / ".taken").mkdir(parents=True)
    assert anything_new(places)


def anything_new(places: Places) -> bool:
    """Ask the script."""
    script = STAGE / "01-overlay/usr/lib/glovebox/anything-new"
    return run([script, places.boot, places.kept], check=False).returncode == 0
