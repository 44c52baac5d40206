"""Hand the image over: assembled under a temporary name, renamed when whole, with its papers."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox import assemble, files
from glovebox.plan import TARGET

if TYPE_CHECKING:
    from glovebox.build import Builder
    from glovebox.project import Project

BOOT = "boot/firmware"


def is_current(project: Project) -> bool:
    """Tell whether the image that lies there is the one the plan would make."""
    try:
        papers = json.loads(_papers(project).read_text())
        status = project.image.stat()
    except (OSError, ValueError):
        return False
    return bool(
        papers.get("key") == project.plan.image.key
        and papers.get("size") == status.st_size
        and papers.get("written_ns") == status.st_mtime_ns
    )


def export(project: Project, builder: Builder) -> Path:
    """Assemble the image and write it out with its manifest, package list and checksum."""
    project.out.mkdir(parents=True, exist_ok=True)
    part = project.out / f".{project.image.name}.part"
    try:
        with project.monitor.step("image", "assembling partitions and file systems"):
            _assemble(project, builder, part)
        with project.monitor.step("export", "checksum, package list and manifests"):
            digest = files.sha256_file(part)
            part.replace(project.image)
            _write_papers(project, digest)
    finally:
        part.unlink(missing_ok=True)
    return project.image


def _assemble(project: Project, builder: Builder, part: Path) -> None:
    top = project.plan.top.name
    with (
        builder.merged(top, hide=[BOOT]) as root,
        builder.merged(top) as whole,
        project.store.scratch() as scratch,
    ):
        # It may hold Wi-Fi keys: for its owner alone.
        part.touch(mode=0o600)
        assemble.assemble(
            part,
            root=root,
            boot=whole / BOOT,
            made=project.plan,
            disk=project.loaded.config.disk,
            tools=builder.native(),
            scratch=scratch,
        )


def _papers(project: Project) -> Path:
    return project.out / f"{project.name}.manifest.json"


def _write_papers(project: Project, digest: str) -> None:
    config, image = project.loaded.config, project.image
    packages = project.lock.packages(TARGET)
    files.write_whole(project.out / f"{image.name}.sha256", f"{digest}  {image.name}\n")
    files.write_whole(
        project.out / f"{project.name}.packages.txt",
        "".join(sorted(f"{one.name} {one.version} {one.arch}\n" for one in packages)),
    )
    status = image.stat()
    manifest = {
        "name": project.name,
        "board": str(config.board),
        "arch": project.board.arch,
        "base": config.base,
        "suite": config.suite,
        "hostname": config.hostname,
        "user": config.user.name,
        "locale": config.locale,
        "timezone": config.timezone,
        "server": str(config.queue.server),
        "queue_socket": config.service.queue_socket,
        "queue_key": config.service.queue_key,
        "disk_id": project.plan.disk_id,
        "epoch": project.plan.epoch,
        "warnings": list(project.lock.warnings),
        "sha256": digest,
        "size": status.st_size,
        "written_ns": status.st_mtime_ns,
        "key": project.plan.image.key,
        "steps": {step.name: step.key for step in project.plan.steps.values()},
    }
    files.write_whole(_papers(project), json.dumps(manifest, indent=1) + "\n")
    files.write_whole(
        project.out / f"{project.name}.rpi-imager-manifest",
        json.dumps(_imager(project, digest, status.st_size), indent=1) + "\n",
    )


def _imager(project: Project, digest: str, size: int) -> dict[str, object]:
    """Give what Raspberry Pi Imager opens by a double click: it then checks what it writes."""
    tags = list(project.board.imager_tags)
    return {
        "imager": {
            "devices": [
                {
                    "name": project.board.title,
                    "description": "The board this image is made for",
                    "tags": tags,
                    "matching_type": "exclusive",
                    "default": True,
                }
            ]
        },
        "os_list": [
            {
                "name": f"Glovebox {project.name}",
                "description": f"Telematics image for {project.board.title}",
                "icon": "",
                "url": Path(project.image).resolve().as_uri(),
                "extract_size": size,
                "extract_sha256": digest,
                "image_download_size": size,
                "release_date": time.strftime("%Y-%m-%d", time.gmtime(project.plan.epoch)),
                "devices": tags,
                "init_format": "none",
            }
        ],
    }
