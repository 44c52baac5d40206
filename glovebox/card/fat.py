"""Run mtools on a FAT partition inside an image: a kernel without vfat cannot mount it."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from glovebox.host.run import run

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence

SETTINGS = {
    # Debian's FAT has geometry values mtools doubts; the kernel does not care.
    "MTOOLS_SKIP_CHECK": "1",
    "MTOOLSRC": "/dev/null",  # neither the host's nor the owner's configuration
}
# mtools reads some as patterns, FAT allows none of the others.
PATTERNS = frozenset('*?[]\\"<>|:')
_HEAD = 'mtype -i "$1" "$2" | head --bytes="$3"'
_CUT = 128 + 13  # it was longer: mtype found nobody reading any more
# What of a text file is read: config.txt and its like have some kilobytes.
_MOST = 1 << 20


@contextmanager
def place(raw: Path, start: int) -> Iterator[str]:
    """Give mtools' name of the partition that begins at a byte of an image.

    It takes the first @@ of it for the end of the file's name.
    """
    if "@@" not in str(raw):
        yield f"{raw}@@{start}"
        return
    with TemporaryDirectory() as folder:
        link = Path(folder) / "card"
        link.symlink_to(raw.absolute())
        yield f"{link}@@{start}"


def call(
    program: str, raw: Path, start: int, words: Sequence[str | Path], *, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a program of mtools on the partition; raises CommandError as ``run`` does."""
    with place(raw, start) as image:
        return run([program, "-i", image, *words], check=check, env=SETTINGS)


def put(raw: Path, start: int, name: str, content: str) -> None:
    """Write a file of the partition, in place of one of that name; it is on no disk meanwhile."""
    with place(raw, start) as image:
        run(["mcopy", "-i", image, "-o", "-", f"::{name}"], input=content, env=SETTINGS)


def text(raw: Path, start: int, name: str) -> str | None:
    """Give what a text file of the partition says; None where it has none of that name."""
    parts = [part for part in re.split(r"[/\\]+", name) if part]
    if not parts or ".." in parts or PATTERNS & set("".join(parts)) or "\0" in name:
        return None
    with place(raw, start) as image:
        words = [image, f"::{'/'.join(parts)}", str(_MOST)]
        said = run(["bash", "-o", "pipefail", "-c", _HEAD, "mtype", *words],
                   check=False, env=SETTINGS)  # fmt: skip
    return said.stdout if said.returncode in (0, _CUT) else None
