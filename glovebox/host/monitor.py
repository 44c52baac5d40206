"""What a person sees of a run: sentences with times, on a terminal with a live line below them.

Everything, also what programs print, goes to a log file as well; how long each step took goes into
a JSON file beside it, for programs.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

from glovebox.errors import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rich.status import Status

# After so long a person wants to know what goes on; later, that it still does.
_MOMENT_S, _STILL_S, _OFTEN = 2.0, 30.0, 1000
log = logging.getLogger("glovebox")


def steps_beside(log_file: Path) -> Path:
    """Give the place of the steps' times: a JSON list of ``{"step": …, "seconds": …}``."""
    return log_file.with_suffix(".steps.json")


class Monitor:
    """Tell a person how a run goes; safe to use from several threads."""

    def __init__(self, *, log_file: Path | None = None, quiet: bool = False) -> None:
        """Print to standard output unless ``quiet``; keep everything in ``log_file``."""
        self._console = Console(file=sys.stdout, highlight=False, soft_wrap=True, quiet=quiet)
        self._live = self._console.is_terminal and not quiet
        self._guard = threading.Lock()
        self._running: dict[str, float] = {}
        self._shares: dict[str, int] = {}
        self._status: Status | None = None
        self._file = None
        self._steps: list[dict[str, str | float]] = []
        self._steps_file: Path | None = None
        if log_file is not None:
            log_file.parent.mkdir(parents=True, exist_ok=True)
            # A log may show what a stage printed: for the owner's eyes.
            descriptor = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._file = os.fdopen(descriptor, "w", buffering=1)
            self._steps_file = steps_beside(log_file)
            self._steps_file.unlink(missing_ok=True)

    def say(self, text: str, *, style: str | None = None) -> None:
        """Print one sentence."""
        self.note(text)
        with self._guard:
            self._console.print(plain(text), style=style, markup=False)

    def warn(self, text: str) -> None:
        """Print a warning."""
        self.say(f"warning: {text}", style="yellow")

    def note(self, text: str) -> None:
        """Write a line to the log file only."""
        if self._file is not None and not self._file.closed:
            self._file.write(f"{time.strftime('%H:%M:%S')} {text}\n")

    def cached(self, name: str) -> None:
        """Say that a step's result was there already."""
        self.say(f"  ✓ {name}  (cached)", style="dim")

    @contextmanager
    def step(self, name: str, doing: str = "") -> Iterator[Callable[[str], None]]:
        """Time a step; the value given takes the lines its programs print."""
        started = time.monotonic()
        self.note(f"begin {name} {doing}")
        with self._guard:
            self._running[name] = started
            self._show()
            if not self._live and doing:
                self._console.print(f"  … {name}: {doing}", markup=False)

        def line(text: str) -> None:
            self.note(f"[{name}] {text}")

        try:
            yield line
        except BaseException:
            self._end(name)
            self.say(f"  ✗ {name}  after {time.monotonic() - started:.1f} s", style="red")
            raise
        seconds = time.monotonic() - started
        self._steps.append({"step": name, "seconds": round(seconds, 1)})
        self._end(name)
        self.say(f"  ✓ {name}  {seconds:.1f} s", style="green")

    def progress(self, name: str, share: float) -> None:
        """Show how much of a running step is done, 0 to 1, where a terminal has a live line."""
        percent = int(100 * share)
        with self._guard:
            if self._shares.get(name) != percent:
                self._shares[name] = percent
                self._show()

    @contextmanager
    def slow(self, name: str, doing: str) -> Iterator[None]:
        """Say what goes on when it takes longer than a moment, and that it still does."""
        ended = threading.Event()

        def tell() -> None:
            waited = 0.0
            for pause in (_MOMENT_S, *[_STILL_S] * _OFTEN):
                if ended.wait(pause):
                    return
                waited += pause
                after = f" ({waited:.0f} s)" if waited > _MOMENT_S else ""
                self.say(f"  … {name}: {doing}{after}", style="dim")

        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        try:
            yield
        finally:
            ended.set()
            teller.join()

    @contextmanager
    def handed_over(self) -> Iterator[None]:
        """Leave the terminal to a program; who wants to say something waits until it ends."""
        with self._guard:
            if self._status is not None:
                self._status.stop()
                self._status = None
            yield
            self._show()

    def close(self) -> None:
        """End the live line and the log."""
        with self._guard:
            self._running.clear()
            self._show()
        if self._file is not None:
            self._file.close()
            self._file = None
        # A process that only waits for the one that works has none, and must not write over these.
        if self._steps_file is not None and self._steps:
            self._steps_file.write_text(json.dumps(self._steps, indent=1) + "\n")

    def _end(self, name: str) -> None:
        with self._guard:
            self._running.pop(name, None)
            self._shares.pop(name, None)
            self._show()

    def _show(self) -> None:
        if not self._live:
            return
        if self._running:
            shown = (
                f"{name} {self._shares[name]} %" if name in self._shares else name
                for name in self._running
            )
            text = "  " + " · ".join(shown)
            if self._status is None:
                self._status = self._console.status(text)
                self._status.start()
            else:
                self._status.update(text)
        elif self._status is not None:
            self._status.stop()
            self._status = None
