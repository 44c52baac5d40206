"""One shell that stays in a changed root and runs one command after the other.

An emulated shell takes 20 ms to start, a copy of one that runs a tenth of that; an image is asked
a hundred things.
"""

from __future__ import annotations

import shlex
import socket
import tempfile
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING

from glovebox.errors import VerifyError
from glovebox.run import CommandError, end, start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SHELL = "/bin/sh"
_END_S = 5.0


class Shell:
    """A running shell; ``opened`` starts one."""

    def __init__(
        self, root: Path, process: subprocess.Popen[bytes], asking: IO[str], said: list[IO[bytes]]
    ) -> None:
        """Take over a started one: where it is asked, and the files for its two streams."""
        self._root = root
        self._process = process
        self._asking = asking
        self._said = said

    def run(self, command: str) -> tuple[int, bytes, bytes]:
        """Run a command in a copy of the shell; give its status and what it said on each stream.

        Raises VerifyError when the shell itself is gone.
        """
        for each in self._said:
            # The place to write at is one with that of the shell.
            each.seek(0)
            each.truncate()
        try:
            self._asking.write(f"(eval {shlex.quote(command)}) </dev/null; echo $? >&0\n")
            self._asking.flush()
            status = self._asking.readline()
        except OSError:
            status = ""
        if not status:
            raise VerifyError(f"{SHELL} in {self._root} ended while it ran: {command}\n{self._last()}")
        return int(status), self._read(0), self._read(1)

    def _read(self, number: int) -> bytes:
        self._said[number].seek(0)
        return self._said[number].read()

    def _last(self) -> str:
        return b"".join(self._read(number) for number in (0, 1)).decode(errors="replace").rstrip()


@contextmanager
def opened(root: Path, env: Mapping[str, str]) -> Iterator[Shell]:
    """Keep a shell running in ``root`` until the block ends."""
    with ExitStack() as stack:
        ours, theirs = socket.socketpair()
        stack.callback(ours.close)
        said: list[IO[bytes]] = [
            stack.enter_context(tempfile.TemporaryFile(buffering=0)) for _ in range(2)
        ]
        with theirs:
            streams = (theirs.fileno(), *(each.fileno() for each in said))
            process = start(["chroot", root, SHELL], env=env, streams=streams)
        stack.callback(end, process, grace_s=_END_S)
        asking = stack.enter_context(ours.makefile("rw", encoding="utf-8"))
        yield Shell(root, process, asking, said)
