"""Reading the configuration: what is taken, what is refused, and what is never said aloud."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import given, settings, strategies as st

from glovebox.config.build import BuildConfig
from glovebox.config.schema import STAGES, BoardName, Config, FirmwareFile, Network, Secret, Server
from glovebox.docs import PAGE, reference_markdown
from glovebox.errors import ConfigError
from glovebox.project.load import Loaded, load

if TYPE_CHECKING:
    from collections.abc import Sequence

CHECKOUT = Path(__file__).resolve().parents[2]
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@car"
YESCRYPT = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7"
SHA512 = f"$6$saltsalt${'a' * 86}"
SECRET = "hunter2-in-clear"  # noqa: S105  what must never be seen again


def load_text(
    folder: Path, text: str, *, local: str | None = None, overrides: Sequence[str] = ()
) -> Loaded:
    """Load image.yaml and its local file from texts, in a checkout with our stages' folders."""
    for name in STAGES:
        (folder / "stages" / name).mkdir(parents=True, exist_ok=True)
    (folder / "overlays/dash").mkdir(parents=True, exist_ok=True)
    (folder / "image.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    beside = folder / "image.local.yaml"
    beside.unlink(missing_ok=True)
    if local is not None:
        beside.write_text(local, encoding="utf-8")
        beside.chmod(0o600)
    return load(folder / "image.yaml", overrides=overrides, checkout=folder, home=folder / "home")


def refusal(folder: Path, text: str, *, local: str | None = None) -> list[str]:
    """Load what must be refused, and give the lines that say why."""
    with pytest.raises(ConfigError) as caught:
        load_text(folder, text, local=local)
    return [line.strip() for line in caught.value.message.splitlines()[1:]]


def test_empty_file_is_the_default_configuration(tmp_path: Path) -> None:
    """A file that says nothing gives the defaults, each marked as such."""
    loaded = load_text(tmp_path, "")

    assert BuildConfig() == loaded.config
    assert {"default"} == set(loaded.origins.values())


def test_shipped_example_is_the_default_car() -> None:
    """The image.yaml of the checkout says what the defaults say, and is a Zero W."""
    text = (CHECKOUT / "image.yaml").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        loaded = load_text(Path(folder), text)

    assert BuildConfig() == loaded.config
    assert loaded.config.board is BoardName.ZERO_W


def test_everything_can_be_set(tmp_path: Path) -> None:
    """Every kind of value arrives in its type, from the file that holds it."""
    text = f"""
board: 3
mirror: http://deb.example/debian
hostname: truck-7
user: {{name: eva, ssh_keys: ["{PUBLIC}"]}}
locale: de_DE.UTF-8
timezone: Europe/Berlin
keyboard: de
disk: {{boot: 256MiB, root: 3GB, root_free: 1048576}}
stages: [base, telematics]
overlays: [dash]
environment: {{DASH_COLOUR: "blue"}}
firmware: [{{url: "https://files.example/a.bin", sha256: {"AB" * 32}}}]
queue: {{server: valkey}}
service: {{batch_ms: 250}}
"""
    local = f"""
user: {{password_hash: '{YESCRYPT}'}}
wifi:
  country: "NO"
  networks:
    - {{ssid: garage, psk: "12345678", hidden: yes}}
    - ssid: open
"""

    loaded = load_text(tmp_path, text, local=local)

    config = loaded.config
    assert config.board is BoardName.PI_3
    assert config.mirror == "http://deb.example/debian"
    assert config.hostname == "truck-7"
    assert config.user.name == "eva"
    assert config.user.ssh_keys == (PUBLIC,)
    assert config.user.password_hash == Secret(YESCRYPT)
    assert (config.locale, config.timezone, config.keyboard) == (
        "de_DE.UTF-8",
        "Europe/Berlin",
        "de",
    )
    assert (config.disk.boot, config.disk.root, config.disk.root_free) == (2**28, 3 * 10**9, 2**20)
    assert tuple(map(str, config.stages)) == ("base", "telematics")
    assert config.overlays == ("dash",)
    assert config.environment == {"DASH_COLOUR": "blue"}
    assert config.firmware == (FirmwareFile(url="https://files.example/a.bin", sha256="ab" * 32),)
    assert config.queue.server is Server.VALKEY
    assert config.service.batch_ms == 250
    assert config.wifi.country == "NO"
    assert config.wifi.networks == (
        Network(ssid="garage", psk=Secret("12345678"), hidden=True),
        Network(ssid="open"),
    )
    assert loaded.origins["hostname"] == "image.yaml:4"
    assert loaded.origins["wifi.networks[0].psk"] == "image.local.yaml:6"
    assert loaded.warnings == ()


def test_later_sources_win_key_by_key(tmp_path: Path) -> None:
    """Sections merge, lists and values are replaced, and --set has the last word."""
    text = "disk: {boot: 256MiB, root: 2GiB}\nstages: [base, gnss]\n"
    local = "disk: {root: 3GiB}\nstages: [base]\nwifi:\n"

    loaded = load_text(
        tmp_path, text, local=local, overrides=["disk.root=auto", "board=4", "stages=[base, boot]"]
    )

    assert loaded.config.disk.boot == 256 << 20
    assert loaded.config.disk.root is None
    assert tuple(map(str, loaded.config.stages)) == ("base", "boot")
    assert loaded.config.board is BoardName.PI_4
    assert loaded.origins["disk.root"] == "--set"
    assert loaded.origins["disk.boot"] == "image.yaml:1"


def test_commented_out_section_erases_nothing(tmp_path: Path) -> None:
    """A section left empty in the local file keeps what the other file says."""
    loaded = load_text(tmp_path, "disk: {boot: 256MiB}\n", local="disk:\n  # root: 4GiB\nstages:\n")

    assert loaded.config.disk.boot == 256 << 20
    assert tuple(map(str, loaded.config.stages)) == STAGES


def test_five_mistakes_are_said_at_once(tmp_path: Path) -> None:
    """Each mistake has its line, its key, its value and a cure, in the order of the file."""
    text = """\
board: 3b
hostnmae: car
disk:
  boot: 512X
wifi:
  networks:
    - {ssid: garage, psk: short}
"""

    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, text)

    expected = """\
the configuration has 5 mistakes:
  image.yaml:1: board: '3b' is not one of zero-w, zero-2-w, 2, 3, 4, 5; hint: did you mean 3?
  image.yaml:2: hostnmae: is no known key; hint: did you mean hostname?
  image.yaml:4: disk.boot: '512X' is not a size; hint: write it as 512MiB or 4GiB
  image.yaml:6: wifi.country: is missing, wifi.networks needs it; \
hint: the radio stays off until it is known where the board is
  image.yaml:7: wifi.networks[0].psk: the value (not shown) is not a WPA passphrase; \
hint: 8 to 63 ASCII characters, or the key as 64 hex digits"""
    assert expected == str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # What it starts from
        ("board: 1", "board: 1 is not one of zero-w, zero-2-w, 2, 3, 4, 5"),
        ("board: 5\nkernel: suite", "kernel: 'suite' leaves a Pi 5 without USB, so no receiver would be seen: trixie's kernel (6.12) has no driver for RP1, the chip behind all its ports; hint: leave kernel: out"),  # noqa: E501  whole lines
        ("board: 5\nsuite: forky", "suite: forky has no backports to take a kernel from; hint: use suite trixie"),  # noqa: E501  whole lines
        ("kernel: backports", "kernel: 'backports': they have no linux-image-rpi for armel; hint: leave kernel: out"),  # noqa: E501  whole lines
        ("board: 3\nkernel: backport", "kernel: 'backport' is not one of suite, backports; hint: did you mean backports?"),  # noqa: E501  whole lines
        ("base: raspios\nprofile: bench\nstages: [telematics]\nboard: 3\nkernel: backports", "kernel: 'backports' is said, and base raspios brings a kernel of its own; hint: leave kernel: out"),  # noqa: E501  whole lines
        ("board: zero-2-w", "board: 'zero-2-w' could not be reached by Wi-Fi: most Raspberry Pi Zero 2 Ws need the firmware brcmfmac43430b0 or brcmfmac43436, which Debian does not have; hint: name its files under firmware:, each with url and sha256 (docs/bases.md); or say network: usb (an adapter), network: none, or base: raspios"),  # noqa: E501  whole lines
        ("board: zero-2-w\nfirmware: [{url: 'http://x.example/other.bin', sha256: '" + "0" * 64 + "'}]", "'zero-2-w' could not be reached by Wi-Fi"),  # noqa: E501  whole lines
        ("network: lan", "network: 'lan' is not one of wifi, usb, none"),
        ("board: 2", "board: '2' is built on Raspberry Pi OS only: no Debian system was made for it here, its processor is ARMv7 (armhf); hint: write base: raspios with profile: bench, or use board 3"),  # noqa: E501  whole lines
        ("base: auto", "base: 'auto' is neither a base nor the path of an .img or .img.xz file; hint: use debian or raspios"),  # noqa: E501  whole lines
        ("base: raspbios", "did you mean raspios?"),
        ("base: raspios\nprofile: bench\nstages: [telematics]", "board: 'zero-w' is not built on base raspios yet: its Raspberry Pi OS is armhf"),  # noqa: E501  whole lines
        ("base: raspios\nprofile: bench\nboard: '3'\nstages: [gnss, boot, car]", "stages: boot, car: on Raspberry Pi OS they replace its own network and first boot, which profile bench leaves as they are; hint: leave them out, or write profile: car"),  # noqa: E501  whole lines
        ("base: raspios\nprofile: bench\nboard: '3'\nstages: [gnss]\nsuite: bullseye", "suite: 'bullseye' is not taken from Raspberry Pi's list of images; hint: use suite trixie or bookworm, or name an image: base: PATH.img.xz"),  # noqa: E501  whole lines
        ("raspios: {server: downloads.example}", "raspios.server: 'downloads.example' is not an address to fetch from"),  # noqa: E501  whole lines
        ("raspios: {key: no.asc}", "raspios.key: 'no.asc' is a file that is not there; hint: looked for"),  # noqa: E501  whole lines
        ("raspios: {image: no.img.xz}", "raspios.image: 'no.img.xz' is a file that is not there"),
        ("raspios: {sever: x}", "raspios.sever: is no known key; hint: did you mean server?"),
        ("base: debain", "did you mean debian?"),
        ("base: card.img", "base: 'card.img' is an image that is not there"),
        ("suite: trixy", "did you mean trixie?"),
        ("suite: forky", "Debian dropped armel after trixie"),
        ("mirror: deb.example", "is not an address to fetch from"),
        ("mirror: http://me:pass@deb.example", "'http://…@deb.example'"),
        ("mirror: 'http://[::1'", "is not an address to fetch from"),
        # Names and places
        ("hostname: Car_1", "'Car_1' is not a host name"),
        ("hostname: a.b", "no dots"),
        ("hostname: 123", "hostname: 123 is read by YAML as a number, not as text;"),
        ("hostname: 12:30", "hostname: 12:30 is read by YAML as a number"),
        ("hostname: 2024-01-01", "a date or another special value"),
        ("hostname: [a]", "hostname: a list is not text"),
        ("hostname:", "hostname: this is empty"),
        ("hostname: !x y", "hostname: 'y' is read by YAML as"),
        ('hostname: "a\\0b"', "holds a control character"),
        ("user: {name: root}", "'root' is an account that every Debian has"),
        ("user: {name: Eva}", "'Eva' is not a login name"),
        ("locale: de_DE", "'de_DE' is not a UTF-8 locale"),
        ("timezone: Europe/Berlinn", "did you mean Europe/Berlin?"),
        ("timezone: ../../etc/passwd", "is not a time zone"),
        ("keyboard: uk", "the United Kingdom's is gb"),
        ("keyboard: no", 'keyboard: no is read by YAML as true or false, not as text; hint: put it in quotes: "no"'),  # noqa: E501  whole lines
        ("wifi: {country: NO}", 'put it in quotes: "NO"'),
        ("wifi: {country: de}", "hint: write DE"),
        ("wifi: {country: UK}", "the United Kingdom is GB"),
        ("wifi: {country: DE, networks: [{psk: '12345678'}]}", "wifi.networks[0].ssid: is missing"),
        (f"wifi: {{country: DE, networks: [{{ssid: {'ä' * 17}}}]}}", "is not a network name"),
        ("wifi: {country: DE, networks: [{ssid: a, hidden: 'yes'}]}", "'yes' is not true or false"),
        ("wifi: {country: DE, networks: {ssid: a}}", "wifi.networks: a section is not a list"),
        # Sizes and numbers
        ("disk: {boot: 1KiB}", "disk.boot: '1KiB' is too small; hint: at least 64MiB"),
        ("disk: {boot: 1.5XiB}", "'1.5XiB' is not a size"),
        ("disk: {boot: -1}", "disk.boot: -1 is not a size"),
        ("disk: {root: lots}", "disk.root: 'lots' is not a size; hint: write it as 512MiB or 4GiB"),
        ("disk: {root: 9000GiB}", "is too large; hint: at most 2047GiB"),
        ("service: {batch_ms: 017}", "service.batch_ms: 017 is not a whole number"),
        ("service: {batch_ms: 0o17}", "'0o17' is not a whole number"),
        ("service: {batch_ms: 1:30}", "1:30 is not a whole number"),
        ("service: {batch_ms: '250'}", "take the quotes away"),
        ("service: {batch_ms: 1}", "service.batch_ms: 1 is too small; hint: at least"),
        ("service: {batch_mss: 1}", "did you mean batch_ms?"),
        # Lists, folders and files
        ("stages: base", "stages: 'base' is not a list; hint: write stages: [first, second]"),
        ("stages: [gnnss]", "stages[0]: 'gnnss' is not a folder below stages/; hint: did you mean gnss?"),  # noqa: E501  whole lines
        ("stages: [../none]", "stages[0]: '../none' is a folder that is not there"),
        ("overlays: [dsh]", "did you mean dash?"),
        ("environment: {'1A': x}", "'1A' is not the name of a variable"),
        ("environment: {A: 1}", "environment.A: the value (not shown) is read by YAML as a number"),
        ("environment: [A]", "hint: write NAME: value below it"),
        ("firmware: [{url: 'https://a.example/b', sha256: abc}]", "'abc' is not a SHA-256 sum"),
        ("queue: {server: rediss}", "did you mean redis?"),
        # Keys
        ("ssh_keys: []", "ssh_keys: is no known key; hint: it belongs in user"),
        ("ssid: home", "hint: it belongs in wifi.networks"),
        ("colour: red", "hint: it has board, base"),
        ("disk: 4GiB", "disk: '4GiB' is not a section; hint: it has the keys boot, root"),
        ("hostname: a\nhostname: b", "image.yaml:2: a key stands twice, first in line 1"),
        ("[board]", "a list is not a section"),
        ("? [a]\n: b", "a key is a list or a mapping"),
        # YAML itself
        ("a: b: c", "image.yaml:1:5: a colon too many stands here"),
        ("board: [3", "a bracket is opened and not closed"),
        ("board: '3", "a quote is opened and not closed"),
        ("board 3\nbase: debian", "or the line above lacks its own"),
        ("user:\n  name: eva\n  colour\nboard: 3", "a key has no colon and space after it"),
        ("disk:\n\tboot: 1", "image.yaml:2:1: a tab stands where spaces belong"),
        ("disk: &a {boot: *a}", "image.yaml:1: anchors and aliases are not used here"),
        ("hostname: a\n---\nhostname: b", "a second document starts here"),
        ("hostname: \x01", "image.yaml:1: a control character stands here"),
        ('hostname: "\\ud800"', "half a character"),
        ("hostname: \ud800", "a character is not UTF-8"),
        ("[" * 5000, "nested too deep"),
        ("%YAML 3.0\n---\na: b", "this is not YAML"),
    ],
)  # fmt: skip
def test_mistake_is_named_with_its_cure(tmp_path: Path, text: str, expected: str) -> None:
    """One mistake gives one line, in words that its author can act on."""
    lines = refusal(tmp_path, text)

    assert len(lines) == 1, lines
    assert expected in lines[0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("raspberry", "a password in clear is refused; hint: make one with: mkpasswd -m yescrypt"),
        ("12345678", "is read by YAML as a number"),
        ("$1$abc$abcdefghijklmnopqrstuv", "of a kind that is not accepted"),
        (YESCRYPT[:-1], "damaged or cut short"),
        ("[a]", "a list is not text"),
        ("{a: b}", "a section is not text"),
    ],
)
def test_wrong_password_hash_is_refused_unseen(tmp_path: Path, value: str, expected: str) -> None:
    """A password in clear and a damaged hash are refused, and neither is repeated."""
    (line,) = refusal(tmp_path, f"user: {{password_hash: {value}}}")

    assert expected in line
    assert value not in line


