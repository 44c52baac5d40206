"""A mirror is asked for what it lists: its plain "not found" counts, and nothing else."""

from __future__ import annotations

import http.server
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from glovebox.lock import pool
from glovebox.lock.apt import Download

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


class Mirror(http.server.ThreadingHTTPServer):
    """Answers with the number that is the first part of the path."""

    asked = 0


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers HEAD alone."""

    def do_HEAD(self) -> None:
        """Answer, and count."""
        assert isinstance(self.server, Mirror)
        self.server.asked += 1
        self.send_response(int(self.path.split("/")[1]))
        self.send_header("Content-Length", "7")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its own name
        """Say nothing."""


@contextmanager
def mirror() -> Iterator[Mirror]:
    """Run a mirror until the block ends."""
    with Mirror(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def download(url: str) -> Download:
    """Give a file at an address."""
    return Download(url=url, name=url.rpartition("/")[2], size=7, sha256=url)


def test_what_the_mirror_does_not_have() -> None:
    """Not found and gone count, in the order of the list; a server's own trouble does not."""
    with mirror() as server:
        files = [
            download(f"http://127.0.0.1:{server.server_port}/{status}/{name}.deb")
            for status, name in ((404, "z"), (200, "y"), (503, "x"), (403, "w"), (410, "a"))
        ]

        assert pool.missing(files) == [files[0], files[-1]]
        assert server.asked == len(files)


def test_a_mirror_that_cannot_be_asked() -> None:
    """Nobody waits 300 times for one that does not answer, nor asks one of another protocol."""
    with mirror() as server:
        port = server.server_port
    gone = [download(f"http://127.0.0.1:{port}/404/{number}.deb") for number in range(300)]

    assert pool.missing(gone) == []
    assert pool.missing([download("file:///mirror/a.deb")]) == []


def test_after_silence_it_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first silence is enough: what is asked at once is all that still waits."""
    asked: list[object] = []

    def urlopen(request: object, *, timeout: int) -> None:
        assert timeout > 0
        asked.append(request)
        raise TimeoutError

    monkeypatch.setattr(pool.urllib.request, "urlopen", urlopen)

    assert pool.missing([download(f"http://h/{number}") for number in range(300)]) == []
    assert len(asked) <= pool.AT_ONCE
