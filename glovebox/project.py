"""The whole story: one YAML file in, a flashable and proven image out."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox import apt, export, files, keys, lock, plan
from glovebox.boards import BOARDS, Board
from glovebox.build import Builder
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

    def builder(self) -> Builder:
        """Give what runs the steps."""
        return Builder(
            plan=self.plan,
            lock=self.lock,
            store=self.store,
            monitor=self.monitor,
            checkout=CHECKOUT,
        )


def open_project(
    monitor: Monitor,
    *,
    config: Path,
    overrides: Sequence[str] = (),
    out: Path,
    accelerate: bool = True,
    refresh: bool = False,
) -> Project:
    """Load, lock and plan: everything that is known before the first step runs."""
    loaded = load(config, overrides=overrides)
    for warning in loaded.warnings:
        monitor.warn(warning)
    settings = loaded.config
    board = BOARDS[settings.board]
    store = Store(root=default_root()).open()
    caller = keys.caller(os.environ)
    access = keys.access_keys(
        settings.user, home=caller.home, data_home=caller.data_home, owner=caller.owner
    )
    sub_stages = plan.read_stages(settings, CHECKOUT)
    given = plan.variables(settings, board)
    resolved = lock.resolve(
        store,
        suite=settings.suite,
        mirror=_mirror(settings.mirror),
        chains=plan.chains(board, sub_stages, given),
        sources=plan.source_names(sub_stages, given),
        refresh=refresh,
    )
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
    )
    return Project(
        loaded=loaded,
        board=board,
        lock=resolved,
        plan=made,
        access=access,
        store=store,
        monitor=monitor,
        out=out,
    )


def build_image(project: Project, *, fresh: bool = False) -> Path:
    """Build, verify and export the image; give its place."""
    if not fresh and export.is_current(project):
        project.monitor.say(f"  ✓ {project.image} is up to date")
        return project.image
    builder = project.builder()
    builder.build(["image"], fresh=fresh)
    return export.export(project, builder)


def _mirror(given: str | None) -> apt.Mirror:
    found = apt.host_mirror()
    return found if given is None else apt.Mirror(main=given, security=found.security)


def _secret(store: Store) -> bytes:
    """Give this store's own secret: keys hold what must not be guessed as an HMAC with it."""
    path = store.root / "secret"
    if not path.exists():
        files.write_whole(path, secrets.token_hex(32), mode=0o600)
    return path.read_text().encode()
