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
from tests.image.drives import DRIVE_S, LONG_DRIVE_S, epochs
from tests.image.waiting import until

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
ARRIVE_S = 300
# gpsd comes back, finds its receiver, and the service reaches it again: on an emulated ARMv6.
GPSD_BACK_S = 300
# Its files are looked at before each start. Meanwhile records go to the recorder's journal.
QUEUE_BACK_S = 300
CLOCK_SET_S = 600
BETWEEN_S = 5
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

    assert len(sent) > DRIVE_S / 2, "the board took too few of the sentences to tell"
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

    await_news(host, dongle, facts)
    host.check_output("systemctl restart queue.service")
    deaf = [gpsd_away(host, dongle, facts, "systemctl restart gpsd.service")]
    host.check_output("systemctl kill --signal=KILL queue.service")
    deaf.append(gpsd_away(host, dongle, facts, "systemctl kill --signal=KILL gpsd.service"))
    await_news(host, dongle, facts)
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
    dongle.drive(epochs(LONG_DRIVE_S))
    # An emulated clock runs slow while the host has other work, never fast.
    earliest = time.time() - BETWEEN_S
    until(host, lambda: clock(host) >= earliest, "a clock that was set", CLOCK_SET_S)
    found = clock(host)
    dongle.stop()
    dongle.wait(BETWEEN_S)

    assert found < time.time() + BETWEEN_S


def test_what_waits_is_a_file_on_request(host: Host, facts: Facts) -> None:
    """Whoever has no broker gets every record that waits as a table, while the board records."""
    before = [each.seq for each in recorded(host, facts)]
    host.check_output("telematics export /run/drive.csv")
    told = host.check_output("tail --lines=+2 /run/drive.csv | cut --delimiter=, --fields=4")

    assert set(before) <= set(map(int, told.split()))


def clock(host: Host) -> int:
    """Read the board's clock."""
    return int(host.check_output("date +%s"))


def gpsd_away(host: Host, dongle: Dongle, facts: Facts, command: str) -> Window:
    """Take gpsd away for a moment; give the time until a record shows that it is back.

    It begins with the last epoch that was recorded before: on a slow board the next ones may still
    be on their way to gpsd.
    """
    last = await_news(host, dongle, facts)
    host.check_output(command)
    await_news(host, dongle, facts, seconds=GPSD_BACK_S + QUEUE_BACK_S)
    return Window(begin=last.at, end=time.monotonic())


def await_news(host: Host, dongle: Dongle, facts: Facts, seconds: float = ARRIVE_S) -> Sent:
    """Wait until the queue has an epoch that was sent after this moment; give the queue's last."""
    now = time.monotonic()

    def last() -> Sent | None:
        wanted = newest(host, facts)
        since = (each for each in on_the_road(dongle) if each.at > now)
        return next((each for each in since if times([each]) == [wanted]), None)

    found = until(host, last, "a record of what was sent meanwhile", seconds)
    assert found is not None
    return found


def on_the_road(dongle: Dongle, first: int = 0) -> list[Sent]:
    """Give the epochs with a position from the ``first`` on, as far as the board took them.

    It takes none while the machine that emulates it gives it no time; what no board has heard is
    no loss of its own.
    """
    return [each for each in dongle.sent[first:] if each.taken and epoch_of(each).mode > 1]


def times(sent: Iterable[Sent]) -> list[int]:
    """Give the times of epochs as records have them: in milliseconds."""
    return [int(epoch_of(each).time.timestamp() * 1000) for each in sent]


def newest(host: Host, facts: Facts) -> int:
    """Read the time of the queue's last record, in milliseconds; wait for a queue that starts."""
    # -e: a queue that still loads says so, and that is no answer.
    answers = f"{facts.server}-cli -s {SOCKET} -e XLEN {KEY}"
    until(host, lambda: host.run(answers).succeeded, "a queue that is back", QUEUE_BACK_S)
    (last,) = recorded(host, facts, NEWEST)
    return _time(last)


def recorded(host: Host, facts: Facts, asked: str = "XRANGE {} - +") -> list[record.Record]:
    """Read the whole queue; every record's checksum is checked on the way."""
    told = host.check_output(f"{facts.server}-cli -s {SOCKET} --raw {asked.format(KEY)}")
    lines = told.encode().splitlines()  # id, field, record; again and again
    return [record.decode(each) for each in lines[2::3]]


def await_last(host: Host, facts: Facts, last: Sent) -> list[record.Record]:
    """Read the queue once the last epoch that was sent has arrived."""
    until(
        host,
        lambda: [each.time for each in recorded(host, facts, NEWEST)] == times([last]),
        f"the record of {epoch_of(last).time}",
        ARRIVE_S,
    )
    return recorded(host, facts)


def assert_same_place(sent: Sent, found: record.Record) -> None:
    """Compare a position with what the receiver said."""
    epoch = epoch_of(sent)
    assert found.lat == pytest.approx(epoch.lat, abs=EXACT_DEGREES)
    assert found.lon == pytest.approx(epoch.lon, abs=EXACT_DEGREES)


def assert_numbered(found: Sequence[record.Record]) -> None:
    """Check that the numbers leave no gap: each loss would show."""
    numbers = [each.seq for each in found]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _time(found: record.Record) -> int:
    assert found.time is not None
    return found.time


def epoch_of(sent: Sent) -> Epoch:
    """Give what the receiver said; test code gives a dongle nothing else here."""
    assert isinstance(sent.epoch, Epoch)
    return sent.epoch
