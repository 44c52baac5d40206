"""A home's card in an emulated board: opened, posted to, killed, and a car publishes to it.

Told in the order in which it happens: a board that is booted for each question takes an hour.
"""

from __future__ import annotations

import base64
import http.client
import json
import random
import socket
import ssl
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from glovebox.boards.boards import BOARDS
from glovebox.config.schema import BoardName
from glovebox.emulator.emulator import Login, Machine, Qemu, boot
from glovebox.host import chroot
from glovebox.host.chroot import emulator_settings
from glovebox.host.run import CommandError, run
from tests.home.made import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.root, pytest.mark.needs("ssh", "setpriv")]

BOARD = BOARDS[BoardName.PI_3]
PASSWORD = "correct horse battery"  # noqa: S105  of a board that ends with the test
START_MS = 1_790_000_000_000
BATCH, KILL_AFTER = 50, (6, 20)
OPEN_S, BUILT_S, CAR_S = 300, 900, 600
CAR_RECORDS = 40
VEHICLES = """
vehicles:
  truck-7: { key_file: keys/truck-7 }
  car-2: { key_file: keys/car-2 }
"""
# In the car: its own queue and its own publisher, with records as its recorder leaves them.
DRIVES_HOME = f"""
mkdir -p /tmp/queue
options="--port 0 --unixsocket /tmp/queue.sock --dir /tmp/queue"
redis-server $options >/tmp/queue.txt & queue=$!
python3 -I - <<'END'
import time
from telematics.epoch import Epoch
from telematics.queue import RedisQueue
from telematics.record import Identity, of_epoch

def raw(seq):
    at = Epoch("/dev/gps0", seq * 1000, {START_MS} + seq * 1000, 3, 52 + seq / 1e4, 13.0, 34.5,
               13.89, 182.4, 0.1, 4.2, 0.52, True)
    whose = Identity(device="car-2", installation="k3x9w2", boot="1f0c9a")
    return of_epoch(at, identity=whose, seq=seq, trip=1).encode()

for second in range(60):
    try:
        queue = RedisQueue(socket="/tmp/queue.sock", key="telematics:queue", timeout_s=60)
        queue.newest()
        break
    except Exception:
        time.sleep(1)
queue.append([(seq, raw(seq)) for seq in range(1, {CAR_RECORDS + 1})])
END
telematics publish --config /etc/car-2.json & publisher=$!
for try in $(seq {{seconds}}); do
  left=$(redis-cli -s /tmp/queue.sock XLEN telematics:queue)
  [ "$left" != 0 ] || break
  sleep 1
done
kill $publisher
wait $publisher || :
kill $queue
[ "$left" = 0 ]
"""


class Home:
    """The home on the board, reached by its own TLS through the board's ssh."""

    def __init__(self, machine: Machine) -> None:
        """Forward a port of this machine to it."""
        self.machine = machine
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        run(
            ["ssh", "-F", machine.ssh_config, "-O", "forward",
             "-L", f"127.0.0.1:{self.port}:127.0.0.1:8021", "board"],
        )  # fmt: skip
        self.certificate = ""

    def link(self) -> http.client.HTTPSConnection:
        """Connect, trusting its own certificate and no other."""
        context = ssl.create_default_context(cadata=self.certificate)
        seconds = self.machine.patience(60)
        return http.client.HTTPSConnection("localhost", self.port, context=context, timeout=seconds)

    def ask(
        self, method: str, path: str, *, body: bytes = b"", **headers: str
    ) -> tuple[int, bytes]:
        """Ask it once; give status and answer."""
        link = self.link()
        try:
            link.request(
                method, path, body=body or None,
                headers={name.replace("_", "-"): value for name, value in headers.items()},
            )  # fmt: skip
            answer = link.getresponse()
            return answer.status, answer.read()
        finally:
            link.close()

    def shown(self, path: str) -> tuple[int, bytes]:
        """Ask as its owner does in a browser."""
        word = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
        return self.ask("GET", path, Authorization=f"Basic {word}")

    def status(self) -> dict[str, object]:
        """Give what it says of itself."""
        code, said = self.shown("/api/status")
        assert code == http.HTTPStatus.OK, said
        found: dict[str, object] = json.loads(said)
        return found

    def await_open(self) -> None:
        """Wait until it answers."""
        self.until(lambda: self.shown("/api/status")[0] == http.HTTPStatus.OK, OPEN_S)

    def until(self, true: Callable[[], bool], seconds: float) -> None:
        """Wait until something holds; a home that is not up yet holds nothing."""
        end = time.monotonic() + self.machine.patience(seconds)
        while True:
            try:
                if true():
                    return
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() > end:
                    raise AssertionError(self._journal()) from error
            assert time.monotonic() < end, self._journal()
            time.sleep(2)

    def _journal(self) -> str:
        asked = "sudo -n systemctl status home.service; sudo -n journalctl -b -u home.service"
        return self.machine.ssh(asked, check=False).stdout

    def seqs(self, device: str) -> set[int]:
        """Give the numbers of a vehicle's records that its landing holds, by the home itself."""
        self.machine.ssh("sudo -n home build")
        words = f"SELECT seq FROM points WHERE device = '{device}'"  # noqa: S608  ours
        told = self.machine.ssh(f'sudo -n home sql --json "{words}"').stdout
        return {int(json.loads(line)["seq"]) for line in told.splitlines() if line}


