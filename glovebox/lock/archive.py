"""Show a root the packages of a lock as the only archive there is."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from glovebox.host import files, mounts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# The package index and the packages, as a chroot sees them.
_REPOSITORY = "run/glovebox-archive"
_APT_CONF = """\
Dir::State::lists "/run/glovebox-archive/lists";
Dir::Cache "/run/glovebox-archive/cache";
Dir::Etc::sourcelist "/run/glovebox-archive/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Log "/run/glovebox-archive/log";
APT::Sandbox::User "root";
Acquire::Languages "none";
DPkg::Use-Pty "0";
DPkg::Options { "--force-unsafe-io"; "--force-confdef"; "--force-confold"; };
"""


@contextmanager
def shown(
    root: Path, index: str, pool: Path, *, dpkg: str | None = None
) -> Iterator[Mapping[str, str]]:
    """Give the variables with which apt in ``root`` sees ``index`` and the files of ``pool``.

    ``dpkg`` is a program of the root to use in place of its own.
    """
    folder = root / _REPOSITORY
    files.clear(folder)  # a script of the root may have left a link here
    for name in ("pool", "lists/partial", "cache/archives/partial", "log"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    try:
        with mounts.bind(pool, folder / "pool", read_only=True):
            (folder / "Packages").write_text(index)
            (folder / "sources.list").write_text(f"deb [trusted=yes] file:/{_REPOSITORY} ./\n")
            own = f'Dir::Bin::dpkg "{dpkg}";\n' if dpkg else ""
            (folder / "apt.conf").write_text(_APT_CONF + own)
            yield {"APT_CONFIG": f"/{_REPOSITORY}/apt.conf"}
    finally:
        shutil.rmtree(folder)
