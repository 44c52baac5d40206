"""What Raspberry Pi Imager writes onto the card: read as if it stood in glovebox.yaml, and wiped.

The files in tests/imager are what Imager's own code made of three dialogs, see the page there.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.boards import firmware
from glovebox.config import rules
from glovebox.config.schema import Network, Secret
from glovebox.host.run import run
from glovebox.onboard.firstboot import habits, screen, takeover
from glovebox.onboard.firstboot.card import FILE, Wanted, read
from glovebox.onboard.firstboot.forms import read as forms
from glovebox.onboard.firstboot.takeover import MISTAKES, take_over
from tests.owners_card import STAGE, FakeDisk, PowerCut, board, kept, shipped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from glovebox.onboard.firstboot.card import Places

SHOWN = Path(__file__).parent.parent / "imager"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDuZc3RrZXl0ZXN0a2V5dGVzdGtleXRlc3RrZXl0ZXN0"
HASH = "$y$jB5$OVbJ4toArg4NKZIPOJYBG/$htuCL5PKXrS3SFapUKJWtsRpaDPIaZG7d9fXVi5xGF4"
OLD_HASH = "$5$288K9nAOsa$F5Nj5GnUr3IaVc5poB9y59A9IftNfqAswS2e6nW2wc3"
PASSPHRASE = "correct horse battery"  # noqa: S105  nobody has it
SSID, OLD_SSID = 'Höfe & "garage" it\'s', "Höfe & garage it's"
OWN = "console=ttyS1,115200 root=PARTUUID=01234567-02 ro panic=10 loglevel=4"
REGDOM = " cfg80211.ieee80211_regdom={}"
# As `_customizeImage` in src/downloadthread.cpp appends them.
SYSTEMD = " systemd.run=/boot/firstrun.sh systemd.run_success_action=reboot"
SYSTEMD += " systemd.unit=kernel-command-line.target"
NOCLOUD = " ds=nocloud;i=rpi-imager-1764000000000"
META = b"instance-id: rpi-imager-1764000000000\n"
CLOUD = ("user-data", "network-config")
WORDS = {"firstrun.sh": SYSTEMD, "user-data": NOCLOUD, "rpi-preseed.toml": ""}


def pmk(ssid: str) -> str:
    """Derive the key of a network, as IEEE 802.11 says."""
    return hashlib.pbkdf2_hmac("sha1", PASSPHRASE.encode(), ssid.encode(), 4096, 32).hex()


def cards(dialog: str) -> list[tuple[str, str]]:
    """Give each version and form of a dialog, by the file that tells the form."""
    return sorted(
        (path.parent.parent.name, path.name)
        for path in SHOWN.glob(f"v*/{dialog}/*")
        if path.name in WORDS
    )


def put(places: Places, version: str, dialog: str, form: str, country: str = "DE") -> None:
    """Put onto a card what this version of Imager puts there."""
    folder = SHOWN / version / dialog
    for name in CLOUD if form == "user-data" else (form,):
        if (folder / name).exists():
            (places.boot / name).write_bytes((folder / name).read_bytes())
    if form == "user-data" and not version.startswith(("v1", "v2.0.0")):
        (places.boot / "meta-data").write_bytes(META)
    (places.boot / "cmdline.txt").write_text(OWN + REGDOM.format(country) + WORDS[form])


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


def anything_new(places: Places) -> bool:
    """Ask the script that decides whether a Python is started."""
    script = STAGE / "01-overlay/usr/lib/glovebox/anything-new"
    return run([script, places.boot, places.kept], check=False).returncode == 0


def notes(places: Places) -> str:
    """Give what the owner reads, if anything."""
    path = places.boot / habits.NOTES
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize(("version", "form"), cards("full"))
def test_all_that_the_dialog_asks_for_counts(places: Places, version: str, form: str) -> None:
    """Name, user, password, keys, network, country, time zone and keyboard, of each version."""
    put(places, version, "full", form)
    assert anything_new(places)
    old = version.startswith("v1")
    ssid = OLD_SSID if old else SSID
    key = PASSPHRASE if form == "rpi-preseed.toml" else pmk(ssid)

    status, used = started(places)

    assert (status, used) == (0, [Wanted(
        hostname="truck-7",
        user="anna",
        password_hash=Secret(OLD_HASH if old else HASH),
        ssh_keys=(f"{KEY} me", f"{KEY} it's mine"),
        country="DE",
        networks=(Network(ssid=ssid, psk=Secret(key), hidden=True),),
        timezone="Europe/Berlin",
        keyboard="de",
    )])  # fmt: skip
    assert kept(places)["settings/keyboard"] == "de\n"


@pytest.mark.parametrize(("version", "form"), cards("full"))
def test_nothing_of_it_stays_on_the_card(places: Places, version: str, form: str) -> None:
    """Files and words are gone after one start; the command line keeps its own words in place."""
    put(places, version, "full", form)
    before = (places.boot / "cmdline.txt").stat().st_size

    started(places)

    card = {path.name for path in places.boot.iterdir()}
    assert card - {habits.NOTES} == {FILE, "cmdline.txt"}
    assert (places.boot / FILE).read_bytes() == shipped()
    assert (places.boot / "cmdline.txt").read_text().split() == OWN.split()
    assert (places.boot / "cmdline.txt").stat().st_size == before
    assert not anything_new(places)
    disk = FakeDisk()
    assert started(places, disk) == (0, [])
    assert disk.calls == 0


@pytest.mark.parametrize(("version", "form"), cards("password"))
def test_what_this_board_does_not_do_is_told(places: Places, version: str, form: str) -> None:
    """A password for SSH, Raspberry Pi Connect, interfaces: the rest counts, and a note says so."""
    put(places, version, "password", form, country="NO")

    status, used = started(places)

    assert (status, len(used)) == (0, 1)
    assert (used[0].hostname, used[0].user, used[0].country) == ("van", "pi", "NO")
    assert (used[0].timezone, used[0].keyboard) == ("Europe/Oslo", "no")
    assert used[0].ssh_keys == ()
    said = notes(places)
    assert f"{form}: SSH asks for a key here, never for a password" in said
    if not version.startswith("v1"):
        assert used[0].networks == (Network(ssid="open"),)
        assert f"{form}: Raspberry Pi Connect is not on this board" in said
    if form == "rpi-preseed.toml":
        assert f"{form}: interfaces.i2c is not done on this board" in said
        assert f"{form}: sudo asks for the password where one is set" in said
    assert "rpuak" not in said
    assert not (places.boot / MISTAKES).exists()


@pytest.mark.parametrize(("version", "form"), cards("country"))
def test_a_country_alone(places: Places, version: str, form: str) -> None:
    """Where the dialog named no network, the country of the command line counts."""
    put(places, version, "country", form, country="GB")

    status, used = started(places)

    wanted = Wanted(country="GB", timezone="Europe/London", keyboard="gb")
    assert (status, used) == (0, [wanted])
    assert notes(places) == ""


def test_a_derived_key_is_told_to_be_of_wpa2(places: Places) -> None:
    """Imager hands over 64 digits, which no network that is WPA3 alone takes: a note says so."""
    put(places, "v2.0.11.1", "full", "user-data")
    started(places)

    assert "network-config: the network is known by its derived key" in notes(places)
    assert "that is WPA2" in notes(places)
    assert pmk(SSID) not in notes(places)


def test_glovebox_yaml_counts_more(places: Places) -> None:
    """What the owner wrote by hand counts where both say something; the rest stays the dialog's."""
    put(places, "v2.0.11.1", "full", "user-data")
    (places.boot / FILE).write_text("hostname: by-hand\nwifi:\n  country: AT\n")

    _, used = started(places)

    assert used[0].hostname == "by-hand"
    assert used[0].country == "AT"
    assert used[0].user == "anna"
    assert [one.ssid for one in used[0].networks or ()] == [SSID]


