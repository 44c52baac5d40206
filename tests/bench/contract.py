"""Measure what the contract costs: one JSON row per line, each with its target.

``./invoke bench --only contract``, or ``python -m tests.bench.contract [captured] [processor]
[backlog]``, as root, after ``./invoke setup --tests``, in the environment that makes, with ``app``
on PYTHONPATH; `processor` also wants the loop's libraries, and says which if they lack. Every part
is real: gpsd, Redis, Apache Kafka over TLS, the service's processes. Only the receiver is a pseudo
terminal.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "service"))

from parts import APP, COLD, KEY, START, Dongle, Gpsd, Redis, Service, free_port, until  # noqa: E402

from glovebox.emulator.nmea import checksum, drive, encode, sentences, void  # noqa: E402
from telematics.epoch import Epoch  # noqa: E402
from telematics.queue import RedisQueue  # noqa: E402
from telematics.record import Identity, of_epoch  # noqa: E402
from tests.kafka_broker import Broker  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from glovebox.emulator.nmea import Epoch as Sent

RECORDS = 216_000  # 30 days of 2 hours
MB = 1_000_000
CAPTURE_S = 20
CPU_S = 100  # in which the recorder reserves one block of numbers
SETTLE_S = 5
MEMORY = "/dev/shm"  # where a board's /run is
BASELINE = HERE / "baseline_loop.py"
PYTHON = "/usr/bin/python3"  # Debian's, as on the board: its packages are the loop's libraries
LIBRARIES = {
    "python3-gps": "gps", "python3-jsonpickle": "jsonpickle", "python3-redis": "redis",
    "python3-colorlog": "colorlog", "python3-dateutil": "dateutil",
}  # fmt: skip
LOOPS = {"process": ">= 5", "plain": ">= 2"}
IDENTITY = Identity(device="truck-7", installation="k3x9w2", boot="1f0c9a")
Row = dict[str, object]


def rows(*names: str) -> Iterator[Row]:
    """Give every row, or those of the named groups: captured, processor, backlog."""
    groups = {"captured": captured, "processor": processor, "backlog": backlog}
    if "processor" in (names or groups):
        _need_libraries()
    with tempfile.TemporaryDirectory() as work:
        for name in names or groups:
            yield from groups[name](Path(work))


def _need_libraries() -> None:
    """See that the article's loop can start, before anything is measured."""
    imports = f"import {', '.join(LIBRARIES.values())}"
    lacking = subprocess.run([PYTHON, "-c", imports], capture_output=True, check=False).returncode
    if lacking or shutil.which("iwgetid") is None:
        packages = f"{' '.join(LIBRARIES)} wireless-tools"
        sys.exit(f"the article's loop lacks its libraries; hint: apt-get install {packages}")


def captured(work: Path) -> Iterator[Row]:
    """Replay at the receiver's own pace, and count what stands in the queue."""
    for hz in (1, 10):
        folder = work / f"capture-{hz}"
        folder.mkdir()
        with _Truck(folder) as truck:
            epochs = list(drive(START, CAPTURE_S, hz=hz))
            truck.dongle.replay(epochs, per_s=hz)
            time.sleep(3)
            share = 100 * len(truck.redis.records()) / len(epochs)
            worst = truck.service.facts().get("slowest_ms")
        yield _row(f"epochs captured at {hz} Hz", share, "%", target=">= 100")
        yield _row(f"longest wait for the medium at {hz} Hz", worst, "ms", target="<= 2000")