def records(device: str, first: int, count: int) -> list[bytes]:
    """Give records of a drive."""
    return [
        record(
            device, seq, at_ms=START_MS + seq * 1000, mono=seq * 1000,
            lat=round(52 + seq * 0.0001, 6), lon=13.4,
        )
        for seq in range(first, first + count)
    ]  # fmt: skip


@contextmanager
def powered(card: Path, folder: Path, qemu: Qemu, pytestconfig: pytest.Config) -> Iterator[Machine]:
    """Give power to a board with a copy of this card."""
    login = Login(user=pytestconfig.getoption("user"), key=pytestconfig.getoption("key"))
    with boot(card, BOARD, qemu=qemu, login=login, folder=folder, dongle=False) as machine:
        machine.wait_ssh()
        yield machine


def test_the_first_start_the_kill_and_the_car(
    image: Path, car: Path, qemu: Qemu, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """It is closed, opens by a password, keeps what it acknowledged through kill -9, and a car
    that was built by the same builder publishes to it.
    """  # noqa: D205  one story
    with powered(image, tmp_path / "first", qemu, pytestconfig) as machine:
        closed_then_opened(machine)
        home = Home(machine)
        let_vehicles_in(machine, home)
        home.await_open()
        answers(home)
        acknowledged = post_until_killed(machine, home)
        with powered(tmp_path / "first/card.img", tmp_path / "second", qemu, pytestconfig) as again:
            after = Home(again)
            after.certificate = home.certificate
            after.await_open()  # nobody is asked again
            there = after.seqs("truck-7")
            assert acknowledged
            assert acknowledged <= there
            publish_from(car, after, tmp_path)


def closed_then_opened(machine: Machine) -> None:
    """Nothing listens; then the owner chooses a password."""
    listening = machine.ssh("sudo -n ss --no-header --listening --tcp --numeric").stdout
    assert ":8021" not in listening
    told = machine.ssh(f"echo '{PASSWORD}' | sudo -n home-password").stdout
    assert "https://home.local:8021/" in told


def let_vehicles_in(machine: Machine, home: Home) -> None:
    """Make keys as docs/home.md says, and name the vehicles."""
    for name in ("truck-7", "car-2"):
        machine.ssh(f"sudo -n home key {name}")
    machine.ssh(f"echo '{VEHICLES}' | sudo -n tee -a /var/lib/home/home.yaml")
    machine.ssh("sudo -n systemctl restart home.service")
    home.certificate = machine.ssh("sudo -n cat /var/lib/home/secrets/home.pem").stdout


def answers(home: Home) -> None:
    """Map and status are for who knows the password, posting for who has a key."""
    assert home.ask("GET", "/")[0] == http.HTTPStatus.UNAUTHORIZED
    code, page = home.shown("/")
    assert code == http.HTTPStatus.OK
    assert b"leaflet" in page
    assert home.ask("POST", "/", body=b"[]", X_API_Key="wrong")[0] == http.HTTPStatus.FORBIDDEN


def post_until_killed(machine: Machine, home: Home) -> set[int]:
    """Post until the machine is killed, at a moment nobody chose; give what was acknowledged."""
    key = machine.ssh("sudo -n cat /var/lib/home/keys/truck-7").stdout.strip()
    chance = random.Random(20)  # noqa: S311  repeatable, nothing is secret
    last = chance.randrange(*KILL_AFTER)
    acknowledged: set[int] = set()
    for number in range(last + 1):
        first = 1 + number * BATCH
        body = b"[" + b",".join(records("truck-7", first, BATCH)) + b"]"
        if number == last:
            # Sent, and not waited for: of this one nobody knows.
            link = home.link()
            link.request("POST", "/", body=body, headers={"X-API-Key": key})
            time.sleep(chance.random() / 10)
            machine._process.kill()
            machine._process.wait()
            link.close()
            break
        code, said = home.ask("POST", "/", body=body, X_API_Key=key)
        assert code == http.HTTPStatus.OK, said
        acknowledged |= set(range(first, first + BATCH))
    return acknowledged


def publish_from(car: Path, home: Home, folder: Path) -> None:
    """Let the publisher of a car's image, in a chroot, empty its own queue into the home."""
    secrets = car / "etc/glovebox/publish"
    key = home.machine.ssh("sudo -n cat /var/lib/home/keys/car-2").stdout
    (secrets / "api-key").write_text(key)
    (secrets / "ca.pem").write_text(home.certificate)
    settings = {
        "publish_to": "http",
        "publish_servers": f"https://localhost:{home.port}/",
        "queue_socket": "/tmp/queue.sock",
    }
    (car / "etc/car-2.json").write_text(json.dumps(settings))
    command = chroot.command(car, ["/bin/sh", "-e"], network=True)
    seconds = round(home.machine.patience(CAR_S))
    try:
        run(command, input=DRIVES_HOME.format(seconds=seconds), env=emulator_settings(BOARD.arch))
    except CommandError as error:
        (folder / "car.txt").write_text(error.tail)
        raise
    assert home.seqs("car-2") == set(range(1, CAR_RECORDS + 1))