@pytest.mark.parametrize("value", [YESCRYPT, SHA512, SHA512.replace("$6$", "$6$rounds=5000$")])
def test_password_hash_is_taken(tmp_path: Path, value: str) -> None:
    """What mkpasswd prints is taken as it is."""
    loaded = load_text(tmp_path, "", local=f"user: {{password_hash: '{value}'}}")

    assert Secret(value) == loaded.config.user.password_hash


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("hello", "is not a public SSH key"),
        ("ssh-dss AAAA", "is a DSA key"),
        ("ssh-ed25519", "whose type does not fit"),
        ("ssh-ed25519 ****", "damaged or cut short"),
        (PUBLIC[:-16], "damaged or cut short"),
        (PUBLIC.replace("ssh-ed25519", "ssh-rsa"), "whose type does not fit"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "is a private key, which must never be shared"),
        ("~/.ssh/id_ed25519", "name the public key, the file that ends in .pub"),
        ("~/.ssh/none.pub", "/home/.ssh/none.pub, which cannot be read"),
        ("./private.pub", "is a private key"),
        ("./two.pub", "does not hold exactly one key"),
    ],
)
def test_wrong_ssh_key_is_refused_unseen(tmp_path: Path, value: str, expected: str) -> None:
    """A key that could not open the board is refused before it is built."""
    (tmp_path / "private.pub").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n")
    (tmp_path / "two.pub").write_text(f"{PUBLIC}\n{PUBLIC}\n")

    (line,) = refusal(tmp_path, yaml.safe_dump({"user": {"ssh_keys": [value]}}))

    assert expected in line