def processor(work: Path) -> Iterator[Row]:
    """Compare the CPU of one drive with a loop as the original article writes it.

    The same drive at the same pace, one after the other, each alone with a gpsd and with a Redis as
    its own author sets it.
    """
    with _Truck(_made(work / "ours")) as truck:
        time.sleep(SETTLE_S)
        before, recorded = _cpu_s(truck.service.pid), len(truck.redis.records())
        queue = _cpu_s(truck.redis.pid)
        _replay(truck.dongle, drive(START, CPU_S))
        ours = _per_hour(_cpu_s(truck.service.pid) - before)
        queue = _per_hour(_cpu_s(truck.redis.pid) - queue)
        time.sleep(SETTLE_S)
        recorded = len(truck.redis.records()) - recorded
    yield _row("CPU per hour of driving", ours, "s")
    yield _row("its Redis, every second on the medium", queue, "s")
    yield _row("records of that drive", recorded, "records", target=f">= {CPU_S}")
    for name, target in LOOPS.items():
        theirs, queue, reports, records = _article(_made(work / name), name)
        called = f"the article's loop, {name}"
        yield _row(f"{called}: CPU per hour", theirs, "s")
        yield _row(f"{called}: its Redis, every 5 minutes on the medium", queue, "s")
        yield _row(f"{called}: reports that it took", reports, "reports")
        yield _row(f"{called}: records in its Redis", records, "records")
        yield _row(f"{called}: times as much as ours", theirs / ours, "times", target=target)


def _article(folder: Path, name: str) -> tuple[float, float, int, int]:
    """Give the loop's CPU seconds per hour, those of its Redis, its reports and its records."""
    dongle = Dongle()
    gpsd, redis = Gpsd(dongle.path, port=free_port()), Redis(folder, durable=False)
    redis.start()
    gpsd.start()
    time.sleep(SETTLE_S)
    loop = subprocess.Popen(
        [PYTHON, str(BASELINE), str(gpsd.port), str(redis.socket), name],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        for each in void(COLD, SETTLE_S):
            dongle.send(each)
            time.sleep(1)
        queue = _cpu_s(redis.pid)
        loop.send_signal(signal.SIGUSR1)  # count from here
        _replay(dongle, drive(START, CPU_S))
        queue = _per_hour(_cpu_s(redis.pid) - queue)
        loop.send_signal(signal.SIGTERM)
        cpu, reports, records = loop.communicate(timeout=30)[0].split()
    finally:
        loop.kill()
        for part in (gpsd, redis):
            part.end(signal.SIGKILL)
        dongle.close()
    return _per_hour(float(cpu)), queue, int(reports), int(records)


def _replay(dongle: Dongle, epochs: Iterable[Sent]) -> None:
    """Send a drive at 1 Hz with the satellites in view, as dongles do each second."""
    due = time.monotonic()
    for epoch in epochs:
        dongle.send_bytes(encode((*sentences(epoch), *_in_view())))
        due += 1
        time.sleep(max(0.0, due - time.monotonic()))


def _per_hour(seconds: float) -> float:
    return seconds * 3600 / CPU_S


def _in_view() -> tuple[str, ...]:
    """Give the GSV sentences of ten satellites, four each."""
    seen = [
        f"{each:02d},{10 + 3 * each:02d},{(40 * each) % 360:03d},{30 + each}"
        for each in (2, 5, 9, 12, 15, 18, 21, 25, 26, 29)
    ]
    total = -(-len(seen) // 4)
    bodies = [
        f"GPGSV,{total},{number + 1},{len(seen):02d},{','.join(seen[4 * number : 4 * number + 4])}"
        for number in range(total)
    ]
    return tuple(f"${body}*{checksum(body)}" for body in bodies)


def backlog(work: Path) -> Iterator[Row]:
    """Fill the queue with a month, look at its size, and publish it."""
    folder = work / "backlog"
    folder.mkdir()
    redis = Redis(folder)
    redis.start()
    broker = Broker(_made(work / "kafka"))
    try:
        _fill(redis)
        info = redis.client().info("memory")
        files = folder / "appendonlydir"
        written = sum(each.stat().st_size for each in files.iterdir())
        yield _row("216,000 records in memory", info["used_memory"] / MB, "MB", target="<= 40")
        yield _row("216,000 records in the file", written / MB, "MB", target="<= 60")
        broker.start()
        yield from _published(work, redis, broker)
    finally:
        redis.end(signal.SIGKILL)
        broker.end()


def _published(work: Path, redis: Redis, broker: Broker) -> Iterator[Row]:
    config = work / "publish.json"
    values = {
        "queue_socket": str(redis.socket), "publish_to": "kafka", "publish_servers": broker.tls,
        "publish_secrets": str(broker.secrets),
    }  # fmt: skip
    config.write_text(json.dumps(values))
    command = [sys.executable, "-m", "telematics", "publish", "--config", str(config)]
    client = redis.client()
    publisher = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(APP)})
    try:
        until(lambda: client.xlen(KEY) < RECORDS, what="the first batch", within_s=60)
        began, first, most = time.monotonic(), client.xlen(KEY), 0.0
        while client.xlen(KEY):
            most = max(most, _resident_mb(publisher.pid))
            time.sleep(0.02)
        took = time.monotonic() - began
    finally:
        publisher.terminate()
        publisher.wait(60)
    yield _row("drain to the broker over TLS", first / took, "records/s", target=">= 20000")
    yield _row("the publisher's memory while it drains", most, "MB", target="<= 40")


