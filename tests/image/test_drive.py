"""What all of it is for: a drive, from the receiver's first sentence to the queue's last record.

The receiver speaks without a fix from power-on; the drive begins once the service said READY.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from glovebox.emulator.nmea import Epoch
from telematics import record
from tests.image.drives import DRIVE_S, epochs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from testinfra.host import Host

    from glovebox.emulator.dongle import Dongle, Sent
    from glovebox.emulator.emulator import Machine
    from glovebox.verify.verify import Facts

pytestmark = [
    pytest.mark.stage("telematics"),
    pytest.mark.level("emulated", highest="emulated"),  # nobody steers a real board's receiver
    pytest.mark.driven,
]

SOCKET = "/run/queue/queue.sock"
KEY = "telematics:queue"
NEWEST = "XREVRANGE {} + - COUNT 1"
LONG_DRIVE_S = 600  # it is ended when all has happened
ARRIVE_TIMEOUT_S = 60
# gpsd comes back, finds its receiver, and the service reaches it again: on an emulated ARMv6.
GPSD_BACK_S = 60
# Its files are looked at before each start. Meanwhile records go to the recorder's journal.
QUEUE_BACK_S = 90
BETWEEN_S = 5
REST_S = 3  # some epochs between two faults
CLOCK_SET_S = 180
EXACT_DEGREES = 1e-6


@dataclass(frozen=True, kw_only=True)
class Window:
    """A time (of time.monotonic) in which the receiver may have spoken to nobody."""

    begin: float
    end: float

    def holds(self, sent: Sent) -> bool:
        """Tell whether an epoch was sent in it."""
        return self.begin <= sent.at <= self.end


@pytest.fixture
def dongle(machine: Machine) -> Dongle:
    """Give the board's receiver."""
    assert machine.dongle is not None
    return machine.dongle


def test_every_position_is_in_the_queue(
    host: Host, dongle: Dongle, facts: Facts, first_drive: Sequence[Sent]
) -> None:
    """The queue holds exactly the epochs sent after READY: all, once, in order, where they were."""
    dongle.wait(DRIVE_S * 2)
    sent = on_the_road(dongle, len(first_drive))
    found = await_last(host, facts, sent[-1])

    assert [each.taken for each in sent] == [True] * DRIVE_S, "the board did not take the sentences"
    assert times(sent) == [each.time for each in found]
    for one, other in zip(sent, found, strict=True):
        assert_same_place(one, other)
    assert all(each.mode == 3 for each in found)
    assert all(each.time_ok for each in found[3:])
    assert_numbered(found)


def test_restarts_lose_nothing_else(host: Host, dongle: Dongle, facts: Facts) -> None:
    """While the queue restarts nothing is lost; while gpsd does, only what it did not hear."""
    before = recorded(host, facts)
    first = len(dongle.sent)
    dongle.drive(epochs(LONG_DRIVE_S))

    time.sleep(REST_S)
    host.check_output("systemctl restart queue.service")
    time.sleep(REST_S)
    deaf = [gpsd_away(host, dongle, facts, "systemctl restart gpsd.service")]
    host.check_output("systemctl kill --signal=KILL queue.service")
    time.sleep(REST_S)
    deaf.append(gpsd_away(host, dongle, facts, "systemctl kill --signal=KILL gpsd.service"))
    time.sleep(REST_S)
    dongle.stop()
    dongle.wait(BETWEEN_S)
    sent = on_the_road(dongle, first)
    found = await_last(host, facts, sent[-1])[len(before) :]

    by_time = dict(zip(times(sent), sent, strict=True))
    heard = [_time(each) for each in found]
    assert heard == sorted(set(heard)), "not in order, or twice"
    assert set(heard) <= set(by_time), "recorded what was never sent"
    missing = [by_time[each] for each in by_time if each not in set(heard)]
    assert [each for each in missing if not any(gap.holds(each) for gap in deaf)] == []
    for each in found:
        assert_same_place(by_time[_time(each)], each)
    assert_numbered(found)


def test_clock_is_set_by_the_receiver(host: Host, dongle: Dongle) -> None:
    """With no network and no battery clock, the board has the receiver's time during a drive."""
    dongle.drive(epochs(CLOCK_SET_S))
    # An emulated clock runs slow while the host has other work, never fast.
    earliest, until = time.time() - BETWEEN_S, time.monotonic() + CLOCK_SET_S
    while (board := int(host.check_output("date +%s"))) < earliest:
        assert time.monotonic() < until, f"the clock says {board}, {earliest - board:.0f} s ago"
        time.sleep(2)
    dongle.stop()
    dongle.wait(BETWEEN_S)

    assert board < time.time() + BETWEEN_S


def gpsd_away(host: Host, dongle: Dongle, facts: Facts, command: str) -> Window:
    """Take gpsd away for a moment; give the time until a record shows that it is back."""
    began = time.monotonic()
    host.check_output(command)
    (last,) = times(dongle.sent[-1:])
    while newest(host, facts) <= last:
        assert time.monotonic() < began + GPSD_BACK_S + QUEUE_BACK_S, "gpsd did not come back"
        time.sleep(1)
    return Window(begin=began - 1, end=time.monotonic())


def on_the_road(dongle: Dongle, first: int) -> list[Sent]:
    """Give the epochs with a position from the ``first`` on."""
    return [each for each in dongle.sent[first:] if _epoch(each).mode > 1]


def times(sent: Iterable[Sent]) -> list[int]:
    """Give the times of epochs as records have them: in milliseconds."""
    return [int(_epoch(each).time.timestamp() * 1000) for each in sent]


def newest(host: Host, facts: Facts) -> int:
    """Read the time of the queue's last record, in milliseconds; wait for a queue that starts."""
    until = time.monotonic() + QUEUE_BACK_S
    while host.run(f"{facts.server}-cli -s {SOCKET} XLEN {KEY}").failed:
        assert time.monotonic() < until, "the queue did not come back"
        time.sleep(1)
    (last,) = recorded(host, facts, NEWEST)
    return _time(last)


def recorded(host: Host, facts: Facts, asked: str = "XRANGE {} - +") -> list[record.Record]:
    """Read the whole queue; every record's checksum is checked on the way."""
    told = host.check_output(f"{facts.server}-cli -s {SOCKET} --raw {asked.format(KEY)}")
    lines = told.encode().splitlines()  # id, field, record; again and again
    return [record.decode(each) for each in lines[2::3]]


def await_last(host: Host, facts: Facts, last: Sent) -> list[record.Record]:
    """Read the queue once the last epoch that was sent has arrived."""
    until = time.monotonic() + ARRIVE_TIMEOUT_S
    wanted = times([last])[0]
    while [each.time for each in recorded(host, facts, NEWEST)] != [wanted]:
        if time.monotonic() > until:
            break
        time.sleep(1)
    return recorded(host, facts)


def assert_same_place(sent: Sent, found: record.Record) -> None:
    """Compare a position with what the receiver said."""
    epoch = _epoch(sent)
    assert found.lat == pytest.approx(epoch.lat, abs=EXACT_DEGREES)
    assert found.lon == pytest.approx(epoch.lon, abs=EXACT_DEGREES)


def assert_numbered(found: Sequence[record.Record]) -> None:
    """Check that the numbers leave no gap: each loss would show."""
    numbers = [each.seq for each in found]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _time(found: record.Record) -> int:
    assert found.time is not None
    return found.time


def _epoch(sent: Sent) -> Epoch:
    assert isinstance(sent.epoch, Epoch)
    return sent.epoch
