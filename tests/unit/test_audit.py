"""What an image has of known flaws, by made-up data in the form of Debian's security tracker."""

from __future__ import annotations

import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from glovebox.errors import ConfigError, HostError, LockError
from glovebox.host.monitor import Monitor
from glovebox.host.run import run
from glovebox.project import audit, audited, packages, tracker
from glovebox.project.audit import Kind
from glovebox.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).resolve().parents[2]
DATA = CHECKOUT / "tests/tracker/data.json"
INSTALLED = "Status: install ok installed\n"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give an empty store."""
    return Store(root=tmp_path / "store").open()


def look(text: str, *, suite: str = "trixie") -> audit.Audit:
    """Audit a list of packages."""
    return audit.audit(packages.read(text), tracker.given(DATA).data, suite=suite)


def kinds(found: audit.Audit) -> dict[str, Kind]:
    """Give how each flaw stands."""
    return {one.cve: one.kind for one in found.findings}


def test_the_list_names_each_source() -> None:
    """As dpkg has it: the source where the name differs, its version where a rebuild hides it."""
    status = "\n".join([
        (f"Package: bsdutils\n{INSTALLED}Version: 1:2.41-5\nArchitecture: armel\n"
        "Source: util-linux (2.41-5)\n"),
        f"Package: bash\n{INSTALLED}Version: 5.2.37-2+b10\nArchitecture: armel\n",
        f"Package: libgps30\n{INSTALLED}Version: 3.25-5\nArchitecture: armel\nSource: gpsd\n",
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\nArchitecture: all\n",
    ])  # fmt: skip

    text = packages.in_status(status)

    assert text == (
        "bash 5.2.37-2+b10 armel bash (5.2.37-2)\n"
        "bsdutils 1:2.41-5 armel util-linux (2.41-5)\n"
        "libgps30 3.25-5 armel gpsd\n"
    )
    sources = [(one.source, one.source_version) for one in packages.read(text)]
    assert sources == [("bash", "5.2.37-2"), ("util-linux", "2.41-5"), ("gpsd", "3.25-5")]


@pytest.mark.parametrize(("line", "expected"), [
    ("libssl3t64 3.5.7-1~deb13u2 armel openssl", {"CVE-2026-1000": Kind.FIXED}),
    ("libssl3t64 3.5.7-1~deb13u3 armel openssl", {}),
    ("bash 5.2.37-2+b10 armel bash (5.2.37-2)", {"CVE-2026-2001": Kind.FIXED}),
    ("login 1:4.16.0-2+really2.41.5-0+deb13u1 armel util-linux (2.41.5-0+deb13u1)", {}),
    ("login 1:4.16.0-2+really2.41.4-1 armel util-linux (2.41.4-1)", {"CVE-2026-2000": Kind.FIXED}),
    ("libgps30t64 3.25-5+deb13u2 armel gpsd", {
        "CVE-2026-3000": Kind.OPEN, "CVE-2026-3001": Kind.MINOR, "CVE-2026-3002": Kind.UNIMPORTANT,
    }),
    # The version of what is compiled is of a file's name, which has no epoch.
    ("redis 8.0.2-3+deb13u2 compiled", {"CVE-2026-4000": Kind.FIXED}),
    ("redis 8.0.2-3+deb13u3 compiled", {}),
    ("redis-tools 8.0.2-3+deb13u3 armel redis", {"CVE-2026-4000": Kind.FIXED}),
    ("linux-image-rpi 6.12.107-1 armel linux", {
        "CVE-2026-5000": Kind.OPEN, "CVE-2026-5001": Kind.FIXED,
    }),
    ("linux-image-arm64 6.12.110-1 arm64 linux-signed-arm64 (6.12.110+1)", {
        "CVE-2026-5000": Kind.OPEN,
    }),
    ("linux-image-arm64 6.18.5-1~bpo13+1 arm64 linux-signed-arm64 (6.18.5+1~bpo13+1)", {
        "CVE-2026-5001": Kind.FIXED,
    }),
    ("adduser 3.152 all adduser", {}),
])  # fmt: skip
def test_how_a_flaw_stands(line: str, expected: dict[str, Kind]) -> None:
    """By source and its version, in the image's own suite; a backport by unstable's."""
    assert kinds(look(f"{line}\n")) == expected


def test_what_a_fresh_lock_brings() -> None:
    """The newest of the suite and its archive for security, and what is fixed by which version."""
    (found,) = look("libssl3t64 3.5.7-1~deb13u2 armel openssl\n").findings

    assert (found.fixed, found.lock_brings) == ("3.5.7-1~deb13u3", "3.5.7-1~deb13u3")
    assert found.packages == ("libssl3t64",)


def test_what_cannot_be_judged_is_named() -> None:
    """What Debian does not track is no reason to say that all is well with it."""
    found = look(
        "gpsd-3.26.tar.gz sha256:abab compiled\ntelematics 0.1.0 compiled\npyserial 3.5 wheel\n"
        "linux-image-rpi-v8 1:6.12.47-1+rpt1 arm64 linux\nlibgps30t64 3.25-5 armel\n"
    )

    assert not found.findings
    assert found.judged == 0
    assert [name.split()[0] for name in found.not_judged] == [
        "gpsd-3.26.tar.gz", "telematics", "pyserial", "linux-image-rpi-v8", "libgps30t64",
    ]  # fmt: skip


def test_an_older_list_by_apts_indices() -> None:
    """A list without sources is completed; of another version only where the version follows."""
    old = packages.read(
        "libssl3t64 3.5.7-1~deb13u2 armel\nlogin 1:4.16.0-2+really2.41.4-1 armel\n"
        "bsdutils 1:2.41.4-1 armel\nbash 5.2.37-2+b10 armel\n"
    )
    index = (
        "Package: libssl3t64\nSource: openssl\nVersion: 3.5.7-1~deb13u3\n\n"
        "Package: login\nSource: util-linux (2.41.4-1)\nVersion: 1:4.16.0-2+really2.41.4-1\n\n"
        "Package: bsdutils\nSource: util-linux (2.41.5-1)\nVersion: 1:2.41.5-1\n\n"
        "Package: bash\nVersion: 5.2.37-3\n"
    )

    found = [(one.source, one.source_version) for one in packages.completed(old, [index])]

    assert found == [
        ("openssl", "3.5.7-1~deb13u2"), ("util-linux", "2.41.4-1"), (None, "1:2.41.4-1"),
        ("bash", "5.2.37-2"),
    ]  # fmt: skip


LIST = {
    "fixes": "libssl3t64 3.5.7-1~deb13u2 armel openssl\nlibgps30t64 3.25-5+deb13u2 armel gpsd\n",
    "open": "libgps30t64 3.25-5+deb13u2 armel gpsd\n",
    "none": "libssl3t64 3.5.7-1~deb13u3 armel openssl\n",
}


def invoke(*words: str | Path, root: Path) -> tuple[int, str]:
    """Run the verb; give its status and what it said."""
    env = {"GLOVEBOX_STORE": str(root / "store")}
    done = run([CHECKOUT / "invoke", "audit", *words], check=False, env=env, cwd=CHECKOUT)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.thorough
@pytest.mark.parametrize(("kind", "status"), [("fixes", 8), ("open", 9), ("none", 0)])
def test_the_status_tells(tmp_path: Path, kind: str, status: int) -> None:
    """It is 8 where a fix is out, else 9 where a flaw is open, else 0."""
    (tmp_path / "truck-zero-w.packages.txt").write_text(LIST[kind])
    (tmp_path / "truck-zero-w.manifest.json").write_text('{"suite": "trixie"}')

    found, said = invoke("--out", tmp_path, "--tracker", DATA, root=tmp_path)

    assert found == status, said
    assert "truck-zero-w: " in said
    assert ("3.5.7-1~deb13u3" in said) == (kind == "fixes")
    assert ("libssl3t64" in said) == (kind == "fixes")
    assert ("CVE-2026-3000" in said) == (kind != "none")
    assert "CVE-2026-3001" not in said
    assert "Traceback" not in said


@pytest.mark.thorough
def test_a_list_alone(tmp_path: Path) -> None:
    """It wants to be told its suite; --all shows each flaw, --json is for programs."""
    path = tmp_path / "earlier.txt"
    path.write_text(LIST["open"])
    words = ("--packages", path, "--tracker", DATA)

    status, said = invoke(*words, root=tmp_path)
    assert (status, "--suite" in said) == (2, True)
    _, said = invoke(*words, "--suite", "trixie", "--all", root=tmp_path)
    assert "Made up: only with an option nobody has." in said
    assert "Made up: a sentence[/b] that [bold]is too long." in said
    status, said = invoke(*words, "--suite", "trixie", "--json", root=tmp_path)
    told = json.loads(said)["images"]["earlier.txt"]
    assert status == audit.STILL_OPEN
    assert {one["kind"] for one in told["findings"]} == {"open", "minor", "unimportant"}


@pytest.mark.parametrize(("text", "error"), [
    ("<html>please log in</html>", "is no JSON"),
    ("[]", "is not the data of Debian's security tracker"),
    ('{"os_list": []}', "is not the data of Debian's security tracker"),
])  # fmt: skip
def test_a_file_that_is_no_trackers(tmp_path: Path, text: str, error: str) -> None:
    """A login page or another JSON is told, and what to fetch."""
    path = tmp_path / "data.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=error) as caught:
        tracker.given(path)
    assert "--tracker FILE" in str(caught.value)


def test_lists_that_are_none(tmp_path: Path, store: Store) -> None:
    """No image, a name of none, a file that is no list, a wrong suite: each is told."""
    data = tracker.given(DATA)
    with pytest.raises(HostError, match="there is no image"):
        audited.lists(tmp_path, (), ())
    path = tmp_path / "truck.packages.txt"
    path.write_text("gpsd 3.25 armel gpsd\nwhat is this supposed to be, please\n")
    with pytest.raises(ConfigError, match="there is no image van"):
        audited.lists(tmp_path, ["van"], ())
    with pytest.raises(ConfigError, match=r"no list of packages: line 2"):
        audited.of(path, data, store, suite="trixie")
    path.write_text(LIST["open"])
    with pytest.raises(ConfigError, match="--suite"):
        audited.of(path, data, store, suite="trixy")
    with pytest.raises(ConfigError, match="No such file"):
        audited.of(tmp_path / "none.txt", data, store, suite="trixie")


class _Handler(BaseHTTPRequestHandler):
    answers: list[tuple[int, bytes]]  # the next ones; none left: the server is ill

    def do_GET(self) -> None:
        """Send the next answer."""
        status, body = self.answers.pop(0) if self.answers else (404, b"")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: Any) -> None:  # noqa: ANN401  the library's own
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[tuple[str, type[_Handler]]]:
    """Serve answers on loopback."""

    class Handler(_Handler):
        answers: list[tuple[int, bytes]] = []  # noqa: RUF012  each test's own

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}/data.json", Handler
        found.shutdown()


def test_the_data_is_fetched_once_in_a_while(
    store: Store, server: tuple[str, type[_Handler]]
) -> None:
    """Fetched data counts for hours, older data when there is none newer; never half or foreign."""
    url, handler = server
    quiet = Monitor(quiet=True)
    handler.answers = [(200, DATA.read_bytes())]

    first = audited.known(url, store, quiet, refresh=False)
    assert audited.known(url, store, quiet, refresh=False).data == first.data

    (kept,) = (store.root / "tracker").iterdir()
    os.utime(kept, (time.time() - 2 * tracker.FRESH_S,) * 2)
    assert audited.known(url, store, quiet, refresh=False).data == first.data
    handler.answers = [(200, b"<html>log in</html>")]
    assert audited.known(url, store, quiet, refresh=False).data == first.data
    with pytest.raises(LockError, match="404"):
        audited.known(url, store, quiet, refresh=True)
    handler.answers = [(200, b'{"a": {"CVE-1": {"releases": {}}}}')]
    assert "a" in audited.known(url, store, quiet, refresh=False).data
