"""Pack an image for others: by threads, and always to the same bytes, however many there are.

The bytes are those of this machine's `zstd` or `xz`: another version of it may pack otherwise, and
what it unpacks to is the same.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, assert_never

from glovebox.config.build import Packed
from glovebox.host import files
from glovebox.host.run import writing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def pack(
    image: Path,
    how: Packed,
    target: Path,
    *,
    tell: Callable[[float], None],
    threads: int | None = None,
) -> None:
    """Pack an image into a file; ``tell`` is told how much is done, 0 to 1."""
    size = image.stat().st_size
    done = 0
    command = _command(how, threads or os.cpu_count() or 1, size)
    with target.open("wb") as file, writing(command, file) as stream:
        for chunk in files.chunks(image):
            stream.write(chunk)
            done += len(chunk)
            tell(done / size)


def _command(how: Packed, threads: int, size: int) -> list[str]:
    match how:
        case Packed.ZST:
            # A window of 128 MiB is the largest that everyone unpacks without being asked to.
            return ["zstd", "-10", "--long=27", f"--threads={threads}", f"--stream-size={size}",
                    "--quiet", "--stdout", "-"]  # fmt: skip
        case Packed.XZ:
            # With one thread it would write blocks without their sizes: other bytes.
            return ["xz", "-6", "--block-size=24MiB", f"--threads={max(2, threads)}",
                    "--quiet", "--stdout", "-"]  # fmt: skip
        case _:
            assert_never(how)
