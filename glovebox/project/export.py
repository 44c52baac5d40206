"""Hand the image over: assembled under a temporary name, renamed when whole, with its papers."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.build import assemble
from glovebox.card import bmap, pack
from glovebox.config.build import Packed, Sbom
from glovebox.host import files, inside
from glovebox.plan import room
from glovebox.plan.plan import TARGET, TOOLS
from glovebox.project import compiled, imager, keys, packages as packages_, private, sbom, signing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glovebox.build.builder import Builder
    from glovebox.project.opened import Project


@dataclass(frozen=True, kw_only=True)
class _Made:
    """What is known of the image once it is assembled."""

    sha256: str
    map: bmap.Map
    installed: str
    documents: dict[Sbom, str]


def is_current(project: Project, *, verified: bool) -> bool:
    """Tell whether what lies there is what the plan would make, whole, and was proven."""
    last = files.read_object(papers(project)) or {}
    handed = last.get("files")
    return bool(
        last.get("key") == project.plan.image.key
        and (last.get("verified") or not verified)
        and (last.get("signed_by") or {}) == _signed_by(project)
        and all(path.is_file() for path in _signatures(project))
        and isinstance(handed, dict)
        and set(handed) == {path.name for path in _handed(project)}
        and all(_as_written(project.out / name, told) for name, told in handed.items())
    )


def _as_written(path: Path, told: object) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return isinstance(told, dict) and (status.st_size, status.st_mtime_ns) == (
        told.get("size"),
        told.get("written_ns"),
    )


@contextmanager
def export(project: Project, builder: Builder, *, verified: bool) -> Iterator[None]:
    """Assemble the image while the block proves it; hand it over when that has ended well."""
    owner = keys.caller(os.environ).owner
    if not project.out.exists():
        project.out.mkdir(parents=True)
        if owner:
            os.chown(project.out, *owner)
    image = project.image
    # Two builds into one folder: each image gets its own papers.
    with project.store.exclusive(f"export-{files.digest(str(image.resolve()))[:16]}"):
        with files.replacing(image, mode=mode(project), owner=owner) as part:
            with ThreadPoolExecutor(max_workers=1) as beside:
                prepared = beside.submit(_prepare, project, builder, part)
                yield
                made = prepared.result()
            # Killed between here and the last paper, an image has none, not another's.
            documents = [_document(project, form) for form in Sbom]
            copies = _packed_names(project)
            for paper in (*_papers(project), *copies, *documents, *_all_signatures(project)):
                paper.unlink(missing_ok=True)
        _deliver(project, builder)
        _pack(project, owner)
        with project.monitor.step("export", "checksums, package list and manifests"):
            _write_papers(project, made, owner, verified=verified)


def mode(project: Project) -> int:
    """Give who may read the image: everyone, or its owner alone where it may hold secrets."""
    return 0o600 if private.held(project.loaded.config) else 0o644


def _packed_names(project: Project) -> list[Path]:
    """Give where packed copies lie, wanted or not."""
    return [packed(project, how) for how in Packed]


def packed(project: Project, how: Packed) -> Path:
    """Give where a packed copy of the image lies."""
    return project.out / f"{project.image.name}.{how}"


def _pack(project: Project, owner: tuple[int, int] | None) -> None:
    for how in project.loaded.config.export.pack:
        target = packed(project, how)
        step = f"pack {target.name}"
        with (
            project.monitor.step(step, "by all processors"),
            room.blamed(project.out),
            files.replacing(target, mode=mode(project), owner=owner) as part,
        ):
            pack.pack(project.image, how, part, tell=partial(project.monitor.progress, step))


def _handed(project: Project) -> list[Path]:
    """Give what others take: the image, its packed copies, its block map and lists of parts."""
    wanted = project.loaded.config.export
    copies = [packed(project, how) for how in wanted.pack]
    documents = [_document(project, form) for form in wanted.sbom]
    return [project.image, *copies, _block_map(project), *documents]


def _document(project: Project, form: Sbom) -> Path:
    """Give where a list of parts lies."""
    return project.out / f"{project.name}{sbom.ending(form)}"


def _block_map(project: Project) -> Path:
    return project.out / f"{project.image.name}{bmap.SUFFIX}"


def deploy_folder(project: Project) -> Path:
    """Give where what stages wrote to DEPLOY_DIR lies when the image is done."""
    return project.out / f"{project.name}.deploy"


def _deliver(project: Project, builder: Builder) -> None:
    """Copy what stages wrote to DEPLOY_DIR beside the image, in place of what lay there."""
    target = deploy_folder(project)
    for left in project.out.glob(f".{project.name}.deploy-*"):
        shutil.rmtree(left)  # of a killed build
    with (
        project.monitor.slow("deploy", f"copying what stages left for {target.name}"),
        builder.deployed(project.plan.top.name) as found,
    ):
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


def _prepare(project: Project, builder: Builder, part: Path) -> _Made:
    """Fill the image; give its sums and the list of what is installed."""
    with (
        project.monitor.step("image", "assembling partitions and file systems"),
        room.blamed(project.out),
    ):
        _assemble(project, builder, part)
        with ThreadPoolExecutor(max_workers=2) as beside:
            flushed = beside.submit(files.fsync, part)
            mapped = beside.submit(bmap.of, part)
            digest = files.sha256_file(part)
            blocks = mapped.result()
            flushed.result()
    steps, fetched = project.plan.steps.values(), project.store.root / "sources"
    own = compiled.parts(project.loaded.config, project.lock, steps, fetched)
    wanted = project.loaded.config.export.sbom
    with builder.merged(project.plan.top.name) as root:
        status = inside.text(root, "var/lib/dpkg/status")
        documents = sbom.documents(root, _subject(project, own, digest), wanted)
    installed = packages_.in_status(status) + compiled.listed(own)
    return _Made(sha256=digest, map=blocks, installed=installed, documents=documents)


def _subject(project: Project, own: list[compiled.Made], digest: str) -> sbom.Subject:
    """Say what the lists of parts are about; the sums of packages' files are the lock's."""
    locked = project.lock.packages(TARGET) if TARGET in project.lock.chains else ()
    return sbom.Subject(
        name=project.name,
        suite=project.loaded.config.suite,
        arch=project.board.arch,
        sha256=digest,
        epoch=project.plan.epoch,
        sums={(one.name, one.version): one.sha256 for one in locked},
        made=own,
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
            car=project.loaded.config.survives_cuts,
        )


def papers(project: Project) -> Path:
    """Give where the manifest of the exported image lies."""
    return project.out / f"{project.name}.manifest.json"


def _papers(project: Project) -> tuple[Path, ...]:
    """Give the places of checksums, block map, package list, Imager's manifest and our own."""
    out, name = project.out, project.name
    return (
        _checksums(project),
        _block_map(project),
        out / f"{name}.packages.txt",
        out / f"{name}.rpi-imager-manifest",
        papers(project),
    )


