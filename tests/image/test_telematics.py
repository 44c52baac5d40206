"""The service: complete, started by itself, and shut into its sandbox."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testinfra.host import Host

    from glovebox.verify.verify import Facts

pytestmark = pytest.mark.stage("telematics")

EXPOSURE_MAX = 3.0  # of 10, as systemd-analyze counts
# What hears the queue and the network.
TIGHTER = {"queue.service", "telematics.service", "telematics-publish.service"}
TIGHTER_MAX = 2.0

ASKED = """
import dataclasses, json, pathlib
import confluent_kafka, telematics.service, telematics.settings
settings = telematics.settings.load(pathlib.Path("/etc/glovebox/telematics.json"))
print(json.dumps([confluent_kafka.__version__, dataclasses.asdict(settings)]))
"""


@pytest.fixture(scope="module")
def loaded(own: Host) -> tuple[str, dict[str, object]]:
    """Give what the board's own Python says: of its library to publish with, and of the settings.

    It is asked once: emulated, all these modules take a second to load.
    """
    library, settings = json.loads(own.check_output("python3 -I -c %s", ASKED))
    return library, settings


@pytest.mark.level("chroot")
@pytest.mark.unchanging
def test_command(own: Host, loaded: tuple[str, dict[str, object]]) -> None:
    """The command is found, and all it loads is there, with the library it publishes with."""
    assert own.check_output("command -v telematics") == "/usr/bin/telematics"
    assert re.match(r"\d", loaded[0])


@pytest.mark.level("chroot")
@pytest.mark.unchanging
def test_settings_are_those_of_the_image(
    loaded: tuple[str, dict[str, object]], facts: Facts
) -> None:
    """The service takes the file it is given, and finds there what image.yaml says."""
    told = loaded[1]

    assert told == {**told, **(facts.service or {})}


@pytest.mark.level("chroot")
def test_unit(host: Host) -> None:
    """It starts by itself, as its own user, and says when it is ready."""
    unit = host.check_output("cat /etc/systemd/system/telematics.service")

    assert host.check_output("systemctl is-enabled telematics.service") == "enabled"
    for line in ("Type=notify", "User=telematics", "Restart=always"):
        assert re.search(rf"^{line}$", unit, re.MULTILINE), line


@pytest.mark.level("chroot")
@pytest.mark.unchanging
def test_queue_is_mended_before_it_starts(host: Host, own: Host) -> None:
    """Each start of the queue looks at its files first, and whatever that says, it starts.

    It does so by our command, which answers.
    """
    drop_in = host.check_output("cat /etc/systemd/system/queue.service.d/10-repair.conf")
    command = re.search(r"^ExecStartPre=-\+(/\S+) (/\S+)$", drop_in, re.MULTILINE)
    script = "/usr/lib/glovebox/mend-queue"
    repair = "telematics repair --checker /bin/true --queue"

    assert command is not None
    assert command[1] == script
    assert host.run(f"test -x {script} -a -x {command[2]}").succeeded
    assert own.check_output(f"{repair} /nonexistent") == "no queue yet: nothing"
    # Where it is not sure, it asks the service, by a command that is there.
    assert "exec ${REPAIR:-/usr/bin/telematics repair} --checker" in host.check_output(
        f"cat {script}"
    )


@pytest.mark.level("chroot")
def test_nobody_else_reads_the_keys(host: Host) -> None:
    """The folder for certificates and keys is root's; the publisher gets copies from systemd."""
    unit = host.check_output("cat /etc/systemd/system/telematics-publish.service")

    assert host.check_output("stat --format '%U %a' /etc/glovebox/publish") == "root 700"
    assert "\nLoadCredential=publish:/etc/glovebox/publish\n" in unit
    assert host.check_output("systemctl is-enabled telematics-publish.service") == "enabled"


@pytest.mark.level("emulated")
def test_nobody_to_publish_to_is_no_fault(host: Host) -> None:
    """With no receiver named the publisher is not even started."""
    if "kafka" in host.check_output("cat /etc/glovebox/telematics.json"):
        pytest.skip("this image names a receiver")
    told = host.check_output("systemctl show -p Result,ActiveState,NRestarts telematics-publish")

    assert {"Result=success", "ActiveState=inactive", "NRestarts=0"} == set(told.splitlines())


@pytest.mark.level("chroot")
def test_receiver_sets_no_clock_unasked(host: Host) -> None:
    """Chrony does not select the receiver by itself, and steps the clock at its first updates only.

    What lets it (telematics-trust), and what lifts a clock that was set too low, are there.
    """
    if host.run("grep --quiet selectopts /usr/bin/chronyc").failed:
        pytest.skip("the chrony of this suite cannot be told later which sources to select")
    lines = host.check_output("chronyd -p").splitlines()
    clocks = [line for line in lines if line.startswith("refclock ")]
    steps = [line for line in lines if line.startswith("makestep ")]

    assert clocks
    assert [line for line in clocks if " noselect" not in line] == []
    assert steps[-1] == "makestep 1 3"
    for unit in ("telematics-trust.path", "telematics-clock.timer", "telematics-clock.service"):
        assert host.check_output(f"systemctl is-enabled {unit}") == "enabled"


@pytest.mark.level("chroot")
def test_sandbox(host: Host) -> None:
    """Each unit of ours sees and may do little, by the suite's own systemd.

    A fault in what one reads does not reach the rest of the board. Ours are those below /etc: what
    packages bring lies elsewhere.
    """
    found = host.check_output("find /etc/systemd/system -maxdepth 1 -type f -name '*.service'")
    names = sorted(path.rpartition("/")[2] for path in found.split())
    told = host.check_output(f"systemd-analyze security --offline=yes --no-pager {' '.join(names)}")
    scores = {
        name: float(score)
        for name, score in re.findall(r"exposure level for (\S+): (\d+\.\d+)", told)
    }

    assert set(scores) == set(names)
    assert {"gpsd.service", "queue.service", "telematics.service"} <= set(names)
    assert {name: score for name, score in scores.items() if score > EXPOSURE_MAX} == {}
    tighter = {name: score for name, score in scores.items() if name in TIGHTER}
    assert max(tighter.values()) <= TIGHTER_MAX


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