def told(places: Places, files: Mapping[str, str]) -> str:
    """Start a board with these files; give the mistakes."""
    for name, text in files.items():
        (places.boot / name).write_text(text)
    assert started(places) == (1, [])
    assert kept(places) == {}
    assert all((places.boot / name).read_text() == text for name, text in files.items())
    return (places.boot / MISTAKES).read_text()


TOML = '[user]\nname = "anna"\npassword = "in clear"\n[wlan]\nssid = "garage"\npassword = "{}"\n'


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("rpi-preseed.toml", TOML.format("long enough"), "rpi-preseed.toml:3: user.password_hash:"),
        ("rpi-preseed.toml", TOML.format("short"), "rpi-preseed.toml:5: wifi.networks[0].psk: the"),
        ("rpi-preseed.toml", "hostname = \n", "rpi-preseed.toml:1: this is not TOML"),
        ("rpi-preseed.toml", f"a = {'9' * 5000}\n", "rpi-preseed.toml: this is not TOML"),
        ("rpi-preseed.toml", "[system]\nhostname = 7\n", "rpi-preseed.toml:2: system.hostname: "),
        ("rpi-preseed.toml", '[wlan]\nssid_hex = "e4"\n', "rpi-preseed.toml:2: wlan.ssid_hex: is"),
        ("rpi-preseed.toml", f'[wlan]\nssid = "a"\nkey_mgmt = "sae"\npassword = "{"a" * 64}"\n',
         "rpi-preseed.toml:2: wlan.password: is a derived key, and WPA3 (sae) takes passphrases"),
        ("custom.toml", '[locale]\ntimezone = "Mars"\n', "custom.toml:2: timezone: 'Mars' is not"),
        ("user-data", "#cloud-config\nhostname: a b\n", "user-data:2: hostname: 'a b' is not a"),
        ("user-data", "#cloud-config\nuser:\n  name: [\n", "user-data:4:1: this is not YAML"),
        ("user-data", "#cloud-config\n- hostname\n", "user-data: this is not a section"),
        ("user-data", "#cloud-config\nuser: {name: video}\n", "user-data:2: user.name: 'video' is"),
        ("network-config", "wifis: {wlan0: {access-points: {garage: {password: tiny}}}}\n",
         "network-config:1: wifi.networks[0].psk: the value (not shown) is not a WPA passphrase"),
        ("network-config", "wifis: {wlan0: {access-points: {garage: {password: long enough}}}}\n",
         "wifi.country: is missing, wifi.networks needs it"),
        ("firstrun.sh", "/usr/lib/userconf-pi/userconf 'anna\n", "firstrun.sh:1: a quote is"),
        ("firstrun.sh", "cat >a <<'EOF'\n\tssid=hex:e4\n", "firstrun.sh:2: is the name of a netw"),
    ],
)  # fmt: skip
def test_mistakes_have_file_and_line(places: Places, name: str, text: str, said: str) -> None:
    """What is wrong is told in the words of glovebox.yaml; nothing is taken, no secret shown."""
    found = told(places, {name: text})

    assert said in found
    assert not any(secret in found for secret in ("in clear\n", "short", "tiny", "long enough"))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("firstrun.sh", "#!/bin/sh\nrm -rf /\n", "commands are not run on this board"),
        ("user-data", "#!/bin/sh\nrm -rf /\n", "commands are not run on this board"),
        ("user-data", "#cloud-config\nruncmd:\n  - [rm, -rf, /]\n", "commands are not run"),
        ("user-data", "#cloud-config\npackages: [vim]\n", "packages are not installed"),
        ("user-data", "#cloud-config\nwrite_files: []\n", "write_files is not done on this board"),
        ("network-config", "ethernets: {eth0: {addresses: [10.0.0.2/8]}}\n", "by DHCP alone"),
        ("rpi-preseed.toml", '[runcmd]\nearly = ["reboot"]\n', "runcmd.early is not done"),
        ("rpi-preseed.toml", '[ssh]\nssh_import_id = ["gh:a"]\n', "ssh.ssh_import_id is not done"),
        ("vendor-data", "#!/bin/sh\n", "vendor-data: commands and packages of a vendor's"),
    ],
)  # fmt: skip
def test_what_is_asked_beyond_is_noted_and_wiped(
    places: Places, name: str, text: str, said: str
) -> None:
    """Scripts and packages of others are no mistake: told, wiped, and nothing of them is run."""
    (places.boot / name).write_text(text)

    assert started(places) == (0, [])
    assert said in notes(places)
    assert not (places.boot / name).exists()
    assert not anything_new(places)


