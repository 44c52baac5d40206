"""Look at the machine before a build does: everything it lacks at once, each with its cure."""

from __future__ import annotations

import os
import platform
import re
import shutil
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.boards.boards import BOARDS
from glovebox.errors import GloveboxError, HostError
from glovebox.host import files, sandbox
from glovebox.host.arch import ARCHES, HANDLERS, builds_here, is_foreign
from glovebox.host.run import PATH, CommandError, run
from glovebox.lock import apt
from glovebox.store.store import UNFIT, Store, default_root
from glovebox.verify import gpsd_logs, jars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glovebox.host.monitor import Monitor

# What a build, a boot and a verification start on the host, by the Debian package that brings it.
PROGRAMS = {
    "apt-get": "apt",
    "arch-test": "arch-test",
    "gpgv": "gpgv",
    "mcopy": "mtools",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
    "qemu-arm-static": "qemu-user-static",
    "resize2fs": "e2fsprogs",
    "sfdisk": "fdisk",
    "ssh": "openssh-client",
    "unshare": "util-linux",
    "update-binfmts": "binfmt-support",
    "xz": "xz-utils",
    "zstd": "zstd",
}
# Those without which no build comes far; the others are for some, or come with a native root.
_OF_EVERY_BUILD = ("apt-get", "gpgv", "mmdebstrap", "unshare")
KEYRING_PACKAGE = "debian-archive-keyring"
# For `invoke lint` and the tests alone: the service is tested with real parts on the host, too.
# The JRE and Maven bring its broker; MariaDB is the server without its service. The last six are
# the libraries of the loop that `bench` compares the service with.
TEST_PACKAGES = (
    "bmap-tools", "chromium", "default-jre-headless", "dosfstools", "gpsd",
    "mariadb-client-core", "mariadb-server-core", "maven", "minisign", "openssl", "redis-server",
    "shellcheck",
    "util-linux-extra",
    "python3-colorlog", "python3-dateutil", "python3-gps", "python3-jsonpickle", "python3-redis",
    "wireless-tools",
)  # fmt: skip
_POLICY = Path("/usr/sbin/policy-rc.d")
BINFMT = Path("/proc/sys/fs/binfmt_misc")
ROOM_GB = 8
# No build can be older than the code that makes it: 2026-01-01.
_NOT_BEFORE = 1_767_225_600


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    what: str
    good: bool
    cure: str = ""

    def as_json(self) -> dict[str, object]:
        """Give it for `--json`."""
        return asdict(self)


def examine(store: Store) -> list[Check]:
    """Look at everything; nothing is changed."""
    return [*_machine(), *_programs(), *_emulation(), *_store(store), *_archive()]


def examine_store(store: Store) -> list[Check]:
    """Look at every result and download in the store; reads all downloads."""
    found: list[Check] = []
    layers = list(store.layers())
    for layer in layers:
        if not store.is_intact(layer):
            name = layer.meta.get("name", layer.key)
            what = f"the result of {name} ({layer.key[:12]}) is damaged"
            cure = "the next build that needs it makes it again"
            found.append(Check(what=what, good=False, cure=cure))
    downloads = [
        path
        for name in ("debs", "sources", "wheels")
        for path in sorted((store.root / name).glob("[!.]*"))
    ]
    for path in downloads:
        if files.sha256_file(path) != path.name:
            what = f"the download {path} is damaged"
            found.append(Check(what=what, good=False, cure=f"rm {path}"))
    whole = len(layers) + len(downloads) - len(found)
    return [Check(what=f"{whole} results and downloads are whole", good=True), *found]


def set_up(monitor: Monitor, *, tests: bool) -> None:
    """Install what is missing and register the emulators; raises HostError with apt's words."""
    sandbox.require_root("setup")
    wanted = sorted({KEYRING_PACKAGE, *PROGRAMS.values(), *(_test_packages() if tests else ())})
    missing = [package for package in wanted if not _installed(package)]
    if missing:
        with monitor.step("packages", f"installing {' '.join(missing)}"):
            env = {"DEBIAN_FRONTEND": "noninteractive"}
            try:
                run(["apt-get", "--quiet", "update"], env=env)
                with _no_service_starts():
                    run(
                        ["apt-get", "--quiet", "--yes", "install", "--no-install-recommends",
                         *missing],
                        env=env,
                    )  # fmt: skip
            except CommandError as error:
                raise HostError(
                    f"apt could not install {' '.join(missing)}:\n{error.tail}"
                ) from error
    if tests:
        with monitor.step("broker", "fetching Apache Kafka by Maven"):
            jars.fetch(default_root())
        with monitor.step("receivers", "fetching the logs of gpsd's source package"):
            gpsd_logs.fetch(default_root())
    with monitor.step("emulation", "registering the emulators with the kernel"):
        _register()


