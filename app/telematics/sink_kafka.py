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

from telematics import address
from telematics.sink import Sent, SinkError, plain, secret, secret_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from telematics.settings import Settings

PROBE_TIMEOUT_S = 3.0
ANSWER_TIMEOUT_S = 15.0
ANSWER_STEP_S = 1.0
DELIVERY_TIMEOUT_MS = 30_000
# After this every message has its delivery report, good or bad.
FLUSH_TIMEOUT_S = DELIVERY_TIMEOUT_MS / 1000 + 10

# While librdkafka waits no signal is heard.
FLUSH_STEP_S = 1.0
BATCH = 2000
# What a broker says of the records themselves, by librdkafka's names; see its RDKAFKA_ERROR_CODES.
_REFUSALS = {
    "MSG_SIZE_TOO_LARGE",
    "INVALID_MSG",
    "INVALID_MSG_SIZE",
    "INVALID_RECORD",
    "INVALID_TIMESTAMP",
    "POLICY_VIOLATION",
    "RECORD_LIST_TOO_LARGE",
    "_BAD_MSG",
}
# What it says of the topic: nothing helps but somebody who mends it.
_TOPIC = {
    "UNKNOWN_TOPIC_OR_PART": "knows no topic {}; hint: create it there",
    "_UNKNOWN_TOPIC": "knows no topic {}; hint: create it there",
    "_UNKNOWN_PARTITION": "knows no topic {}; hint: create it there",
    "TOPIC_EXCEPTION": "takes {} for no name of a topic",
    "TOPIC_AUTHORIZATION_FAILED": "does not let this vehicle write into the topic {}",
    "CLUSTER_AUTHORIZATION_FAILED": "does not let this vehicle write",
}

# The other side did not prove who it is, or did not believe us.
_STRANGER = ("_SSL", "_AUTHENTICATION")
# No report came of a record.
_UNTOLD = object()

log = logging.getLogger(__name__)


class KafkaSink:
    """Sends to one topic; see Sink."""

    largest = BATCH

    def __init__(self, settings: Settings) -> None:
        """Prepare; nothing is loaded or connected yet."""
        self._settings = settings
        self._producer: Any = None
        self._live: Any = None
        # What librdkafka said last of the connection, a KafkaError.
        self._fault: Any = None

    def open(self) -> None:
        """See Sink."""
        if self._producer is not None:
            return
        probe(self._settings.publish_servers)
        self._fault = None
        producer = _client(producer_config(self._settings) | {"error_cb": self._failed})
        self._wait_for_answer(producer)
        self._producer = producer
        log.info("the broker answers")

    def _wait_for_answer(self, producer: Any) -> None:  # noqa: ANN401  a class of C, without types
        """See that the broker knows the topic, and with TLS that each proves who he is."""
        from confluent_kafka import KafkaException  # noqa: PLC0415

        name = self._settings.publish_topic
        until = time.monotonic() + ANSWER_TIMEOUT_S
        while True:
            try:
                known = producer.list_topics(name, timeout=ANSWER_STEP_S).topics.get(name)
            except KafkaException as error:
                producer.poll(0)  # what went wrong is told from there
                said = f"the broker: {plain(str(self._fault or error))}"
            else:
                # A broker that makes topics when they are asked for needs a moment.
                if known is not None and known.error is None:
                    return
                said = self._about(known.error.name() if known else "UNKNOWN_TOPIC_OR_PART")
                time.sleep(ANSWER_STEP_S)
            stranger = self._fault is not None and self._fault.name() in _STRANGER
            if stranger or time.monotonic() > until:
                raise SinkError(said)

    def send(self, records: Sequence[tuple[str, bytes]]) -> Sent:
        """See Sink."""
        reports: list[Any] = [_UNTOLD] * len(records)
        until = time.monotonic() + FLUSH_TIMEOUT_S
        said = ""
        try:
            for place, (device, raw) in enumerate(records):
                self._produce(device, raw, partial(_delivered, reports, place))
            while self._producer.flush(FLUSH_STEP_S) and time.monotonic() < until:
                pass
        except SinkError as error:
            # Asked to stop: what was reported until then counts.
            said = str(error)
        except Exception as error:  # noqa: BLE001  KafkaException, known only once it is loaded
            said = plain(str(error))
            log.warning("the broker: %s", said)
        acked = next((n for n, told in enumerate(reports) if told is not None), len(reports))
        if acked == len(records):
            return Sent(acked)
        # A refusal makes librdkafka give up those behind it, each for a reason of its own.
        told = [each.name() for each in reports[acked:] if not (each is None or each is _UNTOLD)]
        if refused := next((each for each in told if each in _REFUSALS), ""):
            return Sent(acked, f"the broker refuses what it is sent: {refused}", refused=True)
        if about := next((each for each in told if each in _TOPIC), ""):
            return Sent(acked, self._about(about))
        why = said or self._fault or (told[0] if told else "no answer in time")
        return Sent(acked, f"the broker: {plain(str(why))}")

    def _about(self, name: str) -> str:
        text = _TOPIC.get(name, f"says {name} of the topic {{}}")
        return f"the broker {text.format(self._settings.publish_topic)}"

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
        try:
            if self._live is None:
                self._live = _client(common_config(self._settings) | {"acks": "0"})
            self._live.produce(self._settings.publish_live_topic, key=device, value=raw)
            self._live.poll(0)
        except Exception as error:  # noqa: BLE001  BufferError, KafkaException
            # Nothing depends on it: the next position is as good.
            log.info("the live topic: %s", plain(str(error)))

    def close(self) -> None:
        """See Sink."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.flush(1)

    def _failed(self, error: object) -> None:
        self._fault = error


def _delivered(reports: list[Any], place: int, error: object, _message: object) -> None:
    """Keep what a delivery came to, None if all is well; what it means is asked later.

    The library calls this for the next record also when an exception of its own is under way, and
    then no method can be called here.
    """
    reports[place] = error


def _client(config: dict[str, object]) -> Any:  # noqa: ANN401  a class of C, without types
    """Make a producer; SinkError says what librdkafka does not take, a damaged file above all."""
    from confluent_kafka import Producer  # noqa: PLC0415  14 MB, when needed

    try:
        return Producer(config)
    except Exception as error:  # KafkaException, and ValueError for a text it cannot hold
        raise SinkError(f"Kafka: {plain(str(error))}") from error


def probe(servers: str) -> None:
    """See whether any of the brokers takes a connection at all; SinkError if none does."""
    try:
        places = address.brokers(servers)
    except address.AddressError as error:
        raise SinkError(f"publish_servers: {error}") from error
    said = "no broker is named"
    for host, port in places:
        try:
            with socket.create_connection((host, port), timeout=PROBE_TIMEOUT_S):
                return
        # ValueError: a name that the resolver's encoding does not take.
        except (OSError, ValueError) as error:
            said = f"{host}:{port}: {plain(str(error))}"
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
        password = secret_text(secrets, "password", address.wrong_password)
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
