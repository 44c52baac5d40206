"""Every answer that a server on the loopback can give: told apart, bounded, never a traceback."""

from __future__ import annotations

import random
import socket
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from telematics import sink_http
from telematics.settings import check
from telematics.sink import SinkError
from telematics.sink_http import HttpSink, _asked_to_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RECORDS = [("t", b"[1]"), ("t", b"[2]")]
WAIT_S = 60.0


class Server:
    """Takes connections, hears one request on each, and does with it what a test says."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        """Begin to listen."""
        self.heard: list[bytes] = []
        self.over = threading.Event()
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Hang up."""
        self.over.set()
        self._listening.close()

    def _serve(self) -> None:
        while not self.over.is_set():
            try:
                link, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(link,), daemon=True).start()

    def _one(self, link: socket.socket) -> None:
        with link:
            try:
                while self._request(link):
                    self._answer(link)
            except OSError:
                return

    def _request(self, link: socket.socket) -> bool:
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = link.recv(65536)
            if not chunk:
                return False
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        while len(body) < size:
            body += link.recv(65536)
        self.heard.append(head + b"\r\n\r\n" + body)
        return True


@pytest.fixture
def served(
    tmp_path: Path,
) -> Iterator[Callable[[Callable[[socket.socket], None]], tuple[Server, HttpSink]]]:
    """Make servers, each with a sink that is open to it."""
    made: list[Server] = []
    (tmp_path / "api-key").write_text("secret\n")

    def make(answer: Callable[[socket.socket], None]) -> tuple[Server, HttpSink]:
        server = Server(answer)
        made.append(server)
        sink = HttpSink(
            check(
                {
                    "publish_to": "http",
                    "publish_security": "plaintext",
                    "publish_servers": f"http://127.0.0.1:{server.port}/in?vehicle=7&token=x",
                    "publish_secrets": str(tmp_path),
                }
            )
        )
        sink.open()
        return server, sink

    yield make
    for each in made:
        each.close()


def whole(status: str, *headers: str, body: bytes = b"") -> Callable[[socket.socket], None]:
    """Answer with a whole message."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return lambda link: link.sendall("\r\n".join(lines).encode("latin-1") + body)


def test_query_of_the_address_is_sent(served: Callable[..., tuple[Server, HttpSink]]) -> None:
    """The address is used as it is written, and one connection serves for all that is sent."""
    server, sink = served(whole("204 No Content"))

    assert [sink.send(RECORDS).acked for _ in range(3)] == [2, 2, 2]
    assert server.heard[0].startswith(b"POST /in?vehicle=7&token=x HTTP/1.1\r\n")
    assert b"X-API-Key: secret\r\n" in server.heard[0]
    assert server.heard[0].endswith(b"[[1],[2]]")
    assert len(server.heard) == 3


@pytest.mark.parametrize(
    ("status", "headers", "refused", "wait_s", "words"),
    [
        ("400 Bad Request", [], True, 0, "refuses what it is sent: 400 Bad Request, the body"),
        ("413 Content Too Large", [], True, 0, "refuses what it is sent: 413"),
        ("422 Unprocessable", [], True, 0, "refuses what it is sent: 422"),
        ("401 Unauthorized", [], False, 0, "does not know this API key: 401"),
        ("403 Forbidden", [], False, 0, "does not let this API key in: 403"),
        ("404 Not Found", [], False, 0, "takes nothing at this address: 404"),
        ("429 Too Many", ["Retry-After: 120"], False, 120, "was asked too often: 429"),
        ("429 Too Many", ["Retry-After: 99999999999"], False, 3600, "was asked too often"),
        ("429 Too Many", ["Retry-After: soon"], False, 0, "was asked too often"),
        ("500 Oops", [], False, 0, "is in trouble: 500 Oops"),
        ("503 Later", ["Retry-After: 7"], False, 7, "is in trouble: 503 Later"),
        ("301 Moved", ["Location: https://b/x"], False, 0, "points elsewhere: 301 Moved, https://b/x"),
        ("302 Found", [], False, 0, "points elsewhere: 302 Found, nowhere; hint: "),
        ("101 Switching", [], False, 0, "answered with a message that is none: 101"),
        ("400 \x1b[31mred\x07", [], True, 0, "400 ?[31mred?"),
    ],
)  # fmt: skip
def test_answers_are_told_apart(
    served: Callable[..., tuple[Server, HttpSink]],
    status: str,
    headers: list[str],
    refused: bool,  # noqa: FBT001  a column of the table
    wait_s: float,
    words: str,
) -> None:
    """What helps differs, so the words do; only what speaks of the records is a refusal."""
    _, sink = served(whole(status, *headers, body=b"the body"))

    sent = sink.send(RECORDS)

    assert (sent.acked, sent.refused, sent.wait_s) == (0, refused, wait_s)
    assert sent.why.startswith("127.0.0.1 ")
    assert words in sent.why
    assert sent.why.isprintable()


def _garbage(link: socket.socket) -> None:
    link.sendall(b"\x16\x03\x01 SSH-2.0-dropbear\r\n\r\n")
    link.close()


def _nothing(link: socket.socket) -> None:
    link.shutdown(socket.SHUT_RDWR)


def _forever(piece: bytes, first: bytes = b"", *, pause_s: float = 0) -> Callable[..., None]:
    def answer(link: socket.socket) -> None:
        link.sendall(first)
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            link.sendall(piece)
            time.sleep(pause_s)

    return answer


def _silent(link: socket.socket) -> None:
    link.recv(1)


LATER = "Fri, 31 Dec 1999 23:59:59 GMT"
OK = b"HTTP/1.1 200 OK\r\n"
ENDLESS = {
    "garbage": (_garbage, "does not answer in HTTP"),
    "nothing": (_nothing, "closed the connection without an answer"),
    "silence": (_silent, "did not answer within"),
    "100 Continue": (_forever(b"HTTP/1.1 100 Continue\r\n\r\n"), "answers more than 64 KiB"),
    "slow 100 Continue": (
        _forever(b"HTTP/1.1 100 Continue\r\n\r\n", pause_s=0.05), "did not answer within",
    ),
    "headers": (_forever(b"X: y\r\n", OK), "does not answer in HTTP"),
    "one line": (_forever(b"x" * 1000), ""),
    "dripping line": (_forever(b"x", pause_s=0.05), "did not answer within"),
    "dripping body": (
        _forever(b"x", b"HTTP/1.1 500 Oops\r\nContent-Length: 500\r\n\r\n", pause_s=0.05),
        "did not answer within",
    ),
    "chunks of nothing": (
        _forever(b"1;" + b"e" * 900 + b"\r\nx\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n"), "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ENDLESS)
def test_answer_without_an_end_is_bounded(
    served: Callable[..., tuple[Server, HttpSink]], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dripping, endless or none at all: the call comes back, says why, and holds no megabytes."""
    answer, words = ENDLESS[kind]
    # What is cut off by its amount has time to send as much, also on a busy machine.
    timed = words.startswith("did not answer")
    monkeypatch.setattr(sink_http, "TIMEOUT_S", 1.0 if timed else 60.0)
    _, sink = served(answer)
    tracemalloc.start()

    sent = sink.send(RECORDS)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    if kind != "chunks of nothing":
        assert (sent.acked, sent.refused) == (0, False)
        assert words in sent.why
    assert peak < 2 << 20