def test_templates_of_raspberry_pi_os_ask_for_nothing(places: Places) -> None:
    """Its files that are all comments are no settings, and nobody is told of them."""
    for name in CLOUD:
        (places.boot / name).write_text("#cloud-config\n\n# hostname: raspberrypi\n")

    assert started(places) == (0, [])
    assert notes(places) == ""
    assert {path.name for path in places.boot.iterdir()} == {FILE}


def test_a_board_that_has_a_country_keeps_it(places: Places) -> None:
    """A network without a country is joined where the image, or an earlier card, said one."""
    (places.root / "etc/modprobe.d/wifi-country.conf").write_text(
        "options cfg80211 ieee80211_regdom=FR\n"
    )
    (places.boot / "rpi-preseed.toml").write_text('[wlan]\nssid = "a"\npassword = "12345678"\n')

    assert started(places)[1][0].country == "FR"


def test_words_alone_are_taken_off(places: Places) -> None:
    """A command line from another card, without the files that belong to it: the words go."""
    (places.boot / "cmdline.txt").write_text(f"{OWN}{SYSTEMD}{NOCLOUD}\r\n")
    assert anything_new(places)

    assert started(places) == (0, [])
    assert (places.boot / "cmdline.txt").read_text().split() == OWN.split()
    assert not anything_new(places)


