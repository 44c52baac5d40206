"""A question to a running QEMU, by its machine protocol (QMP): one line of JSON there, one back."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

from glovebox.errors import VerifyError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_TIMEOUT_S = 30


def ask(control: Path, command: str) -> dict[str, Any]:
    """Give what QEMU returns for a command; raises VerifyError when it refuses or is gone."""
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(_TIMEOUT_S)
            link.connect(str(control))
            with link.makefile("rw") as lines:
                lines.readline()  # its greeting
                answer: dict[str, Any] = {}
                for each in ("qmp_capabilities", command):
                    print(json.dumps({"execute": each}), file=lines, flush=True)
                    answer = _answer(lines.readline)
    except (OSError, ValueError) as error:
        raise VerifyError(f"QEMU did not answer {command}: {error}") from error
    return answer


def _answer(line: Callable[[], str]) -> dict[str, Any]:
    """Read up to the answer: events may come before it."""
    while True:
        told = json.loads(line())
        if "error" in told:
            raise ValueError(told["error"]["desc"])
        if "return" in told:
            found: dict[str, Any] = told["return"]
            return found
