"""What the owner writes on the card: how it is read, and how mistakes are told."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.config.schema import Network, Secret
from glovebox.host.run import run
from glovebox.onboard.firstboot import takeover
from glovebox.onboard.firstboot.card import MistakesError, Wanted, read
from tests.owners_card import FILLED, KEY, PSK, STAGE, board, shipped

if TYPE_CHECKING:
    from glovebox.onboard.firstboot.card import Places


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Give a board that was never told anything."""
    return board(tmp_path)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make two certificates with their keys, and a key that asks for a passphrase."""
    folder = tmp_path_factory.mktemp("pairs")
    for name in ("one", "two"):
        run([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-subj", f"/CN={name}", "-keyout", folder / f"{name}.key",
            "-out", folder / f"{name}.pem",
        ])  # fmt: skip
    run([
        "openssl", "pkey", "-in", folder / "one.key", "-out", folder / "locked.key",
        "-aes256", "-passout", "pass:secret",
    ])  # fmt: skip
    return folder


def mistakes(text: str, places: Places, **certificates: bytes) -> str:
    """Give what is said of a file with mistakes."""
    with pytest.raises(MistakesError) as said:
        read(text.encode(), {name.replace("_", "."): each for name, each in certificates.items()},
             places)  # fmt: skip
    return str(said.value)


def test_what_is_shipped_asks_for_nothing(places: Places) -> None:
    """The file on the card is all comments, and its lines end as on Windows."""
    text = shipped()

    assert read(text, {}, places).nothing
    assert all(line.startswith(b"#") or not line for line in text.split(b"\r\n"))
    assert b"\n" not in text.replace(b"\r\n", b"")
    assert text.isascii()


def test_every_example_is_right(places: Places) -> None:
    """With one # less in front of each example, the builder's validation finds no mistake."""
    text = re.sub(r"^#(?!#)", "", shipped().decode(), flags=re.MULTILINE)
    (places.boot / "id_ed25519.pub").write_text(f"{KEY}\n")
    (places.secrets / "ca.pem").touch()

    wanted = read(text.encode(), {}, places)

    assert all(getattr(wanted, name) for name in wanted.__dataclass_fields__)
    assert wanted.ssh_keys == (KEY,)
    assert set(wanted.credentials) == {"password", "api-key"}
    assert not re.findall(r"^[^#\n]*:\s*#", text, re.MULTILINE)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_editors_of_every_system(places: Places, mark: str, end: str) -> None:
    """A byte order mark and either kind of line end make no difference."""
    text = mark + FILLED.replace("\n", end)

    assert read(text.encode(), {}, places) == Wanted(
        hostname="truck-7",
        ssh_keys=(KEY,),
        country="DE",
        networks=(Network(ssid="garage", psk=Secret(PSK)),),
        service={"device": "t7"},
    )


