"""Prove an image: one tree of tests, tests/image, against a chroot, an emulated or a real board.

The image is not touched: a chroot is a throw-away view of it, an emulated board has a copy.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Mapping  # noqa: TC003  a dataclass field's hint
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import TYPE_CHECKING, assert_never
from xml.etree import ElementTree as ET

from glovebox.card import table as card
from glovebox.emulator.emulator import CARD
from glovebox.errors import ConfigError, VerifyError
from glovebox.host import files, inside
from glovebox.host.mounts import GUARDED, chroot_mounts, mount, overlay
from glovebox.host.run import CommandError, end_streams, run, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PROJECT = Path(__file__).resolve().parents[2]
TESTS = "tests/image"
JUNIT = "junit.xml"
MEASURE = "GLOVEBOX_MEASURE"  # set: tests that only measure run too
LONG = "GLOVEBOX_LONG"  # set: tests that take long run too
ABOUT = "about.json"  # what tests/image/conftest.py learns of a running board
REPORT_FORMAT = 1
FAILED = "failed"  # of a running board: a folder for each test that failed
_VIEW = ".view-"
_CLAIMS = ".claims-"
_FAILED = 1  # pytest's status when it ran and tests failed
_NONE = 5  # and when it had none to run
# In a chroot each test waits for an emulated program, and an image is assembled meanwhile.
_SIDE_BY_SIDE = 2
_MESSAGE_LINES = 12


_SPEEDS = (("start", "at its start"), ("run", "over the run"))


class Level(StrEnum):
    """The kinds of target, lowest first; a test names the lowest that means something."""

    CHROOT = "chroot"
    EMULATED = "emulated"
    BOARD = "board"

    @property
    def rank(self) -> int:
        """Give its place, so that levels compare."""
        return list(Level).index(self)


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is tested: a folder or image, or a board that answers to ssh."""

    level: Level
    path: Path | None = None
    user: str | None = None
    host: str = ""
    port: int = 22

    def __str__(self) -> str:
        """Give it as it is written on the command line."""
        match self.level:
            case Level.CHROOT | Level.EMULATED:
                return f"{self.level}:{self.path}"
            case Level.BOARD:
                host = f"[{self.host}]" if ":" in self.host else self.host
                return f"ssh:{self.user + '@' if self.user else ''}{host}:{self.port}"
            case _:
                assert_never(self.level)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the image shall be; the build writes it as a JSON object with these keys."""

    board: str
    arch: str  # Debian's name
    suite: str
    hostname: str
    user: str
    timezone: str
    locale: str
    server: str  # `redis` or `valkey`
    disk_id: str  # eight hex digits
    stages: tuple[str, ...]  # of the manifest's ``steps``
    base: str = "debian"  # or the name of an image
    password: bool = False  # whether the user has one
    car: bool = False  # whether its disk is that of a car
    verified: bool = False  # whether its tests in a chroot have passed
    power: Mapping[str, object] | None = None  # the settings under `power:`
    service: Mapping[str, object] | None = None  # the settings under `service:`


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one test came to."""

    test: str
    outcome: str  # passed, failed, skipped
    seconds: float
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What all of them came to."""

    results: tuple[Result, ...]
    speed: Mapping[str, float] | None = None  # of the emulator; see docs/verify.md

    @property
    def passed(self) -> int:
        """Count what was proven."""
        return sum(1 for each in self.results if each.outcome == "passed")

    @property
    def failed(self) -> tuple[Result, ...]:
        """Give what is not right."""
        return tuple(each for each in self.results if each.outcome == "failed")

    @property
    def skipped(self) -> Mapping[str, int]:
        """Count what was not asked, by reason."""
        return Counter(each.message for each in self.results if each.outcome == "skipped")

    def __str__(self) -> str:
        """Tell it in a sentence, and the reasons below it."""
        seconds = sum(each.seconds for each in self.results)
        skipped = sum(self.skipped.values())
        lines = [
            f"{self.passed} passed, {len(self.failed)} failed, {skipped} skipped, {seconds:.0f} s"
        ]
        if self.speed:
            words = [f"{self.speed[name]:.2f} {of}" for name, of in _SPEEDS if name in self.speed]
            lines[0] += f"; board seconds per second of this machine: {', '.join(words)}"
        lines += [f"  {count} skipped: {why}" for why, count in sorted(self.skipped.items())]
        return "\n".join(lines)


def parse_target(text: str) -> Target:
    """Read ``chroot:PATH``, ``emulated:IMAGE`` or ``ssh:[user@]host[:port]``."""
    kind, _, rest = text.partition(":")
    found = re.fullmatch(
        r"(?:([^@\s]+)@)?(\[[0-9A-Fa-f:.%\w]+\]|[^@:\s\[\]-][^@:\s]*)(?::(\d+))?", rest
    )
    if kind in {"chroot", "emulated"} and rest:
        return Target(level=Level(kind), path=Path(rest).absolute())
    if kind == "ssh" and found and 0 < int(found[3] or 22) < 2**16:
        return Target(
            level=Level.BOARD, user=found[1], host=found[2].strip("[]"), port=int(found[3] or 22)
        )
    raise ConfigError(
        f"--target: '{text}' is no target",
        hint="chroot:FOLDER-OR-IMAGE, emulated:IMAGE or ssh:[user@]host[:port]",
    )


def read_facts(path: Path) -> Facts:
    """Read the manifest that the build wrote beside the image; it may hold other keys too."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        known = {each.name for each in fields(Facts)}
        chosen = {name: value for name, value in values.items() if name in known}
        steps: Mapping[str, str] = values["steps"]  # STAGE/SUB-STAGE, and some that are no stages
        stages = {name.partition("/")[0]: None for name in steps if "/" in name}
        return Facts(**{**chosen, "stages": tuple(stages)})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        message = f"{path} is no manifest of an image: {error}"
        raise ConfigError(message, hint="it lies beside the image that build-image made") from error


