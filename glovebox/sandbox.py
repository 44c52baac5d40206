"""Enter the private namespaces a build lives in, so that nothing of it can outlive it.

A mount namespace takes every mount along when its last process ends; a PID namespace ends every
process when its first one ends. So a SIGKILL at any moment leaves neither behind.
"""

from __future__ import annotations

import os
import signal
import sys

from glovebox.errors import HostError

_MARK = "GLOVEBOX_SANDBOX"


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

    ``--kill-child`` ends the inner process when ``unshare`` is killed; as the first process of its
    PID namespace it takes all others along.
    """
    require_root(what)
    # Modes of files must not depend on whose shell this is.
    os.umask(0o022)
    if inside():
        # The first process of a PID namespace ignores signals it has no handler for.
        signal.signal(signal.SIGTERM, _stop)
        return
    command = [
        "unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child=SIGKILL",
        "--mount-proc", "--propagation", "private", "--",
        sys.executable, *sys.orig_argv[1:],
    ]  # fmt: skip
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(command[0], command, {**os.environ, _MARK: "1"})  # noqa: S606  no shell wanted
    except FileNotFoundError as error:
        raise HostError("unshare is not installed", hint="apt-get install util-linux") from error


def _stop(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)
