"""Enter the private namespaces a build lives in, so that nothing of it can outlive it.

A mount namespace takes every mount along when its last process ends; a PID namespace ends every
process when its first one ends. So a SIGKILL at any moment leaves neither behind.
"""

from __future__ import annotations

import os
import select
import signal
import sys

from glovebox.errors import HostError
from glovebox.host import hints, kernel
from glovebox.host.kernel import Flag, Space

_MARK = "GLOVEBOX_SANDBOX"
_ASKING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


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
    """Go on in a child under new mount, PID and IPC namespaces; this process ends as it does.

    It waits, and hands on the signals that ask it to stop. Whatever ends it ends the child, and
    that is the first process of its PID namespace: it takes all others along.
    """
    require_root(what)
    # Modes of files must not depend on whose shell this is.
    os.umask(0o022)
    if inside():
        return
    sys.stdout.flush()
    sys.stderr.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, {*_ASKING, signal.SIGCHLD})
    try:
        kernel.unshare(Space.MOUNT | Space.IPC | Space.PID)
        kernel.mount("none", "/", flags=Flag.REC | Flag.PRIVATE)
    except OSError as error:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_ASKING, signal.SIGCHLD})
        said = error.strerror or str(error)
        raise HostError(said, hint=hints.hint_for(said)) from error
    alive, ours = os.pipe()
    child = os.fork()
    if child:
        os.close(alive)
        os._exit(_wait(child))
    os.close(ours)
    kernel.die_with_parent()
    # Where the outer process has ended meanwhile, nothing holds the other end any more.
    if select.select([alive], [], [], 0)[0]:
        os._exit(1)
    os.close(alive)
    kernel.mount("proc", "/proc", kind="proc", flags=Flag.NOSUID | Flag.NOEXEC | Flag.NODEV)
    os.environ[_MARK] = "1"
    # The first process of a PID namespace ignores signals it has no handler for.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    # They were kept from this process until it could hear them.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_ASKING, signal.SIGCHLD})


def _wait(child: int) -> int:
    """Wait for the child, handing on what asks to stop; give the status to end with."""
    while True:
        told = signal.sigwaitinfo({*_ASKING, signal.SIGCHLD})
        if told.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
        # The terminal's own Ctrl-C (sent by the kernel) has reached the child as well.
        elif told.si_code <= 0:
            os.kill(child, told.si_signo)


def _stop(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(number)
