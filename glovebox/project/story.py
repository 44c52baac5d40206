"""The whole story: one YAML file in, a flashable and proven image out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glovebox.errors import HostError
from glovebox.host import files
from glovebox.plan import details, needs, plan, why
from glovebox.project import export, postrun, sbom, signing
from glovebox.project.opened import lock_file
from glovebox.store import current
from glovebox.verify import verify as proof

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from glovebox.build.builder import Builder
    from glovebox.project.opened import Project


def build_image(
    project: Project, *, fresh: bool = False, verify: bool = True, shell: bool = False
) -> Path:
    """Build the layers, verify them, export the images; give the place of the last one."""
    swept = files.sweep_halves(project.out)
    if swept:
        project.monitor.say(f"resuming after a killed build: swept {swept} in {project.out}")
    current.remember(
        project.store,
        project.config,
        project.board.name,
        keys=[step.key for step in project.plan.steps.values()],
        downloads=needs.downloads(project.plan, project.lock),
    )
    wanted = [
        one for one in project.each_image() if fresh or not export.is_current(one, verified=verify)
    ]
    for one in project.each_image():
        if one not in wanted:
            project.monitor.say(f"  ✓ {one.image} is up to date")
    if wanted:
        sbom.require(project.loaded.config.export.sbom)
        signing.require(project.loaded.config.export.sign)
        names = [one.plan.image.name for one in wanted]
        project.builder(shell=shell).build(names, fresh=fresh)
    for one in wanted:
        builder = one.builder()
        with export.export(one, builder, verified=verify):
            if verify:
                verify_tree(one, builder)
    if wanted:
        postrun.run_all(project)
    return project.image


def verify_tree(project: Project, builder: Builder) -> None:
    """Run the tests that mean something in a chroot on the finished layers."""
    folder = project.out / "verify" / project.name / "chroot"
    with (
        builder.merged(project.plan.top.name) as root,
        project.store.scratch() as scratch,
        project.monitor.step("verify", "asking the image in a chroot") as line,
    ):
        manifest = scratch / "manifest.json"
        files.write_whole(manifest, export.manifest(project))
        summary = proof.verify(
            proof.Target(level=proof.Level.CHROOT, path=root),
            manifest,
            folder=folder,
            native_root=builder.native().tree,
            twins=builder.twins(root, scratch / "twins"),
            line=line,
        )
    project.monitor.say(f"      {summary}")


def verify_target(
    project: Project, target: str, *, report: Path | None = None, select: Sequence[str] = ()
) -> None:
    """Verify what was exported, or a real board that runs it; ``select``: options for pytest."""
    builder = project.builder()
    if target == "chroot":
        builder.build([plan.TOOLS, project.plan.top.name])
        verify_tree(project, builder)
        return
    manifest = export.papers(project)
    if not manifest.exists():
        raise HostError(f"{manifest} does not exist", hint="./invoke build-image")
    native_root = None
    if target.partition(":")[0] == "chroot":
        builder.build([plan.TOOLS])
        native_root = builder.native().tree
    if target.partition(":")[0] == "emulated":
        if project.board.qemu_machine is None:
            raise HostError(
                f"{project.board.title} cannot be emulated: {project.board.no_qemu}",
                hint="./invoke verify --target ssh:USER@HOST proves a real one",
            )
        builder.build([plan.EMULATOR])
        native_root = builder.native(plan.EMULATOR).tree
        target = f"emulated:{project.image}" if target == "emulated" else target
    chosen = proof.parse_target(target)
    folder = project.out / "verify" / project.name / str(chosen.level)
    with project.monitor.step(f"verify {project.board.name}", f"asking {chosen}") as line:
        summary = proof.verify(
            chosen,
            manifest,
            folder=folder,
            key=project.access.private,
            native_root=native_root,
            report=report,
            select=select,
            line=line,
        )
    project.monitor.say(f"      {summary}")


def reasons(project: Project, step: str) -> list[str]:
    """Say why a step runs again, a line for each reason."""
    return why.explain(
        project.plan,
        project.store,
        step,
        detail=lambda one: details.of(one, project.lock),
    )


def write_lock(project: Project, config: Path) -> Path:
    """Write the lock beside the configuration; give its place."""
    path = lock_file(config, project.board)
    files.write_whole(path, project.lock.dump())
    return path
