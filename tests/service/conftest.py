"""One truck per test: a dongle, gpsd, Redis and the service, all real, all ended afterwards."""

from __future__ import annotations

import itertools
import signal
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from parts import COLD, START, Dongle, Gpsd, Redis, Service, free_port, until

from glovebox.emulator.nmea import drive, void

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from parts import Process

    from glovebox.emulator.nmea import Epoch


@dataclass(frozen=True, kw_only=True)
class Truck:
    """Everything that records."""

    dongle: Dongle
    gpsd: Gpsd
    redis: Redis
    service: Service

    def start(self) -> None:
        """Start all with a cold receiver, and wait for READY."""
        self.redis.start()
        self.gpsd.start()
        self.service.start()
        self.cold_until(self.service.ready, what="READY")

    def cold_until(self, true: Callable[[], object], *, what: str) -> None:
        """Let the receiver search for satellites until a condition holds."""
        enough = threading.Event()

        def search() -> None:
            for epoch in void(COLD, 3600):
                self.dongle.send(epoch)
                if enough.wait(0.1):
                    return

        thread = threading.Thread(target=search)
        thread.start()
        try:
            until(true, what=what)
        finally:
            enough.set()
            thread.join()

    def drive(self, seconds: int, *, hz: int = 1, per_s: float = 50) -> list[Epoch]:
        """Drive, faster than the clock, and give what the dongle sent."""
        epochs = list(drive(START, seconds, hz=hz))
        self.dongle.replay(epochs, per_s=per_s)
        return epochs

    def recorded(self, count: int) -> None:
        """Wait until so many records stand in the queue."""
        try:
            until(lambda: len(self.redis.records()) >= count, what=f"{count} records")
        except AssertionError as error:
            error.add_note(f"{len(self.redis.records())} stand there; {self.service.facts()}")
            raise


@pytest.fixture
def make_truck(tmp_path: Path) -> Iterator[Callable[..., Truck]]:
    """Make trucks with settings of the test's own."""
    with ExitStack() as stack:
        numbers = itertools.count()

        def make(
            *,
            speaks: Callable[[Epoch], bytes] | None = None,
            beside: Sequence[Dongle] = (),
            **settings: object,
        ) -> Truck:
            folder = tmp_path / str(next(numbers))
            folder.mkdir()
            dongle = Dongle(speaks)
            gpsd = Gpsd(dongle.path, *(each.path for each in beside), port=free_port())
            redis = Redis(folder)
            service = Service(folder, gpsd_port=gpsd.port, queue=redis.socket, **settings)
            stack.callback(service.close)
            stack.callback(dongle.close)
            for part in (redis, gpsd, service):
                stack.callback(_kill, part)
            return Truck(dongle=dongle, gpsd=gpsd, redis=redis, service=service)

        yield make


@pytest.fixture
def truck(make_truck: Callable[..., Truck]) -> Truck:
    """Give a truck that says READY."""
    made = make_truck()
    made.start()
    return made


def _kill(part: Process) -> None:
    part.end(signal.SIGKILL)
