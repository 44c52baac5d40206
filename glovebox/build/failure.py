"""Say where a stage failed: which line of which script, after how long, and what helps.

A bash script tells its line by traps that a file named in BASH_ENV sets before the first line runs;
it unsets that variable again, so the script, whether a file or on standard input, sees nothing of
it but the two traps, which its own replace. (An ERR trap is not inherited by functions: for those
the line of the call is told. `set -E` would change what `$-` holds.)
"""

from __future__ import annotations

import re
import shlex
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.errors import ImageError, StepError
from glovebox.host import hints, inside
from glovebox.host.files import clear
from glovebox.host.run import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Below a root's /run, which is a tmpfs while its scripts run.
PLACE = Path("run/.glovebox")
_WATCH = """\
if [ "$0" = {name} ]; then
  unset BASH_ENV
  trap 'printf "%s\\n" "$LINENO" "$BASH_COMMAND" 2>/dev/null >{place}/failed || :' ERR
  trap 'printf "%s\\n" "${{BASH_LINENO[0]:-}}" "$BASH_COMMAND" 2>/dev/null >{place}/ended || :' EXIT
fi
"""
# How shells name a line of what they read.
_TOLD = re.compile(r"(?m)^\S*(?:bash|sh)?: (?:line )?(\d+): ")


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Learns which line of a bash script failed; ``root`` is a root with a /run of its own."""

    root: Path

    def environment(self, name: str, *, inside: bool) -> Mapping[str, str]:
        """Give what makes the script whose ``$0`` is ``name`` tell its line.

        ``inside``: the script sees ``root`` as its own root file system.
        """
        folder = self.root / PLACE
        # A script of the root may have left a link here, or anything else.
        clear(folder)
        folder.mkdir()
        place = Path("/") / PLACE if inside else folder
        text = _WATCH.format(name=shlex.quote(name), place=place)
        (folder / "watch").write_text(text)
        return {"BASH_ENV": str(place / "watch")}

    def line(self, script: str, tail: str) -> int | None:
        """Give the line of ``script`` that failed, as far as it or the shell told."""
        failed, ended = self._told("failed"), self._told("ended")
        if failed is not None and (ended is None or ended[1] == failed[1]):
            return failed[0]
        if ended is not None:
            if ended[0]:
                return ended[0]
            # bash forgets where a function was called that was given a here-document, as pi-gen's
            # is; and where it was told to exit.
            for text in ("".join(ended[1].splitlines()[:1]), "on_chroot"):
                lines = [n for n, one in enumerate(script.splitlines(), 1) if _begins(one, text)]
                if len(lines) == 1:
                    return lines[0]
        found = _TOLD.findall(tail)
        return int(found[-1]) if found else None

    def _told(self, name: str) -> tuple[int, str] | None:
        if not inside.is_file(self.root, PLACE / name):
            return None
        with suppress(OSError, ValueError, ImageError):
            number, _, command = inside.text(self.root, PLACE / name).partition("\n")
            return int(number or 0), command.strip()
        return None


def _begins(line: str, text: str) -> bool:
    return bool(text) and re.match(rf"\s*{re.escape(text)}(\s|$)", line) is not None


def located(
    where: str,
    path: Path,
    error: CommandError,
    *,
    line: int | None,
    seconds: float,
    known: str | None = None,
) -> StepError:
    """Turn what a program said into an error that names place, time, cause and a way to look."""
    at = f"{where}:{line}" if line else where
    known = known or hints.hint_for(error.message)
    return StepError(
        f"{at} failed after {seconds:.1f} s ({error.what}), its last lines:\n"
        + "\n".join(f"  {text}" for text in error.tail.splitlines()),
        hint="\n        ".join([
            *([known] if known else []),
            f"the file is {path}",
            f"a shell in that very state: {shell_command()}",
        ]),
    )  # fmt: skip


@contextmanager
def explained(step: str) -> Iterator[None]:
    """Turn what a program of a step that is no script says into the step's own error."""
    begun = time.monotonic()
    try:
        yield
    except CommandError as error:
        program = error.message.partition("\n")[0]
        raise StepError(
            f"{step} failed after {time.monotonic() - begun:.1f} s ({program}), its last lines:\n"
            + "\n".join(f"  {text}" for text in error.tail.splitlines()),
            hint=hints.hint_for(error.message),
        ) from error


def shell_command() -> str:
    """Give the command that builds as this one did and opens a shell where it fails."""
    words = sys.argv[1:] if "build-image" in sys.argv else ["build-image"]
    return shlex.join(["./invoke", *words, *(() if "--shell" in words else ("--shell",))])
