"""Hostile and clumsy callers of the real process: bounded in memory, time and number."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.home import made
from tests.home.parts import KEY, HomeProcess, command, landed, until
from tests.kafka_broker import make_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RAWS = [
    made.record("truck-7", seq, at_ms=made.START_MS + seq * 1000, mono=seq * 1000)
    for seq in range(1, 501)
]
BODY = b"[" + b",".join(RAWS) + b"]"
CONFIG = "listen: 127.0.0.1:0\nvehicles: {truck-7: {key_file: key}}\n"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[HomeProcess]:
    """Give a running home."""
    process = HomeProcess(tmp_path, CONFIG)
    process.start()
    yield process
    process.end()


def post(home: HomeProcess, body: bytes = BODY, key: str | None = KEY) -> tuple[int, str]:
    """Post as a vehicle does."""
    connection = http.client.HTTPConnection(*home.address, timeout=60)
    headers = {} if key is None else {"X-API-Key": key}
    connection.request("POST", "/records", body=body, headers=headers)
    answer = connection.getresponse()
    said = answer.read().decode()
    connection.close()
    return answer.status, said


def raw(home: HomeProcess, request: bytes, *, within_s: float = 60) -> bytes:
    """Send bytes, and give all that comes until the other end closes."""
    with socket.create_connection(home.address, timeout=within_s) as caller:
        caller.sendall(request)
        heard = b""
        try:
            while part := caller.recv(65536):
                heard += part
        except ConnectionResetError:
            pass  # it did not read what we sent: it need not
        return heard


def resident(home: HomeProcess) -> int:
    """Give the process's memory in kB."""
    assert home.child is not None
    with open(f"/proc/{home.child.pid}/status") as status:  # noqa: PTH123  /proc
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def test_records_are_landed_once_and_answered_when_they_are(home: HomeProcess) -> None:
    """200 means on the medium; the same array again is a no-op; damage becomes a dead letter."""
    assert post(home)[0] == 200
    assert post(home)[0] == 200
    odd = b'[{"temperature":21.5},' + RAWS[0] + b"]"
    assert post(home, odd) == (200, "1 records, 1 dead letters\n")

    records, dead, lines = landed(home.data)
    assert records == set(RAWS)
    assert dead == [b'{"temperature":21.5}']
    assert lines == 502
    listed = command(home.data, "dead").stdout
    assert "1 dead letters" in listed
    assert "temperature" in listed


@pytest.mark.parametrize("key", [None, "", "wrong", KEY[:-1], KEY + "x", "é" * 34])
def test_wrong_key_lands_nothing(home: HomeProcess, key: str | None) -> None:
    """Without the vehicle's key nothing is taken, nor read."""
    said = None if key is None else key.encode().decode("latin-1")

    assert post(home, key=said)[0] == 403
    assert not list(home.data.rglob("*.lines"))


