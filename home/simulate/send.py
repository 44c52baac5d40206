"""Sends what was made: by Kafka or by HTTP, with as many workers as asked for.

A vehicle belongs to one worker, so its messages keep the order they were made in. A worker that
is not answered tries again; it gives up after `GIVE_UP_S` without a single success.
"""

from __future__ import annotations

import heapq
import http.client
import itertools
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from telematics.sink_kafka import security_config

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from home.simulate.mishaps import Message, Source

BATCH = 500
TIMEOUT_S = 30.0
PAUSE_S, PAUSE_MAX_S = 0.2, 5.0
GIVE_UP_S = 120.0
FLUSH_S = 40.0
GOOD = range(200, 300)
REFUSED = (400, 401, 403, 404, 405)


class SendError(Exception):
    """The other side did not take what was sent; the message says what it said."""


class RefusedError(SendError):
    """The other side will not take it, however often it is asked."""


class Lane(Protocol):
    """One worker's way home."""

    def send(self, messages: Sequence[Message]) -> None:
        """Hand all of them over, in order, or raise SendError with none of them counted."""

    def close(self) -> None:
        """Let go of the connection."""


class HttpLane:
    """POSTs JSON arrays; each vehicle with its own key."""

    def __init__(self, url: str, keys: Mapping[str, str], *, authority: Path | None = None) -> None:
        """Prepare; ``keys`` maps a vehicle to its key, ``*`` to that of all others."""
        self._url = urlsplit(url)
        self._keys = keys
        self._authority = authority
        self._link: http.client.HTTPConnection | None = None

    def send(self, messages: Sequence[Message]) -> None:
        """See Lane: one request for each vehicle's run of messages."""
        for device, run in itertools.groupby(messages, key=lambda message: message.device):
            self._post(device, b"[" + b",".join(message.raw for message in run) + b"]")

    def close(self) -> None:
        """See Lane."""
        if self._link is not None:
            self._link.close()
        self._link = None

    def _post(self, device: str, body: bytes) -> None:
        key = self._keys.get(device, self._keys.get("*", ""))
        path = self._url.path or "/"
        target = f"{path}?{self._url.query}" if self._url.query else path
        try:
            if self._link is None:
                self._link = self._connection()
            self._link.request(
                "POST", target, body, {"Content-Type": "application/json", "X-API-Key": key}
            )
            answer = self._link.getresponse()
            said = answer.read(2_000).decode(errors="replace").strip()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise SendError(f"{self._url.geturl()}: {error}") from error
        if answer.status not in GOOD:
            self.close()
            kind = RefusedError if answer.status in REFUSED else SendError
            raise kind(f"{self._url.geturl()}: {answer.status} {said}")

    def _connection(self) -> http.client.HTTPConnection:
        host = self._url.hostname or ""
        if self._url.scheme != "https":
            return http.client.HTTPConnection(host, self._url.port, timeout=TIMEOUT_S)
        context = ssl.create_default_context(cafile=self._authority)
        return http.client.HTTPSConnection(host, self._url.port, timeout=TIMEOUT_S, context=context)


@dataclass(frozen=True, kw_only=True)
class Kafka:
    """Where the broker is and how to prove who one is."""

    servers: str
    topic: str
    security: str
    secrets: Path
    user: str = ""

    def config(self) -> dict[str, object]:
        """Give librdkafka's settings; SinkError names a file that lacks."""
        return {
            "bootstrap.servers": self.servers,
            "client.id": "simulate",
            "log_level": 2,
            **security_config(self.security, self.secrets, user=self.user),
        }


class KafkaLane:
    """Produces to one topic with the vehicle as key, as the car's publisher does."""

    def __init__(self, kafka: Kafka) -> None:
        """Make the client."""
        from confluent_kafka import Producer  # noqa: PLC0415  only who sends by Kafka has it

        self._topic = kafka.topic
        self._producer: Any = Producer(
            kafka.config()
            | {"acks": "all", "enable.idempotence": True, "linger.ms": 5, "compression.type": "lz4"}
        )
        self._errors: list[str] = []

    def send(self, messages: Sequence[Message]) -> None:
        """See Lane."""
        self._errors.clear()
        for message in messages:
            self._producer.produce(
                self._topic, key=message.device, value=message.raw, on_delivery=self._delivered
            )
        left = self._producer.flush(FLUSH_S)
        if left or self._errors:
            self._producer.purge()
            self._producer.flush(1)
            raise SendError(f"Kafka: {self._errors[0] if self._errors else 'no answer'}")

    def close(self) -> None:
        """See Lane."""
        self._producer.flush(1)

    def _delivered(self, error: object, _message: object) -> None:
        if error is not None:
            self._errors.append(str(error))


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast each worker goes."""

    workers: int
    max_delay_s: float
    seed: int
    batch: int = BATCH

    @property
    def batched(self) -> int:
        """Give how many go at once: events with a delay between them go one by one."""
        return 1 if self.max_delay_s else self.batch


def send(
    sources: Sequence[Source],
    *,
    lane: Callable[[], Lane],
    pace: Pace,
    sent: Callable[[int], None],
    stopping: threading.Event,
) -> None:
    """Send all of it; ``sent`` is told of each batch. The first worker's error is raised."""
    shares = [share for place in range(pace.workers) if (share := sources[place :: pace.workers])]
    with ThreadPoolExecutor(len(shares), thread_name_prefix="worker") as pool:
        jobs = [
            pool.submit(_work, share, lane=lane, pace=pace, sent=sent, stopping=stopping, place=at)
            for at, share in enumerate(shares)
        ]
        try:
            for job in jobs:
                job.result()
        except BaseException:
            stopping.set()
            raise


def _work(
    sources: Sequence[Source],
    *,
    lane: Callable[[], Lane],
    pace: Pace,
    sent: Callable[[int], None],
    stopping: threading.Event,
    place: int,
) -> None:
    random = Random(f"{pace.seed}/pace/{place}")  # noqa: S311  pauses are no secret
    mixed = heapq.merge(*(source.messages() for source in sources))
    messages = (message for _, _, message in mixed)
    way = lane()
    try:
        for batch in _batches(messages, pace.batched):
            if pace.max_delay_s:
                stopping.wait(random.uniform(0, pace.max_delay_s))
            if stopping.is_set():
                return
            way = _until_taken(way, batch, lane=lane, stopping=stopping)
            sent(len(batch))
    finally:
        way.close()


def _until_taken(
    way: Lane, batch: Sequence[Message], *, lane: Callable[[], Lane], stopping: threading.Event
) -> Lane:
    """Send a batch, again and again if need be: at least once, as the car does."""
    until, pause = time.monotonic() + GIVE_UP_S, PAUSE_S
    while True:
        try:
            way.send(batch)
        except RefusedError:
            raise
        except SendError:
            if time.monotonic() > until or stopping.is_set():
                raise
            way.close()
            stopping.wait(pause)
            pause = min(pause * 2, PAUSE_MAX_S)
            way = lane()
        else:
            return way


def _batches(messages: Iterator[Message], size: int) -> Iterator[list[Message]]:
    while batch := list(itertools.islice(messages, size)):
        yield batch
