"""Alerts: one message for each change, in order, whatever dies in between."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from home.alerts.outbox import KEPT, Message, Outbox
from home.alerts.rules import Change, Facts, Fix, Jam, changes
from home.alerts.settings import Alerts, Mail, Place, Post, read
from home.alerts.sinks import RefusedError, SinkError, deliver
from home.alerts.watch import Watch
from home.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

    from home.alerts import rules

HOUR_MS = 3_600_000
NOW = 1_790_000_000_000
DEPOT = Place(name="depot", lat=52.0, lon=13.0, radius_m=200)
ALERTS = Alerts(places=(DEPOT,))
FACTS = Facts(now=NOW, heard={"truck-1": NOW}, missing={"truck-1": 0}, disk_free=10**12)


def _titles(*facts: Facts, alerts: Alerts = ALERTS) -> list[str]:
    """Give the titles of all changes when these facts are looked at one after the other."""
    state: rules.State = {}
    found: list[str] = []
    for each in facts:
        new, state = changes(alerts, state, each)
        state = json.loads(json.dumps(state))
        found += [change.title for change in new]
    return found


def test_the_first_look_and_the_same_again_tell_nothing() -> None:
    """What is so at a first start, and what stays so, makes no message."""
    bad = Facts(
        now=NOW, heard={"truck-1": NOW - 90 * HOUR_MS}, missing={"truck-1": 7}, dead=3,
        disk_free=10**12, minutes={"truck-1": [Jam(NOW, jam=True)]},
    )  # fmt: skip

    assert _titles(bad, bad, bad) == []


@pytest.mark.parametrize(
    ("after", "again", "titles"),
    [
        (
            {"heard": {"truck-1": NOW - 25 * HOUR_MS}},
            {},
            ["truck-1 is silent for 25 hours", "truck-1 is heard again"],
        ),
        (
            {"missing": {"truck-1": 4}},
            {"missing": {"truck-1": 1}},
            ["truck-1: 4 records lost, 4 in all",
             "truck-1: 3 records came after all, 1 are still missing"],
        ),
        (
            {"dead": 2},
            {"dead": 0},
            ["2 more dead letters, 2 in all", "2 dead letters were taken after all, 0 are left"],
        ),
        (
            {"disk_free": 100 << 20},
            {"disk_free": 700 << 20},
            ["the disk is nearly full: 100 MiB are free", "700 MiB are free again"],
        ),
        (
            {"sources": {"fleet": "503 a bad moment"}},
            {"sources": {"fleet": ""}},
            ["fleet cannot be asked: 503 a bad moment", "fleet answers again"],
        ),
        ({"disk_free": 490 << 20}, {"disk_free": 520 << 20},
         ["the disk is nearly full: 490 MiB are free"]),
    ],
)  # fmt: skip
def test_each_change_is_told_once_and_so_is_its_end(
    after: dict[str, Any], again: dict[str, Any], titles: list[str]
) -> None:
    """A change is one message however often it is looked at, and what ends it is another."""
    bad, good = replace(FACTS, **after), replace(FACTS, **again)

    assert _titles(FACTS, bad, bad, good, good) == titles


def test_places_are_entered_and_left_in_the_order_of_time() -> None:
    """A backlog tells all that happened, in its order; noise at the edge moves nobody."""
    inside, edge, outside = (52.0, 13.0), (52.0019, 13.0), (52.1, 13.0)
    way = [inside, edge, inside, edge, outside, inside, outside]
    fixes = [Fix(NOW + at * 60_000, *where) for at, where in enumerate(way)]
    state: rules.State = {}
    _, state = changes(ALERTS, state, replace(FACTS, fixes={"truck-1": fixes[:1]}))

    found, _ = changes(ALERTS, state, replace(FACTS, fixes={"truck-1": fixes[1:]}))

    assert [(change.kind, change.at - NOW) for change in found] == [
        ("place out", 240_000), ("place in", 300_000), ("place out", 360_000),
    ]  # fmt: skip


def test_jams_are_told_when_they_begin_and_end() -> None:
    """Minutes in a jam are one jam."""
    minutes = [Jam(NOW + at * 60_000, jam=at in (2, 3, 6)) for at in range(8)]

    found, _ = changes(ALERTS, {}, replace(FACTS, minutes={"truck-1": minutes}))

    assert [change.kind for change in found] == ["jam", "jam over", "jam", "jam over"]


def test_a_new_vehicle_and_a_new_place_are_learnt_in_silence() -> None:
    """Neither a vehicle seen for the first time nor a place just named makes a message."""
    known = replace(FACTS, fixes={"truck-1": [Fix(NOW, 52.0, 13.0)]})
    more = replace(
        known, heard={"truck-1": NOW, "truck-2": 0}, missing={"truck-1": 0, "truck-2": 9}
    )
    state: rules.State = {}
    _, state = changes(replace(ALERTS, places=()), state, known)

    found, state = changes(ALERTS, state, more)

    assert found == []
    assert state["places"]["truck-1"] == {"depot": True}


def _change(number: int) -> Change:
    return Change(kind="lost", device="truck-1", at=NOW + number, title=f"change {number}")


def _tell(outbox: Outbox, *numbers: int, sinks: tuple[str, ...] = ("a", "b")) -> None:
    outbox.tell(lambda _: ([_change(n) for n in numbers], {"n": max(numbers)}), sinks)


def _drain(outbox: Outbox, sink: str) -> list[str]:
    titles = []
    while message := outbox.next(sink):
        titles.append(message.title)
        outbox.taken(message)
    return titles


def test_outbox_survives_a_restart_in_order(tmp_path: Path) -> None:
    """Messages and what is known are there again, each sink with its own queue."""
    outbox = Outbox(tmp_path / "box.sqlite")
    _tell(outbox, 1, 2)
    assert _drain(outbox, "a") == ["change 1", "change 2"]
    _tell(outbox, 3)

    again = Outbox(tmp_path / "box.sqlite")

    assert again.known() == {"n": 3}
    assert _drain(again, "a") == ["change 3"]
    assert _drain(again, "b") == ["change 1", "change 2", "change 3"]


def test_state_and_messages_are_kept_both_or_neither(tmp_path: Path) -> None:
    """Whoever fails between deciding and keeping has neither, so the change is told later."""
    outbox = Outbox(tmp_path / "box.sqlite")
    _tell(outbox, 1)

    class Wrong(dict[str, object]):
        pass

    with pytest.raises(TypeError):
        outbox.tell(lambda _: ([_change(2)], {"n": object()}), ("a", "b"))

    assert outbox.known() == {"n": 1}
    assert _drain(outbox, "a") == ["change 1"]


@pytest.mark.thorough
def test_a_long_outage_keeps_the_newest_and_says_so(tmp_path: Path) -> None:
    """Of more messages than are kept the oldest are left out, counted, and the order stays."""
    outbox = Outbox(tmp_path / "box.sqlite")
    for begin in range(0, KEPT + 300, 100):
        _tell(outbox, *range(begin, begin + 100), sinks=("a",))

    titles = _drain(outbox, "a")

    assert len(titles) == KEPT
    assert titles[0] == f"{301} older messages were left out"
    assert titles[1:] == [f"change {number}" for number in range(301, KEPT + 300)]


def test_a_damaged_outbox_is_put_aside(tmp_path: Path) -> None:
    """A file that is none of SQLite's stops no alert, and is kept for whoever wants to look."""
    path = tmp_path / "box.sqlite"
    path.write_bytes(b"garbage" * 1000)

    outbox = Outbox(path)
    _tell(outbox, 1)

    assert _drain(outbox, "a") == ["change 1"]
    assert path.with_suffix(".damaged").read_bytes().startswith(b"garbage")


