"""The service: gpsd's reports in, records in the queue or, while it is away, in the journal.

One thread, which comes round when gpsd speaks: it reads, merges, numbers, writes and tells. Where
it has to wait for the queue or the card, it reads gpsd meanwhile, see `listener.py`.
"""

from __future__ import annotations

import gc
import logging
import os
import re
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import telematics
from telematics import record, status
from telematics.epoch import MODE_2D, Merger
from telematics.files import AsideDisk, RealDisk, write_whole
from telematics.frozen import FrozenWatch
from telematics.gpsd import monotonic_ms
from telematics.journal import Journal
from telematics.listener import Listener
from telematics.notify import notify, watchdog_s
from telematics.numbers import Numbers
from telematics.problem import Code, Problem, plain
from telematics.queue import RedisQueue
from telematics.receivers import Names
from telematics.state import StateFile
from telematics.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from telematics.epoch import Epoch
    from telematics.files import Disk
    from telematics.queue import Queue
    from telematics.settings import Settings

STATUS_EVERY_MS = 5000
# While all is well there is little to tell, and to write it takes longer than to write a record.
STATUS_WELL_MS = 10_000
# Until READY the loop comes round this often, later when gpsd speaks or, if it is silent, …
STARTING_MS = 250
IDLE_MS = 10_000
# … and never later than this many percent after `batch_ms`.
GRACE = 15
FINAL_WRITE_MS = 5000
FINAL_PAUSE_S = 0.1
STOPS = (signal.SIGTERM, signal.SIGINT)
NO_FIX = "no fix: the receiver has no position yet, or sees no sky"
SPILLED = "records wait in the spill journal until the queue takes them"

log = logging.getLogger(__name__)


