"""A loop as the original article writes it, to compare the recorder's CPU with.

Written anew from what the article says and shows ("Tiny Telematics", part 1, and the program it
points to), with the libraries it uses, as Debian packages them. What stands for what:

- ``gps.gps(mode=WATCH_ENABLE | WATCH_NEWSTYLE)`` and ``next()``: the same client of gpsd, which
  parses every report, SKY with all its satellites too, and copies it into its own objects;
- ``Point``: its record, a dataclass with trip and user, turned to text by jsonpickle, once for the
  log and once for the queue, so with its class's name in it;
- ``isoparse``, the defaults of 0.0, whole seconds: as there;
- the log: level DEBUG through colorlog, the raw report and the point of each record, every report
  passed over; to a file, as its unit does;
- ``network()``: ``iwgetid -r`` by a process per record; away from home it fails, and the failure is
  logged with its traceback, as there. ``plain`` leaves the process out and takes "no network";
- the queue: ten records in memory, then one RPUSH of all. Its records of the eleventh second, which
  that flush drops, are dropped here too. Redis is reached by a unix socket: cheaper than its TCP;
- ``time.sleep(1)`` after each record: as there.

Left out, in the article's favour: Kafka (no network on the road), the search for a standstill
(only done at home), the container.

``baseline_loop.py PORT SOCKET process|plain``: SIGUSR1 begins to count, SIGTERM prints seconds and
how many reports and records it had.
"""

from __future__ import annotations

import logging
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import colorlog
import gps
import jsonpickle
import redis
from dateutil.parser import isoparse

BUFFER = 10
STANDSTILL = 300
PAUSE_S = 1
HOME = "Mynetwork"
NEVER = "1776-07-04T12:00:00.000Z"
LINE = "%(log_color)s%(asctime)s - %(levelname)s %(filename)s:%(funcName)s():%(lineno)d - "

log = colorlog.getLogger("telematics")
counts = {"reports": 0, "records": 0}


@dataclass
class Point:
    """Where the vehicle was."""

    tripId: int  # noqa: N815
    lat: float
    lon: float
    altitude: float
    speed: float
    timestamp: int
    userId: int = 93_824_992  # noqa: N815

    def text(self) -> str:
        """Give what is logged and what is kept."""
        return jsonpickle.encode(self)


def points(session: gps.gps, trip: int):  # noqa: ANN201
    """Give a point for each TPV, as long as gpsd sends."""
    while True:
        try:
            report = session.next()
            counts["reports"] += 1
            if report["class"] != "TPV":
                log.debug("Class is %s, skipping", report)
                continue
            when = isoparse(report.get("time", NEVER))
            log.debug("Raw TPV: %s", report)
            point = Point(
                tripId=trip,
                lat=report.get("lat", 0.0),
                lon=report.get("lon", 0.0),
                altitude=report.get("alt", 0.0),
                speed=report.get("speed", 0.0),
                timestamp=int(when.timestamp()),
            )
            log.debug("Point: %s", point.text())
            yield point
        except KeyError as error:
            log.debug("KeyError: %s", error)


def network(wanted: str) -> bool:
    """Tell whether this is the network at home."""
    try:
        return subprocess.check_output(["iwgetid", "-r"]).decode("ascii").strip() == wanted
    except Exception as error:
        log.exception(error)  # noqa: TRY401
        return False


def main(port: str, queue: str, *, processes: bool) -> None:
    """Run until SIGTERM."""
    client = redis.Redis(unix_socket_path=queue)
    session = gps.gps(port=port, mode=gps.WATCH_ENABLE | gps.WATCH_NEWSTYLE)
    trip = random.choice(range(sys.maxsize))  # noqa: S311
    kept: list[Point] = []
    ring: deque[Point] = deque(maxlen=STANDSTILL)
    for point in points(session, trip):
        if processes and network(HOME):
            return
        if len(kept) - 1 >= BUFFER:
            log.debug("Caching %s records", len(kept))
            client.rpush("buffer", *[each.text() for each in kept])
            counts["records"] += len(kept)
            kept = []
        else:
            kept.append(point)
            ring.append(point)
        time.sleep(PAUSE_S)
        log.debug("Polling GPS (buffer: %s)", len(kept))


def cpu_s() -> float:
    """Give the CPU seconds of this process and of all it started."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measured() -> None:
    """Count between the two signals."""
    began: dict[str, float] = {}

    def begin(*_: object) -> None:
        began.update(counts, cpu=cpu_s())

    def end(*_: object) -> None:
        used = cpu_s() - began["cpu"]
        reports, records = (counts[name] - began[name] for name in ("reports", "records"))
        os.write(1, b"%.6f %d %d\n" % (used, reports, records))
        os._exit(0)

    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGTERM, end)


if __name__ == "__main__":
    handler = colorlog.StreamHandler(Path(f"{sys.argv[2]}.{sys.argv[3]}.log").open("a"))  # noqa: SIM115
    handler.setFormatter(colorlog.ColoredFormatter(LINE + "%(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    measured()
    main(sys.argv[1], sys.argv[2], processes=sys.argv[3] == "process")
