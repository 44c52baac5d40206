"""Word to systemd arrives as it expects it."""

import os
import socket
from pathlib import Path

import pytest

from telematics.notify import notify, watchdog_s


@pytest.mark.parametrize("abstract", [False, True])
def test_lines_arrive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, abstract: bool) -> None:
    """A socket in the file system and an abstract one both get the lines in one datagram."""
    name = f"@{tmp_path}/notify" if abstract else str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        manager.settimeout(5)
        notify("READY=1", "STATUS=recording")

        assert manager.recv(4096) == b"READY=1\nSTATUS=recording"


def test_what_others_said_makes_no_line_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue whose error has a line end tells the manager nothing in the service's name."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        notify("STATUS=the queue says: a\nSTOPPING=1")

        assert manager.recv(4096) == b"STATUS=the queue says: a STOPPING=1"


def test_no_manager_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand, or with a manager that went away, nothing happens."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify("READY=1")


def test_busy_manager_does_not_stop_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manager that does not read is told again later; nobody waits for it."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))

        assert False in [notify("WATCHDOG=1") for _ in range(10_000)]


def test_watchdog_wants_half_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sign of life is due at half the interval, and only from the process that was asked."""
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    assert watchdog_s() == 30.0
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    assert watchdog_s() is None
    monkeypatch.setenv("WATCHDOG_USEC", "")
    assert watchdog_s() is None