def test_sinks_that_are_no_longer_named_are_forgotten(tmp_path: Path) -> None:
    """What waits for a sink that home.yaml no longer names goes with it."""
    outbox = Outbox(tmp_path / "box.sqlite")
    _tell(outbox, 1)
    _tell(outbox, 2, sinks=("b",))

    assert outbox.waiting() == {"b": 2}


class _Hook(http.server.BaseHTTPRequestHandler):
    """Takes POSTs; answers what it is told to, then 200."""

    seen: list[tuple[dict[str, str], bytes]]
    answers: list[int]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.answers.pop(0) if self.answers else 200
        if status in (200, 400):
            self.seen.append((dict(self.headers), body))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Smtp(socketserver.StreamRequestHandler):
    """As much of SMTP as a letter needs; refuses as often as it is told to."""

    letters: list[tuple[list[str], str]]
    refuse: list[int]

    def handle(self) -> None:
        self._say("220 here")
        to: list[str] = []
        while line := self.rfile.readline().decode().strip():
            word = line[:4].upper()
            if word == "RCPT":
                to.append(line.partition("<")[2].rstrip(">"))
            if word == "DATA":
                self._say("354 go on")
                text = b""
                while (part := self.rfile.readline()) != b".\r\n":
                    text += part
                if self.refuse:
                    self._say(f"{self.refuse.pop()} not now")
                    return
                self.letters.append((to, text.decode()))
            self._say("221 bye" if word == "QUIT" else "250 good")
            if word == "QUIT":
                return

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def _running(server: socketserver.BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield int(server.server_address[1])  # type: ignore[index]  # an address of TCP
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


MESSAGE = Message(
    id=7, kind="lost", device="truck-1", at=NOW, title="truck-1: 2 records lost, ähem"
)


def test_mail_arrives_with_subject_and_the_same_name_at_every_try() -> None:
    """A letter has the words, the time, and a Message-ID by which a repeat is told."""
    handler = type("Handler", (_Smtp,), {"letters": [], "refuse": [451]})
    with _running(socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)) as port:
        mail = Mail(host="127.0.0.1", port=port, sender="home@example.org",
                    to=("a@example.org", "b@example.org"), security="none")  # fmt: skip
        with pytest.raises(SinkError, match="not now"):
            deliver(mail, MESSAGE, home="base")
        deliver(mail, MESSAGE, home="base")

    ((to, letter),) = handler.letters
    assert to == ["a@example.org", "b@example.org"]
    assert "Message-ID: <base-7@example.org>" in letter
    assert "Subject: truck-1: 2 records lost" in letter


