"""Takes records off Kafka: what was committed here is read from the landing's own names.

Partitions are assigned, not subscribed, and nothing is ever committed to the broker: whoever else
reads with a group is left alone, and no two memories can disagree. The folder's name holds the
topic's identity, so a topic that was made anew begins anew, and nothing of it is passed over.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from home import index
from home.landing import Offsets
from home.lines import landed
from telematics.sink import SinkError
from telematics.sink_kafka import security_config

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable

    from home.config import Kafka
    from home.landing import Landing

BATCH = 20_000
# So long the first record of a batch waits for others to share its flush.
LINGER_S = 1.0
POLL_S = 0.2
LOOK_S = 60.0
ANSWER_S = 10.0
BACKOFF_S = 5.0

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class KafkaStatus:
    """How it goes, for the status page."""

    error: str = ""
    records: int = 0
    # Offsets that the broker did not have any more when they were asked for.
    passed: int = 0
    partitions: dict[str, int] = field(default_factory=dict)


class _LostError(Exception):
    """The broker cannot be used; the message says why."""


def receive(kafka: Kafka, landing: Landing, status: KafkaStatus, stopping: threading.Event) -> None:
    """Take records until told to stop; whatever goes wrong is told, and tried again."""
    while not stopping.is_set():
        try:
            _session(kafka, landing, status, stopping)
        except (_LostError, SinkError, OSError) as error:
            if status.error != str(error):
                log.warning("kafka: %s", error)
            status.error = str(error)
            stopping.wait(BACKOFF_S)


def _session(
    kafka: Kafka, landing: Landing, status: KafkaStatus, stopping: threading.Event
) -> None:
    """Read until something fails; what is not committed then is asked for again."""
    from confluent_kafka import Consumer, KafkaException  # noqa: PLC0415  only who needs it pays

    errors: list[str] = []
    config = {
        "bootstrap.servers": kafka.servers,
        "group.id": "glovebox-home",  # librdkafka wants one; it is never used
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "queued.max.messages.kbytes": 16_384,
        "fetch.message.max.bytes": 4 << 20,
        "reconnect.backoff.max.ms": 10_000,
        "log_level": 0,
        "error_cb": lambda error: errors.append(str(error)),
        **security_config(kafka.security, kafka.secrets, user=kafka.user),
    }
    try:
        consumer = Consumer(config)
        try:
            _read(consumer, kafka, landing, status, stopping)
        finally:
            consumer.close()
    except KafkaException as error:
        said = f"{errors[-1]}" if errors else str(error)
        raise _LostError(f"{kafka.servers}: {said}") from error


def _read(
    consumer: Any,  # noqa: ANN401  a class of C, without types
    kafka: Kafka,
    landing: Landing,
    status: KafkaStatus,
    stopping: threading.Event,
) -> None:
    folders: dict[str, str] = {}
    reached: dict[tuple[str, int], int] = {}
    look_at = 0.0
    while not stopping.is_set():
        if time.monotonic() >= look_at:
            found = _partitions(consumer, kafka, folders)
            new = [each for each in found if each not in reached]
            if new:
                for topic, partition in new:
                    reached[topic, partition] = landing.next_offset(folders[topic], partition) or 0
                _assign(consumer, reached)
            status.error = ""
            look_at = time.monotonic() + LOOK_S
        _take(_batch(consumer, stopping), folders, reached, landing, status)


def _batch(consumer: Any, stopping: threading.Event) -> list[Any]:  # noqa: ANN401  likewise
    """Collect messages for one flush: a full batch, or what comes within the linger."""
    from confluent_kafka import KafkaError  # noqa: PLC0415

    messages: list[Any] = []
    until = 0.0
    while not stopping.is_set() and len(messages) < BATCH:
        got = consumer.consume(BATCH - len(messages), POLL_S)
        for each in got:
            error = each.error()
            if error is None:
                messages.append(each)
            elif error.code() not in (KafkaError._PARTITION_EOF, KafkaError._TRANSPORT):  # noqa: SLF001  librdkafka's own name
                raise _LostError(str(error))
        if messages and not until:
            until = time.monotonic() + LINGER_S
        if until and time.monotonic() >= until:
            break
        if not messages and not got:
            break
    return messages


def _take(
    messages: Iterable[Any],
    folders: dict[str, str],
    reached: dict[tuple[str, int], int],
    landing: Landing,
    status: KafkaStatus,
) -> None:
    """Commit each partition's messages as one segment."""
    parts: dict[tuple[str, int], list[Any]] = {}
    for each in messages:
        parts.setdefault((each.topic(), each.partition()), []).append(each)
    for (topic, partition), taken in parts.items():
        entry = index.Entry()
        lines = []
        now = int(time.time() * 1000)
        for each in taken:
            line, found = landed(each.value() or b"", now=now)
            entry.add(line, found)
            lines.append(line)
        first, last = taken[0].offset(), taken[-1].offset()
        expected = reached[topic, partition]
        if first < expected:
            raise _LostError(f"topic {topic} has lost messages that were read already")
        if first > expected:
            status.passed += first - expected
            log.warning(
                "kafka: %s/%d has no offsets %d to %d", topic, partition, expected, first - 1
            )
        offsets = Offsets(partition, first, last + 1)
        landing.put(f"{folders[topic]}/{offsets.name}", lines, entry)
        reached[topic, partition] = last + 1
        status.records += len(lines)
        status.partitions[f"{topic}/{partition}"] = last + 1


def _partitions(
    consumer: Any,  # noqa: ANN401  likewise
    kafka: Kafka,
    folders: dict[str, str],
) -> list[tuple[str, int]]:
    """Ask which partitions there are, and which topics by their identity these are."""
    found = []
    for topic in kafka.topics:
        known = consumer.list_topics(topic, timeout=ANSWER_S).topics.get(topic)
        if known is None or known.error is not None:
            raise _LostError(f"topic {topic}: {known.error if known else 'not there'}")
        folder = f"kafka/{topic}~{_identity(kafka, topic)}"
        if folders.setdefault(topic, folder) != folder:
            raise _LostError(f"topic {topic} was made anew; it is read from its beginning")
        found += [(topic, partition) for partition in sorted(known.partitions)]
    return found


def _identity(kafka: Kafka, topic: str) -> str:
    """Give what tells this topic from another one of its name, made later or elsewhere."""
    from confluent_kafka import TopicCollection  # noqa: PLC0415
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415

    security = security_config(kafka.security, kafka.secrets, user=kafka.user)
    base: Any = {"bootstrap.servers": kafka.servers, "log_level": 0}
    admin = AdminClient(base | security)
    described = admin.describe_topics(TopicCollection([topic]), request_timeout=ANSWER_S)
    ident = described[topic].result(ANSWER_S).topic_id
    return f"{ident.get_most_significant_bits() % (1 << 64):016x}"


def _assign(consumer: Any, reached: dict[tuple[str, int], int]) -> None:  # noqa: ANN401  likewise
    from confluent_kafka import TopicPartition  # noqa: PLC0415

    consumer.assign([TopicPartition(topic, part, at) for (topic, part), at in reached.items()])
