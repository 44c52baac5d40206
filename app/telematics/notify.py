"""Word to systemd: ready, alive, stopping, and how it goes, see sd_notify(3)."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

USEC_PER_S = 1_000_000


def notify(*lines: str) -> bool:
    """Send lines such as ``READY=1`` to the manager; False if it should be tried again.

    What another process said may stand in a line, and never makes another one.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return True
    if address.startswith("@"):  # an abstract socket, see unix(7)
        address = "\0" + address[1:]
    # Never wait: a manager that is busy or away is no reason to stop recording.
    kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    with suppress(OSError), socket.socket(socket.AF_UNIX, kind) as out:
        words = "\n".join(line.replace("\n", " ") for line in lines)
        out.sendto(words.encode(errors="replace"), address)
        return True
    return False


def watchdog_s() -> float | None:
    """Give the seconds between signs of life that the manager wants; None if it wants none."""
    wanted = os.environ.get("WATCHDOG_USEC", "")
    for_us = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(wanted) / USEC_PER_S / 2 if wanted.isdigit() and for_us else None