def test_large_body_is_not_read(served: Callable[..., tuple[Server, HttpSink]]) -> None:
    """Of 200 MB behind "all is well" nothing is needed: it counts, and the next one is fresh."""
    server, sink = served(_forever(b"x" * 65536, OK + b"Content-Length: 209715200\r\n\r\n"))
    tracemalloc.start()

    sent = sink.send(RECORDS)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sent.acked == 2
    assert peak < 2 << 20
    assert sink.send(RECORDS).acked == 2
    assert len(server.heard) == 2


@pytest.mark.thorough
def test_fuzzed_answers_end_in_a_result(
    served: Callable[..., tuple[Server, HttpSink]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,000 odd answers, with a fixed seed: each is a result in words, none is an exception."""
    monkeypatch.setattr(sink_http, "TIMEOUT_S", 5.0)
    dice = random.Random(7)  # noqa: S311  the same at each run
    lines = [
        b"HTTP/1.1 200 OK", b"HTTP/1.1 413 Large", b"HTTP/9.9 200", b"HTTP/1.1 99999 x", b"HTTP/",
        b"HTTP/1.0 429", b"HTTP/1.1 -1 x", b"ICY 200 OK", b"", b"\xff\xfe", b"Content-Length: -5",
        b"Content-Length: 99999999999999999999", b"Content-Length: x", b"Retry-After: \xd9\xa3",
        b"Transfer-Encoding: chunked", b"Location: \x1b]0;x\x07", b"Connection: close", b"\0" * 9,
        b"Date: Thu, 99 Feb 2026 00:00:00 GMT", b"Retry-After: Thu, 01 Jan 1970 00:00:00 +9999",
        b"HTTP/1.1 100 Continue", b": x", b"a" * 70_000, b"ffffffffffffffffff", b"0",
    ]  # fmt: skip

    def answer(link: socket.socket) -> None:
        picked = dice.choices(lines, k=dice.randint(1, 7))
        if dice.random() < 0.8:
            picked.insert(0, dice.choice(lines[:6]))
        text = dice.choice([b"\r\n", b"\n"]).join([*picked, b"", b"body"])
        link.sendall(text[: dice.randint(0, len(text))] if dice.random() < 0.3 else text)
        link.close()

    _, sink = served(answer)
    for _ in range(1000):
        sink.close()
        sink.open()
        sent = sink.send(RECORDS)
        assert sent.acked == 2 or sent.why.startswith("127.0.0.1 ")
        assert sent.why.isprintable()
        assert 0 <= sent.wait_s <= 3600


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": LATER, "Date": "Fri, 31 Dec 1999 23:59:29 GMT"}, 30),
        ({"Retry-After": LATER, "Date": "Sat, 01 Jan 2000 23:59:29 GMT"}, 0),
        ({"Retry-After": LATER}, 0),
        ({"Retry-After": "-5"}, 0),
        ({}, 0),
    ],
)  # fmt: skip
def test_a_date_to_wait_for_counts_by_the_receivers_clock(
    headers: dict[str, str], wait_s: float
) -> None:
    """The board's own may be years off; without theirs a date says nothing."""
    message = sink_http.http.client.HTTPMessage()
    for name, value in headers.items():
        message[name] = value

    assert _asked_to_wait(message) == wait_s


def test_locked_client_key_asks_nobody(tmp_path: Path) -> None:
    """A key that wants a passphrase is an error in words; nobody is there to type one."""
    key = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n"
    for name, text in (("api-key", "k"), ("client.pem", key), ("client.key", key)):
        (tmp_path / name).write_text(text)
    settings = check(
        {"publish_to": "http", "publish_servers": "https://127.0.0.1:1/",
         "publish_secrets": str(tmp_path)}
    )  # fmt: skip

    with pytest.raises(SinkError, match=r"127\.0\.0\.1: "):
        HttpSink(settings).open()