def test_key_is_for_its_vehicle_only(home: HomeProcess) -> None:
    """Another vehicle's record is refused as a whole: it stays in that vehicle's queue."""
    other = made.record("truck-8", 1, at_ms=made.START_MS, mono=1)

    status, said = post(home, b"[" + RAWS[0] + b"," + other + b"]")

    assert status == 403
    assert "truck-8" in said
    assert not list(home.data.rglob("*.lines"))


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("Content-Length: -1", 400),
        ("Content-Length: 1e3", 400),
        ("Content-Length: 99999999999", 413),
        ("Content-Length: " + "9" * 400, 400),
        ("Content-Length: 4194305", 413),
        ("Transfer-Encoding: chunked", 411),
        ("X: y", 411),
    ],
)
def test_length_that_cannot_be_meant_is_refused_unread(
    home: HomeProcess, head: str, status: int
) -> None:
    """No length makes the home read or hold what it does not want."""
    heard = raw(home, f"POST / HTTP/1.1\r\nX-API-Key: {KEY}\r\n{head}\r\n\r\n".encode())

    assert heard.split()[1] == str(status).encode()


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[", b"[1,", b"null", b"[" * 50_000, b"[1 2]", b"[1,]", b"\xff\xfe[]"]
)
def test_body_that_is_no_array_is_refused(home: HomeProcess, body: bytes) -> None:
    """What is not an array of JSON lands nothing, and the next request is served."""
    head = f"POST / HTTP/1.1\r\nX-API-Key: {KEY}\r\nContent-Length: {len(body)}\r\n"
    heard = raw(home, head.encode() + b"Connection: close\r\n\r\n" + body)

    assert heard.split()[1] == b"400"
    assert post(home)[0] == 200


def test_body_without_a_key_is_not_read(home: HomeProcess) -> None:
    """A stranger's 3 GB cost nothing: the answer comes before they do."""
    head = b"POST / HTTP/1.1\r\nX-API-Key: no\r\nContent-Length: 3000000000\r\n\r\n"

    assert raw(home, head).split()[1] == b"403"


def test_head_without_an_end_takes_no_memory(home: HomeProcess) -> None:
    """Headers for ever are cut off."""
    before = resident(home)
    line = b"X-Filler: " + b"a" * 900 + b"\r\n"

    with suppress(BrokenPipeError, ConnectionResetError):  # it closed while we were sending
        raw(home, b"GET / HTTP/1.1\r\n" + line * 20_000)

    assert resident(home) - before < 30_000
    assert post(home)[0] == 200


def test_half_a_body_lands_nothing(home: HomeProcess) -> None:
    """Who goes in the middle of a body has sent nothing; the whole of it counts later."""
    with socket.create_connection(home.address) as caller:
        head = f"POST / HTTP/1.1\r\nX-API-Key: {KEY}\r\nContent-Length: {len(BODY)}\r\n\r\n"
        caller.sendall(head.encode() + BODY[: len(BODY) // 2])

    assert post(home, b"[" + RAWS[0] + b"]")[0] == 200
    assert landed(home.data)[0] == {RAWS[0]}


def test_300_silent_connections_keep_nobody_out(home: HomeProcess) -> None:
    """Silent ones go when somebody comes who wants something; their number is bounded."""
    before = resident(home)
    silent = [socket.create_connection(home.address) for _ in range(300)]
    try:
        for each in silent[:150]:
            each.sendall(b"POST / HTTP/1.1\r\nX-API")  # half a head, and no more
        for _ in range(5):
            assert post(home)[0] == 200
        assert home.child is not None
        with open(f"/proc/{home.child.pid}/status") as status:  # noqa: PTH123  /proc
            threads = next(int(line.split()[1]) for line in status if line.startswith("Threads"))
        assert threads < 64 + 20
        assert resident(home) - before < 60_000
    finally:
        for each in silent:
            each.close()


def test_slow_caller_is_left(home: HomeProcess) -> None:
    """A head that comes a byte at a time ends after ten seconds in all, not ten each."""
    began = time.monotonic()
    with socket.create_connection(home.address, timeout=60) as caller:
        try:
            while time.monotonic() - began < 60:
                caller.sendall(b"P")
                time.sleep(0.5)
        except (BrokenPipeError, ConnectionResetError):
            pass

    assert time.monotonic() - began < 59, "it was served for as long as it liked"


def test_too_many_requests_are_slowed(home: HomeProcess) -> None:
    """A vehicle that asks without a pause is told to wait, and may come again."""
    connection = http.client.HTTPConnection(*home.address, timeout=60)
    seen = set()
    for _ in range(1500):
        connection.request("POST", "/", body=b"[]", headers={"X-API-Key": KEY})
        answer = connection.getresponse()
        answer.read()
        seen.add(answer.status)
        if answer.status == 429:
            assert answer.headers["Retry-After"] == "1"
            break
    assert seen == {200, 429}
    until(lambda: post(home)[0] == 200, what="the next request to be taken", within_s=60)


def test_page_is_for_this_machine_only(home: HomeProcess) -> None:
    """Without a password only this machine's names are answered: no foreign page gets in."""
    for host, status in (("localhost", 200), ("127.0.0.1:80", 200), ("evil.example", 403)):
        heard = raw(
            home, f"GET /api/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        )
        assert heard.split()[1] == str(status).encode()
        if status == 200:
            assert json.loads(heard.partition(b"\r\n\r\n")[2])["dead"] == 0


def test_open_to_a_network_it_wants_tls_and_a_password(tmp_path: Path) -> None:
    """With `tls:` and `password_file:` page and vehicles come by TLS, and the page by password."""
    secrets = make_secrets(tmp_path / "secrets")
    (tmp_path / "word").write_text("open sesame\n")
    home = HomeProcess(
        tmp_path,
        CONFIG + f"tls: {{certificate: {secrets}/broker.pem, key: {secrets}/broker.key}}\n"
        "password_file: word\n",
    )  # fmt: skip
    home.start()
    try:
        context = ssl.create_default_context(cafile=str(secrets / "ca.pem"))
        connection = http.client.HTTPSConnection(*home.address, context=context, timeout=60)
        connection.request("POST", "/", body=BODY, headers={"X-API-Key": KEY})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"500 records, 0 dead letters\n")
        for word, status in (("open sesame", 200), ("", 401), ("open", 401)):
            packed = base64.b64encode(f"me:{word}".encode()).decode()
            connection.request("GET", "/status", headers={"Authorization": f"Basic {packed}"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status
        with socket.create_connection(home.address, timeout=60) as plain:
            plain.sendall(b"GET /status HTTP/1.1\r\n\r\n")
            assert b"200" not in plain.recv(100)
    finally:
        home.end()


def test_second_process_on_a_folder_is_told(home: HomeProcess) -> None:
    """One home a folder: the second one names the first one's pid."""
    second = command(home.data, "--config", str(home.folder / "home.yaml"), "serve")

    assert second.returncode == 4
    assert home.child is not None
    assert f"pid {home.child.pid}" in second.stderr


def test_days_are_built_as_records_come(home: HomeProcess) -> None:
    """What was posted stands in the views a little later, without anybody asking for it."""
    post(home)
    until(lambda: list(home.data.glob("days/*/built")), what="the day to be built")

    query = "SELECT COUNT(*) FROM points"
    assert command(home.data, "sql", "--csv", query).stdout.splitlines()[-1] == "500"