class _Truck:
    """Receiver, gpsd, Redis and the recorder, with READY said."""

    def __init__(self, folder: Path) -> None:
        self._memory = tempfile.TemporaryDirectory(dir=MEMORY)
        self.dongle = Dongle()
        self.gpsd = Gpsd(self.dongle.path, port=free_port())
        self.redis = Redis(folder)
        # The watchdog's pace is that of the unit.
        self.service = Service(
            folder, gpsd_port=self.gpsd.port, queue=self.redis.socket, watchdog_s=60
        )
        (folder / "run").rmdir()
        (folder / "run").symlink_to(self._memory.name)

    def __enter__(self) -> Self:
        for part in (self.redis, self.gpsd, self.service):
            part.start()
        enough = threading.Event()

        def search() -> None:
            for each in void(COLD, 3600):
                self.dongle.send(each)
                if enough.wait(0.1):
                    return

        thread = threading.Thread(target=search)
        thread.start()
        until(self.service.ready, what="READY", within_s=60)
        enough.set()
        thread.join()
        return self

    def __exit__(self, *_: object) -> None:
        for part in (self.service, self.gpsd, self.redis):
            part.end(signal.SIGKILL)
        self.dongle.close()
        self.service.close()
        self._memory.cleanup()


def _fill(redis: Redis) -> None:
    stream = RedisQueue(socket=str(redis.socket), key=KEY, timeout_s=60)
    stream.newest()
    for first in range(1, RECORDS + 1, 500):
        stream.append([(seq, _typical(seq)) for seq in range(first, first + 500)])


def _typical(seq: int) -> bytes:
    """Give a record of a 3D fix on the road, every value known."""
    at = Epoch(
        device="/dev/gps0", mono=seq * 1000, time=1_790_000_000_000 + seq * 1000, mode=3,
        time_ok=True, lat=52.0 + seq % 99_991 / 1e6, lon=13.0 + seq % 99_989 / 1e6,
        alt_msl=34.5 + seq % 100, speed=13.89 + seq % 17, track=182.4 + seq % 90,
        climb=0.1, eph=4.2, eps=0.52,
    )  # fmt: skip
    return of_epoch(at, identity=IDENTITY, seq=seq, trip=max(1, seq - 7200)).encode()


def _cpu_s(pid: int) -> float:
    """Give the CPU time of all threads of a process, in seconds, see proc(5) on schedstat."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((each / "schedstat").read_text().split()[0]) for each in tasks) / 1e9


def _resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1000


def _row(name: str, value: object, unit: str, target: str = "reported") -> Row:
    rounded = round(value, 2) if isinstance(value, float) else value
    return {"row": name, "value": rounded, "unit": unit, "target": target}


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    for row in rows(*sys.argv[1:]):
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()
