"""The live lane: what the vehicles' live topic says is shown as it comes, and nothing is kept."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer

from home.config import Kafka
from home.map.serve import WAITING_MAX, Live, from_topic
from telematics.record import Identity, Record

if TYPE_CHECKING:
    from tests.kafka_broker import Broker

PATIENCE_S = 120
TIME = 1_790_000_000_000


def _record(time: int) -> bytes:
    return Record(
        identity=Identity("truck-1", "bcdfgh", "0a0b0c"), seq=time - TIME + 1, trip=1, time=time,
        mono=1, lat=52.5, lon=13.25, mode=3, time_ok=True, speed=12.5, track=90.0,
    ).encode()  # fmt: skip


def test_live_topic_is_shown_as_it_comes(broker: Broker) -> None:
    """A position on the live topic is an event; garbage, and one that is older, are none."""
    kafka = Kafka(servers=broker.plain, live_topic="live", security="plaintext")
    live, stopping = Live(), threading.Event()
    watcher = live.watch()
    assert watcher is not None
    reading = threading.Thread(target=from_topic, args=(kafka, live, stopping))
    reading.start()
    producer = Producer({"bootstrap.servers": broker.plain})
    events: list[dict[str, Any]] = []
    try:
        # It reads from when it came on: what was sent before is nobody's live position.
        for at in range(PATIENCE_S):
            producer.produce("live", key="truck-1", value=b"garbage")
            producer.produce("live", key="truck-1", value=_record(TIME + at))
            producer.produce("live", key="truck-1", value=_record(TIME))
            producer.flush(10)
            stopping.wait(1)
            while not watcher.empty():
                events.append(json.loads(watcher.get().removeprefix("data: ")))
            if len(events) >= 2:
                break
    finally:
        stopping.set()
        reading.join(60)

    assert len(events) >= 2
    assert [event["time"] for event in events] == sorted({event["time"] for event in events})
    assert {**events[-1], "time": 0} == {
        "device": "truck-1", "time": 0, "lat": 52.5, "lon": 13.25, "speed": 12.5, "track": 90.0,
    }  # fmt: skip


def test_who_is_too_slow_keeps_nobody_waiting() -> None:
    """A watcher that takes nothing misses events, bounded in number; so are the watchers."""
    live = Live()
    watchers = []
    while (watcher := live.watch()) is not None:
        watchers.append(watcher)
    for at in range(2 * WAITING_MAX):
        live.moved("truck-1", time=TIME + at, lat=1, lon=2, speed=None, track=None)

    assert {watcher.qsize() for watcher in watchers} == {WAITING_MAX}
    live.leave(watchers[0])
    assert live.watch() is not None
