"""The units that bring the recorder's state to the LED, run by this machine's own systemd.

It is a whole systemd, in namespaces of its own, which knows no other units than these. Nothing here
depends on how long anything takes: each test makes the moment it is about last until it has been.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.boards.boards import BOARDS
from glovebox.config.power import Power
from glovebox.config.schema import Config
from glovebox.host.mounts import mount
from glovebox.host.run import end, environment, run, start
from glovebox.stage import template
from tests.needs import missing
from tests.root.shown_board import CODES, LED, SHOW, STAGE, Board

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

SYSTEMD = "/lib/systemd/systemd"
NAMES = [f"glovebox-{what}.{kind}" for what in ("told", "state") for kind in ("path", "service")]
WAIT_S = 120
END_S = 0  # unshare takes no other signal than KILL while it waits
POLL_S = 0.02
# The units of the image, and only them; of the rest of a system they need nothing.
ALONE = "[Unit]\nDefaultDependencies=no\n"
TARGET = f"{ALONE}Wants=glovebox-told.path glovebox-state.path\n"
# In the place of the recorder: what ends it is the image's.
RECORDER = f"""{ALONE}
[Service]
ExecStart=/bin/sleep infinity
RuntimeDirectory=telematics
"""
# Takes over what is on the card, as the image does, inside the sandbox that it has there. Folders
# stand for the two partitions.
CHECKOUT = Path(__file__).parent.parent.parent
SETTINGS = CHECKOUT / "overlays/first-boot/etc/systemd/system/glovebox-settings.service"
TAKE_OVER = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from glovebox.onboard.firstboot import takeover
from glovebox.onboard.firstboot.card import Places
from glovebox.onboard.firstboot.disk import CardDisk
takeover._check_data = lambda places: None
places = Places(boot=Path({boot!r}), data=Path({data!r}), root=Path("/"))
sys.exit(takeover.take_over(places, CardDisk(), use=lambda wanted: None))
"""
# In a control group and namespaces of its own; its /run is a folder that the test sees too.
INSIDE = """
set -e
mount --make-rprivate /
mkdir "$BOARD/groups"
mount -t cgroup2 none "$BOARD/groups"
mkdir "$BOARD/groups/$NAME"
echo $$ >"$BOARD/groups/$NAME/cgroup.procs"
exec unshare --cgroup --kill-child --fork --pid --mount-proc --uts --ipc sh -e -c '
  umount -R /sys/fs/cgroup
  mount -t cgroup2 none /sys/fs/cgroup
  mount --bind "$BOARD/run" /run
  exec env container=glovebox SYSTEMD_UNIT_PATH="$BOARD/units" SYSTEMD_GENERATOR_PATH=/nonexistent \
    %s --system --unit=board.target
'
"""

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("mount", "nsenter", "setpriv", "systemctl", "umount", "unshare"),
]


