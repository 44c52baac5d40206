"""Resolve and fetch wheels for the board's Python, through the pip of this machine.

pip is asked as its owner set it up: index, proxy, certificates and credentials are those of its own
configuration. So what is locked is name, version, file name and sum, and no address: another
machine takes the same file from wherever its own pip does.

pip chooses files for another Python and processor (`--platform`), but it reads the conditions of
what depends on what (`; platform_machine == "aarch64"`) for the machine it runs on. So these are
read again here, for the board, and pip is asked once more where that makes a difference.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping  # noqa: TC003  a dataclass field's hint
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from glovebox.errors import LockError
from glovebox.host import files
from glovebox.host.arch import ARCHES
from glovebox.host.run import CommandError, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# The oldest C library that wheels are made for: manylinux2014.
_OLDEST_GLIBC = 17
_ROUNDS = 8
# What pip, and what it uses, reads of its caller's environment.
_PIPS = re.compile(
    r"HOME|XDG_CONFIG_HOME|XDG_CONFIG_DIRS|XDG_CACHE_HOME|NETRC|PIP_\w+"
    r"|(?i:https?_proxy|all_proxy|no_proxy)|SSL_CERT_(?:FILE|DIR)|(?:REQUESTS|CURL)_CA_BUNDLE"
)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What one list of a sub-stage asks for."""

    name: str
    requirements: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """One locked wheel."""

    name: str
    version: str
    file: str
    sha256: str

    @property
    def identity(self) -> str:
        """Name, version and sum: all that decides what it installs."""
        return f"{self.name}=={self.version}@{self.sha256}"


@dataclass(frozen=True, kw_only=True)
class Python:
    """The interpreter on the board, as far as it decides which wheels fit."""

    version: str  # 3.13.5
    glibc: tuple[int, int]
    arch: str  # Debian's

    @property
    def short(self) -> str:
        """Its version as folders and tags have it: 3.13."""
        return ".".join(self.version.split(".")[:2])

    @property
    def machine(self) -> str:
        """What `uname -m` says on the board."""
        return ARCHES[self.arch].wheels or "armv6l"

    def platforms(self) -> tuple[str, ...]:
        """Give the platform tags of wheels that run there, the newest first."""
        if not ARCHES[self.arch].wheels:
            return ("any",)  # nobody compiles wheels for it: those of Python alone
        major, minor = self.glibc
        newest = [f"manylinux_{major}_{one}" for one in range(minor, _OLDEST_GLIBC - 1, -1)]
        return tuple(f"{tag}_{self.machine}" for tag in (*newest, "manylinux2014", "linux"))

    def markers(self) -> dict[str, str]:
        """Give what the conditions of a requirement are read with (PEP 508)."""
        return {
            "implementation_name": "cpython",
            "implementation_version": self.version,
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": self.version,
            "python_version": self.short,
            "sys_platform": "linux",
        }


@dataclass(frozen=True, kw_only=True)
class Locked:
    """The wheels of an image, and the Python they are for."""

    python: Python
    # list → the wheels that it adds
    lists: Mapping[str, tuple[Wheel, ...]]

    def all(self) -> tuple[Wheel, ...]:
        """Give every wheel, in the order of installation."""
        return tuple(one for group in self.lists.values() for one in group)


