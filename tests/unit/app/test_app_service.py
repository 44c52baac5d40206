"""The rounds of the service's loop: as few as can be, and each epoch written in its time."""

from __future__ import annotations

import re
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from telematics.gpsd import Tpv
from telematics.listener import Listener
from telematics.receivers import Names
from telematics.service import STOPS, Service, device_name
from telematics.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

START_MS = 5_000
SECONDS = 60


class MemoryQueue:
    """A queue that takes everything at once, and notes when."""

    def __init__(self, rig: FakeListener) -> None:
        """Begin empty."""
        self._rig = rig

    def newest(self) -> bytes:
        """See Queue."""
        return b""

    def append(self, records: Sequence[tuple[int, bytes]]) -> None:
        """See Queue."""
        self._rig.written += [self._rig.now] * len(records)

    def length(self) -> int:
        """See Queue."""
        return len(self._rig.written)


class FakeListener(Listener):
    """A gpsd that reports at given times: waiting makes the time pass."""

    def __init__(self, times: list[int], *, whole: int = 1) -> None:
        """Begin before the first; the receiver's clock has steps of ``whole`` ms."""
        self.now = START_MS
        self._whole = whole
        self.written: list[int] = []
        self.rounds = 0
        self._times = times
        super().__init__("", 0, clock=lambda: self.now)

    def wait(self, timeout_ms: int, now: int) -> None:
        """See Listener."""
        self.rounds += 1
        until = now + timeout_ms
        if self._times and self._times[0] <= until:
            until = at = self._times.pop(0)
            time = at // self._whole * self._whole
            self.reports.append(
                Tpv(device="/dev/gps0", mono=at, time=time, mode=3, lat=52.0, lon=13.0)
            )
        self.now = max(until, self.now)


def drive(
    folder: Path, times: list[int], *, until: int, whole: int = 1, **settings: int
) -> FakeListener:
    """Let the service go round until a time; give what it did."""
    listener = FakeListener(list(times), whole=whole)
    service = Service(
        Settings(**settings),  # type: ignore[arg-type]
        queue=lambda _: MemoryQueue(listener), state=folder, status_file=folder / "status.json",
        clock=lambda: listener.now,
    )  # fmt: skip
    service._ready, service._listener = True, listener
    while listener.now < until:
        service.turn()
    return listener


def late(one: int) -> int:
    """Give how late gpsd is with a report, different each time, in ms."""
    return one * 37 % 90


@pytest.mark.parametrize("phase", [0, 1, 250, 499, 500, 501, 750, 999])
def test_one_round_a_second_writes_each_epoch_in_its_time(tmp_path: Path, phase: int) -> None:
    """At 1 Hz the loop comes round once a second, and no epoch waits much over `batch_ms`."""
    times = [START_MS + phase + 1000 * one + late(one) for one in range(SECONDS)]

    rig = drive(tmp_path, times, until=START_MS + phase + 1000 * (SECONDS + 2))

    assert len(rig.written) == SECONDS
    assert all(done - came <= 1150 for came, done in zip(times, rig.written, strict=True))
    assert rig.rounds <= SECONDS + 6


@pytest.mark.parametrize("batch_ms", [50, 300, 1000])
def test_ten_a_second_are_written_in_their_time(tmp_path: Path, batch_ms: int) -> None:
    """At 10 Hz each round takes all that is complete, however long a batch may be."""
    times = [START_MS + 100 * one + late(one) for one in range(10 * SECONDS)]

    rig = drive(tmp_path, times, until=times[-1] + 3000, batch_ms=batch_ms)

    assert len(rig.written) == len(times)
    waited = [done - came for came, done in zip(times, rig.written, strict=True)]
    # An epoch is complete with the first report of the next one, or when it was quiet for long.
    assert max(waited) <= max(batch_ms + 200, 500)


@pytest.mark.parametrize(("hz", "whole"), [(10, 1000), (5, 1000), (2, 1000), (1, 1 << 40)])
def test_what_waits_for_the_next_time_is_written_in_its_time(
    tmp_path: Path, hz: int, whole: int
) -> None:
    """A receiver of whole seconds, or one whose clock stands, is all written, each within W."""
    times = [START_MS + 1000 * one // hz + late(one) // hz for one in range(SECONDS * hz)]

    rig = drive(tmp_path, times, until=times[-1] + 5000, whole=whole)

    assert len(rig.written) == len(times)
    assert all(done - came <= 2000 for came, done in zip(times, rig.written, strict=True))


@pytest.mark.parametrize(
    "paths",
    [
        ("/dev/ttyACM0", "/dev/ttyACM1", "/dev/ttyUSB0"),
        ("/by-id/usb-u-blox_A-if00", "/by-id/usb-u-blox_B-if00", "/by-id/usb-u-bl", "usb-u-bl"),
        ("/dev/gps0", "/dev/" + "\N{SNOWMAN}" * 8, "/dev/" + "\N{SNOWMAN}" * 9),
        ("", "/", "//", "\0", "\ud800", "\udfff"),
        tuple(f"/dev/serial/by-id/usb-{n}" for n in range(2000)),
    ],
)
def test_each_receiver_has_a_name_of_its_own(paths: tuple[str, ...]) -> None:
    """Names are short, of plain letters, differ from each other, and stay as they are."""
    names, again = Names(), Names()
    given = [names.of(path) for path in paths]

    assert given == [again.of(path) for path in paths] == [names.of(path) for path in paths]
    assert given[0] is None
    assert len(set(given)) == len(paths)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,8}", name) for name in given[1:] if name)


def test_plain_name_of_a_receiver_stays() -> None:
    """What fits is told as the kernel calls it."""
    names = Names()

    assert [names.of(f"/dev/ttyACM{n}") for n in range(3)] == [None, "ttyACM1", "ttyACM2"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_that_reaches_another_thread_ends_the_wait(
    tmp_path: Path, number: signal.Signals
) -> None:
    """The kernel gives a signal to any thread, or right before a wait: it is followed all the same.

    Without the wake-up file the main thread would sleep on until its next deadline.
    """
    before = {each: signal.getsignal(each) for each in STOPS}
    service = Service(
        Settings(gpsd_port=1), queue=lambda _: MemoryQueue(FakeListener([])), state=tmp_path,
        status_file=tmp_path / "status.json",
    )  # fmt: skip
    ended = threading.Event()
    helper = threading.Thread(target=ended.wait)
    helper.start()
    try:
        service.follow(STOPS)
        assert helper.ident is not None
        # It comes when nobody is in the kernel; the wait that begins then has no other end.
        signal.pthread_kill(helper.ident, number)
        service._listener._poll.poll(600_000)
    finally:
        ended.set()
        helper.join()
        signal.set_wakeup_fd(-1)
        for each, handler in before.items():
            signal.signal(each, handler)

    assert service._stopping


@pytest.mark.parametrize(
    ("set_name", "host", "name"),
    [
        ("", "truck", "truck"),
        ("seven", "truck", "seven"),
        # What tells boards apart stands at the end.
        ("", "glovebox-a1b2c3d4", "box-a1b2c3d4"),
        ("", "a-very-long-name", "very-long-name"[-12:]),
        ("", "anything-a1b2c3d4e5f", "a1b2c3d4e5f"),
        ("", "", "vehicle"),
    ],
)
def test_name_of_the_vehicle(
    monkeypatch: pytest.MonkeyPatch, set_name: str, host: str, name: str
) -> None:
    """The vehicle is called as its owner says, else by the end of its host's name."""
    monkeypatch.setattr("socket.gethostname", lambda: host)

    assert device_name(set_name) == name
