"""Programs of this machine's own processor, laid over a foreign root while its steps run.

Most of an emulated build goes into interpreters and small tools whose results do not depend on the
processor. Their native twins, of the same suite, become the topmost *lower* layer of a step's
overlay mount: scripts run natively, the upper layer holds only what they changed, and the layer
itself never becomes part of an image. dpkg and apt know their architecture by one word in their
binaries; in these copies it is the target's.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.native import LOADERS, TRIPLETS, host_arch
from glovebox.run import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Where the layer keeps its libraries, and copies of its programs that unpacking cannot hide.
HOME = ".glovebox"
PACKAGES = (
    "apt", "bash", "coreutils", "cpio", "dash", "debianutils", "diffutils", "dpkg", "findutils",
    "grep", "gzip", "hostname", "kmod", "mawk", "passwd", "perl-base", "sed", "tar", "util-linux",
    "xz-utils", "zstd",
)  # fmt: skip
# These answer which machine this is, or belong to a running one.
_TELLS_MACHINE = frozenset({
    "arch", "dpkg-architecture", "ldd", "linux32", "linux64", "lscpu", "nproc", "setarch", "uname",
    "login", "su", "mount", "umount", "unshare", "nsenter", "chsh", "chfn",
})  # fmt: skip
# initramfs-tools copies these into the archive it makes: they must be the target's own.
_COPIED_INTO_INITRAMFS = frozenset({"blkid", "kmod"})
# kmod is many programs in one, told apart by name; this one only reads and writes files.
_DEPMOD = "usr/sbin/depmod"
_KNOWS_ITS_ARCHITECTURE = re.compile(r"dpkg|libapt-pkg")
_PROGRAM = re.compile(r"/(usr/)?s?bin/|/usr/lib/(apt|dpkg)/")
# Debian's compiled-in word, of the same length for every target here.
WORDS = frozenset({"amd64", "arm64", "armel", "armhf"})


def build(tools: Path, target: Path, *, arch: str) -> None:
    """Fill ``target`` with the accelerator layer for ``arch``, taken from the native root ``tools``.

    Every program gets the layer's own loader and library folder written into it (patchelf), so it
    runs whatever C library the root below has.
    """
    libraries = target / HOME / "lib"
    programs = target / HOME / "bin"
    libraries.mkdir(parents=True)
    programs.mkdir()
    loader = LOADERS[host_arch()]
    copied = list(_copy_programs(tools, target))
    needed = _libraries(tools, [path.relative_to(target) for path in copied])
    for path in needed:
        _copy(tools / path.lstrip("/"), libraries / Path(path).name)
    _copy(tools / "usr/lib" / TRIPLETS[host_arch()] / loader, libraries / loader)
    perl = Path("usr/lib") / TRIPLETS[host_arch()] / "perl-base"
    shutil.copytree(tools / perl, target / perl, symlinks=True)

    modules = sorted((target / perl).rglob("*.so"))
    _patch(copied, interpreter=f"/{HOME}/lib/{loader}")
    _patch([*(path for path in sorted(libraries.iterdir()) if path.name != loader), *modules])
    for path in (*copied, *libraries.iterdir()):
        if _KNOWS_ITS_ARCHITECTURE.search(path.name):
            path.write_bytes(path.read_bytes().replace(host_arch().encode(), arch.encode()))
    for path in copied:
        if path.parent.name in ("bin", "sbin"):
            os.link(path, programs / path.name)


def _copy_programs(tools: Path, target: Path) -> Iterator[Path]:
    for name in sorted(set(_installed(tools))):
        source = tools / name
        if source.name in _TELLS_MACHINE | _COPIED_INTO_INITRAMFS:
            continue
        _copy(source, target / name)
        yield target / name
    _copy(tools / "usr/bin/kmod", target / _DEPMOD)
    yield target / _DEPMOD


def _installed(tools: Path) -> Iterator[Path]:
    for package in PACKAGES:
        info = tools / "var/lib/dpkg/info"
        for listing in (info / f"{package}.list", info / f"{package}:{host_arch()}.list"):
            if not listing.exists():
                continue
            for line in listing.read_text().splitlines():
                if not _PROGRAM.match(line):
                    continue
                # Older packages still list /bin and /sbin, which are links to /usr.
                path = Path(line.lstrip("/"))
                if path.parts[0] != "usr":
                    path = "usr" / path
                if _is_program(tools / path):
                    yield path


def _is_program(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _libraries(tools: Path, programs: Sequence[Path]) -> list[str]:
    said = run(["chroot", tools, "ldd", *(f"/{path}" for path in programs)]).stdout
    return sorted(set(re.findall(r"=> (/\S+)", said)))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)  # what a link points to, under the link's name
    target.chmod(target.stat().st_mode | 0o200)


def _patch(paths: Sequence[Path], *, interpreter: str | None = None) -> None:
    words = ["--force-rpath", "--set-rpath", f"/{HOME}/lib"]
    if interpreter is not None:
        words += ["--set-interpreter", interpreter]
    if paths:
        run(["patchelf", *words, "--", *paths])
