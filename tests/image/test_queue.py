"""The queue: the server we compiled, reached by a socket alone, keeping what it acknowledged."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from glovebox.card import elf

if TYPE_CHECKING:
    from pathlib import Path

    from testinfra.host import Host

    from glovebox.verify.verify import Facts

pytestmark = pytest.mark.stage("queue")

SOCKET = "/run/queue/queue.sock"
MUST = {
    "port": "0",
    "unixsocket": SOCKET,
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "rdbcompression": "no",
    "maxmemory-policy": "noeviction",
}


@pytest.mark.level("chroot")
@pytest.mark.unchanging
def test_server_is_ours(own: Host, facts: Facts) -> None:
    """It runs here and takes its memory from libc: jemalloc is bound to one page size."""
    told = own.check_output(f"/usr/bin/{facts.server}-server --version")

    assert "malloc=libc" in told.split()
    assert re.search(rf"bits={'64' if facts.arch == 'arm64' else '32'}\b", told)
    assert own.run(f"dpkg-query --search /usr/bin/{facts.server}-server").failed


@pytest.mark.level("chroot", highest="chroot")
def test_server_is_small(tree: Path, facts: Facts) -> None:
    """Server and client are stripped and for the board's processor."""
    for name in ("server", "cli"):
        data = (tree / f"usr/bin/{facts.server}-{name}").read_bytes()
        head = elf.read(data[: elf.HEAD])

        assert head is not None
        assert head.runs_on(facts.arch)
        assert elf.stripped(data)


@pytest.mark.level("chroot")
def test_settings(host: Host) -> None:
    """Nobody reaches it by network, each write is kept, and nothing is forgotten to make room."""
    unit = host.check_output("cat /etc/systemd/system/queue.service")
    file = re.search(r"^ExecStart=\S+ (/\S+\.conf)$", unit, re.MULTILINE)
    assert file is not None
    lines = host.check_output("cat %s", file[1]).splitlines()
    settings = dict(line.split(None, 1) for line in lines if line and not line.startswith("#"))

    assert {name: settings.get(name) for name in MUST} == MUST
    assert settings["save"] == '""'
    assert re.search(r"^User=queue$", unit, re.MULTILINE)
    assert host.check_output("systemctl is-enabled queue.service") == "enabled"


@pytest.mark.level("emulated")
def test_server_answers(host: Host, facts: Facts) -> None:
    """It runs as its own user, answers at its socket, and its settings are what it goes by."""
    assert host.check_output(f"{facts.server}-cli -s {SOCKET} PING") == "PONG"
    assert host.check_output(f"stat --format '%U %G %a' {SOCKET}") == "queue queue 770"
    owner = host.check_output("ps -o user= -p $(systemctl show -P MainPID queue.service)")
    assert owner.strip() == "queue"
    told = host.check_output(f"{facts.server}-cli -s {SOCKET} CONFIG GET {' '.join(MUST)}").split()
    assert dict(zip(told[::2], told[1::2], strict=True)) == MUST


@pytest.mark.level("emulated")
def test_strangers_are_kept_out(host: Host, facts: Facts) -> None:
    """A user who is not of the queue's group gets no connection."""
    told = host.run(f"runuser -u nobody -- {facts.server}-cli -s {SOCKET} PING")

    assert told.stdout.strip() != "PONG"
    assert "Permission denied" in told.stderr
