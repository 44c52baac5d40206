"""``home wheel``: a checkout's home as one file for a machine without the builder."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

# What the wheel wants; the same versions as in the checkout's pyproject.toml.
PROJECT = """\
[build-system]
requires = ["setuptools>=68"]
build-backend = "setuptools.build_meta"

[project]
name = "glovebox-home"
version = "{version}"
description = "What the vehicles recorded becomes trips, tables and a map."
requires-python = ">=3.11"
dependencies = [{wants}]

[project.scripts]
home = "home.cli:main"

[tool.setuptools.packages.find]
include = ["home*", "telematics*"]

[tool.setuptools.package-data]
"*" = ["*"]
"""
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc")


def add(parser: argparse.ArgumentParser) -> None:
    """Take the folder."""
    parser.add_argument("out", type=Path, help="the folder to write it to")


def run(options: argparse.Namespace) -> int:
    """Write it."""
    import tomllib  # noqa: PLC0415

    import home  # noqa: PLC0415
    import telematics  # noqa: PLC0415
    from home.errors import HomeError  # noqa: PLC0415

    packages = [Path(each.__file__ or "").resolve().parent for each in (home, telematics)]
    project = packages[0].parent / "pyproject.toml"
    if not project.is_file():
        raise HomeError(f"{project}: no such file; hint: run it in a checkout, by ./invoke home")
    told = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    yaml = [each for each in told["dependencies"] if each.startswith("pyyaml")]
    wants = [*yaml, *told["optional-dependencies"]["home"]]
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="home-wheel-") as scratch:
        for package in packages:
            shutil.copytree(package, Path(scratch) / package.name, ignore=LEFT_OUT)
        _with_page(Path(scratch) / "home/map/built.html")
        text = PROJECT.format(
            version=home.__version__, wants=", ".join(f'"{each}"' for each in wants)
        )
        (Path(scratch) / "pyproject.toml").write_text(text, encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
        command = [*pip, "--no-deps", "--wheel-dir", str(options.out.resolve()), scratch]
        if subprocess.run(command, check=False).returncode:
            raise HomeError("pip could not make the wheel; hint: its words are above")
    for made in sorted(options.out.glob(f"glovebox_home-{home.__version__}-*.whl")):
        sys.stdout.write(f"{made}: pip install it\n")
    return 0


def _with_page(path: Path) -> None:
    """Put the map's page in, so that the machine it is installed on needs no npm."""
    from home.map import page  # noqa: PLC0415

    path.write_text(page.make(), encoding="utf-8")