def test_mail_is_not_sent_in_plain_text_unless_asked_for() -> None:
    """A server without STARTTLS gets nothing."""
    handler = type("Handler", (_Smtp,), {"letters": [], "refuse": []})
    with _running(socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)) as port:
        mail = Mail(host="127.0.0.1", port=port, sender="home@example.org", to=("a@example.org",))
        with pytest.raises(SinkError, match="STARTTLS"):
            deliver(mail, MESSAGE, home="base")

    assert handler.letters == []


def test_webhook_and_ntfy_get_what_they_understand(tmp_path: Path) -> None:
    """JSON with an id here, text with a title there, both with the token of the file."""
    handler = type("Handler", (_Hook,), {"seen": [], "answers": []})
    (tmp_path / "token").write_text("secret\n")
    with _running(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)) as port:
        for kind in ("webhook", "ntfy"):
            sink = Post(kind=kind, url=f"http://127.0.0.1:{port}/x", token_file=tmp_path / "token")
            deliver(sink, MESSAGE, home="base")

    (hook, body), (ntfy, words) = handler.seen
    assert json.loads(body) == {
        "id": "base-7", "kind": "lost", "device": "truck-1", "time_ms": NOW, "text": MESSAGE.title,
    }  # fmt: skip
    assert hook["Authorization"] == ntfy["Authorization"] == "Bearer secret"
    assert hook["X-Message-Id"] == ntfy["X-Message-Id"] == "base-7"
    assert ntfy["Title"] == "truck-1: 2 records lost, ?hem"
    assert words.decode().startswith(MESSAGE.title)


@pytest.mark.parametrize(("status", "error"), [(503, SinkError), (401, SinkError), (302, SinkError),
                                               (400, RefusedError), (422, RefusedError)],
)  # fmt: skip
def test_what_a_sink_will_never_take_is_told_from_what_it_will(
    status: int, error: type[Exception]
) -> None:
    """Only a message that is refused for good is given up; no redirect is followed."""
    handler = type("Handler", (_Hook,), {"seen": [], "answers": [status]})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    with _running(server) as port, pytest.raises(SinkError) as raised:
        deliver(Post(kind="webhook", url=f"http://127.0.0.1:{port}/"), MESSAGE, home="base")

    assert type(raised.value) is error