def test_ssh_key_is_read_from_its_file(tmp_path: Path) -> None:
    """A path to a .pub file is as good as its text, from the home or beside the file."""
    (tmp_path / "home/.ssh").mkdir(parents=True)
    for path in ("home/.ssh/id_ed25519.pub", "key.pub"):
        (tmp_path / path).write_text(f"# mine\n{PUBLIC}\n")

    loaded = load_text(tmp_path, "user: {ssh_keys: [~/.ssh/id_ed25519.pub, key.pub]}")

    assert loaded.config.user.ssh_keys == (PUBLIC, PUBLIC)


@pytest.mark.parametrize("board", ["zero-2-w", "2", "3", "4", "5"])
def test_a_car_on_raspberry_pi_os(tmp_path: Path, board: str) -> None:
    """Nothing but the base is said, and a car's stages are meant."""
    loaded = load_text(tmp_path, f"board: '{board}'\nbase: raspios\n")

    assert loaded.config.car
    assert loaded.config.stages == BuildConfig().stages


@pytest.mark.parametrize("board", ["zero-2-w", "2", "3", "4", "5"])
@pytest.mark.parametrize("suite", ["trixie", "bookworm"])
def test_raspberry_pi_os_on_the_bench(tmp_path: Path, board: str, suite: str) -> None:
    """Each board from the Pi 2 on is built on it, by stages that leave kernel and first boot alone.

    Of a release that nothing was tested with it is said.
    """
    (tmp_path / "mine").mkdir()
    text = f"board: '{board}'\nsuite: {suite}\nbase: raspios\nprofile: bench\n"

    loaded = load_text(tmp_path, f"{text}stages: [gnss, queue, python, telematics, ./mine]\n")

    assert loaded.config.base == "raspios"
    said = "suite: 'bookworm' is not what images are tested with"
    assert [said in one for one in loaded.warnings] == [True] * (suite == "bookworm")


