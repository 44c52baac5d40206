"""`invoke boot`: an emulated board for a person, with console and shell, and a drive if wanted."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from glovebox import emulator, nmea
from glovebox.emulator import Login
from glovebox.errors import HostError
from glovebox.plan import EMULATOR
from glovebox.run import attach

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.project import Project


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
    with emulator.boot(
        project.image,
        project.board,
        qemu=emulator.find_qemu(builder.native(EMULATOR).tree),
        login=Login(user=project.loaded.config.user.name, key=project.access.private),
        folder=folder,
    ) as machine:
        with project.monitor.step("boot", f"its console: tail -f {folder / 'serial.log'}"):
            machine.wait_ssh()
        if machine.dongle is not None and epochs:
            machine.dongle.drive(epochs)
            project.monitor.say(f"  the receiver drives: {len(epochs)} epochs at 1 Hz")
        project.monitor.say("  the board's shell; `exit` switches it off")
        terminal = {"TERM": os.environ.get("TERM", "dumb")}
        attach(["ssh", "-F", machine.ssh_config, "-t", "board"], env=terminal)
        with project.monitor.step("power off"):
            machine.poweroff()
