"""Sources to compile from: read, fetched once from the first address that has them, proven."""

from __future__ import annotations

import hashlib
import http.server
import threading
from typing import TYPE_CHECKING

import pytest

from glovebox.build import download
from glovebox.errors import ConfigError, LockError
from glovebox.stage import sources, stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = b"a release\n" * 100
SUM = hashlib.sha256(DATA).hexdigest()
URL = "https://example.org/pkg/x%2B1.tar.gz"


def read(folder: Path, text: str, **given: str) -> tuple[sources.Source, ...]:
    """Read a list."""
    path = folder / "00-sources"
    path.write_text(text)
    action = stage.Action(number="00", kind=stage.Kind.SOURCES, path=path)
    return sources.of(action, given)


def test_every_kind(tmp_path: Path) -> None:
    """Packages, folders and files stand in one list, with variables and comments."""
    found = read(
        tmp_path,
        "debian:$SERVER\npath:app # ours\n"
        f"{URL} http://mirror.example.org/y\n  sha256:{SUM.upper()}\n",
        SERVER="redis",
    )

    assert found == (
        sources.Source(origin=sources.Origin.DEBIAN, what="redis"),
        sources.Source(origin=sources.Origin.PATH, what="app"),
        sources.Source(
            origin=sources.Origin.URL, what="x+1.tar.gz",
            urls=(URL, "http://mirror.example.org/y"), sha256=SUM,
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (URL, "has no sum"),
        (f"{URL} debian:redis", "has no sum"),
        (f"{URL} sha256:12", "is not a sum"),
        (f"https://example.org/ sha256:{SUM}", "does not end in a file's name"),
        (f"sha256:{SUM}", "is no source"),
        ("redis", "is no source"),
        ("debian:", "is no source"),
        ("ftp://example.org/x", "is no source"),
    ],
)
def test_a_wrong_list(tmp_path: Path, text: str, said: str) -> None:
    """The error names the file and what is wrong in it, and how it is written."""
    with pytest.raises(ConfigError, match=said) as caught:
        read(tmp_path, text)

    assert str(tmp_path / "00-sources") in caught.value.message


class Server(http.server.ThreadingHTTPServer):
    """Sends files by name, and counts how often it was asked."""

    files: dict[str, bytes]
    asked: list[str]


@pytest.fixture
def server() -> Iterator[Server]:
    """Serve on the loopback."""

    class Handler(http.server.BaseHTTPRequestHandler):
        """Sends what there is."""

        def do_GET(self) -> None:
            """Answer."""
            made.asked.append(self.path)
            data = made.files.get(self.path)
            self.send_response(200 if data is not None else 404)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *_words: object) -> None:
            """Say nothing."""

    made = Server(("127.0.0.1", 0), Handler)
    made.files, made.asked = {"/good": DATA, "/damaged": DATA[:-1] + b"!"}, []
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def wanted(server: Server, *names: str) -> sources.Source:
    """Give a source with these addresses."""
    urls = tuple(f"http://127.0.0.1:{server.server_port}/{name}" for name in names)
    return sources.Source(origin=sources.Origin.URL, what=names[0], urls=urls, sha256=SUM)


@pytest.mark.parametrize("names", [("good",), ("missing", "good"), ("damaged", "good")])
def test_the_first_whole_one_is_taken(
    tmp_path: Path, server: Server, names: tuple[str, ...]
) -> None:
    """An address without the file, or with another file, is passed over for the next one."""
    one = wanted(server, *names)

    download.fetch(one, tmp_path / "sources", wanted_by="00-sources")
    server.asked.clear()
    download.fetch(one, tmp_path / "sources", wanted_by="00-sources")

    assert (tmp_path / "sources" / SUM).read_bytes() == DATA
    assert server.asked == []


@pytest.mark.parametrize("name", ["damaged", "missing"])
def test_one_that_nobody_has_whole(tmp_path: Path, server: Server, name: str) -> None:
    """The error names the list, the address and the sum; nothing damaged is kept."""
    with pytest.raises(LockError) as caught:
        download.fetch(wanted(server, name), tmp_path / "sources", wanted_by="stage/00-sources")

    assert "stage/00-sources" in caught.value.message
    assert SUM in caught.value.message
    assert f"/{name}" in caught.value.message
    assert not (tmp_path / "sources" / SUM).exists()
