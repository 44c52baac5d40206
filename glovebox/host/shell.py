"""A shell for a person, in a root file system as a step left it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from glovebox.errors import HostError
from glovebox.host import chroot
from glovebox.host.run import attach

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def require_terminal() -> None:
    """Raise HostError unless a person sits at this run."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise HostError(
            "--shell needs a terminal: input or output of this run is none",
            hint="leave it out, or let ssh make one: ssh -t HOST …",
        )


def open_in(root: Path, env: Mapping[str, str], *, said: str) -> None:
    """Open a shell in ``root`` after ``said``; it has the network, and ends with its processes."""
    require_terminal()
    sys.stdout.write(
        f"\nerror: {said}\n\nThis is the root as the step left it; exit ends the run.\n"
    )
    sys.stdout.flush()
    own = {"PS1": r"glovebox:\w\$ ", "TERM": os.environ.get("TERM", "dumb")}
    kept = {name: value for name, value in env.items() if name != "BASH_ENV"}
    words = ["/bin/bash", "--norc", "--noprofile", "-i"]
    attach(chroot.command(root, words, network=True), env={**kept, **own})
