"""What is said when a fault is Glovebox's own: what was run, what came of it, and where it lies.

Everything a person can do wrong has an error with a cure; this is for what is left.
"""

from __future__ import annotations

import platform
import re
import shlex
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.checkout import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h
# Values given by --set may be secrets.
_SET = re.compile(
    r"^((?:--set=)?[\w.\[\]]*(?:psk|password|key|secret|environment)[\w.\[\]]*=).*", re.IGNORECASE
)


def report(error: BaseException, command: Sequence[str], *, log: Path | None) -> str:
    """Write what happened to a file, and give what a person is told."""
    words = ["./invoke", *(_SET.sub(r"\1…", word) for word in command[1:])]
    facts = (
        f"version: {_version()}\ncommand: {shlex.join(words)}\n"
        f"Python {platform.python_version()}, {platform.platform()}\n"
    )
    trace = "".join(traceback.format_exception(error))
    with tempfile.NamedTemporaryFile(
        "w", prefix="glovebox-fault-", suffix=".txt", delete=False, errors="backslashreplace"
    ) as file:
        file.write(f"{facts}\n{trace}")
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" ({Path(one.filename).name}:{one.lineno})" for one in last)
    log_line = f"\n  log: {log}" if log else ""
    return (
        f"error: this is a fault of Glovebox, not yours: {type(error).__name__}: {error}{where}\n"
        f"  version: {_version()}\n  command: {shlex.join(words)}\n"
        f"  what is needed to mend it: {file.name}{log_line}\n"
        "  nothing is half-written; the same command can be tried again"
    )


def _version() -> str:
    found = re.search(
        r'^version = "([^"]+)"', (CHECKOUT / "pyproject.toml").read_text(), re.MULTILINE
    )
    head = CHECKOUT / ".git"
    number = found[1] if found else "unknown"
    return f"{number}{_commit(head)}"


def _commit(git: Path) -> str:
    """Give the commit of a checkout, read without starting git."""
    try:
        if git.is_file():
            git = Path(git.read_text().partition(": ")[2].strip())
        head = (git / "HEAD").read_text().strip()
        if head.startswith("ref: "):
            common = git / "commondir"
            base = (git / common.read_text().strip()) if common.exists() else git
            head = (base / head.removeprefix("ref: ")).read_text().strip()
    except OSError:
        return ""
    return f" ({head[:12]})"
