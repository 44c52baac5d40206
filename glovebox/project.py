"""The whole story: one YAML file in, a flashable and proven image out."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox import (
    apt,
    details,
    doctor,
    export,
    files,
    imported,
    keep,
    keys,
    lock,
    plan,
    sandbox,
    verify as proof,
    why,
)
from glovebox.boards import BOARDS, Board
from glovebox.build import Builder
from glovebox.errors import HostError
from glovebox.load import Loaded, load
from glovebox.store import Store, default_root

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glovebox.keys import AccessKeys
    from glovebox.monitor import Monitor

CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Project:
    """A loaded, locked and planned build."""

    config: Path
    loaded: Loaded
    board: Board
    lock: lock.Lock
    plan: plan.Plan
    access: AccessKeys
    store: Store
    monitor: Monitor
    out: Path

    @property
    def name(self) -> str:
        """What the image's files are called."""
        return f"{self.loaded.config.hostname}-{self.board.name}"

    @property
    def image(self) -> Path:
        """Where the image lies when it is done."""
        return self.out / f"{self.name}.img"

    def builder(self, *, shell: bool = False) -> Builder:
        """Give what runs the steps; with ``shell`` one that fails opens a shell where it did."""
        return Builder(
            plan=self.plan,
            lock=self.lock,
            store=self.store,
            monitor=self.monitor,
            checkout=CHECKOUT,
            shell=shell,
            out=self.out,
        )


def open_project(
    monitor: Monitor,
    *,
    config: Path,
    overrides: Sequence[str] = (),
    out: Path,
    accelerate: bool = True,
    refresh: bool = False,
    quiet: bool = False,
    locked: bool = False,
) -> Project:
    """Load, lock and plan: everything that is known before the first step runs."""
    loaded = load(config, overrides=overrides)
    if not quiet:
        for warning in loaded.warnings:
            monitor.warn(warning)
    settings = loaded.config
    board = BOARDS[settings.board]
    doctor.require_emulation(board.arch)
    store = Store(root=default_root()).open(monitor.note if quiet else monitor.say)
    caller = keys.caller(os.environ)
    access = keys.access_keys(
        settings.user, home=caller.home, data_home=caller.data_home, owner=caller.owner
    )
    sub_stages = plan.read_stages(settings, CHECKOUT)
    given = plan.variables(settings, board)
    base = _imported(settings.base, store, monitor, board)
    suite = base.suite if base else settings.suite
    chains = plan.chains(board, sub_stages, given, installed=base.status if base else None)
    sources = plan.source_names(sub_stages, given)
    if locked:
        asked = lock.question(suite, chains, sources)
        resolved = lock.read(lock_file(config, board), asked=asked)
    else:
        resolved = lock.resolve(
            store,
            suite=suite,
            mirror=_mirror(settings.mirror),
            chains=chains,
            sources=sources,
            refresh=refresh,
            own=imported.archives(base, _mirror(settings.mirror)) if base else (),
        )
    if not quiet:
        for warning in resolved.warnings:
            monitor.warn(warning)
    made = plan.make_plan(
        settings,
        board,
        resolved,
        sub_stages=sub_stages,
        checkout=CHECKOUT,
        access=access,
        secret=_secret(store),
        accelerate=accelerate,
        imported=base,
    )
    return Project(
        config=config,
        loaded=loaded,
        board=board,
        lock=resolved,
        plan=made,
        access=access,
        store=store,
        monitor=monitor,
        out=out,
    )


def reasons(project: Project, step: str) -> list[str]:
    """Say why a step runs again, a line for each reason."""
    return why.explain(
        project.plan,
        project.store,
        step,
        detail=lambda one: details.of(one, project.lock, CHECKOUT),
    )


def lock_file(config: Path, board: Board) -> Path:
    """Give where the lock of a configuration lies: beside it, one for each board."""
    return config.with_name(f"{config.stem}.{board.name}.lock.json")


def write_lock(project: Project, config: Path) -> Path:
    """Write the lock beside the configuration; give its place."""
    path = lock_file(config, project.board)
    files.write_whole(path, project.lock.dump())
    return path


def build_image(
    project: Project, *, fresh: bool = False, verify: bool = True, shell: bool = False
) -> Path:
    """Build the layers, verify them, export the image; give its place."""
    swept = files.sweep_halves(project.out)
    if swept:
        project.monitor.say(f"resuming after a killed build: swept {swept} in {project.out}")
    keep.remember(project.store, project.config, project.board.name, project.plan, project.lock)
    if not fresh and export.is_current(project, verified=verify):
        project.monitor.say(f"  ✓ {project.image} is up to date")
        return project.image
    builder = project.builder(shell=shell)
    builder.build(["image"], fresh=fresh)
    if verify:
        verify_tree(project, builder)
    return export.export(project, builder, verified=verify)


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
            line=line,
        )
    project.monitor.say(f"      {summary}")


def verify_target(project: Project, target: str, *, report: Path | None = None) -> None:
    """Verify what was exported, or a real board that runs it."""
    builder = project.builder()
    if target == "chroot":
        builder.build([project.plan.top.name])
        verify_tree(project, builder)
        return
    manifest = export.papers(project)
    if not manifest.exists():
        raise HostError(f"{manifest} does not exist", hint="./invoke build-image")
    qemu_root = None
    if target.partition(":")[0] == "emulated":
        if project.board.qemu_machine is None:
            raise HostError(
                f"{project.board.title} cannot be emulated: {project.board.no_qemu}",
                hint="./invoke verify --target ssh:USER@HOST proves a real one",
            )
        builder.build([plan.EMULATOR])
        qemu_root = builder.native(plan.EMULATOR).tree
        target = f"emulated:{project.image}" if target == "emulated" else target
    chosen = proof.parse_target(target)
    folder = project.out / "verify" / project.name / str(chosen.level)
    with project.monitor.step(f"verify {project.board.name}", f"asking {chosen}") as line:
        summary = proof.verify(
            chosen,
            manifest,
            folder=folder,
            key=project.access.private,
            qemu_root=qemu_root,
            report=report,
            line=line,
        )
    project.monitor.say(f"      {summary}")


def _imported(base: str, store: Store, monitor: Monitor, board: Board) -> imported.Base | None:
    if base == "debian":
        return None
    sandbox.require_root("reading an image")
    return imported.bring_in(Path(base), store, monitor, arch=board.arch)


def _mirror(given: str | None) -> apt.Mirror:
    found = apt.host_mirror()
    return found if given is None else apt.Mirror(main=given, security=found.security)


def _secret(store: Store) -> bytes:
    """Give this store's own secret: keys hold what must not be guessed as an HMAC with it."""
    path = store.root / "secret"
    with store.exclusive("secret"):  # two first builds at once must not make two
        if not path.exists():
            files.write_whole(path, secrets.token_hex(32), mode=0o600)
        return path.read_text().encode()
