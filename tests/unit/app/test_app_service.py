"""The rounds of the service's loop: as few as can be, and each epoch written in its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from telematics.gpsd import Tpv
from telematics.listener import Listener
from telematics.service import Service, device_name
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

    def __init__(self, times: list[int]) -> None:
        """Begin before the first."""
        self.now = START_MS
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
            self.reports.append(
                Tpv(device="/dev/gps0", mono=at, time=at, mode=3, lat=52.0, lon=13.0)
            )
        self.now = max(until, self.now)


def drive(folder: Path, times: list[int], *, until: int, **settings: int) -> FakeListener:
    """Let the service go round until a time; give what it did."""
    listener = FakeListener(list(times))
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
