"""Enter the private namespaces a build lives in, so that nothing of it can outlive it.

A mount namespace takes every mount along when its last process ends; a PID namespace ends every
process when its first one ends. So a SIGKILL at any moment leaves neither behind.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from glovebox.errors import HostError

_MARK = "GLOVEBOX_SANDBOX"
_ASKING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_PR_SET_PDEATHSIG = 1  # prctl(2)
_NOT_FOUND = 127
_LOOK_S = 0.01


def inside() -> bool:
    """Tell whether this process already lives in its own namespaces."""
    return os.environ.get(_MARK) == "1"


def require_root(what: str) -> None:
    """Raise HostError unless this process is root."""
    if os.geteuid() != 0:
        raise HostError(
            f"{what} needs root: it mounts file systems and changes roots",
            hint=f"sudo {' '.join(['./invoke', *sys.argv[1:]])}",
        )


def enter(what: str) -> None:
    """Start this very command again under new mount, PID and IPC namespaces, once.

    This process waits, hands on the signals that ask it to stop, and ends as the inner one does.
    ``--kill-child`` ends the inner process when ``unshare`` is killed; as the first process of its
    PID namespace it takes all others along.
    """
    require_root(what)
    # Modes of files must not depend on whose shell this is.
    os.umask(0o022)
    if inside():
        # The first process of a PID namespace ignores signals it has no handler for.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _stop)
        # They were kept from this process until it could hear them.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ASKING)
        return
    command = [
        "unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child=SIGKILL",
        "--mount-proc", "--propagation", "private", "--",
        sys.executable, *sys.orig_argv[1:],
    ]  # fmt: skip
    sys.stdout.flush()
    sys.stderr.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, {*_ASKING, signal.SIGCHLD})
    outer = os.getpid()
    child = os.fork()
    if child == 0:
        # Whatever ends the outer process, also SIGKILL, ends this one.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != outer:
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        try:
            os.execvpe(command[0], command, {**os.environ, _MARK: "1"})  # noqa: S606  no shell wanted
        except OSError:
            os._exit(_NOT_FOUND)
    status = _wait(child)
    if status == _NOT_FOUND:
        raise HostError("unshare is not installed", hint="apt-get install util-linux")
    os._exit(status)


def _wait(child: int) -> int:
    """Wait for ``unshare``, handing on what asks to stop; give the status to end with."""
    while True:
        told = signal.sigwaitinfo({*_ASKING, signal.SIGCHLD})
        if told.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
        # The terminal's own Ctrl-C (sent by the kernel) has reached the inner process as well.
        elif told.si_code <= 0:
            _hand_on(child, told.si_signo)


def _hand_on(child: int, number: int) -> None:
    """Ask the first process below ``unshare``, which itself does not listen while it waits."""
    below = Path(f"/proc/{child}/task/{child}/children")
    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        while not (found := below.read_text().split()):
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG):
                return
            time.sleep(_LOOK_S)
        os.kill(int(found[0]), number)


def _stop(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(number)
