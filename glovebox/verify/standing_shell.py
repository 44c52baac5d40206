"""One shell that stays and runs one command after the other: in a changed root, or on a board.

Emulated, a shell takes 20 ms to start, and a session by ssh and sudo half a second or more; a copy
of a shell that runs takes 3 ms. An image is asked a hundred things.
"""

from __future__ import annotations

import os
import secrets
import selectors
import shlex
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from glovebox.errors import VerifyError
from glovebox.host.run import end, start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_END_S = 5.0
_CHUNK = 1 << 16


class ShellGoneError(VerifyError):
    """The shell itself ended: killed, or the way to it was cut; or a command of it never did."""


class Shell:
    """A running shell; ``opened`` starts one."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        """Take over a started one, with a pipe for each of its streams."""
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise AssertionError
        self._asked = process.stdin
        self._streams = (process.stdout.fileno(), process.stderr.fileno())

    def run(self, command: str, *, timeout_s: float | None = None) -> tuple[int, bytes, bytes]:
        """Run a command in a copy of the shell; give its status and what it said on each stream.

        Raises ShellGoneError when the shell itself ended, or the time is over: it then is of no use
        any more, since what it says next would answer this question.
        """
        mark = secrets.token_hex(16)
        # After its own words each stream says that they are all, and one of them the status.
        text = (
            f"(eval {shlex.quote(command)}) </dev/null;"
            f" printf '\\n%s %d\\n' {mark} $?; printf '\\n%s 0\\n' {mark} >&2\n"
        )
        try:
            self._asked.write(text.encode())
            self._asked.flush()
        except OSError:
            pass  # what it said last is told below
        out, err = self._answers(command, f"\n{mark} ".encode(), timeout_s)
        return int(out[1]), out[0], err[0]

    def _answers(
        self, command: str, mark: bytes, timeout_s: float | None
    ) -> list[tuple[bytes, bytes]]:
        """Read both streams up to their marks; give what stands before and after each."""
        said = {stream: bytearray() for stream in self._streams}
        until = None if timeout_s is None else time.monotonic() + timeout_s
        with selectors.DefaultSelector() as waiting:
            for stream in said:
                waiting.register(stream, selectors.EVENT_READ)
            while waiting.get_map():
                ready = waiting.select(until and max(0.0, until - time.monotonic()))
                if not ready:
                    last = _last(said.values())
                    message = f"no answer within {timeout_s:.0f} s to: {command}\n{last}"
                    raise ShellGoneError(message.rstrip())
                for key, _ in ready:
                    data = os.read(key.fd, _CHUNK)
                    heard = said[key.fd]
                    heard += data
                    ended = heard.endswith(b"\n") and mark in heard[-len(mark) - 8 :]
                    if ended or not data:
                        waiting.unregister(key.fd)
        found = [bytes(said[stream]).rpartition(mark) for stream in self._streams]
        if not all(middle for _, middle, _ in found):
            last = _last(said.values())
            raise ShellGoneError(f"the shell that asks ended while it ran: {command}\n{last}")
        return [(before, after) for before, _, after in found]


def _last(said: Iterable[bytes | bytearray]) -> str:
    return b"".join(said).decode(errors="replace").strip()


@contextmanager
def opened(command: Sequence[str], env: Mapping[str, str] | None = None) -> Iterator[Shell]:
    """Keep a shell running until the block ends; ``command`` starts it, wherever that is."""
    process = start(command, input=True, apart=True, env=env)
    try:
        yield Shell(process)
    finally:
        with suppress(OSError):  # it may have gone with words unread
            process.stdin.close() if process.stdin else None
        end(process, grace_s=_END_S)
