"""Downloads over a bad network: what came is kept, what is wrong never gets its final name."""

from __future__ import annotations

import hashlib
import http.server
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from glovebox.errors import LockError
from glovebox.lock import apt
from glovebox.lock.apt import Download

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.needs(apt.HELPER)

DATA = bytes(range(256)) * 2048
SHA256 = hashlib.sha256(DATA).hexdigest()
HALF = len(DATA) // 2
MADE = "Mon, 01 Jan 2024 00:00:00 GMT"
TIMEOUT_S = 1


@dataclass
class Server:
    """A server on the loopback that misbehaves: one word for each request, then it is well."""

    moods: list[str] = field(default_factory=list)
    # From which byte on it was asked, each time.
    asked: list[int] = field(default_factory=list)
    port: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def download(self, sha256: str = SHA256) -> Download:
        """Give what to fetch from it."""
        url = f"http://127.0.0.1:{self.port}/gpsd.deb"
        return Download(url=url, name="gpsd.deb", size=len(DATA), sha256=sha256)


@contextmanager
def serving(*moods: str) -> Iterator[Server]:
    """Run a server until the block ends."""
    server = Server(moods=list(moods))

    class Handler(http.server.BaseHTTPRequestHandler):
        """Answers as it is in the mood."""

        def do_GET(self) -> None:
            """Send the file, or what the mood makes of it."""
            found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            # The rest of another version would not fit what is there.
            same = self.headers.get("If-Range", MADE) == MADE
            start = int(found[1]) if found and same else 0
            server.asked.append(start)
            mood = server.moods.pop(0) if server.moods else ""
            data = DATA[::-1] if mood == "wrong" else DATA
            if mood == "gone":
                self.send_error(404)
                return
            if start >= len(data):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - start))
            self.send_header("Last-Modified", MADE)
            self.end_headers()
            self.wfile.write(data[start : HALF if mood in ("drops", "hangs") else None])
            self.wfile.flush()
            if mood == "hangs":
                server.over.wait()
            self.close_connection = bool(mood)

        def log_message(self, *_words: object) -> None:
            """Say nothing."""

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    server.port = listening.server_port
    threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.over.set()
        listening.shutdown()
        listening.server_close()


def names(folder: Path) -> set[str]:
    """List a folder."""
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("mood", ["drops", "hangs"])
def test_the_rest_is_asked_for(tmp_path: Path, mood: str) -> None:
    """A server that hangs up, or says nothing more, in the middle is asked for the rest alone."""
    with serving(mood) as server:
        apt.fetch([server.download()], tmp_path, timeout_s=TIMEOUT_S)

    assert server.asked == [0, HALF]
    assert (tmp_path / SHA256).read_bytes() == DATA
    assert names(tmp_path) == {SHA256}


def test_the_next_run_goes_on(tmp_path: Path) -> None:
    """When it never ends well there is an error with a cure, and the next run asks for the rest."""
    with serving(*["drops"] * 20) as server, pytest.raises(LockError) as caught:
        apt.fetch([server.download()], tmp_path, timeout_s=TIMEOUT_S, retries=0)

    assert "gpsd.deb" in caught.value.message
    assert "the next run goes on" in (caught.value.hint or "")
    assert names(tmp_path) == {f".{SHA256}.part"}
    with serving() as server:
        apt.fetch([server.download()], tmp_path, timeout_s=TIMEOUT_S)
    assert server.asked == [HALF]
    assert (tmp_path / SHA256).read_bytes() == DATA


def test_gone_from_the_mirror(tmp_path: Path) -> None:
    """A file the server does not have is named, with what helps; others that came are kept."""
    with serving() as well, serving(*["gone"] * 20) as server, pytest.raises(LockError) as caught:
        apt.fetch(
            [well.download(), server.download("0" * 64)], tmp_path, timeout_s=TIMEOUT_S, retries=0
        )

    assert "could not fetch 1 of 2 files (gpsd.deb)" in caught.value.message
    assert "--refresh" in (caught.value.hint or "")
    assert SHA256 in names(tmp_path)
    assert "0" * 64 not in names(tmp_path)


def test_wrong_bytes(tmp_path: Path) -> None:
    """What does not fit its sum never gets its name, and is not what the next run goes on from."""
    with serving(*["wrong"] * 20) as server, pytest.raises(LockError) as caught:
        apt.fetch([server.download()], tmp_path, timeout_s=TIMEOUT_S, retries=0)

    assert "Hash Sum mismatch" in caught.value.message
    assert caught.value.hint
    assert SHA256 not in names(tmp_path)
    with serving() as server:
        apt.fetch([server.download()], tmp_path, timeout_s=TIMEOUT_S)
    assert (tmp_path / SHA256).read_bytes() == DATA


@pytest.mark.parametrize("left", [b"", b"x" * 1000, DATA[:1000], DATA, DATA + b"x"])
def test_what_a_killed_run_left(tmp_path: Path, left: bytes) -> None:
    """Whatever lies there from a killed run, right or wrong, the file comes out right."""
    (tmp_path / f".{SHA256}.part").write_bytes(left)

    with serving() as server:
        apt.fetch([server.download()], tmp_path, timeout_s=TIMEOUT_S)

    assert (tmp_path / SHA256).read_bytes() == DATA
    assert names(tmp_path) == {SHA256}


def test_no_server(tmp_path: Path) -> None:
    """Without a way to the server the hint speaks of the network."""
    with serving() as server:
        pass

    with pytest.raises(LockError) as caught:
        apt.fetch([server.download()], tmp_path, timeout_s=TIMEOUT_S, retries=0)

    assert "network" in (caught.value.hint or "")
    assert names(tmp_path) <= {f".{SHA256}.part"}


def test_two_that_want_the_same(tmp_path: Path) -> None:
    """Two builds that fetch one file at once both have it, and it is fetched once."""
    failed: list[BaseException] = []

    def fetch() -> None:
        try:
            apt.fetch([server.download()], tmp_path, timeout_s=TIMEOUT_S)
        except BaseException as error:  # noqa: BLE001  told by the test's own thread
            failed.append(error)

    with serving() as server:
        both = [threading.Thread(target=fetch) for _ in range(2)]
        for one in both:
            one.start()
        for one in both:
            one.join()

    assert failed == []
    assert server.asked == [0]
    assert names(tmp_path) == {SHA256}