class Systemd:
    """A running systemd with the units, and a board of files."""

    process: subprocess.Popen[bytes]

    def __init__(self, board: Board) -> None:
        """Lay the units out."""
        self.board = board
        self.units = board.folder / "units"
        self.units.mkdir()
        config = Config(power=Power())
        context = {"config": config, "board": BOARDS[config.board]}
        texts = template.render(STAGE / "01-templates", context)
        for name in NAMES:
            (text,) = [each.text for each in texts if each.name == f"etc/systemd/system/{name}"]
            (self.units / name).write_text(text)
            self.change(name, ALONE)
        (self.units / "board.target").write_text(TARGET)
        (self.units / "telematics.service").write_text(RECORDER)
        (text,) = [each.text for each in texts if each.name.endswith("/20-state.conf")]
        assert "ExecStopPost=-+/usr/lib/glovebox/show-state stopped\n" in text
        lines = "".join(f"Environment={name}={value}\n" for name, value in board.variables.items())
        for unit, when, word in (
            ("glovebox-state.service", "ExecStart", ""),
            ("telematics.service", "ExecStopPost", "stopped"),
        ):
            self.change(unit, f"[Service]\n{lines}{when}=\n{when}=/bin/sh {SHOW} {word}\n")

    def add_card(self) -> Path:
        """Give the owner's file on a card, and the unit that takes it over."""
        boot, data = (self.board.folder / name for name in ("boot", "data"))
        program = self.board.folder / "take_over.py"
        for folder in (boot, data):
            folder.mkdir()
        path = [str(CHECKOUT), str(CHECKOUT / "app")]
        program.write_text(TAKE_OVER.format(path=path, boot=str(boot), data=str(data)))
        (self.units / SETTINGS.name).write_text(SETTINGS.read_text())
        self.change(
            SETTINGS.name,
            f"{ALONE}[Service]\nExecCondition=\nExecStart=\n"
            f"ExecStart={sys.executable} -I {program}\n"
            # Other places than a board's; a /tmp of its own would hide them.
            f"PrivateTmp=no\nReadWritePaths=\nReadWritePaths={boot} {data} -/run/glovebox\n",
        )
        return boot / "glovebox.yaml"

    def change(self, unit: str, text: str) -> None:
        """Add a drop-in to a unit."""
        folder = self.units / f"{unit}.d"
        folder.mkdir(exist_ok=True)
        (folder / f"{len(list(folder.iterdir()))}.conf").write_text(text)

    def hold(self, unit: str, when: str) -> None:
        """Let a service stand still at a moment of its run, until it is let go."""
        name = self.board.folder / f"held-{unit}"
        wait = f"touch {name}; while [ ! -e {name}.on ]; do sleep 0.02; done"
        self.change(f"{unit}.service", f'[Service]\n{when}=/bin/sh -c "{wait}"\n')

    def await_held(self, unit: str) -> None:
        """Wait until the service stands still."""
        wait((self.board.folder / f"held-{unit}").exists, f"the stop in {unit}")

    def let_go(self, unit: str) -> None:
        """Let it go on, this time and each other."""
        (self.board.folder / f"held-{unit}.on").touch()

    def ask(self, *words: str) -> str:
        """Give what systemctl says of it; nothing while it does not answer yet."""
        pid = self.process.pid
        inside = Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()
        into = ["nsenter", "--target", inside, "--mount", "--pid", "--cgroup"]
        return run([*into, "systemctl", *words], check=False).stdout if inside else ""

    def rests(self) -> bool:
        """Tell whether nobody asks for a look, and nobody looks."""
        ended = ["inactive"] * 2
        services = ("glovebox-told.service", "glovebox-state.service")
        return (
            not self.board.asked.exists()
            and not (self.board.folder / "run/telematics").exists()
            and self.ask("list-jobs", "--no-legend") == ""
            and self.ask("is-active", *services).split() == ended
            and not self.board.asked.exists()
        )

    def shows(self, word: str) -> bool:
        """Tell whether the LED has the code of a word."""
        return self.board.code == CODES[word]

    def tell(self, word: str) -> None:
        """Write the recorder's word as the recorder does."""
        place = self.board.folder / "run/telematics"
        place.mkdir(exist_ok=True)
        (place / ".state").write_text(f"{word}\n")
        (place / ".state").rename(place / "state")


def wait(true: Callable[[], bool], what: str) -> None:
    """Wait until something is so."""
    until = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(POLL_S)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    """Give the units and an LED, which blinked once; nothing runs yet."""
    if not Path(SYSTEMD).exists():
        missing(f"needs {SYSTEMD}")
    board = Board(tmp_path)
    # systemd removes a service's folder from no other file system.
    with mount("tmpfs", tmp_path / "run", kind="tmpfs"):
        board.asked.parent.mkdir(parents=True)
        board.come(LED)
        for word in ("trouble", "stopped"):
            board.show(word)
        board.asked.unlink()
        yield Systemd(board)


@contextmanager
def running(systemd: Systemd) -> Iterator[None]:
    """Run the units."""
    board = systemd.board.folder
    name = f"glovebox-{os.getpid()}-{board.name}"
    with ExitStack() as stack:
        stack.callback(_remove_group, name, board)
        process = start(
            ["setpriv", "--pdeathsig", "KILL", "--", "unshare", "--mount", "sh", "-c",
             INSIDE % SYSTEMD],
            env=environment({"BOARD": str(board), "NAME": name}),
        )  # fmt: skip
        stack.callback(end, process, grace_s=END_S)
        systemd.process = process
        # Shown of a test that fails: what it says then.
        stack.callback(lambda: sys.stdout.write(systemd.ask("status", "--no-pager", *NAMES)))
        watches = ["active\n"] * 2
        # What came before a path unit watches is not noticed; the recorder starts after it.
        paths = ("glovebox-told.path", "glovebox-state.path")
        wait(lambda: systemd.ask("is-active", *paths).splitlines(True) == watches, "the watchers")
        yield