def test_all_mistakes_at_once_and_no_secret(places: Places) -> None:
    """Each mistake has its line and its cure; what is secret stays so."""
    said = mistakes(
        "hostname: Truck 7\nwifi:\n  networks:\n    - ssid: garage\n      psk: hunter2\n"
        "user:\n  password_hash: hunter2\nservice:\n  stale_s: soon\n",
        places,
    )

    assert [line.partition(": ")[0] for line in said.splitlines()] == [
        f"glovebox.yaml:{number}" for number in (1, 3, 5, 7, 9)
    ]
    assert "hunter2" not in said
    assert said.count("; hint: ") == 5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("board: zero-w\n", "glovebox.yaml:1: board: cannot be changed on the card; hint: set it"),
        ("stages: [nonsense]\n", "stages: cannot be changed on the card"),
        ("hostnam: truck\n", "hostnam: is no known key; hint: did you mean hostname?"),
        ("user:\n  ssh_keys: []\n", "glovebox.yaml:2: user.ssh_keys: holds no key"),
        ("user:\n  name: queue\n", "glovebox.yaml:2: user.name: 'queue' is an account"),
        ("user:\n  ssh_keys: [lost.pub]\n", "which cannot be read"),
        ('hostname: "truck\n', "a quote is opened and not closed"),
        ("wifi:\n  networks: [{ssid: a}]\n", "wifi.country: is missing"),
        ("broker:\n  password: 5\n", "broker.password: the value (not shown) is read by YAML as"),
        (
            "a" * 70_000,
            "the file is too large; hint: 64 KiB at most, and 256 KiB with its comments",
        ),
        ("# comment\n" * 27_000, "the file is too large"),
        ("[" * 5000, "sections are nested too deep"),
        ("a: " + "{b: " * 5000, "sections are nested too deep"),
        ("- " * 9000, "sections are nested too deep"),
        ("? " * 9000, "sections are nested too deep"),
        ("user: {name: sudo}\n", "user.name: 'sudo' is a group that every Debian has"),
        ("user: {name: gpsd}\n", "user.name: 'gpsd' is an account that the stages make"),
        ("user: {name: other}\n", "user.name: 'other' is a group that this system has"),
        ("broker: {api_key: ключ}\n", "broker.api_key: the value (not shown) is no API key"),
        (
            "service: {publish_servers: 'https://[::1'}\n",
            "glovebox.yaml:1: service.publish_servers:",
        ),
        ("service: {publish_to: kafka, publish_servers: 'https://a/'}\n", "is an address for HTTP"),
    ],
)
def test_mistakes(places: Places, text: str, told: str) -> None:
    """What is wrong is said in plain words, with the line where there is one."""
    assert told in mistakes(text, places)


def test_what_does_not_go_with_the_boards_own_settings_is_told(places: Places) -> None:
    """A card that asks for HTTP where the image names a list of brokers: told, and no traceback."""
    present = json.loads(places.service.read_text()) | {"publish_servers": "a:9092"}
    places.service.write_text(json.dumps(present))

    said = mistakes("service: {publish_to: http}\n", places)

    assert "service: with what this board has, publish_servers: " in said


def test_comments_are_no_settings(places: Places) -> None:
    """An owner may write a diary into the file: it is what is set that has a size."""
    text = "# a line of comment, and another\n" * 2500 + "hostname: van\n" + "\n" * 9000

    assert len(text) > 65 << 10
    assert read(text.encode(), {}, places).hostname == "van"


def test_hostile_file_is_read_in_little_work(places: Places) -> None:
    """Brackets without end, and thousands of keys: a bounded number of steps, whatever the machine.

    Counted are the calls of Python's functions; a file as an owner writes it takes a few thousand.
    """
    texts = [
        "[" * 5000, "{" * 5000, "- " * 2500, "[[],\n" * 1000, "a:\n" * 1500,
        "{" + ",".join(f"k{number}" for number in range(1000)) + "}",
        "user: {ssh_keys: [" + "a, " * 1500 + "]}",
    ]  # fmt: skip
    for text in texts:
        calls = []

        def count(_: object, event: str, __: object, calls: list[str] = calls) -> None:
            if event == "call":
                calls.append(event)

        sys.setprofile(count)
        try:
            mistakes(text, places)
        finally:
            sys.setprofile(None)
        assert len(calls) < 100 * len(text), text[:9]


def test_a_file_of_another_encoding_is_told(places: Places) -> None:
    """What Windows calls Unicode is not UTF-8: the cure is said."""
    with pytest.raises(MistakesError, match="not UTF-8; hint: save the file as UTF-8"):
        read("hostname: truck".encode("utf-16"), {}, places)


@pytest.mark.parametrize(
    ("settings", "files", "told"),
    [
        ("publish_to: kafka", (), "nothing says where to publish to"),
        ("publish_to: kafka", (), "kafka with tls needs client.key, which is not there"),
        ("publish_to: http", (), "http with tls needs api-key"),
        ("{publish_to: kafka, publish_security: sasl}", ("ca.pem",), "needs password"),
    ],
)
def test_what_publishing_misses_is_told(
    places: Places, settings: str, files: tuple[str, ...], told: str
) -> None:
    """Settings that could never publish are not taken over."""
    for name in files:
        (places.secrets / name).touch()
    section = settings if settings.startswith("{") else f"{{{settings}}}"

    assert told.removesuffix(", which is not there") in mistakes(f"service: {section}\n", places)