def again(data: Mapping[str, Any]) -> Locked:
    """Read what was written as JSON."""
    python = data["python"]
    return Locked(
        python=Python(**{**python, "glibc": tuple(python["glibc"])}),
        lists={name: tuple(Wheel(**one) for one in group) for name, group in data["lists"].items()},
    )


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A wheel that pip chose, and what that one depends on."""

    wheel: Wheel
    requires: tuple[Requirement, ...] = ()


class Ask(Protocol):
    """Asks for all of ``words`` together, with the versions in ``pins`` where they are taken."""

    def __call__(self, words: Sequence[str], pins: Sequence[str]) -> Mapping[str, Offer]:
        """Give what was chosen, by name."""


def python_of(versions: Mapping[str, str], arch: str) -> Python:
    """Give the Python that an image has, by the versions of its packages; raises LockError."""
    found = {
        name: re.match(r"(?:\d+:)?(\d+\.\d+(?:\.\d+)*)", versions.get(name, ""))
        for name in ("python3-minimal", "libc6")
    }
    python, glibc = found["python3-minimal"], found["libc6"]
    if python is None or glibc is None:
        raise LockError(
            "NN-wheels: no stage installs python3, so nothing could import them",
            hint="name python3 in an NN-packages list, or take the stage python before",
        )
    major, minor = map(int, glibc[1].split(".")[:2])
    return Python(version=python[1], glibc=(major, minor), arch=arch)


def resolve(wanted: Sequence[Wanted], python: Python, *, ask: Ask | None = None) -> Locked:
    """Give for each list the wheels that it adds to those of the lists before it.

    Raises LockError naming the list that cannot be had.
    """
    asking = ask or _by_pip(python)
    there: dict[str, Wheel] = {}
    found: dict[str, tuple[Wheel, ...]] = {}
    for one in wanted:
        pins = [f"{wheel.name}=={wheel.version}" for wheel in there.values()]
        try:
            chosen = _closed(one.requirements, python, partial(asking, pins=pins))
        except LockError as error:
            raise LockError(f"{one.name}: {error.message}", hint=error.hint) from error
        found[one.name] = tuple(wheel for name, wheel in chosen.items() if name not in there)
        there.update(chosen)
    return Locked(python=python, lists=found)


def _closed(
    words: Sequence[str], python: Python, ask: Callable[[Sequence[str]], Mapping[str, Offer]]
) -> dict[str, Wheel]:
    """Give what the requirements need on the board, and nothing else, by name."""
    first = [Requirement(word) for word in words]
    asked = {_plain(one): one for one in first if _holds(one, python)}
    for _ in range(_ROUNDS):
        offers = ask(list(asked)) if asked else {}
        reached, lacking = _reach(list(asked.values()), offers, python)
        if not lacking:
            return {name: offers[name].wheel for name in sorted(reached)}
        asked.update({_plain(one): one for one in lacking})
    said = ", ".join(_plain(one) for one in lacking)
    raise LockError(f"pip finds no set of wheels with {said}")


def _reach(
    first: Sequence[Requirement], offers: Mapping[str, Offer], python: Python
) -> tuple[set[str], list[Requirement]]:
    """Follow what depends on what, for the board; give what is reached, and what pip left out."""
    lacking: list[Requirement] = []
    seen: dict[str, set[str]] = {}
    waiting = list(first)
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        offer = offers.get(name)
        if offer is None or not one.specifier.contains(offer.wheel.version, prereleases=True):
            lacking.append(one)
            continue
        new = {"", *one.extras} - seen.get(name, set())
        seen.setdefault(name, set()).update(new)
        waiting += [each for each in offer.requires for extra in new if _holds(each, python, extra)]
    return set(seen), lacking


def _holds(one: Requirement, python: Python, extra: str = "") -> bool:
    return one.marker is None or one.marker.evaluate({**python.markers(), "extra": extra})


def _plain(one: Requirement) -> str:
    """Give a requirement without its condition, which was read."""
    extras = f"[{','.join(sorted(one.extras))}]" if one.extras else ""
    return f"{one.name}{extras}{one.specifier}"


def _by_pip(python: Python) -> Ask:
    def ask(words: Sequence[str], pins: Sequence[str]) -> Mapping[str, Offer]:
        with tempfile.TemporaryDirectory(prefix="glovebox-wheels-") as name:
            folder = Path(name)
            report, constraints = folder / "report.json", folder / "constraints.txt"
            constraints.write_text("".join(f"{pin}\n" for pin in pins))
            _pip(
                [
                    "install", "--dry-run", "--ignore-installed", "--report", report,
                    "--constraint", constraints, "--target", folder / "none",
                    *_for_board(python), "--", *words,
                ],
                python,
            )  # fmt: skip
            return offers_in(json.loads(report.read_text()))

    return ask


def offers_in(report: Mapping[str, Any]) -> dict[str, Offer]:
    """Read the report of `pip install --dry-run`, by the names that compare equal."""
    found: dict[str, Offer] = {}
    for entry in report["install"]:
        meta, info = entry["metadata"], entry["download_info"]
        archive = info.get("archive_info", {})
        kind, _, told = str(archive.get("hash", "")).partition("=")
        sha256 = archive.get("hashes", {}).get("sha256") or (told if kind == "sha256" else "")
        if not sha256:
            raise LockError(
                f"the index of pip gives no sha256 of {meta['name']} {meta['version']}",
                hint="every file is pinned by its sum: use an index that gives them (pip config)",
            )
        name = canonicalize_name(meta["name"])
        found[name] = Offer(
            wheel=Wheel(
                name=name,
                version=meta["version"],
                file=info["url"].partition("#")[0].rpartition("/")[2],
                sha256=sha256,
            ),
            requires=tuple(Requirement(one) for one in meta.get("requires_dist", ())),
        )
    return found


def fetch(wheels: Sequence[Wheel], python: Python, folder: Path) -> None:
    """Bring wheels into ``folder``, each under its sum; what is there is not asked for."""
    missing = [one for one in wheels if not (folder / one.sha256).exists()]
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as name:
        came = Path(name)
        pinned = came / "wanted.txt"
        pinned.write_text(
            "".join(f"{one.name}=={one.version} --hash=sha256:{one.sha256}\n" for one in missing)
        )
        _pip(
            [
                "download", "--no-deps", "--require-hashes", "--requirement", pinned,
                "--dest", came / "files", *_for_board(python),
            ],
            python,
        )  # fmt: skip
        for path in (came / "files").iterdir():
            digest = files.sha256_file(path)
            files.fsync(path)
            path.rename(folder / digest)
        files.fsync_folder(folder)
    gone = [one.file for one in missing if not (folder / one.sha256).exists()]
    if gone:
        raise LockError(f"pip did not bring {', '.join(gone)}", hint="./invoke lock asks again")


def _for_board(python: Python) -> list[str]:
    platforms = [word for one in python.platforms() for word in ("--platform", one)]
    # Nothing is compiled: a board's Python could not be asked how.
    return [
        "--only-binary", ":all:", "--implementation", "cp", "--python-version", python.short,
        *platforms,
    ]  # fmt: skip


def _pip(words: Sequence[str | os.PathLike[str]], python: Python) -> None:
    env = {name: value for name, value in os.environ.items() if _PIPS.fullmatch(name)}
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-color"]
    try:
        run([sys.executable, "-m", "pip", words[0], *quiet, *words[1:]], env=env)
    except CommandError as error:
        raise _explained(error, python) from error


def _explained(error: CommandError, python: Python) -> LockError:
    """Say in plain words what pip says; addresses in it may hold credentials, and are left out."""
    said = re.sub(r"\S+://\S+", "…", error.tail)
    lines = [line for line in said.splitlines() if line.startswith("ERROR:")] or said.splitlines()
    for line in lines:
        found = re.search(r"No matching distribution found for (.+)", line)
        if found:
            return LockError(
                f"there is no wheel of {found[1].strip()} for Python {python.short} on"
                f" {python.arch} (C library {'.'.join(map(str, python.glibc))})",
                hint="another version, a package of the suite (NN-packages), or compile it"
                " (NN-on-tools.sh); what pip says: pip download --no-deps --only-binary :all:"
                f" --python-version {python.short} --platform {python.platforms()[0]} NAME",
            )
    return LockError(
        "pip cannot resolve or fetch the wheels:\n  " + "\n  ".join(lines[:8]),
        hint="it is this machine's pip, with its own configuration: pip config list",
    )