class Service:
    """One run of the service; ``run`` tells the story."""

    def __init__(
        self,
        settings: Settings,
        *,
        queue: Callable[[Listener], Queue],
        state: Path,
        status_file: Path,
        disk: Disk | None = None,
        clock: Callable[[], int] = monotonic_ms,
    ) -> None:
        """Put the parts together; nothing starts yet."""
        self._settings = settings
        self._listener = Listener(settings.gpsd_host, settings.gpsd_port, clock=clock)
        disk = disk or AsideDisk(RealDisk(), self._listener.aside)
        self._numbers = Numbers(disk, state / "numbers")
        self._identity = record.Identity(
            device=device_name(settings.device),
            installation=self._numbers.installation,
            boot=record.boot_id(),
        )
        self._status_file = status_file
        self._clock = clock
        self._merger = Merger(quiet_ms=settings.epoch_quiet_ms)
        self._frozen = FrozenWatch()
        self._writer = Writer(
            queue(self._listener),
            journal=Journal(disk, state),
            numbers=self._numbers,
            make=self._make,
            boot=self._identity.boot,
            clock=clock,
        )
        self._names = Names()
        self._started = clock()
        self._state = StateFile(status_file.parent, started=self._started)
        self._watching_since: int | None = None
        self._ready = False
        self._stopping = False
        self._mode = 0
        self._heard: int | None = None
        self._positioned_since: int | None = None
        self._no_position = 0
        self._told = ""
        self._status_error: int | None = None
        self._status_at = self._started
        self._alive_every_s = watchdog_s()
        self._alive_at = 0

    def run(self) -> None:
        """Record until ``stop``, then write what is left."""
        notify("STATUS=starting")
        while not self._stopping:
            self.turn()
        notify("STOPPING=1", "STATUS=writing the last records")
        self._finish()

    def stop(self, *_: object) -> None:
        """End the run soon; safe in a signal handler."""
        self._stopping = True
        self._listener.ring()

    def follow(self, numbers: Sequence[signal.Signals]) -> None:
        """Stop at a signal, also at one that comes right before a wait, or to another thread."""
        for number in numbers:
            signal.signal(number, self.stop)
        # Python runs a handler between two steps of its main thread; the kernel's own write to
        # this file ends a wait whatever the main thread was about to do.
        signal.set_wakeup_fd(self._listener.bell, warn_on_full_buffer=False)

    def turn(self) -> None:
        """Wait for reports or the next deadline, and do all there is to do."""
        now = self._clock()
        self._listener.wait(self._wait_ms(now), now)
        self._merge()
        now = self._clock()
        # An epoch is quiet only if the listener had nothing more for it, so not before here.
        self._keep(self._merger.tick(now))
        # A bit before it must be: this round is here already, another one costs more than it does.
        if self._writer.deadline(self._settings.batch_ms * 3 // 4) <= now:
            self._writer.step(now)
        if not self._ready:
            self._become_ready()
        self._tell(now)

    def _merge(self) -> None:
        reports = self._listener.reports
        while reports:
            self._keep(self._merger.feed(reports.popleft()))

    def _wait_ms(self, now: int) -> int:
        """Give the time until the loop has something to do though gpsd be silent.

        At 1 Hz the next report comes first: it completes the epoch before it, which is written in
        the same round.
        """
        # A bit longer than it should be: most often the next report comes in it.
        batch_ms = self._settings.batch_ms * (100 + GRACE) // 100
        due = min(now + (IDLE_MS if self._ready else STARTING_MS), self._writer.deadline(batch_ms))
        if self._alive_every_s is not None:
            due = min(due, self._alive_at)
        complete = self._merger.deadline(batch_ms)
        if complete is not None and complete < due:
            due = complete
        return max(0, due - now)

    def _keep(self, epochs: list[Epoch]) -> None:
        for epoch in epochs:
            self._heard, self._mode = epoch.mono, epoch.mode
            if epoch.positioned:
                if self._positioned_since is None:
                    self._positioned_since = epoch.mono
                self._frozen.feed(epoch)
                self._state.motion.feed(epoch)
                self._writer.put(epoch)
            else:
                self._no_position += 1

    def _make(self, epoch: Epoch, seq: int, trip: int, gap: record.Gap | None) -> record.Record:
        return record.of_epoch(
            epoch,
            identity=self._identity,
            seq=seq,
            trip=trip,
            gap=gap,
            receiver=self._names.of(epoch.device),
        )

    def _become_ready(self) -> None:
        """Say READY once both ends answer and the receiver spoke, or had its time to."""
        now = self._clock()
        if not self._listener.watching:
            self._watching_since = None
            return
        if self._watching_since is None:
            self._watching_since = now
        waited = now - self._watching_since >= self._settings.ready_wait_s * 1000
        able = self._writer.connected and (self._listener.receiver_spoke or waited)
        if able and notify("READY=1"):
            self._ready = True
            gc.freeze()  # what is there stays: no search for garbage needs to look at it again
            self._status_at = now
            log.info("ready: from here on no epoch is missed")

    def _tell(self, now: int) -> None:
        """Tell systemd and the status file, each at its pace."""
        if self._alive_every_s is not None and now >= self._alive_at:
            done = notify("WATCHDOG=1")
            self._alive_at = now + (int(self._alive_every_s * 1000) if done else STARTING_MS)
        if now >= self._status_at:
            well = self._write_status(now)
            self._status_at = now + (STATUS_WELL_MS if well and self._ready else STATUS_EVERY_MS)

    def _write_status(self, now: int) -> bool:
        """Write how it goes; True if there is no problem."""
        current = self._status(now)
        try:
            write_whole(self._status_file, status.line_of(current), durable=False)
        except OSError as error:
            if self._status_error != error.errno:
                log.warning("%s: %s", self._status_file, error.strerror)
            self._status_error = error.errno
        self._state.tell(current.problems, ready=self._ready, now=now)
        words = "; ".join(plain(problem.text) for problem in current.problems) or "recording"
        if words != self._told and notify(f"STATUS={words}"):
            self._told = words
        return not current.problems

    def _status(self, now: int) -> status.Status:
        listener, writer, last = self._listener, self._writer, self._writer.last_epoch
        position = None
        if last is not None and last.lat is not None and last.lon is not None:
            position = status.Position(
                lat=last.lat, lon=last.lon, time=last.time, time_ok=last.time_ok, mono=last.mono
            )
        stale_ms = self._settings.stale_s * 1000
        fresh = self._heard is not None and now - self._heard <= stale_ms
        length = writer.length()
        return status.Status(
            version=telematics.__version__,
            pid=os.getpid(),
            mono=now,
            started=self._started,
            ready=self._ready,
            device=self._identity.device,
            installation=self._identity.installation,
            boot=self._identity.boot,
            gpsd=listener.watching,
            connections=listener.connections,
            receivers=listener.devices,
            satellites=listener.satellites,
            mode=self._mode if fresh else 0,
            position=position,
            queue=writer.connected,
            queue_length=length,
            last_seq=writer.last_seq,
            waiting=writer.waiting,
            recorded=writer.recorded,
            dropped=writer.dropped,
            vanished=writer.vanished,
            spilled=writer.spilled,
            slowest_ms=writer.slowest_ms,
            late=self._merger.late,
            no_position=self._no_position,
            garbled=listener.garbled,
            flooded=listener.flooded,
            problems=tuple(self._problems(now, fresh=fresh)),
        )

    def _problems(self, now: int, *, fresh: bool) -> Iterator[Problem]:
        listener, writer = self._listener, self._writer
        stale_ms = self._settings.stale_s * 1000
        if not listener.watching:
            yield Problem(Code.GPSD, listener.problem or "gpsd does not answer")
        elif not listener.devices and not fresh:
            yield Problem(Code.NO_RECEIVER, "no receiver; hint: is the dongle plugged in?")
        elif not fresh:
            yield Problem(Code.SILENT, "the receiver is silent")
        elif self._mode < MODE_2D:
            yield Problem(Code.NO_FIX, NO_FIX)
        elif writer.connected and now - self._newest() > stale_ms:
            text = f"nothing was recorded for {self._settings.stale_s} s"
            yield Problem(Code.NOT_RECORDED, text)
        if not writer.connected:
            yield Problem(Code.QUEUE, writer.problem)
        yield from self._kept_elsewhere(now - stale_ms)
        if writer.dropped:
            text = f"{writer.dropped} records were dropped while the queue was away"
            yield Problem(Code.DROPPED, text)
        if writer.vanished:
            text = f"the queue came back without {writer.vanished} records"
            yield Problem(Code.VANISHED, text)
        if listener.flooded:
            text = f"{listener.flooded} reports were dropped while the queue hung"
            yield Problem(Code.FLOODED, text)

    def _kept_elsewhere(self, since: int) -> Iterator[Problem]:
        """Tell what is wrong although every record is safe."""
        if self._writer.journal_problem:
            yield Problem(Code.JOURNAL, self._writer.journal_problem)
        if self._numbers.problem:
            yield Problem(Code.NUMBERS, self._numbers.problem)
        if self._writer.spilling:
            yield Problem(Code.SPILLED, SPILLED)
        for name in self._frozen.frozen(since=since):
            text = f"{name} is frozen: it moves and its position does not; hint: unplug it"
            yield Problem(Code.FROZEN, text)

    def _newest(self) -> int:
        """Give the time of the newest record, or when there should have been a first one."""
        if self._writer.last_epoch is not None:
            return self._writer.last_epoch.mono
        return self._started if self._positioned_since is None else self._positioned_since

    def _finish(self) -> None:
        """Write what was read; a queue that is away gets a few seconds to come back."""
        self._listener.close()
        self._merge()
        self._keep(self._merger.flush())
        until = self._clock() + FINAL_WRITE_MS
        self._writer.step(self._clock(), final=True)
        while self._writer.waiting and self._clock() < until:
            time.sleep(FINAL_PAUSE_S)
            self._writer.step(self._clock(), final=True)
        if self._writer.waiting:
            log.error("%d records are lost: the queue did not take them", self._writer.waiting)
        self._status_file.unlink(missing_ok=True)
        log.info("stopped after %d records", self._writer.recorded)


def run(settings: Settings, environ: Mapping[str, str]) -> None:
    """Run the service until SIGTERM or SIGINT."""
    early: list[int] = []
    # From here on a stop is followed, however far the start has come.
    for number in STOPS:
        signal.signal(number, lambda number, _: early.append(number))
    service = Service(
        settings,
        queue=lambda listener: RedisQueue(
            socket=settings.queue_socket, key=settings.queue_key, until=listener.until
        ),
        state=Path(environ.get("STATE_DIRECTORY", status.STATE_DIRECTORY)),
        status_file=status.runtime_file(environ),
    )
    service.follow(STOPS)
    if early:
        service.stop()
    service.run()


def device_name(set_name: str) -> str:
    """Give the vehicle's name: the one that was set, or the end of the host's.

    The end: there a board's name has the digits of its serial number.
    """
    host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())
    return set_name or host[-record.DEVICE_MAX :].lstrip("-") or "vehicle"