class _Base:
    """A home's views as plain answers."""

    def __init__(self, dead: int = 0) -> None:
        self.dead = dead

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def execute(self, query: str, _parameters: object = None) -> _Base:
        self.rows: list[tuple[object, ...]] = []
        if "MAX(time_ms)" in query:
            self.rows = [("truck-1", NOW)]
        if "FROM dead" in query:
            self.rows = [(self.dead,)]
        return self

    def fetchall(self) -> list[tuple[object, ...]]:
        return self.rows

    def fetchone(self) -> tuple[object, ...]:
        return self.rows[0]


def test_a_dead_sink_holds_up_nobody_and_gets_all_of_it_in_order(tmp_path: Path) -> None:
    """Two sinks, one of them dead for a while and over a restart: each gets each change, once."""
    base = _Base()
    handlers = [type("Handler", (_Hook,), {"seen": [], "answers": []}) for _ in range(2)]
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) for handler in handlers]
    with _running(servers[0]) as one, _running(servers[1]) as two:
        alerts = Alerts(to=tuple(Post(kind="webhook", url=f"http://127.0.0.1:{port}/")
                                 for port in (one, two)))  # fmt: skip

        def watch() -> Watch:
            return Watch(alerts=alerts, folder=tmp_path, name="base", connect=lambda: base,
                         clock=lambda: NOW / 1000)  # fmt: skip

        first = watch()
        first.look()
        for base.dead in (1, 2, 2, 3):
            first.look()
        handlers[1].answers += [503] * 2
        while first.deliver(alerts.to[0]):
            pass
        with pytest.raises(SinkError):
            first.deliver(alerts.to[1])
        second = watch()
        base.dead = 4
        second.look()
        second.look()
        for sink in alerts.to:
            for _ in range(10):
                try:
                    if not second.deliver(sink):
                        break
                except SinkError:
                    continue

    words = [f"1 more dead letters, {count} in all" for count in (1, 2, 3, 4)]
    for handler in handlers:
        assert [json.loads(body)["text"] for _, body in handler.seen] == words
        assert len({headers["X-Message-Id"] for headers, _ in handler.seen}) == 4


def test_all_mistakes_of_the_configuration_are_told_at_once(tmp_path: Path) -> None:
    """Each wrong field is named with its place and a cure."""
    wrong = {
        "silent_after_h": -1, "jams": True,
        "places": [{"name": "x", "lat": 91, "lon": float("nan")}],
        "to": [{"mail": {"server": "smtp", "from": "me", "to": []}},
               {"webhook": {"url": "ftp://x"}}, {"fax": {}}, 5],
    }  # fmt: skip

    with pytest.raises(ConfigError) as raised:
        read(wrong, tmp_path / "home.yaml")

    for place in ("alerts.silent_after_h", "alerts.jams: unknown; hint: perhaps you meant jam",
                  "places[0].lat", "places[0].lon", "to[0].mail.server", "to[0].mail.from",
                  "to[0].mail.to", "to[1].webhook.url", "to[2].fax: unknown",
                  "to[3]: 5"):  # fmt: skip
        assert place in str(raised.value)


def test_a_full_configuration_is_read(tmp_path: Path) -> None:
    """What the documentation shows is understood, with paths relative to the file."""
    alerts = read(
        {
            "silent_after_h": 6, "disk_free_mib": 100, "jam": False,
            "places": [{"name": "depot", "lat": 52.5, "lon": 13.4, "radius_m": 200}],
            "to": [
                {"mail": {"server": "smtp.example.org:587", "from": "home@example.org",
                          "to": ["me@example.org"], "user": "home", "password_file": "pw"}},
                {"ntfy": {"url": "https://ntfy.example.org/truck", "token_file": "token"}},
            ],
        },
        tmp_path / "home.yaml",
    )  # fmt: skip

    mail, ntfy = alerts.to
    assert alerts.silent_after_s == 6 * 3600
    assert isinstance(mail, Mail)
    assert (mail.host, mail.port, mail.password_file) == ("smtp.example.org", 587, tmp_path / "pw")
    assert isinstance(ntfy, Post)
    assert ntfy.token_file == tmp_path / "token"


def test_the_outbox_is_durable(tmp_path: Path) -> None:
    """SQLite is told to wait for the medium."""
    outbox = Outbox(tmp_path / "box.sqlite")
    with outbox._open() as base:
        assert base.execute("PRAGMA synchronous").fetchone() == (2,)
