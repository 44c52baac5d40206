"""A loop as the original article has it, to compare with: one record at a time, ten in memory.

It is written anew from the article's description: it reads gpsd's reports through a client that
turns each into an object, builds a record with its class's name, looks which network it is in (by a
process per record, if asked to), and pushes to a Redis list. Its known losses are not repaired.

``baseline_loop.py PORT SOCKET process|plain``: SIGUSR1 begins to count, SIGTERM prints seconds.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import uuid
from types import SimpleNamespace

import redis

BUFFER = 10
log = logging.getLogger(__name__)


def cpu_s() -> float:
    """Give the CPU seconds of this process and of all it started."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main(port: int, queue: str, *, processes: bool) -> None:
    """Run until SIGTERM."""
    began = [cpu_s()]

    def begin(*_: object) -> None:
        began[0] = cpu_s()

    def end(*_: object) -> None:
        sys.stdout.write(f"{cpu_s() - began[0]:.6f}\n")
        sys.stdout.flush()
        os._exit(0)

    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGTERM, end)
    logging.basicConfig(filename=f"{queue}.debug.log", level=logging.DEBUG)
    client = redis.Redis(unix_socket_path=queue)
    link = socket.create_connection(("127.0.0.1", port))
    link.sendall(b'?WATCH={"enable":true,"json":true}\n')
    trip, kept, before = str(uuid.uuid4()), [], None
    for line in link.makefile("rb"):
        report = json.loads(line, object_hook=lambda values: SimpleNamespace(**values))
        if getattr(report, "class") != "TPV" or report.mode <= 1:
            continue
        record = {
            "py/object": "tiny_telematics.model.GpsRecord", "tripId": trip, "userId": 1,
            "lat": getattr(report, "lat", 0.0), "lon": getattr(report, "lon", 0.0),
            "altitude": getattr(report, "alt", 0.0), "speed": getattr(report, "speed", 0.0),
            "timestamp": 0,
        }  # fmt: skip
        log.debug("got %s", record)  # as the original: to a file, without a limit
        place = (record["lat"], record["lon"])
        if place == before:
            continue
        before = place
        kept.append(record)
        if processes:
            subprocess.run(["/bin/true"], check=False)  # stands for iwgetid: the cheapest there is
        if len(kept) > BUFFER:
            for each in kept:
                client.rpush("buffer", json.dumps(each))
            kept.clear()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], processes=sys.argv[3] == "process")
