"""The listener of gpsd: tolerates everything gpsd or the wire may do."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from telematics import listener as listener_module
from telematics.gpsd import Lines, Tpv, monotonic_ms, tpv_of
from telematics.listener import PROBE, WATCH, Listener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WATCHED = b'{"class":"WATCH","enable":true,"json":true}\n'


def until(true: Callable[[], object], *, within_s: float = 5.0) -> None:
    """Wait for a condition, and fail if it does not come."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def report(second: int, **more: object) -> bytes:
    """Make the line of a TPV."""
    stamp = f"2026-05-04T00:00:{second:02d}.000Z"
    return json.dumps({"class": "TPV", "device": "a", "mode": 3, "time": stamp} | more).encode()


def _holds(taken: list[Tpv], count: int) -> bool:
    return len(taken) == count


@contextmanager
def reading() -> Iterator[tuple[Listener, list[Tpv], socket.socket]]:
    """Give a listener, what it hands on, and the socket where gpsd would accept it."""
    taken: list[Tpv] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        listener = Listener("127.0.0.1", server.getsockname()[1])
        ended = threading.Event()

        def loop() -> None:
            while not ended.is_set():
                listener.wait(20, monotonic_ms())
                while listener.reports:
                    taken.append(listener.reports.popleft())

        thread = threading.Thread(target=loop)
        thread.start()
        yield listener, taken, server
        ended.set()
        thread.join()
        listener.close()


def test_lines_may_be_cut_anywhere() -> None:
    """Bytes that come one by one make the same lines, each once."""
    lines = Lines()

    given = [line for n in b'{"a":1}\r\n\n{"b":2}\n{"c"' for line in lines.feed(bytes([n]))]

    assert given == [b'{"a":1}\r', b"", b'{"b":2}']


def test_endless_line_takes_no_memory() -> None:
    """A line over 64 KiB is left out and counted once, and the next line is read."""
    lines = Lines()

    given = [x for _ in range(100) for x in lines.feed(b"x" * 4096)]
    given += lines.feed(b"x\nnext\n")

    assert (given, lines.too_long) == ([b"next"], 1)


@pytest.mark.parametrize(
    "wrong",
    [{"lat": "52"}, {"lat": float("nan")}, {"lat": 91}, {"lat": True}, {"lat": None}, {"lat": [1]}],
)
def test_value_that_cannot_be_meant_is_unknown(wrong: dict[str, object]) -> None:
    """A latitude that is no number on the globe is None, never 0."""
    assert tpv_of({"class": "TPV", "mode": 3} | wrong, mono=0).lat is None


@pytest.mark.parametrize("name", ["speed", "track", "eph", "eps"])
def test_negative_value_that_cannot_be_meant_is_unknown(name: str) -> None:
    """No course, speed or error is below zero; the record's schema says so too."""
    assert getattr(tpv_of({"class": "TPV", "mode": 3, name: -0.1}, mono=0), name) is None
    assert getattr(tpv_of({"class": "TPV", "mode": 3, name: 0}, mono=0), name) == 0.0


@pytest.mark.parametrize("value", [7, "soon", "", None, "2026-13-01T00:00:00Z", {}])
def test_unreadable_time_is_unknown(value: object) -> None:
    """A time that is none leaves the report undated and otherwise whole."""
    made = tpv_of({"time": value, "mode": 2, "lat": 1.0, "lon": 2.0}, mono=5)

    assert made == Tpv(device="", mono=5, mode=2, lat=1.0, lon=2.0)


@pytest.mark.parametrize("mode", [True, 4, -1, "3", None, 3.0])
def test_unknown_mode_is_zero(mode: object) -> None:
    """Only gpsd's own modes count."""
    assert tpv_of({"mode": mode}, mono=0).mode == 0


def test_garbled_and_unknown_lines_stop_nothing() -> None:
    """Cut JSON, other classes, deep nesting and noise are passed over; the next TPV counts."""
    noise = [b'{"class":"TPV","mo', b"\xff\xfe\x00", b"[" * 60_000, b"7", b'{"class":"NEW","x":1}']
    with reading() as (listener, taken, server):
        link, _ = server.accept()
        with link:
            link.sendall(WATCHED + b"\n".join(noise) + b"\n" + report(1) + b"\n")
            until(lambda: taken)

            assert (len(taken), listener.garbled, listener.watching) == (1, 4, True)


def test_partial_read_repeats_nothing() -> None:
    """A report that comes in two pieces is one report."""
    line = report(1) + b"\n"
    with reading() as (_, taken, server):
        link, _ = server.accept()
        with link:
            for byte in report(0) + b"\n" + line[:30]:
                link.sendall(bytes([byte]))
            until(lambda: len(taken) == 1)
            link.sendall(line[30:])
            until(lambda: len(taken) == 2)

    assert taken[1].time == (taken[0].time or 0) + 1000


