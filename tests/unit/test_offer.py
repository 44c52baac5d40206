"""Images for others: served, put into a folder, and kept back where they may hold secrets."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.errors import ConfigError, HostError
from glovebox.host.monitor import Monitor
from glovebox.host.run import start
from glovebox.project import imager, offer, publish, serve, ways

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = b"packed" * 100_000
LOOPBACK = "127.0.0.1"
CHECKOUT = Path(__file__).resolve().parents[2]


def exported(out: Path, name: str, *, secrets: tuple[str, ...] = ()) -> Path:
    """Put what an export leaves into a folder."""
    out.mkdir(exist_ok=True)
    contents = {f"{name}.img": b"raw", f"{name}.img.zst": DATA, f"{name}.img.bmap": b"<bmap/>"}
    told = {}
    for each, data in contents.items():
        (out / each).write_bytes(data)
        told[each] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (out / f"{name}.packages.txt").write_text("gpsd 3.25 armel\n")
    device = {"name": f"Board of {name}", "tags": ["pi1-32bit"], "default": True}
    entry = {"name": name, "icon": "", "url": "file:///elsewhere", "devices": ["pi1-32bit"]}
    theirs = {"imager": {"devices": [device]}, "os_list": [entry]}
    (out / f"{name}.rpi-imager-manifest").write_text(json.dumps(theirs))
    ours = {"holds_secrets": secrets, "files": told, "offered": f"{name}.img.zst"}
    (out / f"{name}.manifest.json").write_text(json.dumps(ours))
    return out


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Give a folder with two images, one of them with a secret."""
    exported(tmp_path / "out", "truck-zero-w")
    return exported(tmp_path / "out", "van-3", secrets=("wifi.networks[0].psk",))


@pytest.fixture
def served(out: Path) -> Iterator[tuple[serve.Server, str]]:
    """Serve what may be offered, on loopback."""
    found = offer.find(out)
    with serve.serving(found.offers, Monitor(quiet=True), address=LOOPBACK, port=0) as given:
        yield given


def get(url: str) -> bytes:
    """Fetch something."""
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  loopback
        assert isinstance(answer, http.client.HTTPResponse)
        data = answer.read()
        assert int(answer.headers["Content-Length"]) == len(data)
        return data


def test_imager_finds_the_image_by_the_list(served: tuple[serve.Server, str]) -> None:
    """All addresses of the list are of the machine that serves it, and hold what they promise."""
    _, base = served
    told = json.loads(get(f"{base}/os_list.json"))

    (entry,) = told["os_list"]
    assert entry["url"] == f"{base}/truck-zero-w.img.zst"
    assert get(entry["url"]) == DATA
    assert get(entry["icon"]) == imager.ICON.encode()
    assert b"truck-zero-w.img.zst" in get(entry["website"])
    assert [one["default"] for one in told["imager"]["devices"]] == [True]


def test_the_sums_are_those_of_what_is_served(served: tuple[serve.Server, str]) -> None:
    """Every line of SHA256SUMS is true of the file of that name."""
    _, base = served
    lines = get(f"{base}/SHA256SUMS").decode().splitlines()

    assert [line.split()[1] for line in lines] == [
        "truck-zero-w.img.bmap", "truck-zero-w.img.zst", "truck-zero-w.packages.txt",
    ]  # fmt: skip
    for line in lines:
        total, name = line.split()
        assert hashlib.sha256(get(f"{base}/{name}")).hexdigest() == total


@pytest.mark.parametrize(
    "path",
    ["/van-3.img.zst", "/truck-zero-w.img", "/truck-zero-w.manifest.json", "/../out/van-3.img",
     "/%2e%2e/%2e%2e/etc/passwd", "/etc/passwd", "//etc/passwd", "/os_list.json/"],
)  # fmt: skip
def test_nothing_else_has_an_address(served: tuple[serve.Server, str], path: str) -> None:
    """What is not offered is not there: no secret, no other file, whatever is asked for."""
    _, base = served

    with pytest.raises(urllib.error.HTTPError) as caught:
        get(f"{base}{path}")

    assert caught.value.code == 404


def test_a_secret_is_offered_by_its_name_alone(out: Path) -> None:
    """Without a name the image is kept back, and why is told; with its name it is offered."""
    found = offer.find(out)

    assert [one.name for one in found.offers] == ["truck-zero-w"]
    assert found.kept_back == {"van-3": ("wifi.networks[0].psk",)}
    assert [one.name for one in offer.find(out, ["van-3.img"]).offers] == ["van-3"]


def test_an_image_of_an_older_build_is_kept_back(out: Path) -> None:
    """Where it is not known whether there are secrets, there may be."""
    (out / "truck-zero-w.manifest.json").write_text("{}")

    assert offer.find(out).offers == ()


@pytest.mark.parametrize("lost", ["img.zst", "img", "rpi-imager-manifest"])
def test_what_is_not_whole_is_not_offered(out: Path, lost: str) -> None:
    """An image without its papers, or of another size than was built, is told and not served."""
    (out / f"truck-zero-w.{lost}").write_bytes(b"?" * 7)

    with pytest.raises(HostError, match=r"papers are not whole|is not the file that was built"):
        offer.find(out)


def test_names_that_are_wrong(out: Path, tmp_path: Path) -> None:
    """A name of no image is told with those there are; a folder without any, with the cure."""
    with pytest.raises(ConfigError, match="there is no image car in") as caught:
        offer.find(out, ["car"])
    assert caught.value.hint == "there: truck-zero-w, van-3"
    with pytest.raises(HostError, match="there is no image in"):
        offer.find(tmp_path)


