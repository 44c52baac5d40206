"""`invoke selftest`: one command that tries a base on a machine with a network, and reports.

Where Glovebox is written Raspberry Pi's servers cannot be reached: what was made with stand-ins is
tried with the real image by whoever can, and the report tells what came of it. It is one file, to
be read before it is handed in, and holds nothing of its owner: no name, address, key or path.
"""

from __future__ import annotations

import json
import os
import platform
import re
import socket
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glovebox.boards.boards import BOARDS
from glovebox.checkout import CHECKOUT
from glovebox.config.schema import BoardName
from glovebox.errors import ConfigError, VerifyError
from glovebox.host import files
from glovebox.host.run import CommandError, run
from glovebox.images import inventory
from glovebox.lock import raspios
from glovebox.project import story
from glovebox.project.opened import Project, open_project
from glovebox.trials import measures, parts
from glovebox.trials.parts import Part, Result
from glovebox.verify import verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glovebox.host.monitor import Monitor
    from glovebox.store.store import Store

REPORT = "report.json"
_BASES = ("raspios", "debian")
# With an image of Raspberry Pi: what we add to it, and the two things without which nobody gets in.
_BENCH = "profile: bench\nstages: [gnss, queue, python, telematics, ./reachable]\n"
_REACHABLE = """\
# So that the emulated board can be asked: SSH is off on a stock image, and a dialog waits.
systemctl enable ssh
systemctl disable userconfig || true
"""
_Name = tuple[re.Pattern[str], str]
_NAMES: tuple[_Name, ...] = (
    (re.compile(r"[\w.+-]+@[\w-]+\.[\w.]+"), "MAIL"),
    (re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b"), "ADDRESS"),
    (re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", re.IGNORECASE), "ADDRESS"),
)


@dataclass(kw_only=True)
class _Trial:
    """One run: what was opened is opened once, what was found is for the report."""

    monitor: Monitor
    store: Store
    config: Path
    out: Path
    settings: Sequence[str]
    found: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def project(self) -> Project:
        """Ask the list or the mirror anew, and plan."""
        return open_project(
            self.monitor, store=self.store, config=self.config, out=self.out,
            overrides=self.settings, refresh=True,
        )  # fmt: skip

    def lock(self) -> None:
        """Choose the newest image and packages, fetch and prove them, write it all down."""
        story.write_lock(self.project, self.config)
        image = self.project.lock.raspios
        self.found["image"] = asdict(image) if image else None

    def look(self) -> None:
        """Read what the fetched image is: its layout, boot files, first boot, units, packages."""
        image = self.project.lock.raspios
        if image is None:
            return
        file = raspios.bring(image, self.project.loaded.config.raspios, self.store, self.monitor)
        with inventory.viewed(file, self.store, self.monitor) as view:
            found = inventory.facts(view, None)
            found["boot_files"] = sorted(view.boot_names)
            found["machine_id"] = (
                (view.root / "etc/machine-id").read_text().strip()
                if (view.root / "etc/machine-id").is_file()
                else None
            )
        del found["image"]  # its path
        self.found["stock"] = found

    def build(self) -> None:
        """Build the image, and verify it in a chroot."""
        story.build_image(self.project)

    def boot(self) -> None:
        """Boot it in an emulator, and verify it there."""
        story.verify_target(self.project, "emulated")


def run_on(
    monitor: Monitor,
    *,
    store: Store,
    out: Path,
    base: str = "raspios",
    board: str = "3",
    settings: Sequence[str] = (),
) -> Path:
    """Try a base on a board; give the place of the report, which is written in any case.

    ``settings`` are further ones, as `--set` has them. Raises VerifyError naming what failed.
    """
    if base not in _BASES:
        raise ConfigError(f"--base: '{base}' is no base", hint=" or ".join(_BASES))
    if board not in set(BoardName):
        raise ConfigError(f"--board: '{board}' is no board", hint=", ".join(BoardName))
    out.mkdir(parents=True, exist_ok=True)
    trial = _Trial(
        monitor=monitor, store=store, out=out, settings=settings,
        config=_configuration(out, base, board),
    )  # fmt: skip
    has_machine = BOARDS[BoardName(board)].qemu_machine is not None
    chosen = [
        Part(name="lock", run=trial.lock),
        *([Part(name="look", run=trial.look, needs=("lock",))] if base == "raspios" else []),
        Part(name="build", run=trial.build, needs=("lock",)),
        *([Part(name="boot", run=trial.boot, needs=("build",))] if has_machine else []),
    ]
    outcomes = parts.outcomes(monitor, chosen)
    target = out / REPORT
    whole = _report(outcomes, trial.found, base=base, board=board, out=out)
    files.write_whole(target, json.dumps(whole, indent=1) + "\n", mode=0o644)
    for line in parts.table(outcomes):
        monitor.say(line)
    monitor.say(f"the report, to be read and handed in: {target}")
    bad = [one for one in outcomes if one.result is not Result.PASSED]
    if bad:
        again = partial(_again, base, board)
        raise VerifyError(parts.complaint(bad, len(outcomes), again=again))
    return target


def _again(base: str, board: str, _part: str) -> str:
    return f"./invoke selftest --base {base} --board {board}"


def _configuration(out: Path, base: str, board: str) -> Path:
    """Write the configuration that is tried: nobody's own name, network or place is in it."""
    config = out / "image.yaml"
    text = f"board: '{board}'\nbase: {base}\nhostname: selftest\nuser: {{name: tester}}\n"
    if base == "raspios":
        stage = out / "reachable/00-ssh"
        stage.mkdir(parents=True, exist_ok=True)
        files.write_whole(stage / "00-run-chroot.sh", _REACHABLE)
        text += _BENCH
    files.write_whole(config, text)
    return config


def _report(
    outcomes: Sequence[parts.Outcome], found: dict[str, Any], *, base: str, board: str, out: Path
) -> dict[str, Any]:
    """Put the report together, and take out of it what is somebody's own."""
    whole: dict[str, Any] = {
        "glovebox": _revision(),
        "base": base,
        "board": board,
        "day": measures.today(),
        "machine": measures.machine() | _host(),
        "parts": [
            {**asdict(one), "result": str(one.result), "seconds": round(one.seconds, 1)}
            for one in outcomes
        ],
        "tests": _tests(out),
        **found,
    }
    words = _own_words(out)
    # What programs said may name anything; in the rest four numbers and dots are a version.
    said = {name: _without(whole.pop(name), words, _NAMES) for name in ("parts", "tests")}
    return {**_without(whole, words), **said}


def _revision() -> str:
    with suppress(CommandError):
        return run(["git", "-C", CHECKOUT, "describe", "--always", "--dirty"]).stdout.strip()
    return "unknown"


def _host() -> dict[str, str]:
    """Give what of the host decides how a build goes."""
    release = platform.freedesktop_os_release()
    return {
        "system": f"{release.get('ID', '?')} {release.get('VERSION_ID', '?')}",
        "architecture": platform.machine(),
        "python": platform.python_version(),
    }


def _tests(out: Path) -> dict[str, Any]:
    """Give what each verification came to: how many passed, and which did not, and why."""
    found: dict[str, Any] = {}
    for path in sorted((out / "verify").rglob(verify.JUNIT)):
        results = verify.read_junit(path).results
        counts = Counter(one.outcome for one in results)
        others = [asdict(one) for one in results if one.outcome != "passed"]
        found[str(path.parent.relative_to(out / "verify"))] = {**counts, "others": others}
    return found


def _own_words(out: Path) -> dict[str, str]:
    """Give what must not be in a report, and what stands there in its place; long ones first."""
    words = {
        str(out): "OUT",
        str(CHECKOUT): "CHECKOUT",
        str(Path.home()): "HOME",
        os.environ.get("SUDO_USER", ""): "USER",
        os.environ.get("USER", ""): "USER",
        socket.gethostname(): "HOST",
    }
    # Words that say nothing of anybody, and stand in many another.
    plain = {"", "root", "localhost", "/root", "/"}
    chosen = {word: to for word, to in words.items() if word not in plain}
    return dict(sorted(chosen.items(), key=lambda one: -len(one[0])))


def _without(value: Any, words: dict[str, str], names: Sequence[_Name] = ()) -> Any:  # noqa: ANN401  JSON
    """Give a value of JSON without somebody's own words, in its names as well."""
    match value:
        case str():
            for word, instead in words.items():
                value = re.sub(rf"(?<![\w-]){re.escape(word)}(?![\w-])", instead, value)
            for pattern, instead in names:
                value = pattern.sub(instead, value)
            return value
        case dict():
            return {
                _without(name, words, names): _without(one, words, names)
                for name, one in value.items()
            }
        case list() | tuple():
            return [_without(one, words, names) for one in value]
        case _:
            return value