def _checksums(project: Project) -> Path:
    return project.out / f"{project.image.name}.sha256"


def _all_signatures(project: Project) -> list[Path]:
    """Give where signatures of the checksums lie, wanted or not."""
    sums = _checksums(project)
    return [sums.with_name(f"{sums.name}{ending}") for ending in signing.ENDINGS]


def _signatures(project: Project) -> list[Path]:
    """Give where those lie that the configuration asks for."""
    sums = _checksums(project)
    wanted = signing.endings(project.loaded.config.export.sign)
    return [sums.with_name(f"{sums.name}{ending}") for ending in wanted]


def _signed_by(project: Project) -> dict[str, str]:
    """Name the keys that sign, as the manifest has them; a key's file is named, never read."""
    sign = asdict(project.loaded.config.export.sign)
    return {kind: key for kind, key in sign.items() if key}


def _write_papers(
    project: Project, made: _Made, owner: tuple[int, int] | None, *, verified: bool
) -> None:
    checksums, blocks, packages, for_imager, own = _papers(project)
    files.write_whole(blocks, bmap.dump(made.map), owner=owner)
    for form, text in made.documents.items():
        files.write_whole(_document(project, form), text, owner=owner)
    told = {path.name: _told(project, path, made) for path in _handed(project)}
    files.write_whole(packages, made.installed, owner=owner)
    sums = "".join(f"{one['sha256']}  {name}\n" for name, one in told.items())
    sums += f"{files.sha256_file(packages)}  {packages.name}\n"
    files.write_whole(checksums, sums, owner=owner)
    with project.monitor.handed_over():  # a key may have a password
        sign = project.loaded.config.export.sign
        signed = signing.signatures(sign, checksums.name, sums.encode())
    for name, signature in signed.items():
        files.write_whole(project.out / name, signature, owner=owner)
    best = next(iter(project.loaded.config.export.pack), None)
    offered = project.image if best is None else packed(project, best)
    entry = imager.manifest(
        project,
        url=offered.resolve().as_uri(),
        raw=told[project.image.name],
        offered=told[offered.name],
    )
    files.write_whole(for_imager, json.dumps(entry, indent=1) + "\n", owner=owner)
    # Last: by this one the next build sees that nothing is missing.
    whole = manifest(
        project,
        verified=verified,
        sha256=made.sha256,
        holds_secrets=private.held(project.loaded.config),
        offered=offered.name,
        signed_by=_signed_by(project),
        files=told,
    )
    files.write_whole(own, whole, owner=owner)


def _told(project: Project, path: Path, made: _Made) -> dict[str, str | int]:
    """Give what a file is known by later: size and time, and its sum for others."""
    status = path.stat()
    digest = made.sha256 if path == project.image else files.sha256_file(path)
    return {"size": status.st_size, "written_ns": status.st_mtime_ns, "sha256": digest}


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
        "car": config.survives_cuts,
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
