"""What the page is made of and is not ours: packages that npm brings, each with a pinned hash.

They are fetched once, at the first build of the page, into a cache outside of the project; the
lock file beside this module says which bytes they have to be, and npm refuses any others. No
script of theirs is run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from home.errors import HomeError

HERE = Path(__file__).parent / "page"
LISTS = ("package.json", "package-lock.json")
NPM_S = 300
FILES = {
    "leaflet.js": "leaflet/dist/leaflet.js",
    "leaflet.css": "leaflet/dist/leaflet.css",
    "topojson.js": "topojson-client/dist/topojson-client.min.js",
    "world.json": "world-atlas/countries-50m.json",
    "pmtiles.js": "pmtiles/dist/pmtiles.js",
    "protomaps.js": "protomaps-leaflet/dist/protomaps-leaflet.js",
}


def read(name: str) -> str:
    """Give the text of one of `FILES`, fetched if need be."""
    return (folder() / FILES[name]).read_text(encoding="utf-8")


def folder() -> Path:
    """Give the folder of packages for this lock file, made by npm the first time."""
    name = hashlib.sha256(b"".join((HERE / each).read_bytes() for each in LISTS)).hexdigest()[:16]
    place = cache() / f"page-{name}"
    if not place.is_dir():
        _fetch(place)
    return place


def cache() -> Path:
    """Give the user's folder for what can be fetched again."""
    given = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(given).expanduser() / "glovebox" / "home"


def _fetch(place: Path) -> None:
    if shutil.which("npm") is None:
        raise HomeError("npm is missing, it brings what the map's page is made of; hint: "
                        "install Debian's npm, or copy a home whose page is made")  # fmt: skip
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".page-", suffix=".half", dir=place.parent) as half:
        for each in LISTS:
            shutil.copy(HERE / each, half)
        done = subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
            cwd=half, capture_output=True, text=True, timeout=NPM_S, check=False,
        )  # fmt: skip
        if done.returncode:
            raise HomeError(f"npm could not bring the map's packages: {done.stderr.strip()[-800:]}")
        modules = Path(half, "node_modules")
        missing = [path for path in FILES.values() if not (modules / path).is_file()]
        if missing:
            raise HomeError(f"npm's packages lack {', '.join(missing)}")
        try:
            modules.rename(place)
        except OSError:
            # Somebody else was quicker; what stands there has the same hashes.
            if not place.is_dir():
                raise