def verify(  # noqa: PLR0913  each is a choice of its own
    target: Target,
    manifest: Path,
    *,
    folder: Path,
    key: Path | None = None,
    native_root: Path | None = None,
    twins: Sequence[Path] = (),
    report: Path | None = None,
    select: Sequence[str] = (),
    line: Callable[[str], None] = lambda _: None,
) -> Summary:
    """Run the tests on a target; raise VerifyError naming those that failed.

    ``folder`` gets junit.xml and, of a running board, serial.log and what systemd says of the boot.
    ``native_root``: it has QEMU for an emulated board, fdtoverlay for a chroot. ``twins``: layers
    of native programs to lay over a chroot, for questions whose answer does not depend on who is
    asked; without them the image's own programs answer everything. ``select``: options for pytest.
    A chroot target needs root and a mount namespace of its own.
    """
    folder = folder.absolute()  # an overlay is mounted from another folder
    folder.mkdir(parents=True, exist_ok=True)
    for old in (JUNIT, ABOUT, CARD):
        (folder / old).unlink(missing_ok=True)
    shutil.rmtree(folder / FAILED, ignore_errors=True)
    for kind in (_VIEW, _CLAIMS):
        for killed in folder.glob(f"{kind}*"):  # mounts went with the process that made them
            shutil.rmtree(killed)
    shipped = target.path if target.path is not None and target.path.is_file() else None
    before = files.sha256_file(shipped) if shipped else None
    shares = _SIDE_BY_SIDE if target.level is Level.CHROOT else 1
    options = ["--manifest", str(manifest), "--artifacts", str(folder)]
    options += ["--key", str(key)] if key else []
    options += ["--native-root", str(native_root)] if native_root else []
    try:
        with ExitStack() as stack:
            # Each share of the tests has a view of its own: what one writes no other reads.
            views = [stack.enter_context(_reachable(target, folder, twins)) for _ in range(shares)]
            _run_shares(views, folder, [*options, *select], line)
    finally:
        # Tests that are killed cannot remove their boards' cards themselves.
        for left in folder.rglob(CARD):
            left.unlink()
    if shipped and files.sha256_file(shipped) != before:
        raise VerifyError(f"{shipped} was changed while it was verified", hint="build it again")
    summary = replace(read_junit(folder / JUNIT), speed=_speed(folder))
    if report is not None:
        files.write_whole(report, report_text(summary, target, folder, read_facts(manifest)))
    if summary.failed or not summary.passed:
        raise VerifyError(_complaint(summary, folder), hint=f"all of it: {folder}")
    return summary


def kept(folder: Path, test: str) -> Path:
    """Give the folder of a failed test, which may not be there: of a running board only."""
    return folder / FAILED / re.sub(r"[^\w.-]+", ".", test).strip(".")


def _speed(folder: Path) -> Mapping[str, float] | None:
    """Read the emulator's speed of what tests/image wrote down, if a board was emulated."""
    about = folder / ABOUT
    if not about.exists():
        return None
    speed: Mapping[str, float] | None = json.loads(about.read_text()).get("speed")
    return speed


def read_junit(path: Path) -> Summary:
    """Read pytest's JUnit file."""
    return Summary(results=tuple(_result(case) for case in _parsed(path).iter("testcase")))


def _parsed(path: Path) -> ET.Element:
    try:
        return ET.parse(path).getroot()  # noqa: S314  the file our own pytest has just written
    except (OSError, ET.ParseError) as error:
        raise VerifyError(f"the tests did not end: {path}: {error}") from error


def report_text(summary: Summary, target: Target, folder: Path, facts: Facts) -> str:
    """Write down what a board was and what its tests came to; no name, address or serial number."""
    about = folder / ABOUT
    told = {
        "format": REPORT_FORMAT,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "target": target.level,
        "image": {name: getattr(facts, name) for name in ("board", "arch", "suite", "server")},
        "board": json.loads(about.read_text()) if about.exists() else None,
        "results": [asdict(each) for each in summary.results],
    }
    return json.dumps(told, indent=2) + "\n"


