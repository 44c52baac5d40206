"""Programs of this machine's own processor, laid over a foreign root while its steps run.

Most of an emulated build goes into interpreters and small tools whose results do not depend on the
processor. Their native twins, of the same suite, become the topmost *lower* layer of a step's
overlay mount: scripts run natively, the upper layer holds only what they changed, and the layer
itself never becomes part of an image. Only programs that the root below has are shown, so what a
script finds does not depend on the accelerator. dpkg and apt know their architecture by one word in
their binaries; in these copies it is the target's.

A result in the store has two folders: `home` is laid over the root as it is (libraries, and in
`/.glovebox` the loader and copies that unpacking cannot hide), `twins` holds the programs at their
paths.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.host import chroot
from glovebox.host.arch import ARCHES, host_arch
from glovebox.host.run import PATH as SYSTEM_PATH, run
from glovebox.plan.plan import ACCELERATOR_PACKAGES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HOME = ".glovebox"
# Its first folder cannot be hidden by what is unpacked below it.
PATH = f"/{HOME}/bin:{SYSTEM_PATH}"
# These answer which machine this is, or belong to a running one.
_TELLS_MACHINE = frozenset({
    "arch", "dpkg-architecture", "ldd", "linux32", "linux64", "lscpu", "nproc", "setarch", "uname",
    "login", "su", "mount", "umount", "unshare", "nsenter", "chsh", "chfn",
})  # fmt: skip
# initramfs-tools copies these into the archive it makes: they must be the target's own.
_COPIED_INTO_INITRAMFS = frozenset({"blkid", "kmod"})
# kmod is many programs in one, told apart by name; this one only reads and writes files.
_DEPMOD = Path("usr/sbin/depmod")
# Python tells scripts which machine it runs on (pip chooses by that), so it is a twin only while
# packages are configured, which is when it compiles bytecode.
_PYTHON = re.compile(r"python3\.\d+")
# What the configuring dpkg needs besides.
_HOME_ONLY = ("usr/bin/mount", "usr/bin/unshare")
_KNOWS_ITS_ARCHITECTURE = re.compile(r"dpkg|libapt-pkg")
_PROGRAM = re.compile(r"/(usr/)?s?bin/|/usr/lib/(apt|dpkg)/")

# apt runs this as dpkg. Packages hide twins when they are unpacked; before they are configured, the
# hidden ones are laid over them again, in a mount namespace that ends with this dpkg.
_DPKG = f"""\
#!/{HOME}/bin/dash
case " $* " in
  *" --configure "*) exec /{HOME}/bin/unshare --mount /{HOME}/bin/dash /{HOME}/configure "$@" ;;
esac
exec /{HOME}/bin/dpkg "$@"
"""
_CONFIGURE = f"""\
while read -r path; do
  twin="/{HOME}/bin/${{path##*/}}"
  if [ -f "$path" ] && [ ! "$path" -ef "$twin" ]; then
    /{HOME}/bin/mount --bind "$twin" "$path"
  fi
done </{HOME}/hidden
exec /{HOME}/bin/dpkg "$@"
"""


def build(tools: Path, target: Path, *, arch: str) -> None:
    """Fill ``target`` with the accelerator for ``arch``, taken from the native root ``tools``.

    Libraries keep their own paths: those carry the processor's name, so nothing of the target's is
    in the way. The loader lies in ``HOME``.
    """
    twins, home = target / "twins", target / "home"
    programs = home / HOME / "bin"
    for folder in (twins, programs):
        folder.mkdir(parents=True)
    copied = list(_copy_programs(tools, twins))
    for name in _HOME_ONLY:
        _copy(tools / name, programs / Path(name).name)
    paths = [path.relative_to(twins) for path in copied]
    libraries = home / "usr/lib" / ARCHES[host_arch()].triplet
    for name in _libraries(tools, [*paths, *(Path(name) for name in _HOME_ONLY)]):
        _copy(tools / name.lstrip("/"), libraries / Path(name).name)
    triplet = ARCHES[host_arch()].triplet
    _copy(tools / "usr/lib" / triplet / ARCHES[host_arch()].loader, home / HOME / "loader")
    perl = Path("usr/lib") / ARCHES[host_arch()].triplet / "perl-base"
    shutil.copytree(tools / perl, home / perl, symlinks=True)

    for path in (*copied, *libraries.iterdir()):
        if _KNOWS_ITS_ARCHITECTURE.search(path.name):
            _rewrite(path, host_arch(), arch)
    for path in (*copied, *(programs / Path(name).name for name in _HOME_ONLY)):
        _name_loader(path)
    for path in copied:
        if path.parent.name in ("bin", "sbin"):
            os.link(path, programs / path.name)
    (home / HOME / "hidden").write_text(
        "".join(f"/{path}\n" for path in paths if path.parent.name in ("bin", "sbin"))
    )
    (home / HOME / "dpkg").write_text(_DPKG)
    (home / HOME / "dpkg").chmod(0o755)
    (home / HOME / "configure").write_text(_CONFIGURE)
    for visited, _, _ in os.walk(home):
        # The merged root shows the attributes of the topmost layer that has a folder.
        Path(visited).chmod(0o755)


def _rewrite(path: Path, word: str, other: str) -> None:
    """Replace a word in a binary by one of the same length."""
    _replace(path, path.read_bytes().replace(word.encode(), other.encode()))


def _replace(path: Path, data: bytes) -> None:
    """Give a file other bytes; its time stays, since update-alternatives gives it to links."""
    status = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _name_loader(path: Path) -> None:
    """Let a program ask for the loader inside ``HOME``, in place and with its time kept.

    Where the kernel looks for it usually is a folder of its own at the top, which the target has
    not: mkinitramfs would make one like it. The kernel wants a zero at the end of the path's field
    and takes as many as there are.
    """
    usual = ARCHES[host_arch()].interpreter.encode()
    data = path.read_bytes()
    if usual + b"\0" in data:
        own = f"/{HOME}/loader".encode().ljust(len(usual), b"\0")
        _replace(path, data.replace(usual + b"\0", own + b"\0", 1))


def lay_over(built: Path, lower: Sequence[Path], folder: Path) -> list[Path]:
    """Give the layers that accelerate a root made of the layers ``lower``, lowest first.

    ``folder`` is filled with hard links to the twins of those programs that the root has.
    """
    twins = built / "twins"
    folder.mkdir()
    for source, _, names in os.walk(twins):
        inside = Path(source).relative_to(twins)
        (folder / inside).mkdir(exist_ok=True)
        (folder / inside).chmod(0o755)
        for name in names:
            path = inside / name
            if not _PYTHON.fullmatch(name) and _has(lower, path):
                os.link(Path(source) / name, folder / path)
    return [built / "home", folder]


def _has(lower: Sequence[Path], path: Path) -> bool:
    """Tell whether the merged layers have a plain file at ``path``."""
    for tree in reversed(lower):
        found = tree / path
        if os.path.lexists(found):
            return found.is_file() and not found.is_symlink()
    return False


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
    info = tools / "var/lib/dpkg/info"
    # The interpreter lies in a package with its version in its name.
    pythons = [path.stem for path in info.glob("python3.*-minimal.list")]
    for package in (*ACCELERATOR_PACKAGES, *pythons):
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
    said = run(chroot.command(tools, ["ldd", *(f"/{path}" for path in programs)])).stdout
    return sorted(set(re.findall(r"=> (/\S+)", said)))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)  # what a link points to, under the link's name
    target.chmod(target.stat().st_mode | 0o200)