def test_who_is_elsewhere_is_refused(
    served: tuple[serve.Server, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address of the wide internet gets nothing, should a router let it in."""
    _, base = served
    real = serve.ipaddress.ip_address
    monkeypatch.setattr(serve.ipaddress, "ip_address", lambda _: real("8.8.8.8"))

    with pytest.raises(urllib.error.HTTPError) as caught:
        get(f"{base}/os_list.json")

    assert caught.value.code == 403


def test_it_ends_by_itself_and_not_during_a_download(served: tuple[serve.Server, str]) -> None:
    """The wait ends once nobody has taken anything for so long; who still takes holds it."""
    server, base = served
    with server.taking():
        assert server.idle_s() == 0
        waiting = threading.Thread(target=serve.until_idle, args=(server, 0.01), daemon=True)
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()

    waiting.join(30)

    assert not waiting.is_alive()
    assert get(f"{base}/")


def test_a_port_that_is_taken(served: tuple[serve.Server, str], out: Path) -> None:
    """Where another program listens, that is told with the cure."""
    server, _ = served
    port = server.server_address[1]

    with (
        pytest.raises(HostError, match=f"cannot listen on {LOOPBACK}:{port}") as caught,
        serve.serving(
            offer.find(out).offers, Monitor(quiet=True), address=LOOPBACK, port=int(port)
        ),
    ):
        pass

    assert "--port" in str(caught.value)


def test_a_folder_for_any_web_server(out: Path, tmp_path: Path) -> None:
    """All addresses of the list are below the one given; every file they name is there."""
    folder = tmp_path / "www"
    (folder / "sub").mkdir(parents=True)
    (folder / "theirs").write_text("stays")
    found = offer.find(out, ["van-3", "truck-zero-w"])

    publish.publish(found.offers, folder, "https://example.org/images/", Monitor(quiet=True))

    told = json.loads((folder / "os_list.json").read_text())
    for entry in told["os_list"]:
        for key in ("url", "icon"):
            assert (folder / entry[key].removeprefix("https://example.org/images/")).is_file()
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        total, name = line.split()
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == total
    for name in re.findall(r'<li><a href="([^"]+)"', (folder / "index.html").read_text()):
        assert (folder / name).is_file()
    assert (folder / "theirs").read_text() == "stays"
    assert len(told["imager"]["devices"]) == 2
    assert (folder / "van-3.img.zst").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("url", [
    "", "example.org", "ftp://example.org", "https://", "http://x/?a", "http://x/#", "http://x/a b",
    "http://x/\n", "http://[::1/",
])  # fmt: skip
def test_an_address_that_is_none(url: str) -> None:
    """Imager knows no relative address, so a whole one is asked for."""
    with pytest.raises(ConfigError, match="is no address of a folder"):
        publish.address(url)


def test_the_link_holds_the_whole_address() -> None:
    """What stands in the address cannot end the link early."""
    assert offer.link("http://192.168.1.2:8642") == (
        "rpi-imager://open?repo=http%3A%2F%2F192.168.1.2%3A8642%2Fos_list.json"
    )


def test_a_code_is_a_square_of_blocks() -> None:
    """The code has its light margin on all sides, without which no camera finds it."""
    lines = serve.qr("http://192.168.1.2:8642/").splitlines()

    assert len({len(line) for line in lines}) == 1
    assert set(lines[0]) == set(lines[-1]) == {"█"}
    assert all(line.startswith("██") and line.endswith("██") for line in lines)
    assert len(lines) == (len(lines[0]) + 1) // 2


def invoke(*words: str) -> tuple[int, str]:
    """Run a verb; give its status and what it said."""
    process = start([sys.executable, "-m", "invoke", *words], cwd=CHECKOUT)
    said = process.communicate(timeout=120)[0].decode()
    return process.returncode, said


def test_the_verb_serve(out: Path) -> None:
    """It shows the code, the link and what it leaves out, and ends by itself."""
    at = ("--address", LOOPBACK, "--port", "0", "--minutes", "0.001", "--out", str(out))
    status, said = invoke("serve", *at)

    assert status == 0, said
    assert "█" in said
    assert re.search(r"rpi-imager://open\?repo=http%3A%2F%2F127\.0\.0\.1%3A\d+%2Fos_list", said)
    assert "van-3 may hold secrets (wifi.networks[0].psk) and is left out" in said


def test_the_verb_publish(out: Path, tmp_path: Path) -> None:
    """It fills the folder and says what to open; without an address nothing is written."""
    to = (str(tmp_path / "www"), "--out", str(out))
    status, said = invoke("publish", *to, "--url", "https://example.org/i", "--image", "van-3")
    without, wrong = invoke("publish", str(tmp_path / "other"), "--out", str(out))

    assert status == 0, said
    assert "rpi-imager://open?repo=https%3A%2F%2Fexample.org%2Fi%2Fos_list.json" in said
    assert (tmp_path / "www/van-3.img.zst").is_file()
    assert (without, (tmp_path / "other").exists()) == (2, False)
    assert "--url" in wrong


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"hostname": "truck-7", "user": "pi", "car": True}, "truck-7.local: ssh pi@truck-7.local"),
        ({"hostname": "auto", "user": "pi", "car": True}, "it names itself by its serial number"),
        ({"hostname": "auto", "user": "pi", "car": False}, "ssh pi@glovebox.local"),
        ({}, ""),
    ],
)
@pytest.mark.parametrize("kind", ["img", "img.zst"])
def test_where_a_flashed_board_answers(
    tmp_path: Path, facts: dict[str, object], told: str, kind: str
) -> None:
    """The name that was set is told with the card; of an image without papers nothing is said."""
    if facts:
        (tmp_path / "truck.manifest.json").write_text(json.dumps(facts))

    assert told in ways.answers(tmp_path / f"truck.{kind}")
    assert bool(told) is bool(ways.answers(tmp_path / f"truck.{kind}"))
