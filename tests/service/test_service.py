"""The service among real parts: what the dongle sent stands in the queue, whatever fails."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING

import pytest
from parts import START, sent, times, until

from glovebox.emulator.nmea import drive, encode, sentences
from telematics.record import Gap

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Truck


@pytest.mark.parametrize(("seconds", "hz", "per_s"), [(120, 1, 40.0), (30, 10, 40.0), (3, 1, 1.0)])
def test_every_epoch_is_recorded(truck: Truck, seconds: int, hz: int, per_s: float) -> None:
    """From READY on each epoch of a drive is one record, in order, numbered without a gap."""
    epochs = truck.drive(seconds, hz=hz, per_s=per_s)
    truck.recorded(len(epochs))

    records = truck.redis.records()
    assert times(records) == sent(epochs)
    assert [each.seq for each in records] == list(range(1, len(epochs) + 1))
    for record, epoch in zip(records, epochs, strict=True):
        assert (record.lat, record.lon) == pytest.approx((epoch.lat, epoch.lon), abs=2e-6)
        assert record.speed == pytest.approx(epoch.speed, abs=0.02)


def test_several_reports_of_one_time_are_one_record(truck: Truck) -> None:
    """Sentences that dribble in make several TPVs of one time, and still one whole record."""
    epochs = list(drive(START, 20))
    for epoch in epochs:
        for sentence in sentences(epoch):
            truck.dongle.send_bytes(encode([sentence]))
            time.sleep(0.02)
    truck.recorded(len(epochs))

    records = truck.redis.records()
    assert times(records) == sent(epochs)
    assert all(record.alt is not None for record in records[1:])


def test_time_is_believed_after_three_fixes(truck: Truck) -> None:
    """The first records do not vouch for their time, all later ones do."""
    truck.recorded(len(truck.drive(10)))

    believed = [each.time_ok for each in truck.redis.records()]
    assert (believed[0], believed[-1]) == (False, True)
    assert believed == sorted(believed)


def test_redis_killed_and_restarted(truck: Truck) -> None:
    """Redis dies twice in a drive, once for longer: nothing is lost, nothing stands twice."""
    epochs = list(drive(START, 30, hz=10))
    truck.dongle.replay(epochs[:100], per_s=40)
    truck.redis.end(signal.SIGKILL)
    truck.redis.start()
    truck.dongle.replay(epochs[100:150], per_s=40)
    truck.redis.end(signal.SIGKILL)
    truck.dongle.replay(epochs[150:250], per_s=40)
    truck.redis.start()
    truck.dongle.replay(epochs[250:], per_s=40)
    truck.recorded(len(epochs))

    records = truck.redis.records()
    assert times(records) == sent(epochs)
    assert [each.seq for each in records] == list(range(1, len(epochs) + 1))


def test_redis_that_hangs(truck: Truck) -> None:
    """Redis stops answering for longer than the service waits for it: the same holds."""
    epochs = list(drive(START, 36, hz=10))
    truck.dongle.replay(epochs[:50], per_s=40)
    truck.redis.send_signal(signal.SIGSTOP)
    truck.dongle.replay(epochs[50:330], per_s=40)
    truck.redis.send_signal(signal.SIGCONT)
    truck.dongle.replay(epochs[330:], per_s=40)
    truck.recorded(len(epochs))

    assert times(truck.redis.records()) == sent(epochs)


def test_full_redis_keeps_the_order(truck: Truck) -> None:
    """With Redis at its memory limit records wait, and enter in order once there is room."""
    epochs = list(drive(START, 10, hz=10))
    client = truck.redis.client()
    truck.dongle.replay(epochs[:30], per_s=40)
    client.config_set("maxmemory", "1mb")
    truck.dongle.replay(epochs[30:80], per_s=40)
    until(
        lambda: "maxmemory" in str(truck.service.facts().get("problems")), what="the trouble told"
    )
    client.config_set("maxmemory", "0")
    truck.dongle.replay(epochs[80:], per_s=40)
    truck.recorded(len(epochs))

    assert times(truck.redis.records()) == sent(epochs)


def test_gpsd_restarted(truck: Truck) -> None:
    """When gpsd goes away and comes back, recording goes on; only its absence is lost."""
    epochs = list(drive(START, 40))
    truck.dongle.replay(epochs[:20], per_s=40)
    truck.recorded(20)
    truck.gpsd.end(signal.SIGKILL)
    truck.gpsd.start()

    def warm_again() -> bool:
        facts = truck.service.facts()
        return facts["connections"] == 2 and facts["gpsd"] is True and facts["mode"] == 1

    truck.cold_until(warm_again, what="gpsd to report again")
    truck.dongle.replay(epochs[20:], per_s=40)
    truck.recorded(40)

    assert times(truck.redis.records()) == sent(epochs)


def test_sigterm_writes_the_last_batch(truck: Truck) -> None:
    """Told to stop, the service writes what it has, leaves with 0, and the next run goes on."""
    epochs = list(drive(START, 14))
    truck.dongle.replay(epochs[:7], per_s=50)
    time.sleep(0.15)  # the last epoch is still open, and its batch is far from due
    before = len(truck.redis.records())
    code = truck.service.end(signal.SIGTERM)
    after = truck.redis.records()
    truck.service.told.clear()
    truck.service.start()
    truck.cold_until(truck.service.ready, what="READY again")
    truck.dongle.replay(epochs[7:], per_s=50)
    truck.recorded(len(epochs))

    records = truck.redis.records()
    assert code == 0
    assert before < len(after) == 7
    assert times(records) == sent(epochs)
    assert [each.seq for each in records] == list(range(1, 15))
    assert len({each.identity for each in records}) == 1


def test_killed_service_repeats_nothing(truck: Truck) -> None:
    """After kill -9 numbers go on behind their block, the trip goes on, and nothing is repeated."""
    epochs = list(drive(START, 20))
    truck.dongle.replay(epochs[:10], per_s=50)
    truck.recorded(10)
    truck.service.end(signal.SIGKILL)
    truck.service.told.clear()
    truck.service.start()
    truck.cold_until(truck.service.ready, what="READY again")
    truck.dongle.replay(epochs[10:], per_s=50)
    truck.recorded(20)

    records = truck.redis.records()
    assert times(records) == sent(epochs)
    assert [each.seq for each in records] == [*range(1, 11), *range(101, 111)]
    assert records[10].gap == Gap(skipped=90)
    assert len({each.trip for each in records}) == 1


def test_garbled_sentences_stop_nothing(truck: Truck) -> None:
    """Noise on the line costs at most the epochs it hits."""
    epochs = list(drive(START, 40))
    for number, epoch in enumerate(epochs):
        if number % 4 == 3:
            truck.dongle.send_bytes(b"$GPRMC,0630\xff\x00,A,52*ZZ\r\n$\r\n*\r\n")
        truck.dongle.send(epoch)
        time.sleep(0.03)
    truck.recorded(len(epochs))

    assert times(truck.redis.records()) == sent(epochs)


def test_sigterm_at_any_moment_of_the_start_is_followed(make_truck: Callable[..., Truck]) -> None:
    """Whenever it comes, before there are handlers or right before a wait, the service ends."""
    truck = make_truck()
    truck.redis.start()
    for start in range(25):
        truck.service.start()
        time.sleep(start * 0.03)

        assert truck.service.end() in {0, -signal.SIGTERM}


def test_no_fix_makes_no_record(truck: Truck) -> None:
    """A cold receiver is no fault: the service is ready, records nothing and says why."""

    def no_fix_told() -> bool:
        return "no fix" in truck.service.status()[1]

    truck.cold_until(no_fix_told, what="the status to say it")

    assert truck.redis.records() == []
    assert truck.service.status()[0] == 1
    # The receiver finds itself, and nothing else needs to happen.
    truck.recorded(len(truck.drive(5)))


def test_ready_without_any_receiver(make_truck: Callable[..., Truck]) -> None:
    """With no dongle at all READY comes after the wait, and what is plugged in later records."""
    truck = make_truck(ready_wait_s=1)
    truck.redis.start()
    truck.gpsd.start()
    truck.service.start()
    until(truck.service.ready, what="READY without a receiver")
    warm = list(drive(START, 20))
    truck.cold_until(lambda: truck.service.facts().get("no_position"), what="the first report")
    truck.dongle.replay(warm, per_s=40)
    truck.recorded(len(warm))

    assert times(truck.redis.records()) == sent(warm)


def test_ready_waits_for_both_ends(make_truck: Callable[..., Truck]) -> None:
    """READY is not said before Redis answers and gpsd accepts the watch."""
    truck = make_truck(ready_wait_s=0)
    truck.service.start()
    until(lambda: truck.service.facts().get("problems"), what="the first status")
    without_both = truck.service.ready()
    truck.gpsd.start()
    time.sleep(1)
    without_redis = truck.service.ready()
    truck.redis.start()
    until(truck.service.ready, what="READY")

    assert (without_both, without_redis) == (False, False)


def test_status_tells_how_it_goes(truck: Truck) -> None:
    """While a drive goes on the status is recording, code 0, and a stopped service is code 3."""
    epochs = list(drive(START, 240))
    truck.dongle.replay(epochs, per_s=30)
    truck.recorded(240)
    until(lambda: truck.service.facts().get("recorded") == 240, what="the status")
    truck.dongle.replay(drive(epochs[-1].time, 2), per_s=2)
    code, text = truck.service.status()
    json_code, as_json = truck.service.status("--json")
    alive = "WATCHDOG=1" in truck.service.listen()
    truck.service.end()

    assert (code, json_code, alive) == (0, 0, True), text
    assert "telematics  recording" in text
    assert f"receiver    {truck.dongle.path}" in text
    assert "fix         3D" in text
    assert "queue       240 records" in text
    assert json.loads(as_json)["problems"] == []
    assert truck.service.status()[0] == 3


def test_memory_stays_small(truck: Truck) -> None:
    """The service keeps below 40 MB, also while thousands of records wait for Redis."""
    truck.redis.end(signal.SIGKILL)
    epochs = list(drive(START, 400, hz=10))
    truck.dongle.replay(epochs, per_s=200)
    resident_mb = truck.service.resident_mb()
    truck.redis.start()
    truck.recorded(len(epochs))

    assert times(truck.redis.records()) == sent(epochs)
    assert resident_mb < 40
