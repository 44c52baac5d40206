"""Hand the image over: assembled under a temporary name, renamed when whole, with its papers."""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox import assemble, files

if TYPE_CHECKING:
    from glovebox.build import Builder
    from glovebox.project import Project

_FIELD = re.compile(r"^(Package|Version|Architecture|Status): (.+)$", re.MULTILINE)


def is_current(project: Project, *, verified: bool) -> bool:
    """Tell whether the image that lies there is the one the plan would make, and was proven."""
    try:
        last = json.loads(papers(project).read_text())
        status = project.image.stat()
    except (OSError, ValueError):
        return False
    return bool(
        last.get("key") == project.plan.image.key
        and (last.get("verified") or not verified)
        and last.get("size") == status.st_size
        and last.get("written_ns") == status.st_mtime_ns
    )


def export(project: Project, builder: Builder, *, verified: bool) -> Path:
    """Assemble the image and write it out with its manifest, package list and checksum."""
    project.out.mkdir(parents=True, exist_ok=True)
    part = project.out / f".{project.image.name}.part"
    try:
        with project.monitor.step("image", "assembling partitions and file systems"):
            _assemble(project, builder, part)
        with project.monitor.step("export", "checksum, package list and manifests"):
            digest = files.sha256_file(part)
            with builder.merged(project.plan.top.name) as root:
                installed = packages_in((root / "var/lib/dpkg/status").read_text(errors="replace"))
            part.replace(project.image)
            _write_papers(project, digest, installed, verified=verified)
    finally:
        part.unlink(missing_ok=True)
    return project.image


def packages_in(status: str) -> str:
    """Give name, version and architecture of every installed package, a line each, sorted."""
    lines: list[str] = []
    for stanza in status.split("\n\n"):
        fields = dict(_FIELD.findall(stanza))
        if fields.get("Status", "").endswith(" installed"):
            lines.append(f"{fields['Package']} {fields['Version']} {fields['Architecture']}\n")
    return "".join(sorted(lines))


def _assemble(project: Project, builder: Builder, part: Path) -> None:
    top = project.plan.top.name
    with (
        builder.merged(top, hide=[project.plan.boot]) as root,
        builder.merged(top) as whole,
        project.store.scratch() as scratch,
    ):
        # It may hold Wi-Fi keys: for its owner alone.
        part.touch(mode=0o600)
        assemble.assemble(
            part,
            root=root,
            boot=whole / project.plan.boot,
            made=project.plan,
            disk=project.loaded.config.disk,
            tools=builder.native(),
            scratch=scratch,
            car=project.loaded.config.car,
        )


def papers(project: Project) -> Path:
    """Give where the manifest of the exported image lies."""
    return project.out / f"{project.name}.manifest.json"


def _write_papers(project: Project, digest: str, installed: str, *, verified: bool) -> None:
    image = project.image
    files.write_whole(project.out / f"{image.name}.sha256", f"{digest}  {image.name}\n")
    files.write_whole(
        project.out / f"{project.name}.packages.txt",
        installed,
    )
    status = image.stat()
    files.write_whole(
        papers(project),
        manifest(
            project,
            verified=verified,
            sha256=digest,
            size=status.st_size,
            written_ns=status.st_mtime_ns,
        ),
    )
    files.write_whole(
        project.out / f"{project.name}.rpi-imager-manifest",
        json.dumps(_imager(project, digest, status.st_size), indent=1) + "\n",
    )


def manifest(project: Project, **more: object) -> str:
    """Give what the image is, for the tests and for the next build, as JSON; it holds no secret."""
    config = project.loaded.config
    facts: dict[str, object] = {
        "name": project.name,
        "board": str(config.board),
        "arch": project.board.arch,
        "base": Path(config.base).name,
        "suite": config.suite,
        "hostname": config.hostname,
        "user": config.user.name,
        "password": config.user.password_hash is not None,
        "locale": config.locale,
        "timezone": config.timezone,
        "server": str(config.queue.server),
        "service": asdict(config.service),
        "stages": [Path(name).name for name in config.stages],
        "car": config.car,
        "disk_id": project.plan.disk_id,
        "epoch": project.plan.epoch,
        "warnings": list(project.lock.warnings),
        "key": project.plan.image.key,
        "steps": {step.name: step.key for step in project.plan.steps.values()},
    }
    return json.dumps({**facts, **more}, indent=1) + "\n"


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