def _run_shares(
    views: Sequence[View], folder: Path, options: Sequence[str], line: Callable[[str], None]
) -> None:
    """Run the tests side by side on targets that are alike; whoever is free takes the next file."""
    if len(views) == 1:
        _run_tests(views[0], folder / JUNIT, options, line)
        return
    parts = [folder / f"share-{number}.xml" for number in range(len(views))]
    with (
        TemporaryDirectory(dir=folder, prefix=_CLAIMS) as claims,
        ThreadPoolExecutor(max_workers=len(views)) as pool,
    ):
        running = [
            pool.submit(_run_tests, view, part, [*options, "--claims", claims], line)
            for view, part in zip(views, parts, strict=True)
        ]
        try:
            for one in running:
                one.result()
        except BaseException:
            # Leaving this block waits for the others.
            end_streams()
            raise
    whole = ET.Element("testsuites")
    for part in parts:
        whole.extend(_parsed(part))
        part.unlink()
    files.write_whole(folder / JUNIT, ET.tostring(whole))


def _run_tests(
    view: View, junit: Path, options: Sequence[str], line: Callable[[str], None]
) -> None:
    """Run pytest on its own: its plugins and its options are not those of our unit tests."""
    command = [
        sys.executable, "-m", "pytest", TESTS, "--override-ini", "addopts=--strict-markers",
        "-p", "no:cacheprovider", "--durations", "5", "--verbose",
        "--junit-xml", str(junit), *view.options,
    ]  # fmt: skip
    settings = {
        "PYTHONPATH": f"{PROJECT}:{PROJECT / 'app'}",
        "PYTHONDONTWRITEBYTECODE": "1",
        # Those of our unit tests take half a second to load.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        # Killed, they leave what is in there; ours is swept.
        "TMPDIR": gettempdir(),
    }
    # ssh finds the caller's own agent and keys by these; a build never sees them.
    names = ("HOME", "SSH_AUTH_SOCK", "CI", "GLOVEBOX_STORE", MEASURE, LONG)
    caller = {name: os.environ[name] for name in names if name in os.environ}
    try:
        stream([*command, *options], line=line, cwd=PROJECT, env={**settings, **caller})
    except CommandError as error:
        # Tests that fail are told from the JUnit file; a share can be of none.
        if error.status not in (_FAILED, _NONE):
            raise VerifyError(f"the tests could not run:\n{error.tail}") from error


@dataclass(frozen=True, kw_only=True)
class View:
    """What a share of the tests asks: a target, and of a chroot also one with native programs."""

    target: Target
    quick: Path | None = None

    @property
    def options(self) -> list[str]:
        """Give the options that name it to the tests."""
        quick = ["--quick-root", str(self.quick)] if self.quick else []
        return ["--target", str(self.target), *quick]


@contextmanager
def _reachable(target: Target, folder: Path, twins: Sequence[Path] = ()) -> Iterator[View]:
    """Turn a chroot target into views that nothing written to survives."""
    if target.level is not Level.CHROOT or target.path is None:
        yield View(target=target)
        return
    if not target.path.exists():
        raise ConfigError(f"{target.path} does not exist", hint="build it: ./invoke build-image")
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory(dir=folder, prefix=_VIEW)))
        for name in ("lower", "boot"):
            (scratch / name).mkdir()
        lower = target.path
        if target.path.is_file():
            start = card.table(target.path).root.start
            # noload: without it even a read-only mount of ext4 replays its journal.
            options = f"loop,ro,noload,offset={start},{GUARDED}"
            lower = stack.enter_context(mount(target.path, scratch / "lower", options=options))
            card.copy_out(target.path, "/", scratch / "boot")
        roots = []
        for name, layers in (("plain", [lower]), *([("quick", [lower, *twins])] if twins else [])):
            own = scratch / name
            for each in ("upper", "root"):
                (own / each).mkdir(parents=True)
            root = stack.enter_context(
                overlay(layers, own / "root", scratch=own, upper=own / "upper")
            )
            if target.path.is_file():
                boot = inside.folder(root, "boot/firmware")
                run(["cp", "--recursive", "--", f"{scratch / 'boot'}/.", boot])
            roots.append(stack.enter_context(chroot_mounts(root)))
        yield View(
            target=Target(level=Level.CHROOT, path=roots[0]),
            quick=roots[1] if twins else None,
        )


def _result(case: ET.Element) -> Result:
    classname = case.get("classname", "").rpartition(".")[2]
    test = f"{classname}::{case.get('name', '')}" if classname else case.get("name", "")
    seconds = float(case.get("time", 0))
    for kind, outcome in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
        found = case.find(kind)
        if found is not None:
            message = (found.get("message") or found.text or "").strip()
            return Result(test=test, outcome=outcome, seconds=seconds, message=message)
    return Result(test=test, outcome="passed", seconds=seconds)


def _complaint(summary: Summary, folder: Path) -> str:
    if not summary.failed:
        return f"no test said anything about this image: {summary}"
    names = []
    for each in summary.failed:
        said = each.message.splitlines()[:_MESSAGE_LINES]
        place = kept(folder, each.test)
        said += [f"kept: {place}"] if place.exists() else []
        names.append("\n    ".join([f"  {each.test}", *said]))
    counted, *_ = str(summary).splitlines()
    return (
        f"{len(summary.failed)} of {len(summary.results)} tests failed:\n"
        + "\n".join(names)
        + f"\n{counted}"
    )