def test_command_line_is_never_wiped(places: Places) -> None:
    """A damaged one that begins with a zero looks like a file half wiped: it stays all the same."""
    (places.boot / "cmdline.txt").write_bytes(b"\0" + OWN.encode())
    (places.boot / FILE).write_text("hostname: van\n")

    assert started(places)[0] == 0
    assert (places.boot / "cmdline.txt").read_bytes() == b"\0" + OWN.encode()


@pytest.mark.parametrize("form", WORDS)
def test_the_power_goes_at_any_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Wherever it is cut the next start has all of it, and the command line was one all along."""
    monkeypatch.setattr(takeover, "_check_data", lambda _: None)

    def filled(name: str) -> Places:
        places = board(tmp_path / name)
        put(places, "v2.0.11.1", "full", form)
        (places.boot / FILE).write_text("hostname: by-hand\n")
        return places

    whole = filled("whole")
    uncut = FakeDisk()
    assert started(whole, uncut)[0] == 0
    for cut in range(uncut.calls):
        places = filled(str(cut))
        with pytest.raises(PowerCut):
            started(places, FakeDisk(cut))
        words = (places.boot / "cmdline.txt").read_text().split()
        assert words[: len(OWN.split())] == OWN.split()

        assert started(places)[0] == 0, f"cut {cut}"
        assert kept(places) == kept(whole), f"cut {cut}"
        card = {path.name for path in places.boot.iterdir() if not path.name.startswith(".")}
        assert card - {habits.NOTES} == {FILE, "cmdline.txt"}, f"cut {cut}"
        assert (places.boot / "cmdline.txt").read_text().split() == OWN.split(), f"cut {cut}"


def test_look_for_something_new_knows_every_form(places: Places) -> None:
    """The shell script that decides whether a Python is started looks for each of the names."""
    for name in forms.READERS:
        assert not anything_new(places), name
        (places.boot / name).touch()
        assert anything_new(places), name
        (places.boot / name).unlink()
    for word in (*SYSTEMD.split(), "systemd.run_failure_action=none", *NOCLOUD.split()):
        (places.boot / "cmdline.txt").write_text(f"{OWN} {word}")
        assert anything_new(places), word
    (places.boot / "cmdline.txt").write_text(f"{OWN} systemd.unit=multi-user.target mads=nocloud\n")
    assert not anything_new(places)


def lit(places: Places) -> Places:
    """Let a card have the file that makes a picture at HDMI."""
    shipped_ = STAGE / "01-overlay/usr/share/glovebox" / screen.FILE
    (places.boot / screen.FILE).write_bytes(shipped_.read_bytes())
    return places


def hdmi(places: Places) -> tuple[str | None, str | None]:
    """Give what the firmware of a Zero W makes of it, behind the words that keep HDMI off."""

    def included(name: str) -> str | None:
        return (places.boot / name).read_text()

    config = f"hdmi_ignore_hotplug=1\nmax_framebuffers=0\ninclude {screen.FILE}\n"
    reading = firmware.read(config, firmware.MODELS["zero-w"], included)
    assert reading.notes == ()
    return reading.values["hdmi_ignore_hotplug"], reading.values["max_framebuffers"]


def test_the_picture_ends_when_the_board_is_set_up(places: Places) -> None:
    """Settings from the card end it; words and files that ask for nothing do not."""
    lit(places)
    (places.boot / "meta-data").write_bytes(META)
    started(places)
    assert hdmi(places) == ("0", "1")

    (places.boot / FILE).write_text("hostname: van\n")
    started(places)

    assert hdmi(places) == ("1", "0")


def test_a_cut_while_the_picture_is_put_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever the power goes the firmware reads the file, and the next start ends it."""
    monkeypatch.setattr(takeover, "_check_data", lambda _: None)
    uncut = FakeDisk()
    for cut in range(100):
        places = lit(board(tmp_path / str(cut)))
        (places.boot / FILE).write_text("hostname: van\n")
        if cut == 0:
            started(places, uncut)
            continue
        if cut >= uncut.calls:
            break
        with pytest.raises(PowerCut):
            started(places, FakeDisk(cut))
        hdmi(places)

        assert started(places)[0] == 0
        assert hdmi(places) == ("1", "0"), f"cut {cut}"
    assert cut == uncut.calls