def _test_packages() -> tuple[str, ...]:
    """Give what the tests need; a Node of another origin brings npm and bears no second one."""
    return TEST_PACKAGES if shutil.which("npm") else (*TEST_PACKAGES, "npm")


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Keep packages from starting their services while they are installed."""
    if _POLICY.exists():  # the machine has a policy of its own
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def _register() -> None:
    if not (BINFMT / "register").exists():
        if shutil.which("modprobe", path=PATH):  # in a container there is none, nor need for it
            run(["modprobe", "binfmt_misc"], check=False)
        try:
            run(["mount", "--types", "binfmt_misc", "binfmt_misc", BINFMT])
        except CommandError as error:
            raise HostError(
                f"binfmt_misc cannot be mounted: {error.tail}",
                hint="in a container, mount it on the machine outside: mount -t binfmt_misc"
                f" binfmt_misc {BINFMT}",
            ) from error
    for handler in HANDLERS:
        if not (BINFMT / handler).exists():
            run(["update-binfmts", "--enable", handler], check=False)


def lacking() -> list[str]:
    """Give a sentence for each program of every build that this machine lacks."""
    return [
        f"this machine lacks {program}: apt-get install {PROGRAMS[program]}"
        for program in _OF_EVERY_BUILD
        if shutil.which(program, path=PATH) is None
    ]


def _machine() -> Iterator[Check]:
    known = builds_here()
    yield Check(what=f"processor {platform.machine()}", good=known, cure="build on x86-64 or arm64")
    yield Check(what="run as root", good=os.geteuid() == 0, cure="sudo ./invoke …")
    now = time.time()
    yield Check(
        what=f"clock {time.strftime('%Y-%m-%d %H:%M', time.gmtime(now))} UTC",
        good=now > _NOT_BEFORE,
        cure="set it: timedatectl set-ntp true; signatures and file times depend on it",
    )
    if os.geteuid() == 0:
        command = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "true"]
        works = run(command, check=False).returncode == 0
        yield Check(
            what="own namespaces", good=works, cure="allow them in the container that runs this"
        )
    yield Check(
        what="overlayfs",
        good="\toverlay\n" in Path("/proc/filesystems").read_text(),
        cure="modprobe overlay",
    )
    if os.geteuid() == 0:
        yield Check(
            what="loop devices",
            good=run(["losetup", "--find"], check=False).returncode == 0,
            cure="modprobe loop",
        )


def _programs() -> Iterator[Check]:
    for program, package in PROGRAMS.items():
        there = shutil.which(program, path=PATH) is not None
        yield Check(what=program, good=there, cure=f"apt-get install {package}")


def _emulation() -> Iterator[Check]:
    for arch in dict.fromkeys(board.arch for board in BOARDS.values()):
        if is_foreign(arch):
            yield from _handler(arch)


def _handler(arch: str) -> Iterator[Check]:
    handler = ARCHES[arch].handler
    entry = BINFMT / handler
    cure = "./invoke setup"
    if not entry.exists():
        yield Check(what=f"{handler} is not registered", good=False, cure=cure)
        return
    told = entry.read_text()
    # F: the emulator is opened when it is registered, so a chroot needs no copy of it.
    flags = re.search(r"^flags: (\w*)", told, re.MULTILINE)
    fixed = flags is not None and "F" in flags[1] and told.startswith("enabled")
    yield Check(
        what=f"{handler} registered with flag F",
        good=fixed,
        cure=f"update-binfmts --disable {handler}; apt-get install --reinstall"
        " qemu-user-static; ./invoke setup",
    )
    if shutil.which("arch-test", path=PATH) is not None:
        runs = run(["arch-test", arch], check=False).returncode == 0
        yield Check(what=f"a program of {arch} runs", good=runs, cure=cure)


def _store(store: Store) -> Iterator[Check]:
    folder = store.root
    while not folder.exists():
        folder = folder.parent
    kind = run(["stat", "--file-system", "--format=%t", folder]).stdout.strip()
    unfit = UNFIT.get(int(kind, 16))
    yield Check(
        what=f"store {store.root} on {unfit or 'a fit file system'}",
        good=unfit is None,
        cure="set GLOVEBOX_STORE to a folder on ext4, xfs or btrfs",
    )
    free = shutil.disk_usage(folder).free / 1e9
    yield Check(
        what=f"{free:.0f} GB free in the store",
        good=free >= ROOM_GB,
        cure=f"a build of two boards takes {ROOM_GB} GB; make room, or: ./invoke clean",
    )


def _archive() -> Iterator[Check]:
    yield Check(
        what="Debian's archive keys",
        good=apt.KEYRING.exists(),
        cure=f"apt-get install {KEYRING_PACKAGE}",
    )
    try:
        mirror = apt.host_mirror()
    except GloveboxError as error:
        yield Check(what=error.message, good=False, cure=error.hint or "")
    else:
        yield Check(what=f"mirror {mirror.main}", good=True)


def _installed(package: str) -> bool:
    said = run(["dpkg-query", "--show", "--showformat=${Status}", package], check=False).stdout
    return said.endswith(" installed")
