"""A real broker: Apache Kafka in KRaft mode, one node, with every way to prove who one is."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from glovebox.store.store import default_root
from glovebox.verify import jars
from tests.needs import missing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

START_S = 120.0
USER, PASSWORD = "truck", "a-test-password"
CLUSTER = "4L6g3nShT-eMCtK--X86sw"
JAVA = ("-Xmx300m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")


def free_port() -> int:
    """Give a port of the loopback that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def classpath() -> str:
    """Give the jars; without them skip, and in CI fail."""
    folder = jars.folder(default_root())
    if shutil.which("java") is None or not folder.is_dir():
        missing("Java and Apache Kafka's jars by Maven; ./invoke setup --tests brings them")
    return f"{folder}/*"


@dataclass
class Broker:
    """One Kafka node in a folder; it may be killed and started again.

    ``tls``, ``sasl`` and ``plain`` are the addresses of its listeners on the loopback. ``told`` is
    what TLS clients are told to call, if they reach that listener under another address.
    """

    folder: Path
    told: str = ""
    ports: dict[str, int] = field(default_factory=dict)
    _child: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        """Make certificates and the storage."""
        self._classpath = classpath()
        self.ports = {name: free_port() for name in ("CONTROLLER", "TLS", "SASL", "PLAIN")}
        self.secrets = make_secrets(self.folder / "secrets")
        self._config = self.folder / "server.properties"
        text = "".join(f"{key}={value}\n" for key, value in self._settings().items())
        self._config.write_text(text)
        scram = f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"
        self._java(
            "kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER,
            "--config", str(self._config), "--add-scram", scram,
        ).wait(START_S)  # fmt: skip

    @property
    def tls(self) -> str:
        """Give the address that wants a client certificate."""
        return f"localhost:{self.ports['TLS']}"

    @property
    def sasl(self) -> str:
        """Give the address that wants a user and a password, over TLS."""
        return f"localhost:{self.ports['SASL']}"

    @property
    def plain(self) -> str:
        """Give the address that wants nothing."""
        return f"127.0.0.1:{self.ports['PLAIN']}"

    def start(self) -> None:
        """Start, and wait until it listens and takes requests."""
        self._child = self._java("kafka.Kafka", str(self._config))
        until = time.monotonic() + START_S
        while not self._answers():
            assert self._child.poll() is None, (self.folder / "log").read_text()[-3000:]
            assert time.monotonic() < until, "Kafka does not start"
            time.sleep(0.2)

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal and wait for the end."""
        if self._child is not None:
            self._child.send_signal(number)
            self._child.wait(START_S)
            self._child = None

    def _answers(self) -> bool:
        from confluent_kafka import KafkaException  # noqa: PLC0415
        from confluent_kafka.admin import AdminClient, NewTopic  # noqa: PLC0415

        try:
            with socket.create_connection(("127.0.0.1", self.ports["PLAIN"]), timeout=1):
                pass
            client = AdminClient({"bootstrap.servers": self.plain, "log_level": 0})
            known = client.list_topics(timeout=5).topics
            for name in ("telematics", "live"):
                if name not in known:
                    client.create_topics([NewTopic(name, 1, 1)])[name].result(10)
        except (OSError, KafkaException):
            return False
        return True

    def _settings(self) -> Mapping[str, object]:
        protocols = {
            "CONTROLLER": "PLAINTEXT", "TLS": "SSL", "SASL": "SASL_SSL", "PLAIN": "PLAINTEXT",
        }  # fmt: skip
        ports = self.ports
        listeners = [f"{name}://127.0.0.1:{port}" for name, port in ports.items()]
        told = {name: f"localhost:{ports[name]}" for name in ("TLS", "SASL", "PLAIN")}
        if self.told:
            told["TLS"] = self.told
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{ports['CONTROLLER']}",
            "controller.listener.names": "CONTROLLER",
            "listeners": ",".join(listeners),
            "advertised.listeners": ",".join(f"{name}://{place}" for name, place in told.items()),
            "listener.security.protocol.map": ",".join(f"{k}:{v}" for k, v in protocols.items()),
            "inter.broker.listener.name": "PLAIN",
            "log.dirs": self.folder / "data",
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self.secrets / "broker.pem",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.secrets / "ca.pem",
            "listener.name.tls.ssl.client.auth": "required",
            "listener.name.sasl.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
        }

    def _java(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                ["java", *JAVA, "-cp", self._classpath, *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
            )  # fmt: skip


def make_secrets(folder: Path) -> Path:
    """Make an authority, the broker's certificate, a client's, and one of a stranger."""
    folder.mkdir(parents=True)
    for authority in ("ca", "other-ca"):
        _openssl(
            folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", f"/CN={authority}", "-keyout", f"{authority}.key", "-out", f"{authority}.pem",
        )  # fmt: skip
    for name, authority in (("broker", "ca"), ("client", "ca"), ("stranger", "other-ca")):
        _openssl(
            folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.csr",
        )  # fmt: skip
        (folder / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        _openssl(
            folder, "x509", "-req", "-in", f"{name}.csr", "-days", "2", "-extfile", "ext",
            "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial",
            "-out", f"{name}.pem",
        )  # fmt: skip
    broker = folder / "broker.pem"
    broker.write_text((folder / "broker.key").read_text() + broker.read_text())
    (folder / "password").write_text(PASSWORD + "\n")
    (folder / "api-key").write_text("a-test-key\n")
    return folder


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
