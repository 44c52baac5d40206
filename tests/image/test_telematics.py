"""The service: complete, started by itself, and shut into its sandbox."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testinfra.host import Host

    from glovebox.verify import Facts

pytestmark = pytest.mark.stage("telematics")

EXPOSURE_MAX = 2.0  # of 10, as systemd-analyze counts


@pytest.mark.level("chroot")
def test_command(host: Host) -> None:
    """The command is there and answers; the client library it records with is there as well."""
    assert re.fullmatch(r"telematics \d\S*", host.check_output("telematics --version"))
    assert host.run("python3 -I -c 'import telematics.service, redis'").succeeded


@pytest.mark.level("chroot")
def test_settings_are_those_of_the_image(host: Host, facts: Facts) -> None:
    """The service takes the file it is given, and finds there what image.yaml says."""
    check = (
        "from pathlib import Path; from telematics.settings import load; import json, dataclasses;"
        "print(json.dumps(dataclasses.asdict(load(Path('/etc/glovebox/telematics.json')))))"
    )
    told = json.loads(host.check_output("python3 -I -c %s", check))

    assert told == {**told, **(facts.service or {})}


@pytest.mark.level("chroot")
def test_unit(host: Host) -> None:
    """It starts by itself, as its own user, and says when it is ready."""
    unit = host.check_output("systemctl cat telematics.service")

    assert host.check_output("systemctl is-enabled telematics.service") == "enabled"
    for line in ("Type=notify", "User=telematics", "Restart=always"):
        assert re.search(rf"^{line}$", unit, re.MULTILINE), line


@pytest.mark.level("emulated")
def test_sandbox(host: Host) -> None:
    """It sees and may do little: a fault in what it reads does not reach the rest of the board."""
    told = host.check_output("systemd-analyze security --no-pager telematics.service")
    score = re.search(r"exposure level for telematics.service: (\d+\.\d+)", told)

    assert score is not None
    assert float(score[1]) <= EXPOSURE_MAX


@pytest.mark.level("emulated")
def test_status(host: Host) -> None:
    """It runs, reaches gpsd and the queue, and anybody may ask it."""
    told = host.run("runuser -u nobody -- telematics status --json")
    status = json.loads(told.stdout)

    assert told.rc in {0, 1}, told.stderr  # 1: trouble, such as no fix at present
    assert status["gpsd"]
    assert status["queue"]
    assert status["ready"]
    assert status["dropped"] == status["vanished"] == status["flooded"] == 0