def _remove_group(name: str, board: Path) -> None:
    """Remove the control group, once what ran in it is gone."""
    (board / "groups").mkdir(exist_ok=True)
    run(["mount", "-t", "cgroup2", "none", board / "groups"])
    try:
        group = board / "groups" / name

        def removed() -> bool:
            for each in [*sorted(group.rglob("*/"), reverse=True), group]:
                run(["rmdir", each], check=False)
            return not group.exists()

        wait(removed, f"the end of all in {group}")
    finally:
        run(["umount", board / "groups"])


def test_a_word_is_shown(systemd: Systemd) -> None:
    """The first word that the recorder tells, and the next."""
    with running(systemd):
        for word in ("driving", "no-fix", "trouble"):
            systemd.tell(word)
            wait(lambda: systemd.shows(word), word)  # noqa: B023  it is over before the next


def test_a_word_while_another_is_shown(systemd: Systemd) -> None:
    """What comes when the script has looked already is shown after it."""
    systemd.hold("glovebox-state", "ExecStartPost")
    with running(systemd):
        systemd.tell("no-fix")
        systemd.await_held("glovebox-state")
        systemd.tell("driving")
        systemd.let_go("glovebox-state")
        wait(lambda: systemd.shows("driving"), "the second word")


def test_a_word_while_the_first_one_is_noted(systemd: Systemd) -> None:
    """Nobody watches the recorder's file at that moment; its end is waited for before a look."""
    systemd.hold("glovebox-told", "ExecStartPost")
    with running(systemd):
        systemd.tell("no-fix")
        systemd.await_held("glovebox-told")
        wait(
            lambda: (
                "glovebox-state.service start waiting"
                in " ".join(systemd.ask("list-jobs", "--no-legend").split())
                or systemd.shows("no-fix")
            ),
            "the one who shows",
        )
        systemd.tell("driving")
        systemd.let_go("glovebox-told")
        wait(lambda: systemd.shows("driving"), "the second word")


@pytest.mark.parametrize("told_of", [True, False])
def test_a_recorder_that_was_killed(systemd: Systemd, *, told_of: bool) -> None:
    """Its word goes with its folder, and the LED says trouble until another one speaks.

    A kernel can kill whatever is started in a control group that was killed as a whole, so systemd
    may not come to tell of the end.
    """
    if not told_of:
        systemd.change("telematics.service", "[Service]\nExecStopPost=\n")
    with running(systemd):
        systemd.ask("start", "telematics.service")
        systemd.tell("driving")
        wait(lambda: systemd.shows("driving"), "its word")
        systemd.ask("kill", "--signal=KILL", "telematics.service")
        wait(lambda: systemd.shows("trouble"), "trouble")
        wait(systemd.rests, "the end of all that comes of it")

        assert systemd.shows("trouble")


def test_a_recorder_that_was_told_to_stop(systemd: Systemd) -> None:
    """It is as at the start."""
    with running(systemd):
        systemd.ask("start", "telematics.service")
        systemd.tell("driving")
        wait(lambda: systemd.shows("driving"), "its word")
        systemd.ask("stop", "telematics.service")
        wait(systemd.rests, "the end of all that comes of it")

        assert systemd.board.code == CODES["stopped"]


@pytest.mark.parametrize("beside", [False, True])
def test_a_mistake_on_the_card(systemd: Systemd, *, beside: bool) -> None:
    """It is shown from when the owner's file is refused until it is mended, and the recorder after.

    Also when it comes while the LED is being set (``beside``).
    """
    card = systemd.add_card()
    if beside:
        systemd.hold("glovebox-state", "ExecStartPost")
    with running(systemd):
        systemd.tell("no-fix")
        if beside:
            systemd.await_held("glovebox-state")
        else:
            wait(lambda: systemd.shows("no-fix"), "the recorder's word")
        card.write_text("hostname: [\n")
        systemd.ask("start", SETTINGS.name)
        systemd.let_go("glovebox-state")
        wait(lambda: systemd.shows("mistake"), "the mistake")
        card.write_text("# mended\n")
        systemd.ask("start", SETTINGS.name)
        wait(lambda: systemd.shows("no-fix"), "the recorder's word again")
