"""Use programs of a native root: a tree of the target's suite for this machine's own processor.

mke2fs, mtools, sfdisk, the cross compilers and QEMU come from there, so the bytes they make do not
depend on what the host has installed.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glovebox.errors import HostError
from glovebox.host import mounts
from glovebox.host.arch import ARCHES, host_arch
from glovebox.host.run import PATH, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Root:
    """A native root file system."""

    tree: Path

    def command(self, program: str) -> list[str]:
        """Give the words that start a program of this root on the host's own file system.

        The root's own loader starts it, so neither a chroot nor the right to make one is needed.
        """
        libraries = self.tree / "usr/lib" / ARCHES[host_arch()].triplet
        for folder in ("usr/sbin", "usr/bin"):
            found = self.tree / folder / program
            if found.exists():
                return [
                    str(libraries / ARCHES[host_arch()].loader),
                    "--library-path", f"{libraries}:{libraries}/systemd",
                    str(found),
                ]  # fmt: skip
        raise HostError(f"{program} is missing in {self.tree}", hint="run: invoke clean")

    @contextmanager
    def enter(self, scratch: Path) -> Iterator[Path]:
        """Mount a throw-away copy of this root; what is changed there ends with the block."""
        for name in ("upper", "root"):
            (scratch / name).mkdir(parents=True)
        with ExitStack() as stack:
            root = stack.enter_context(
                mounts.overlay(
                    [self.tree], scratch / "root", scratch=scratch, upper=scratch / "upper"
                )
            )
            yield stack.enter_context(mounts.chroot_mounts(root))


def bootstrap(
    target: Path,
    *,
    suite: str,
    repository: Path,
    packages: Sequence[str],
    epoch: int,
    line: Callable[[str], None],
) -> None:
    """Make a native root with mmdebstrap out of the locked packages alone."""
    stream(
        [
            "mmdebstrap", "--mode=root", "--variant=apt", f"--architectures={host_arch()}",
            "--format=directory", f"--include={','.join(packages)}",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/info/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            "--dpkgopt=force-unsafe-io",
            '--aptopt=APT::Install-Recommends "false"',
            suite, target, f"deb [trusted=yes] copy:{repository} ./",
        ],
        line=line,
        env={"SOURCE_DATE_EPOCH": str(epoch), "PATH": PATH},
    )  # fmt: skip
