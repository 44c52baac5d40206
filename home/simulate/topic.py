"""Reads back what a Kafka topic holds, from where a run began to where it ended.

No group, nothing committed: whoever else reads the topic does not notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from home.simulate.send import Kafka

TIMEOUT_S = 15.0
AT_ONCE = 2_000


class Mark:
    """Where each partition of a topic ends at one moment."""

    def __init__(self, kafka: Kafka) -> None:
        """Ask the broker; KafkaException says why it does not answer."""
        self._kafka = kafka
        consumer = _consumer(kafka)
        try:
            self.ends = _ends(consumer, kafka.topic)
        finally:
            consumer.close()

    def since(self) -> Iterator[bytes]:
        """Give every message that came after this mark, partition by partition."""
        from confluent_kafka import TopicPartition  # noqa: PLC0415  only who reads Kafka has it

        consumer = _consumer(self._kafka)
        try:
            for partition, end in _ends(consumer, self._kafka.topic).items():
                at = self.ends.get(partition, 0)
                consumer.assign([TopicPartition(self._kafka.topic, partition, at)])
                while at < end:
                    for message in consumer.consume(min(AT_ONCE, end - at), TIMEOUT_S):
                        if message.error() is None:
                            at = message.offset() + 1
                            yield message.value() or b""
        finally:
            consumer.close()


def _consumer(kafka: Kafka) -> Any:  # noqa: ANN401  a class of C, without types
    from confluent_kafka import Consumer  # noqa: PLC0415

    # A consumer must name a group even if it never joins it.
    settings: dict[str, object] = {
        "group.id": "simulate",
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
    }
    return Consumer(kafka.config() | settings)


def _ends(consumer: Any, topic: str) -> dict[int, int]:  # noqa: ANN401  as above
    from confluent_kafka import TopicPartition  # noqa: PLC0415

    partitions = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions
    return {
        number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=TIMEOUT_S)[1]
        for number in partitions
    }