def test_the_screen_names_the_board(tmp_path: Path) -> None:
    """The script says name, user and address, and writes again only when they change."""
    places = board(tmp_path)
    shown = tmp_path / "screen"
    (tmp_path / "hostname").write_text("#!/bin/sh\necho 192.168.1.7\n")
    (tmp_path / "hostname").chmod(0o755)
    script = STAGE / "01-overlay/usr/lib/glovebox/show-name"

    run([script, shown, "1", places.root], env={"PATH": f"{tmp_path}:/usr/bin:/bin"})

    assert "ssh pi@glovebox.local" in shown.read_text()
    assert "by address:  192.168.1.7" in shown.read_text()


def test_large_forms_are_not_read_whole(places: Places) -> None:
    """A file of 300 MB under such a name is told, as any other is."""
    with (places.boot / "user-data").open("wb") as file:
        file.truncate(300 << 20)
        file.write(b"#cloud-config\n")

    assert started(places) == (1, [])
    assert "user-data: the file is too large" in (places.boot / MISTAKES).read_text()


def test_hashes_of_the_dialog_pass() -> None:
    """Imager 1.x and, for old systems, 2.x hash by SHA-256; cut short it is none."""
    assert rules.password_hash(OLD_HASH) == OLD_HASH
    assert rules.password_hash(HASH) == HASH
    with pytest.raises(ValueError, match="damaged or cut short"):
        rules.password_hash(OLD_HASH[:-1])


def test_read_without_forms_is_as_before(places: Places) -> None:
    """A card without any of it asks for what glovebox.yaml says alone."""
    together = forms.read({}, OWN.encode(), places.root)

    assert read(b"hostname: van\n", {}, places, together) == Wanted(hostname="van")
