"""Hand the image over: assembled under a temporary name, renamed when whole, with its papers."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.build import assemble
from glovebox.card import system
from glovebox.host import files, inside
from glovebox.plan import room
from glovebox.plan.plan import TOOLS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glovebox.build.builder import Builder
    from glovebox.project.opened import Project


def is_current(project: Project, *, verified: bool) -> bool:
    """Tell whether the image that lies there is the one the plan would make, and was proven."""
    last = files.read_object(papers(project)) or {}
    try:
        status = project.image.stat()
    except OSError:
        return False
    return bool(
        last.get("key") == project.plan.image.key
        and (last.get("verified") or not verified)
        and last.get("size") == status.st_size
        and last.get("written_ns") == status.st_mtime_ns
    )


@contextmanager
def export(project: Project, builder: Builder, *, verified: bool) -> Iterator[None]:
    """Assemble the image while the block proves it; hand it over when that has ended well."""
    project.out.mkdir(parents=True, exist_ok=True)
    image = project.image
    # Two builds into one folder: each image gets its own papers.
    with project.store.exclusive(f"export-{files.digest(str(image.resolve()))[:16]}"):
        # It may hold Wi-Fi keys: for its owner alone.
        with files.replacing(image, mode=0o600) as part:
            with ThreadPoolExecutor(max_workers=1) as beside:
                prepared = beside.submit(_prepare, project, builder, part)
                yield
                digest, installed = prepared.result()
            # Killed between here and the last paper, an image has none, not another's.
            for paper in _papers(project):
                paper.unlink(missing_ok=True)
        _deliver(project, builder)
        with project.monitor.step("export", "checksum, package list and manifests"):
            _write_papers(project, digest, installed, verified=verified)


def deploy_folder(project: Project) -> Path:
    """Give where what stages wrote to DEPLOY_DIR lies when the image is done."""
    return project.out / f"{project.name}.deploy"


def _deliver(project: Project, builder: Builder) -> None:
    """Copy what stages wrote to DEPLOY_DIR beside the image, in place of what lay there."""
    target = deploy_folder(project)
    for left in project.out.glob(f".{project.name}.deploy-*"):
        shutil.rmtree(left)  # of a killed build
    with builder.deployed(project.plan.top.name) as found:
        if found is None:
            shutil.rmtree(target, ignore_errors=True)
            return
        with tempfile.TemporaryDirectory(
            dir=project.out, prefix=f".{project.name}.deploy-"
        ) as folder:
            # Like the image: what a stage puts there may be for its owner alone.
            shutil.copytree(found, Path(folder) / "new", symlinks=True)
            (Path(folder) / "new").chmod(0o700)
            if target.exists():
                target.rename(Path(folder) / "old")
            (Path(folder) / "new").rename(target)
    project.monitor.say(f"  what stages wrote to DEPLOY_DIR: {target}")


def _prepare(project: Project, builder: Builder, part: Path) -> tuple[str, str]:
    """Fill the image; give its sha256 and the list of what is installed."""
    with (
        project.monitor.step("image", "assembling partitions and file systems"),
        room.blamed(project.out),
    ):
        _assemble(project, builder, part)
        with ThreadPoolExecutor(max_workers=1) as beside:
            flushed = beside.submit(files.fsync, part)
            digest = files.sha256_file(part)
            flushed.result()
    with builder.merged(project.plan.top.name) as root:
        status = inside.text(root, "var/lib/dpkg/status")
    return digest, packages_in(status)


def packages_in(status: str) -> str:
    """Give name, version and architecture of every installed package, a line each, sorted."""
    return "".join(
        f"{name} {version} {arch}\n"
        for (name, arch), version in sorted(system.installed(status).items())
    )


def _assemble(project: Project, builder: Builder, part: Path) -> None:
    top = project.plan.top.name
    with (
        builder.merged(top, hide=[project.plan.boot]) as root,
        builder.merged(top) as whole,
        builder.holding(TOOLS),
        project.store.scratch() as scratch,
    ):
        assemble.assemble(
            part,
            root=root,
            whole=whole,
            made=project.plan,
            disk=project.loaded.config.disk,
            tools=builder.native(),
            scratch=scratch,
            car=project.loaded.config.car,
        )


def papers(project: Project) -> Path:
    """Give where the manifest of the exported image lies."""
    return project.out / f"{project.name}.manifest.json"


def _papers(project: Project) -> tuple[Path, Path, Path, Path]:
    """Give the places of checksum, package list, Imager's manifest and our own."""
    out, name = project.out, project.name
    return (
        out / f"{project.image.name}.sha256",
        out / f"{name}.packages.txt",
        out / f"{name}.rpi-imager-manifest",
        papers(project),
    )


def _write_papers(project: Project, digest: str, installed: str, *, verified: bool) -> None:
    image = project.image
    checksum, packages, imager, own = _papers(project)
    status = image.stat()
    files.write_whole(checksum, f"{digest}  {image.name}\n")
    files.write_whole(packages, installed)
    files.write_whole(imager, json.dumps(_imager(project, digest, status.st_size), indent=1) + "\n")
    # Last: by this one the next build sees that nothing is missing.
    files.write_whole(
        own,
        manifest(
            project,
            verified=verified,
            sha256=digest,
            size=status.st_size,
            written_ns=status.st_mtime_ns,
        ),
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
        "stages": [Path(entry.path).name for entry in config.stages],
        "car": config.car,
        "power": asdict(config.power),
        "disk_id": project.plan.disk_id,
        "epoch": project.plan.epoch,
        "warnings": list(project.lock.warnings),
        "key": project.plan.image.key,
        "steps": {step.name: step.key for step in project.plan.steps.values()},
    }
    if project.lock.raspios is not None:
        facts["raspios"] = asdict(project.lock.raspios)
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
