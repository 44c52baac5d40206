"""Unpack a wheel to the places of Debian's Python: `installer` reads the format, see PEP 427."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import installer
from installer.destinations import SchemeDictionaryDestination
from installer.exceptions import InstallerError
from installer.sources import WheelFile

from glovebox.errors import StepError

if TYPE_CHECKING:
    from pathlib import Path


def unpack(path: Path, file: str, root: Path, *, python: str) -> None:
    """Unpack the wheel at ``path``, whose own name is ``file``, below ``root``.

    Where an administrator's pip would put it on Debian, which leaves /usr/lib to dpkg. Raises
    StepError when it is damaged, or holds a file that another has brought.
    """
    named = root.with_name(f"{root.name}-wheel") / file  # a wheel is known by its name
    named.parent.mkdir(exist_ok=True)
    named.symlink_to(path)
    modules = f"/usr/local/lib/python{python}/dist-packages"
    destination = SchemeDictionaryDestination(
        scheme_dict={
            "purelib": modules,
            "platlib": modules,
            "headers": f"/usr/local/include/python{python}/{file.partition('-')[0]}",
            "scripts": "/usr/local/bin",
            "data": "/usr/local",
        },
        interpreter="/usr/bin/python3",
        script_kind="posix",
        destdir=str(root),
    )
    try:
        with WheelFile.open(named) as source:
            source.validate_record()
            installer.install(source, destination, {"INSTALLER": b"glovebox\n"})
    except FileExistsError as error:
        raise StepError(f"{file}: {error}", hint="two wheels bring it: leave one out") from error
    except (InstallerError, zipfile.BadZipFile, ValueError, KeyError, OSError) as error:
        raise StepError(f"the wheel {file} cannot be unpacked: {error}") from error
