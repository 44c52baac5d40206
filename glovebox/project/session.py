"""`invoke boot`: an emulated board for a person, with console and shell, and a drive if wanted."""

from __future__ import annotations

import os
import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from glovebox.emulator import emulator, nmea
from glovebox.emulator.emulator import Login
from glovebox.errors import HostError
from glovebox.host.run import attach
from glovebox.plan.plan import EMULATOR

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from glovebox.host.monitor import Monitor
    from glovebox.project.opened import Project

_LOOK_S = 0.2
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f]")


@contextmanager
def _console(serial_log: Path, monitor: Monitor) -> Iterator[None]:
    """Show what the board's serial console says while it boots."""
    over = threading.Event()

    def follow() -> None:
        with serial_log.open(errors="replace") as file:
            while not over.wait(_LOOK_S):
                for line in file:
                    # Colours and cursor movements are the board's own: they would garble ours.
                    text = _ESCAPES.sub("", line).strip()
                    if text:
                        monitor.say(f"    {text}", style="dim")

    reader = threading.Thread(target=follow, name="console", daemon=True)
    reader.start()
    try:
        yield
    finally:
        over.set()
        reader.join()


def run(project: Project, *, drive: Path | None) -> None:
    """Boot a copy of the image, open a shell on it, and end it when the shell ends."""
    if not project.image.exists():
        raise HostError(f"{project.image} does not exist", hint="./invoke build-image")
    if project.board.qemu_machine is None:
        raise HostError(f"{project.board.title} cannot be booted here: {project.board.no_qemu}")
    # Read before the minute of booting: a mistake in the file shows at once.
    epochs = list(nmea.epochs_of(drive)) if drive else []
    builder = project.builder()
    builder.build([EMULATOR])
    folder = project.out / "boot"
    project.monitor.say("  the board starts; what it says:")
    with emulator.boot(
        project.image,
        project.board,
        qemu=emulator.find_qemu(builder.native(EMULATOR).tree),
        login=Login(user=project.loaded.config.user.name, key=project.access.private),
        folder=folder,
    ) as machine:
        with _console(machine.serial_log, project.monitor):
            machine.wait_ssh()
        project.monitor.say(f"  its console, to type at: socat -,raw,echo=0 unix:{machine.console}")
        if machine.dongle is not None and epochs:
            machine.dongle.drive(epochs)
            project.monitor.say(f"  the receiver drives: {len(epochs)} epochs at 1 Hz")
        project.monitor.say("  the board's shell; `exit` switches it off")
        terminal = {"TERM": os.environ.get("TERM", "dumb")}
        attach(["ssh", "-F", machine.ssh_config, "-t", "board"], env=terminal)
        with project.monitor.step("power off", "waiting until the board has ended by itself"):
            machine.poweroff()
