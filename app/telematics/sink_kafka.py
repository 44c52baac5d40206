"""Kafka, by librdkafka: idempotent, acknowledged by all replicas, one key per vehicle.

The client is made once a broker answers: librdkafka keeps threads and memory busy for a broker
that is not there. If one delivery fails the client is thrown away, so nothing that it still holds
can overtake what is sent again.
"""

from __future__ import annotations

import logging
import socket
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telematics.sink import SinkError, secret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from telematics.settings import Settings

PROBE_TIMEOUT_S = 3.0
ANSWER_TIMEOUT_S = 15.0
ANSWER_STEP_S = 1.0
DELIVERY_TIMEOUT_MS = 30_000
# After this every message has its delivery report, good or bad.
FLUSH_TIMEOUT_S = DELIVERY_TIMEOUT_MS / 1000 + 10

log = logging.getLogger(__name__)


class KafkaSink:
    """Sends to one topic; see Sink."""

    def __init__(self, settings: Settings) -> None:
        """Prepare; nothing is loaded or connected yet."""
        self._settings = settings
        self._producer: Any = None
        self._live: Any = None
        self._error = ""
        self._refused = False

    def open(self) -> None:
        """See Sink."""
        if self._producer is not None:
            return
        probe(self._settings.publish_servers)
        from confluent_kafka import Producer  # noqa: PLC0415  14 MB, when needed

        self._error, self._refused = "", False
        producer = Producer(producer_config(self._settings) | {"error_cb": self._failed})
        self._wait_for_answer(producer)
        self._producer = producer
        log.info("the broker answers")

    def _wait_for_answer(self, producer: Any) -> None:  # noqa: ANN401  a class of C, without types
        """See that the broker knows the topic, and with TLS that each proves who he is."""
        from confluent_kafka import KafkaException  # noqa: PLC0415

        until = time.monotonic() + ANSWER_TIMEOUT_S
        while True:
            try:
                producer.list_topics(self._settings.publish_topic, timeout=ANSWER_STEP_S)
            except KafkaException as error:
                producer.poll(0)  # what went wrong is told from there
                if self._refused or time.monotonic() > until:
                    raise SinkError(f"the broker: {self._error or error}") from error
            else:
                return

    def send(self, records: Sequence[tuple[str, bytes]]) -> int:
        """See Sink."""
        producer = self._producer
        reports: list[bool | None] = [None] * len(records)
        try:
            for place, (device, raw) in enumerate(records):
                self._produce(device, raw, partial(self._delivered, reports, place))
            producer.flush(FLUSH_TIMEOUT_S)
        except Exception as error:  # noqa: BLE001  KafkaException, known only once it is loaded
            self._error = str(error)
            log.warning("the broker: %s", error)
        return next((place for place, good in enumerate(reports) if not good), len(reports))

    def _produce(self, device: str, raw: bytes, report: Callable[[object, object], None]) -> None:
        while True:
            try:
                self._producer.produce(
                    self._settings.publish_topic, key=device, value=raw, on_delivery=report
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def live(self, device: str, raw: bytes) -> None:
        """See Sink."""
        if self._live is None:
            from confluent_kafka import Producer  # noqa: PLC0415

            self._live = Producer(common_config(self._settings) | {"acks": "0"})
        self._live.produce(self._settings.publish_live_topic, key=device, value=raw)
        self._live.poll(0)

    def close(self) -> None:
        """See Sink."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.flush(1)

    def _delivered(
        self, reports: list[bool | None], place: int, error: object, _message: object
    ) -> None:
        reports[place] = error is None
        if error is not None:
            self._error = str(error)

    def _failed(self, error: Any) -> None:  # noqa: ANN401  a class of C, without types
        self._error = str(error)
        self._refused = error.name() in ("_SSL", "_AUTHENTICATION")


def probe(servers: str) -> None:
    """See whether any of the brokers takes a connection at all; SinkError if none does."""
    said = "no broker is named"
    for server in servers.split(","):
        host, _, port = server.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_TIMEOUT_S):
                return
        except (OSError, ValueError) as error:
            said = f"{server}: {error}"
    raise SinkError(said)


def producer_config(settings: Settings) -> dict[str, object]:
    """Give librdkafka's settings for the records themselves."""
    return common_config(settings) | {
        "acks": "all",
        "enable.idempotence": True,
        # Rather no more deliveries than one after a hole.
        "enable.gapless.guarantee": True,
        "message.timeout.ms": DELIVERY_TIMEOUT_MS,
        "linger.ms": 50,
        "compression.type": "lz4",
        "queue.buffering.max.kbytes": 4096,
    }


def common_config(settings: Settings) -> dict[str, object]:
    """Give librdkafka's settings for reaching the broker, see its CONFIGURATION.md."""
    config: dict[str, object] = {
        "bootstrap.servers": settings.publish_servers,
        "client.id": "telematics",
        "reconnect.backoff.max.ms": 10_000,
        "log_level": 2,  # it would tell every failed try, 20 lines a second
        "socket.keepalive.enable": True,
    }
    return config | security_config(
        settings.publish_security,
        Path(settings.publish_secrets),
        user=settings.publish_user,
    )


def security_config(security: str, secrets: Path, *, user: str = "") -> dict[str, object]:
    """Give librdkafka's settings for proving identities; SinkError names a file that lacks."""
    if security == "plaintext":
        return {"security.protocol": "plaintext"}
    config: dict[str, object] = {
        "security.protocol": "ssl",
        "ssl.ca.location": str(_there(secrets, "ca.pem")),
    }
    if security == "sasl":
        password = _there(secrets, "password").read_text(encoding="utf-8").strip()
        return config | {
            "security.protocol": "sasl_ssl",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": password,
        }
    return config | {
        "ssl.certificate.location": str(_there(secrets, "client.pem")),
        "ssl.key.location": str(_there(secrets, "client.key")),
    }


def _there(folder: Path, name: str) -> Path:
    path = secret(folder, name)
    if not path.is_file():
        raise SinkError(f"{path} is missing; hint: put it there by `overlays:` in image.yaml")
    return path
