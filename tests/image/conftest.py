"""What a test of an image asks with: the target, the facts, and one board for the whole session."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testinfra.host import Host

from glovebox.boards.boards import BOARDS
from glovebox.config.schema import BoardName
from glovebox.emulator.emulator import Login, Machine, boot, find_qemu, ssh_config
from glovebox.host import chroot
from glovebox.host.chroot import emulator_settings
from glovebox.verify.verify import ABOUT, Facts, Level, Target, parse_target, read_facts
from tests.image import evidence
from tests.image.drives import DRIVE_S, epochs
from tests.image.filled import FILE, HABITS, by_imager, fill, is_filled, told
from tests.image.standing import Standing, patience

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from glovebox.emulator.dongle import Sent
    from tests.image.filled import Filled

SETTLE_TIMEOUT_S = 300
READY_TIMEOUT_S = 300
# systemd says so of a service of Type=notify once it is READY, long before anybody can log in.
READY = re.compile(rb"Started .*telematics\.service")
# The board looks itself: to log in each time would take half of what it can do while it boots.
AWAIT_READY = """
for second in $(seq {seconds}); do
  state=$(systemctl show -p Type,ActiveState,SubState telematics.service)
  case $state in *ActiveState=active*) case $state in *SubState=running*) break ;; esac ;; esac
  sleep 1
done
echo "$state"
"""
ANALYZE = "systemd-analyze.txt"
BOOT_EVIDENCE = {
    ANALYZE: "systemd-analyze; systemd-analyze blame; systemd-analyze critical-chain",
}
# Blame and chain ask for every property of every unit: a minute of an emulated Zero. The journal
# knows when each unit began and was done.
BOOT_EVIDENCE_EMULATED = {
    ANALYZE: "systemd-analyze; journalctl --boot --no-pager --output=short-monotonic _PID=1",
}
EVIDENCE = {
    "journal.txt": "journalctl --boot --no-pager",
    "clock.txt": "chronyc -n sources; chronyc -n tracking",
}
MARKERS = (
    "level(lowest, highest='board'): the kinds of target on which the test means something",
    "stage(name, …): the test is about what this stage brings, or one of these",
    "unchanging: no start changes what it asks; shown in a chroot, it is not emulated once more",
    "driven: runs after those that only look; what they take is a drive's time",
    "last: runs after all others",
)


# What a failed test is asked about, once it is there; and which failures are told already.
MACHINE = pytest.StashKey[Machine]()
HOST = pytest.StashKey[Host]()
BEGAN = pytest.StashKey[float]()
TOLD = pytest.StashKey[BaseException]()
# Which files of tests this process runs, where several share them.
MINE = pytest.StashKey[dict[Path, bool]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that glovebox.verify gives."""
    group = parser.getgroup("glovebox")
    group.addoption("--target", help="chroot:PATH, emulated:IMAGE or ssh:[user@]host[:port]")
    group.addoption(
        "--quick-root", type=Path, help="a chroot target with native programs laid over"
    )
    group.addoption("--manifest", type=Path, help="what the image shall be, as JSON")
    group.addoption("--key", type=Path, help="private SSH key of the first user")
    group.addoption("--native-root", type=Path, help="native root: qemu-system-arm, or fdtoverlay")
    group.addoption("--artifacts", type=Path, help="folder for logs of a running board")
    group.addoption("--claims", type=Path, help="folder where files of tests are taken, each once")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers, and refuse to run without a target."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    missing = [name for name in ("target", "manifest", "artifacts") if not config.getoption(name)]
    if missing:
        raise pytest.UsageError(f"--{missing[0]} is missing; run: ./invoke verify")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what the target cannot answer, naming why; a test that names no level is an error."""
    level = parse_target(config.getoption("target")).level
    facts = read_facts(config.getoption("manifest"))
    for item in items:
        mark = item.get_closest_marker("level")
        if mark is None:
            raise pytest.UsageError(f"{item.nodeid} names no level: @pytest.mark.level(…)")
        lowest = Level(mark.args[0])
        highest = Level(mark.kwargs.get("highest", Level.BOARD))
        stage = item.get_closest_marker("stage")
        why = ""
        if level.rank < lowest.rank:
            why = f"means something from target '{lowest}' on"
        elif level.rank > highest.rank:
            why = f"means something up to target '{highest}'"
        elif stage is not None and not set(stage.args) & set(facts.stages):
            named = " or ".join(f"'{name}'" for name in stage.args)
            why = f"this image has no stage {named}"
        elif level is Level.EMULATED and facts.verified and item.get_closest_marker("unchanging"):
            why = "was shown in a chroot when the image was built, and no start changes it"
        if why:
            item.add_marker(pytest.mark.skip(reason=why))
    # Those that ask emulated programs take longest, so whoever shares the work begins with them.
    slow = Counter(one.path for one in items if "own" in getattr(one, "fixturenames", ()))
    if config.getoption("claims"):
        items.sort(key=lambda one: (-slow[one.path], one.path))
    items.sort(key=_turn)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Leave out a file of tests that another process has taken."""
    claims: Path | None = item.config.getoption("claims")
    if claims is None:
        return None
    mine = item.config.stash.setdefault(MINE, {})
    if item.path not in mine:
        try:
            (claims / item.path.name).touch(exist_ok=False)
        except FileExistsError:
            mine[item.path] = False
        else:
            mine[item.path] = True
    return None if mine[item.path] else True