def test_paths_are_made_whole(tmp_path: Path) -> None:
    """A path is looked up beside its file, so the folder of the call makes no difference."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "card.img").touch()

    loaded = load_text(tmp_path, "base: card.img\nstages: [base, ./mine]\noverlays: [./mine]\n")

    assert loaded.config.base == str(tmp_path / "card.img")
    assert tuple(map(str, loaded.config.stages)) == ("base", str(tmp_path / "mine"))
    assert loaded.config.overlays == (str(tmp_path / "mine"),)


@pytest.mark.parametrize(("kind", "action"), [("overlays", "overlay"), ("templates", "templates")])
def test_a_shipped_folder_s_name_is_taken(tmp_path: Path, kind: str, action: str) -> None:
    """Of two folders with one name nobody could say which is meant: the error names both."""
    sub = tmp_path / "stages/queue/00-server"
    shipped = tmp_path / kind / "queue"
    for folder in (sub, shipped, tmp_path / "yours/queue"):
        folder.mkdir(parents=True)
    (sub / f"01-{action}").symlink_to(f"../../../{kind}/queue")

    own = " ".join(refusal(tmp_path, f"{kind}: [./yours/queue]\n"))
    same = " ".join(refusal(tmp_path, f"{kind}: [queue]\n"))

    assert str(shipped) in own
    assert f"stages/queue/00-server/01-{action}" in own
    assert str(tmp_path / "yours/queue") in own
    assert "is laid by the image's own stage already" in same
    assert f"stages/queue/00-server/01-{action}" in same


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("board", "--set: a value is given without its key"),
        ("=3", "--set: a value is given without its key"),
        ("disk.=3", "--set: a value is given without its key"),
        ("board=[3", "--set: a bracket is opened and not closed"),
        ("hostname=", "--set: hostname: this is empty"),
        ("board.name=3", "--set: board: a section is not one word"),
        ("stages[0]=base", "hint: a list is given whole: stages=[first, second]"),
        ("hostname=Car", "--set: hostname: 'Car' is not a host name"),
    ],
)
def test_override_is_checked_like_a_file(tmp_path: Path, override: str, expected: str) -> None:
    """What --set says is held to the same rules and named as the place of the mistake."""
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, "", overrides=[override])

    assert expected in caught.value.message
    assert "1 mistake:" in caught.value.message


def test_broken_file_hides_no_mistake_of_the_other(tmp_path: Path) -> None:
    """Both files are read to their ends before anything is said."""
    lines = refusal(tmp_path, "board: [3", local="wifi: {networks: [{ssid: a, psk: b}]}")

    assert len(lines) == 2
    assert lines[0].startswith("image.yaml:1:")
    assert lines[1].startswith("image.local.yaml:1: wifi.networks[0].psk:")


def test_missing_file_says_where_to_get_one(tmp_path: Path) -> None:
    """A path that leads nowhere is a mistake of the configuration too."""
    with pytest.raises(ConfigError, match="no such file") as caught:
        load(tmp_path / "image.yaml", home=tmp_path)

    assert "hint:" in caught.value.message


def test_secret_that_others_can_read_is_warned_about(tmp_path: Path) -> None:
    """A secret in the shared file, or in a local file of mode 0644, is said before the build."""
    wifi = "wifi: {country: DE, networks: [{ssid: a, psk: '12345678'}]}"
    (tmp_path / "image.yaml").write_text(f"board: 3\n{wifi}\n")
    (tmp_path / "image.local.yaml").write_text(f"user: {{password_hash: '{SHA512}'}}\nstages: []\n")
    (tmp_path / "image.local.yaml").chmod(0o644)

    warnings = load(tmp_path / "image.yaml", checkout=tmp_path, home=tmp_path).warnings

    assert len(warnings) == 2
    assert "wifi.networks[0].psk: a secret stands in a file that is shared" in warnings[0]
    assert "image.local.yaml holds secrets and other users can read it" in warnings[1]


def test_secret_never_shows_itself() -> None:
    """No way of printing, copying out or writing down a Secret gives its text."""
    network = Network(ssid="garage", psk=Secret(SECRET))
    shown = f"{network} {network!r} {network.psk} {dataclasses.asdict(network)} {vars(network)}"

    assert SECRET not in shown
    assert copy.deepcopy(network) == network
    assert Secret(SECRET).reveal() == SECRET
    assert Secret(SECRET) != SECRET
    with pytest.raises(TypeError):
        pickle.dumps(network)


def test_reference_is_current() -> None:
    """docs/configuration.md is what the types say; its first lines tell how to write it anew."""
    assert reference_markdown() == PAGE.read_text(encoding="utf-8")


KEYS = st.sampled_from(
    [
        *("board", "base", "suite", "mirror", "hostname", "locale", "timezone", "keyboard"),
        *("user", "name", "password_hash", "ssh_keys", "disk", "boot", "root", "root_free"),
        *("wifi", "country", "networks", "ssid", "psk", "hidden", "stages", "overlays"),
        *("environment", "firmware", "url", "sha256", "queue", "server", "service", "<<"),
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.text(max_size=20)
TREES = st.recursive(
    LEAVES | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.thorough
@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=200) | TREES.map(yaml.dump))
def test_garbage_gives_a_config_or_a_config_error(text: str) -> None:
    """Whatever stands in the file, the answer is a configuration or a list of mistakes."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            loaded = load_text(Path(folder), text)
        except ConfigError as error:
            assert "hint:" in error.message or "mistake" in error.message  # noqa: PT017
        else:
            assert isinstance(loaded.config, Config)