def test_reader_connects_again() -> None:
    """When gpsd goes away and comes back, reading goes on without a word from anyone."""
    with reading() as (listener, taken, server):
        for second in range(3):
            link, _ = server.accept()
            with link:
                link.sendall(WATCHED + report(second) + b"\n")
                until(partial(_holds, taken, second + 1))
            until(lambda: not listener.watching)

        assert listener.connections >= 3


def test_burst_is_read_as_fast_as_it_comes() -> None:
    """20,000 reports at once arrive complete and in order within seconds: nothing sleeps."""
    with reading() as (_, taken, server):
        link, _ = server.accept()
        with link:
            link.settimeout(10)
            link.sendall(b"".join(report(n % 60, speed=n) + b"\n" for n in range(20_000)))
            until(lambda: len(taken) == 20_000, within_s=10)

    assert [each.speed for each in taken] == [float(n) for n in range(20_000)]


def test_half_dead_connection_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gpsd that says nothing is asked, and if it does not answer, called anew."""
    monkeypatch.setattr(listener_module, "PROBE_AFTER_S", 0.05)
    monkeypatch.setattr(listener_module, "ANSWER_WITHIN_S", 0.1)
    with reading() as (listener, _, server):
        first, _ = server.accept()
        second, _ = server.accept()
        with first, second:
            first.settimeout(5)

            assert first.recv(4096) == WATCH + PROBE
            # The second is counted after it was accepted here; a third may follow, it is dead too.
            until(lambda: listener.connections >= 2)


def test_silence_without_a_receiver_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gpsd that answers the question stays connected, however long no receiver speaks."""
    monkeypatch.setattr(listener_module, "PROBE_AFTER_S", 0.05)
    monkeypatch.setattr(listener_module, "ANSWER_WITHIN_S", 0.5)
    with reading() as (listener, _, server):
        link, _ = server.accept()
        with link:
            link.settimeout(5)
            asked = b""
            while asked.count(PROBE) < 5:
                asked += link.recv(4096)
                link.sendall(b'{"class":"VERSION","release":"3.25"}\n')

            assert (listener.connections, listener.connected) == (1, True)


def test_whoever_comes_late_asks_first() -> None:
    """However long nobody looked, gpsd is asked, and has its time to answer, before it is left."""
    now = [0]
    with socket.create_server(("127.0.0.1", 0)) as server:
        listener = Listener("127.0.0.1", server.getsockname()[1], clock=lambda: now[0])

        def connected() -> bool:
            listener.wait(10, now[0])
            return listener.connected

        until(connected)
        link, _ = server.accept()
        with link:
            for now[0], stays in ((100_000, True), (109_000, True), (110_000, False)):
                assert connected() is stays
            assert link.recv(4096) == WATCH + PROBE
        listener.close()


def test_receivers_are_known_by_name() -> None:
    """Devices that come and go are followed."""
    with reading() as (listener, _, server):
        link, _ = server.accept()
        with link:
            link.sendall(WATCHED + b'{"class":"DEVICES","devices":[{"path":"/dev/a"},{"x":1}]}\n')
            until(lambda: listener.devices == ("/dev/a",))
            link.sendall(b'{"class":"DEVICE","path":"/dev/b","activated":"2026-05-04T00:00:00Z"}\n')
            until(lambda: listener.devices == ("/dev/a", "/dev/b"))
            link.sendall(b'{"class":"DEVICE","path":"/dev/a","activated":0}\n')
            until(lambda: listener.devices == ("/dev/b",))


def test_slow_queue_keeps_nobody_from_reading() -> None:
    """While an answer is waited for, reports are read at once, with the time they came at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        listener = Listener("127.0.0.1", server.getsockname()[1])
        while not listener.connected:
            listener.wait(20, monotonic_ms())
        link, _ = server.accept()
        answer, asked = socket.socketpair()
        with link, answer, asked:
            began = listener._clock()
            link.sendall(WATCHED + report(1) + b"\n")
            came = listener.until(asked.fileno(), 200)
            late = listener._clock() - began
            answer.sendall(b"x")

            assert (came, len(listener.reports)) == (False, 1)
            assert listener.reports[0].mono - began < late
            assert listener.until(asked.fileno(), 5000)
        listener.close()


def test_slow_card_keeps_nobody_from_reading() -> None:
    """While a thread waits for the card, reports are read; what it comes to is handed back."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        listener = Listener("127.0.0.1", server.getsockname()[1])
        while not listener.connected:
            listener.wait(20, monotonic_ms())
        link, _ = server.accept()
        with link:
            link.sendall(report(1) + b"\n")

            def work() -> int:
                until(lambda: listener.reports)
                return len(listener.reports)

            def fault() -> None:
                os.fsync(1 << 20)

            assert listener.aside(work) == 1
            with pytest.raises(OSError, match="descriptor"):
                listener.aside(fault)
        listener.close()