def _turn(item: pytest.Item) -> int:
    """Give when a test runs: what only looks, what drives, what ends the board."""
    later = (None, "driven", "last")
    return max(turn for turn, name in enumerate(later) if not name or item.get_closest_marker(name))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note when a test begins, for the part of the journal that it needs when it fails."""
    item.stash[BEGAN] = time.monotonic()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Of a test that failed on a running board, keep what is needed to understand it."""
    report = yield
    config = item.config
    running = parse_target(config.getoption("target")).level is not Level.CHROOT
    # What all tests stand on fails once, and each of them tells it again.
    again = call.excinfo is not None and call.excinfo.value is config.stash.get(TOLD, None)
    if report.failed and running and call.excinfo is not None and not again:
        config.stash[TOLD] = call.excinfo.value
        place = evidence.keep(
            config.getoption("artifacts"),
            f"{item.path.stem}::{item.name}",
            host=config.stash.get(HOST, None),
            machine=config.stash.get(MACHINE, None),
            seconds=time.monotonic() - item.stash[BEGAN],
            why=report.longreprtext,
        )
        report.sections.append(("kept", os.fspath(place)))
    return report


@pytest.fixture(scope="session")
def target(pytestconfig: pytest.Config) -> Target:
    """Give what is tested."""
    return parse_target(pytestconfig.getoption("target"))


@pytest.fixture(scope="session")
def facts(target: Target, pytestconfig: pytest.Config) -> Facts:
    """Give what the image shall be, and a board that its owner told more."""
    facts = read_facts(pytestconfig.getoption("manifest"))
    return told(facts) if is_filled(target, facts) else facts


@pytest.fixture(scope="session")
def filled(
    target: Target,
    facts: Facts,
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
) -> Filled | None:
    """Give what the owner put on the card of this session's board, if anything."""
    if not is_filled(target, facts):
        return None
    return fill(tmp_path_factory.mktemp("owner"), pytestconfig.getoption("key"))


@pytest.fixture(scope="session")
def artifacts(pytestconfig: pytest.Config) -> Path:
    """Give the folder that is kept."""
    folder: Path = pytestconfig.getoption("artifacts")
    return folder


@pytest.fixture(scope="session")
def tree(target: Target) -> Path:
    """Give the root of the files of a chroot target, to be read without emulation."""
    assert target.level is Level.CHROOT
    assert target.path is not None
    return target.path


@pytest.fixture(scope="session")
def powered(
    target: Target,
    facts: Facts,
    artifacts: Path,
    filled: Filled | None,
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Machine]:
    """Give power to one board with a receiver plugged in, for all tests of the session."""
    assert target.path is not None
    put: dict[str, bytes] = {}
    if filled:
        put = {FILE: filled.text, **HABITS}
        put |= by_imager(target.path, tmp_path_factory.mktemp("imager"))
    with boot(
        target.path,
        BOARDS[BoardName(facts.board)],
        qemu=find_qemu(pytestconfig.getoption("native_root")),
        login=Login(user=facts.user, key=pytestconfig.getoption("key")),
        folder=artifacts,
        put=put,
    ) as booted:
        pytestconfig.stash[MACHINE] = booted
        yield booted


@pytest.fixture(scope="session")
def machine(powered: Machine, facts: Facts, request: pytest.FixtureRequest) -> Machine:
    """Give the board once somebody can log in; if it records, its first drive has begun."""
    if "telematics" in facts.stages:
        request.getfixturevalue("first_drive")
    else:
        powered.wait_ssh()
    return powered


@pytest.fixture(scope="session")
def first_drive(powered: Machine, filled: Filled | None) -> tuple[Sent, ...]:
    """Begin a drive as soon as the service is ready, so that it passes while others look.

    Gives what the receiver sent before.
    """
    if filled is None:
        powered.wait_said(READY)
    else:
        # What the owner wrote on the card ends the first run of the service, and begins another.
        powered.wait_ssh()
        told = powered.ssh(
            AWAIT_READY.format(seconds=round(powered.patience(READY_TIMEOUT_S)))
        ).stdout
        state = dict(line.split("=", 1) for line in told.splitlines())
        assert state["Type"] == "notify", "nobody can tell when it is ready"
        assert (state["ActiveState"], state["SubState"]) == ("active", "running"), told
    assert powered.dongle is not None
    before = tuple(powered.dongle.sent)
    powered.dongle.drive(epochs(DRIVE_S))
    if filled is None:
        powered.wait_ssh()
    return before


