"""Other hosts than this one: this checkout, cloned and tried in roots of other machines.

A root is no machine: it has the kernel, the devices and the emulators of this one, and everything
else of its own: Python, apt, mmdebstrap, every program that a build starts.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.errors import VerifyError
from glovebox.host import chroot, mounts
from glovebox.host.arch import require_emulation
from glovebox.host.run import PATH, CommandError, run, stream
from glovebox.lock import apt
from glovebox.store.store import Store, default_root
from glovebox.trials import elsewhere
from glovebox.trials.parts import Part, choose, try_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from glovebox.host.monitor import Monitor

WORD = "hosts"
HOME = Path("root")
CLONE = HOME / "glovebox"
STORE = HOME / ".cache/glovebox"
# What the README asks of a fresh machine; the certificates are pip's.
FRESH = ("ca-certificates", "git", "python3")
# Installed and used under emulation, what only other tests want would take an hour.
SMALL_TESTS = ("bmap-tools", "dosfstools", "openssl", "util-linux-extra")
# A network that lets nobody out unasked tells so in the caller's environment, and in these places.
_PASSED_ON = ("PIP_", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY")
_OF_THE_NETWORK = ("etc/pip.conf", "root/.config/pip/pip.conf", "usr/local/share/ca-certificates")


@dataclass(frozen=True, kw_only=True)
class Guest:
    """A root that stands for a host: what it is, and what is tried there, word by word."""

    name: str
    suite: str
    arch: str
    packages: tuple[str, ...] = ()
    tried: tuple[tuple[str, tuple[str, ...]], ...]


GUESTS = (
    Guest(
        name="debian-13",
        suite="trixie",
        arch="amd64",
        tried=(
            ("quick", ("setup", "--tests", "test", "--quick")),
            ("doctor", ("doctor",)),
            ("build", ("build-image",)),
        ),
    ),
    Guest(
        name="arm64",
        suite="trixie",
        arch="arm64",
        packages=SMALL_TESTS,
        tried=(
            ("doctor", ("setup", "doctor")),
            ("plan", ("plan",)),
            ("unit", ("test", "--quick", "--only", "unit")),
        ),
    ),
)


def try_hosts(monitor: Monitor, checkout: Path, *, only: Sequence[str] = ()) -> None:
    """Make each root and try the checkout there; raises VerifyError that names what failed."""
    store = Store(root=default_root()).open(monitor.say)
    changed = run(["git", "status", "--porcelain"], cwd=checkout).stdout
    if changed:
        monitor.say("what is tried is the last commit: what is not committed is left out")
    with elsewhere.workplace(store, WORD) as work:
        parts = parts_in(monitor, checkout, store, work)
        try_all(monitor, choose(parts, only=only), again=_again)
        # Of a run that failed it stays, to look at. Never past a mount, should one be left.
        run(["rm", "--recursive", "--force", "--one-file-system", "--", work])


def parts_in(monitor: Monitor, checkout: Path, store: Store, work: Path) -> list[Part]:
    """Give what is tried, root by root."""
    parts: list[Part] = []
    for guest in GUESTS:
        root = work / guest.name
        made = Part(name=guest.name, run=partial(_make, monitor, checkout, store, root, guest))
        parts.append(made)
        parts += [
            Part(
                name=f"{guest.name}-{what}",
                run=partial(_try, monitor, root, guest, f"{guest.name}-{what}", words),
                needs=(guest.name,),
            )
            for what, words in guest.tried
        ]
    return parts


def _again(name: str) -> str:
    return f"./invoke test --hosts --only {name}"


def _make(monitor: Monitor, checkout: Path, store: Store, root: Path, guest: Guest) -> None:
    """Make a root as a fresh machine is, with a clone, and with what was downloaded already."""
    require_emulation(guest.arch)
    mirror = apt.host_mirror().main
    with monitor.step(guest.name, f"Debian {guest.suite} for {guest.arch}") as line:
        stream(
            [
                "mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory",
                f"--architectures={guest.arch}", f"--include={','.join((*FRESH, *guest.packages))}",
                guest.suite, root, f"deb [signed-by={apt.KEYRING}] {mirror} {guest.suite} main",
            ],
            line=line,
            env=chroot.emulator_settings(guest.arch),
        )  # fmt: skip
        _join_network(root)
        run(["git", "clone", "--quiet", "--no-local", "--", checkout, root / CLONE])
        elsewhere.share_downloads(store, Store(root=root / STORE).open())


def _join_network(root: Path) -> None:
    """Let a root reach what this machine reaches."""
    for name in _OF_THE_NETWORK:
        source, target = Path("/") / name, root / name
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    with entered(root) as inside:
        run([*inside, "update-ca-certificates"])


def _try(monitor: Monitor, root: Path, guest: Guest, name: str, words: Sequence[str]) -> None:
    """Do in a root what a person would; raises VerifyError with the last lines of it."""
    said: list[str] = []
    env = environment(os.environ) | chroot.emulator_settings(guest.arch)
    try:
        with monitor.step(name, f"./invoke {' '.join(words)}") as line, entered(root) as inside:

            def keep(text: str) -> None:
                said.append(text)
                line(text)

            clone = f"--chdir=/{CLONE}"
            stream([*inside, "env", clone, "./invoke", *words], line=keep, env=env)
    except CommandError as error:
        raise VerifyError("\n".join(said[-60:])) from error
    for text in said:
        if text.startswith("SKIPPED"):
            monitor.say(f"      {text}")
    if said:
        monitor.say(f"      {said[-1].strip()}")


def environment(caller: Mapping[str, str]) -> dict[str, str]:
    """Give what commands in a root are told: of the caller's own, how to reach a network."""
    passed = {name: value for name, value in caller.items() if name.startswith(_PASSED_ON)}
    # With CI a test fails that would have been skipped for want of a program. What is skipped for
    # another reason is named.
    return {**passed, "PATH": PATH, "CI": "true", "PYTEST_ADDOPTS": "-rs"}


@contextmanager
def entered(root: Path) -> Iterator[list[str]]:
    """Give the words that start a program in a root, with what a privileged container has.

    That is a /proc of its processes, /sys, and all devices: a build mounts, and uses loop devices.
    Its /tmp lies in RAM, as Debian 13 has it.
    """
    with ExitStack() as stack:
        # The root of a mount namespace has to be a mount.
        stack.enter_context(mounts.bind(root, root))
        stack.enter_context(mounts.mount("proc", root / "proc", kind="proc"))
        stack.enter_context(mounts.mount("sysfs", root / "sys", kind="sysfs"))
        # By itself, without what is mounted below it: that is let go of as easily.
        dev = stack.enter_context(mounts.bind(Path("/dev"), root / "dev"))
        terminals = "newinstance,ptmxmode=666,mode=620,gid=5"
        stack.enter_context(mounts.mount("devpts", dev / "pts", kind="devpts", options=terminals))
        stack.enter_context(mounts.mount("tmpfs", dev / "shm", kind="tmpfs", options="mode=1777"))
        stack.enter_context(mounts.mount("tmpfs", root / "tmp", kind="tmpfs", options="mode=1777"))
        yield ["chroot", os.fspath(root)]
