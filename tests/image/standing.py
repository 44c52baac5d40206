"""How an image is asked: by testinfra, through one root shell that stays."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from testinfra.backend.base import BaseBackend, CommandResult

from glovebox.verify import standing_shell
from glovebox.verify.standing_shell import ShellGoneError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from testinfra.host import Host

    from glovebox.emulator.emulator import Machine
    from glovebox.verify.standing_shell import Shell

GONE = 255  # as ssh says it of a connection that is lost
# No command of a test takes a tenth of it; one that never ends must not keep all others waiting.
ANSWER_S = 900


class Standing(BaseBackend):  # type: ignore[misc]  # testinfra ships no types
    """A root shell that stays, in a changed root or on a board; see glovebox.standing_shell.

    (testinfra's own backends start one for each command, and its chroot loses its path: issue 789.)
    """

    NAME = "glovebox-standing"

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        machine: Machine | None = None,
    ) -> None:
        """Take what starts the shell, when it is first asked, and the emulated board it is on."""
        super().__init__("image")
        self.machine = machine
        self._encoding = "UTF-8"  # left to find out, testinfra starts a Python there to ask it
        self._start = (command, environment)
        self._kept = ExitStack()
        self._shell: Shell | None = None

    def run(self, command: str, *args: str, **_: object) -> CommandResult:
        """Run a shell command; of a shell that is gone, or never answers, start another."""
        text = self.get_command(command, *args)
        if self._shell is None:
            self._shell = self._kept.enter_context(standing_shell.opened(*self._start))
        try:
            status, out, err = self._shell.run(text, timeout_s=self._bound())
        except ShellGoneError as error:
            self.close()
            status, out, err = GONE, b"", str(error).encode()
        return self.result(status, text.encode(), out, err)

    def _bound(self) -> float:
        return self.machine.patience(ANSWER_S) if self.machine else ANSWER_S

    def close(self) -> None:
        """End the shell."""
        self._kept.close()
        self._shell = None


def patience(host: Host, seconds: float) -> float:
    """Give how long to wait for what takes a board that keeps time so many seconds.

    An emulated board's own start has shown how fast this machine emulates it, and its clock shows
    whether it has become slower since. Every wait of a test has a bound of this kind, and ends with
    the event it waits for.
    """
    backend: Standing = host.backend
    if backend.machine is None:
        return seconds
    uptime = host.run("cat /proc/uptime").stdout.split()
    if uptime:
        backend.machine.note_clock(float(uptime[0]))
    return backend.machine.patience(seconds)