@pytest.mark.needs("openssl")
def test_certificates_are_taken_when_they_fit(places: Places, pairs: Path) -> None:
    """A whole set is taken, without a word in glovebox.yaml as well."""
    given = {
        "ca.pem": (pairs / "two.pem").read_bytes(),
        "client.pem": (pairs / "one.pem").read_bytes(),
        "client.key": (pairs / "one.key").read_bytes(),
    }
    for name, content in given.items():
        (places.boot / name).write_bytes(content)

    assert read(b"", given, places) == Wanted(credentials=given)


@pytest.mark.needs("openssl")
@pytest.mark.parametrize(
    ("certificate", "key", "told"),
    [
        ("one.pem", "two.key", "client.pem and client.key are damaged, or no pair"),
        ("one.key", "one.key", "client.pem and client.key are damaged, or no pair"),
        ("one.pem", "locked.key", "client.key asks for a passphrase"),
        ("one.pem", None, "client.key is missing"),
    ],
)
def test_certificates_that_do_not_fit(
    places: Places, pairs: Path, certificate: str, key: str | None, told: str
) -> None:
    """A wrong certificate or key is told before the board has to find out on the road."""
    given = {"client.pem": certificate, **({"client.key": key} if key else {})}
    for name, source in given.items():
        (places.boot / name).write_bytes((pairs / source).read_bytes())

    assert told in mistakes("", places, **{
        name.replace(".", "_"): (places.boot / name).read_bytes() for name in given
    })  # fmt: skip


def test_what_is_no_certificate_is_told(places: Places) -> None:
    """An authority that is none is refused."""
    assert "ca.pem is not a certificate" in mistakes("", places, ca_pem=b"<html>")


def test_page_shows_what_the_board_says(places: Places) -> None:
    """The mistakes in docs/first-boot.md are those of the file beside them, word by word."""
    page = (Path(__file__).parent.parent.parent / "docs/first-boot.md").read_text()
    right, wrong, said = re.findall(r"```(?:yaml)?\n(.*?)```", page, re.DOTALL)
    (places.boot / "id_ed25519.pub").write_text(f"{KEY}\n")

    assert read(right.encode(), {}, places).names == [
        "hostname", "ssh_keys", "country", "networks", "service",
    ]  # fmt: skip
    assert said.splitlines() == takeover.told(mistakes(wrong, places))


def test_all_that_is_imported_is_on_the_board() -> None:
    """What the stage brings of the builder and the service imports nothing that it leaves out."""
    checkout = STAGE.parent.parent.parent
    words = (STAGE / "00-sources").read_text().split()
    places = [checkout / word.removeprefix("path:") for word in words if word.startswith("path:")]
    files = [
        file for place in places for file in (place.rglob("*.py") if place.is_dir() else [place])
    ]
    code = (
        "import sys; from glovebox.onboard.firstboot import certificates, takeover;"
        " print(*(getattr(one, '__file__', None) or name for name, one in sys.modules.items()))"
    )
    env = {"PYTHONPATH": f"{checkout}:{checkout / 'app'}"}
    loaded = {Path(name) for name in run([sys.executable, "-c", code], env=env).stdout.split()}
    ours = {path for path in loaded if path.is_relative_to(checkout) and ".venv" not in path.parts}

    # A package that is a docstring alone needs not be there: without one it is a namespace.
    assert {path for path in ours if path.name != "__init__.py"} <= set(files)
    # The program's own start is not imported here.
    assert {path for path in files if not path.name.startswith("__")} <= ours
    others = {part for path in loaded - ours for part in path.parts}
    assert not {"jinja2", "invoke", "rich", "pytest"} & others
