"""Raspberry Pi Imager's manifest: what it shows of an image, and by which sums it checks it.

Fields: `doc/json-schema/os-list-schema.json` in Imager's source.
"""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any

from glovebox.config.schema import FIRST_BOOT_STAGE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from glovebox.project.opened import Project

# From here on it opens such a file by a double click, and links that name one.
NEEDED = "2.0.3"
# The dialog's form that every version knows, and whose files are data; they are read at the first
# start. `rpi-preseed` would be one file, but versions before 2.0.11 leave out an entry with a word
# they do not know.
CLOUD_INIT = "cloudinit"
_ARCHITECTURES = {"armel": "armel", "armhf": "armhf", "arm64": "armv8"}
# A card in a car's dashboard, in the few shapes that every viewer draws.
ICON = """\
<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40" viewBox="0 0 40 40">
<rect width="40" height="40" rx="8" fill="#1f4e5f"/>
<path d="M8 14h24v16H8z" fill="#f2f2ee"/>
<path d="M8 14h24v5H8z" fill="#c9d6d2"/>
<circle cx="20" cy="24.5" r="2.5" fill="#1f4e5f"/>
</svg>
"""


def manifest(
    project: Project, *, url: str, raw: Mapping[str, str | int], offered: Mapping[str, str | int]
) -> dict[str, Any]:
    """Give the manifest of one image: ``raw`` is what it unpacks to, ``offered`` what is read."""
    tags = list(project.board.imager_tags)
    architecture = _ARCHITECTURES[project.board.arch]
    device = {
        "name": project.board.title,
        "description": "The board this image is made for",
        "tags": tags,
        "matching_type": "exclusive",
        "architecture": architecture,
        "default": True,
    }
    entry = {
        "name": f"Glovebox {project.name}",
        "description": f"Telematics image for {project.board.title}",
        # In the file itself: no web server is needed to open it on this machine.
        "icon": f"data:image/svg+xml;base64,{base64.b64encode(ICON.encode()).decode()}",
        "url": url,
        "extract_size": raw["size"],
        "extract_sha256": raw["sha256"],
        "image_download_size": offered["size"],
        "image_download_sha256": offered["sha256"],
        "release_date": time.strftime("%Y-%m-%d", time.gmtime(project.plan.epoch)),
        "devices": tags,
        "architecture": architecture,
        "init_format": CLOUD_INIT if _takes_over(project) else "none",
    }
    return {"imager": {"devices": [device]}, "os_list": [entry]}


def _takes_over(project: Project) -> bool:
    """Tell whether the board reads what the dialog writes."""
    config = project.loaded.config
    takes = any(entry.path == FIRST_BOOT_STAGE for entry in config.stages)
    return config.survives_cuts and takes


def together(manifests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Make one list of several images' manifests; a board they share is shown once."""
    devices: dict[str, Any] = {}
    for one in manifests:
        for device in one["imager"]["devices"]:
            devices.setdefault(device["name"], {**device, "default": not devices})
    entries = [entry for one in manifests for entry in one["os_list"]]
    return {"imager": {"devices": list(devices.values())}, "os_list": entries}