@pytest.fixture(scope="session")
def boot_writes(machine: Machine) -> Callable[[], int]:
    """Give what counts the writes to the boot partition, from the moment the board has started."""
    device = machine.ssh("findmnt --noheadings --output SOURCE /boot/firmware").stdout.strip()

    def count() -> int:
        told = machine.ssh(f"cat /sys/class/block/{Path(device).name}/stat").stdout
        return int(told.split()[4])  # see Documentation/block/stat.rst

    before = count()
    return lambda: count() - before


@contextmanager
def _entered(root: Path, facts: Facts) -> Iterator[Host]:
    """Ask in a changed root, as root and in a cage: an image may be anybody's."""
    shell = chroot.command(root, ["/bin/sh"])
    with closing(Standing(shell, emulator_settings(facts.arch))) as inside:
        yield Host(inside)


@pytest.fixture(scope="session")
def own(
    target: Target, facts: Facts, pytestconfig: pytest.Config, request: pytest.FixtureRequest
) -> Iterator[Host]:
    """Give the thing to ask whose answers are the image's own programs', each of them.

    For a test that means the programs: in a chroot they are emulated.
    """
    if pytestconfig.getoption("quick_root") is None:
        yield request.getfixturevalue("host")
        return
    assert target.path is not None
    with _entered(target.path, facts) as inside:
        yield inside


@pytest.fixture(scope="session")
def host(
    target: Target, facts: Facts, artifacts: Path, request: pytest.FixtureRequest
) -> Iterator[Host]:
    """Give the thing to ask, as root.

    In a chroot shells and small tools may be native ones, which are of the same version and read
    the same files; the rest is the image's own, emulated. See ``own``.
    """
    if target.level is Level.CHROOT:
        assert target.path is not None
        quick: Path | None = request.config.getoption("quick_root")
        with _entered(quick or target.path, facts) as inside:
            yield inside
        return
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="glovebox-"))
        machine: Machine | None = None
        if target.level is Level.EMULATED:
            machine = request.getfixturevalue("machine")
            config = machine.ssh_config
        else:
            config = Path(folder) / "ssh_config"
            login = Login(user=target.user or facts.user, key=request.config.getoption("key"))
            config.write_text(
                ssh_config(
                    host=target.host,
                    port=target.port,
                    login=login,
                    folder=Path(folder),
                    check=True,
                )
            )
        command = ["ssh", "-F", os.fspath(config), "board", "sudo", "-n", "/bin/sh"]
        # ssh finds the caller's own agent and keys by these.
        keys = {name: os.environ[name] for name in ("HOME", "SSH_AUTH_SOCK") if name in os.environ}
        board = stack.enter_context(closing(Standing(command, keys, machine=machine)))
        asked = Host(board)
        request.config.stash[HOST] = asked
        refused = asked.run("true")
        if refused.failed:
            pytest.exit(f"{target}: no root by ssh and sudo: {refused.stderr.strip()}", 2)
        # What runs while the board still boots is slow, and tells half the truth.
        settle_s = round(patience(asked, SETTLE_TIMEOUT_S))
        asked.run(f"timeout {settle_s} systemctl is-system-running --wait")
        _keep(asked, artifacts, BOOT_EVIDENCE_EMULATED if machine else BOOT_EVIDENCE)
        if machine:
            request.getfixturevalue("boot_writes")
        yield asked
        if machine is None or not machine.off:
            _keep_evidence(asked, machine, artifacts)


@pytest.fixture(scope="session")
def keep_evidence(host: Host, machine: Machine, artifacts: Path) -> Callable[[], None]:
    """Give what keeps a running board's logs, for a test that ends the board."""
    return lambda: _keep_evidence(host, machine, artifacts)


def _keep_evidence(host: Host, machine: Machine | None, artifacts: Path) -> None:
    """Keep what a running board says of itself; neither its name nor its serial number."""
    speed = evidence.speed(host, machine)
    _keep(host, artifacts, EVIDENCE)
    packages = host.check_output("dpkg-query --show | sort")
    release = host.check_output("cat /etc/os-release")
    about = {
        "model": host.run("tr -d '\\0' </proc/device-tree/model").stdout,
        "revision": host.run("sed -n 's/^Revision\\s*: //p' /proc/cpuinfo").stdout.strip(),
        "serial": "left out",
        "os": dict(
            line.replace('"', "").split("=", 1) for line in release.splitlines() if "=" in line
        ),
        "kernel": host.check_output("uname --kernel-release --kernel-version --machine"),
        "packages": len(packages.splitlines()),
        "packages_sha256": hashlib.sha256(packages.encode()).hexdigest(),
        "speed": speed,
    }
    (artifacts / ABOUT).write_text(json.dumps(about, indent=2) + "\n")


def _keep(host: Host, artifacts: Path, asked: Mapping[str, str]) -> None:
    for name, command in asked.items():
        (artifacts / name).write_text(host.run(command).stdout)