LOCAL = f"""\
user:
  password_hash: {SECRET}
  ssh_keys: ["{SECRET}"]
wifi:
  country: de
  networks:
    - ssid: garage
      psk: "{SECRET}"
    - {{ssid: home, psk: {SECRET}}}
environment:
  TOKEN: {SECRET}
  OTHER: [{SECRET}]
"""


@pytest.mark.thorough
@settings(max_examples=150, deadline=None)
@given(
    cuts=st.lists(
        st.tuples(
            st.integers(min_value=0, max_value=len(LOCAL)),
            st.integers(min_value=0, max_value=2),
            st.sampled_from(
                ["", " ", "\t", "\n", "'", '"', "[", "}", "&", "*", "!", "|", "#", ","]
            ),
        ),
        min_size=1,
        max_size=2,
    )
)
def test_no_typo_brings_a_secret_into_a_message(cuts: list[tuple[int, int, str]]) -> None:
    """A slip of the keyboard anywhere around a secret never makes the error repeat it."""
    text = LOCAL
    for start, length, typed in cuts:
        text = text[:start] + typed + text[start + length :]
    with tempfile.TemporaryDirectory() as folder, pytest.raises(ConfigError) as caught:
        load_text(Path(folder), "", local=text)

    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "override",
    [
        f"wifi.networks={SECRET}",
        f"wifi.networks=[{SECRET}]",
        f"wifi.networks=[{{ssid: a, psk:{SECRET}}}]",
        f"wifi.networks=[{{ssid: a, {SECRET}}}]",
        f"wifi.networks=[{{ssid: a, psk: '{SECRET}]",
        f"wifi.networks=[{{ssid: a, psk: *{SECRET}}}]",
        f"wifi.networks=[{{ssid: a, psk: [{SECRET}]}}]",
        f"wifi.psk={SECRET}",
        f"wifi={SECRET}",
        f"user={SECRET}",
        f"user.password={SECRET}",
        f"user.password_hash=!{SECRET} x",
        f"user.ssh_keys={SECRET}",
        f"environment={SECRET}",
        f"environment.A={{{SECRET}: x}}",
        SECRET,
    ],
)
def test_misplaced_secret_is_not_repeated(tmp_path: Path, override: str) -> None:
    """A secret in the wrong place or of the wrong type is refused without a word of it."""
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, "wifi: {country: DE}", overrides=[override])

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        *("ROOTFS_DIR", "WORK_DIR", "STAGE_DIR", "PATH", "HOME", "BASH_ENV", "BASH_FUNC_log"),
        *("LD_PRELOAD", "PYTHONPATH", "PERL5LIB", "QEMU_LD_PREFIX", "DPKG_ROOT", "GLOVEBOX_ROOT"),
    ],
)
def test_names_of_places_are_the_build_s(tmp_path: Path, name: str) -> None:
    """A variable by which programs of the host find things cannot be set in `environment:`."""
    with pytest.raises(ConfigError, match=f"'{name}' cannot be set") as caught:
        load_text(tmp_path, f"board: '3'\nenvironment: {{{name}: /some/mount}}\n")

    assert "/some/mount" not in str(caught.value)
