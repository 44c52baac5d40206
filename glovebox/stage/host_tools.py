"""Which programs of the build machine a stage's run.sh starts, of those pi-gen says it depends on.

A guess by words at the start of commands: what a script makes of a name only it knows.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from glovebox.host.run import PATH
from glovebox.stage.stage import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from glovebox.stage.stage import SubStage

# pi-gen's `depends`, and what stages start besides, with the package that brings it.
PACKAGES = {
    **{name: name for name in (
        "bc", "bmap-tools", "curl", "debootstrap", "file", "git", "gpg", "jq", "parted", "pigz",
        "quilt", "rsync", "sudo", "unzip", "wget", "xxd", "zerofree", "zip",
    )},
    "bsdtar": "libarchive-tools",
    "kpartx": "kpartx",
    "mkdosfs": "dosfstools",
    "mkfs.vfat": "dosfstools",
    "xz": "xz-utils",
}  # fmt: skip
_COMMAND = re.compile(
    r"(?:^|[;&|(]|\$\(|\b(?:then|do|else|exec|time|if|while|!)\s)\s*(?:\w+=\S*\s+)*"
    rf"({'|'.join(map(re.escape, PACKAGES))})(?=\s|$|;)"
)


def missing(subs: Sequence[SubStage]) -> list[str]:
    """Give a sentence for each program that a script starts and this machine lacks."""
    found: dict[str, str] = {}
    for sub in (one for one in subs if one.foreign):
        for action in sub.of(Kind.RUN, Kind.PRERUN):
            for number, name in started(action.path):
                if name not in found and shutil.which(name, path=PATH) is None:
                    found[name] = (
                        f"{action.path}:{number}: it starts {name}, which this machine lacks:"
                        f" apt-get install {PACKAGES[name]}"
                    )
    return list(found.values())


def started(script: Path) -> Iterator[tuple[int, str]]:
    """Give line and name of each such program; what is fed to another shell runs elsewhere."""
    end = None
    for number, line in enumerate(script.read_text(errors="replace").splitlines(), start=1):
        if end is not None:
            end = None if line.strip("\t") == end else end
            continue
        opened = re.search(r"(?<!<)<<(?!<)-?\s*[\"'\\]?(\w+)", line)
        if opened:
            end = opened[1]
        code = "" if line.lstrip().startswith("#") else line
        yield from ((number, found[1]) for found in _COMMAND.finditer(code))
