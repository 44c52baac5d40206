"""A configuration that was loaded, locked and planned: all that is known before a step runs."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.boards import kernel
from glovebox.card.first_start import Job
from glovebox.checkout import CHECKOUT
from glovebox.config.build import RASPIOS, KernelFrom
from glovebox.errors import ConfigError
from glovebox.host import files, sandbox
from glovebox.lock import apt, lock, raspios
from glovebox.plan import fitting, plan
from glovebox.project import keys, sound
from glovebox.stage import check as stage_check, modes, pi_gen, stage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from glovebox.boards.boards import Board
    from glovebox.build.builder import Builder
    from glovebox.config.access import AccessKeys
    from glovebox.config.build import BuildConfig
    from glovebox.config.schema import Config
    from glovebox.host.monitor import Monitor
    from glovebox.lock.official import OfficialImage
    from glovebox.plan.base import Base
    from glovebox.project.load import Loaded
    from glovebox.store.store import Store


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
        return f"{self.loaded.config.image_hostname}-{self.board.name}{self.plan.chosen.suffix}"

    def each_image(self) -> tuple[Project, ...]:
        """Give this project once for each of its images; mostly there is one."""
        return tuple(replace(self, plan=self.plan.of(made)) for made in self.plan.images)

    @property
    def image(self) -> Path:
        """Where the image lies when it is done."""
        return self.out / f"{self.name}.img"

    def builder(self, *, shell: bool = False) -> Builder:
        """Give what runs the steps; with ``shell`` one that fails opens a shell where it did."""
        from glovebox.build.builder import Builder  # noqa: PLC0415  a plan alone runs nothing

        return Builder(
            plan=self.plan,
            lock=self.lock,
            store=self.store,
            monitor=self.monitor,
            checkout=CHECKOUT,
            shell=shell,
            out=self.out,
        )


def open_project(  # noqa: PLR0913  what a person can ask of a run
    monitor: Monitor,
    *,
    store: Store,
    config: Path,
    overrides: Sequence[str] = (),
    out: Path,
    accelerate: bool = True,
    refresh: bool = False,
    quiet: bool = False,
    locked: bool = False,
    run_volatile: bool = False,
    builds: bool = False,
) -> Project:
    """Load, lock and plan: everything that is known before the first step runs.

    Mistakes are raised before anything is locked, all of them at once; where it ``builds``, what
    this machine lacks is one. With ``run_volatile`` the stages marked so run again; otherwise
    their last results count.
    """
    with monitor.slow("stages", "reading their files: they are many"):
        checked = sound.require(config, overrides=overrides, builds=builds)
    loaded, board = checked.loaded, checked.board
    settings = loaded.config
    if not quiet:
        for warning in loaded.warnings:
            monitor.warn(warning)
    caller = keys.caller(os.environ)
    access = keys.access_keys(
        settings.user, home=caller.home, data_home=caller.data_home, owner=caller.owner
    )
    by = lock_file(config, board) if locked else None
    image, base = _lowest(settings, store, monitor, board, by=by, refresh=refresh)
    suite = base.suite if base else settings.suite
    settings, added = fitting.to_suite(settings, suite)
    stages = plan.read_stages(settings, CHECKOUT)
    given = pi_gen.variables(settings, board)
    exports = pi_gen.exports(stages, given)
    if not quiet:
        for reason in added:
            monitor.say(f"  {reason}")
        _warn(monitor, settings, stages, exports, pi_gen.dated(given, 0))
    known = {"installed": base.status, "pins": base.pins} if base else {}
    chains = plan.chains(board, stages, given, **known)
    sources = plan.source_names(stages, given)
    wheel_lists = plan.wheel_lists(stages)
    if locked:
        asked = lock.question(suite, chains, sources, wheel_lists)
        resolved = lock.read(lock_file(config, board), asked=asked)
    else:
        with monitor.slow("packages", "asking the mirror what there is, and resolving it"):
            resolved = lock.resolve(
                store,
                suite=suite,
                mirror=mirror_of(settings),
                chains=chains,
                sources=sources,
                wanted_wheels=wheel_lists,
                refresh=refresh,
                own=archives(settings, board, base, suite),
            )
        resolved = replace(resolved, raspios=image)
    if not quiet:
        for warning in resolved.warnings:
            monitor.warn(warning)
    with monitor.slow("plan", "digesting the files of stages, overlays and sources: they are many"):
        made = plan.make_plan(
            settings,
            board,
            resolved,
            stages=stages,
            checkout=CHECKOUT,
            access=access,
            secret=secret_of(store),
            accelerate=accelerate,
            imported=base,
            exports=exports,
            run=_volatile_run(store, stages, begin=run_volatile),
        )
    return Project(
        config=config,
        loaded=replace(loaded, config=settings),
        board=board,
        lock=resolved,
        plan=made,
        access=access,
        store=store,
        monitor=monitor,
        out=out,
    )


def _warn(
    monitor: Monitor,
    settings: BuildConfig,
    stages: Sequence[stage.Stage],
    exports: Sequence[pi_gen.Export],
    given: Mapping[str, str],
) -> None:
    """Say what in stages and overlays may not be what their owner meant."""
    with monitor.slow("stages", "reading their files: they are many"):
        warnings = list(stage_check.warnings(stages, given, exports))
    for warning in warnings:
        monitor.warn(warning)
    for name in settings.overlays:
        for warning in modes.warnings(plan.own_folder("overlays", name, CHECKOUT)):
            monitor.warn(warning)


def lock_file(config: Path, board: Board) -> Path:
    """Give where the lock of a configuration lies: beside it, one for each board."""
    return config.with_name(f"{config.stem}.{board.name}.lock.json")


def _lowest(
    settings: BuildConfig,
    store: Store,
    monitor: Monitor,
    board: Board,
    *,
    by: Path | None,
    refresh: bool,
) -> tuple[OfficialImage | None, Base | None]:
    """Give the image that the build starts from, as layer; with base raspios what it is, too.

    ``by`` is the lock file that says which image of Raspberry Pi OS it is.
    """
    if settings.base == "debian":
        return None, None
    from glovebox.build import imported  # noqa: PLC0415  most builds take no image as base

    sandbox.require_root("reading an image")
    if settings.base != RASPIOS:
        return None, imported.bring_in(Path(settings.base), store, monitor, arch=board.arch)
    if by is not None:
        pinned = lock.load(by).raspios
        image = raspios.require_pinned(pinned, suite=settings.suite, arch=board.arch)
    else:
        image = raspios.choose(
            settings.raspios, store, monitor,
            suite=settings.suite, arch=board.arch, refresh=refresh,
        )  # fmt: skip
    file = raspios.bring(image, settings.raspios, store, monitor)
    base = imported.bring_in(file, store, monitor, arch=board.arch, pinned=image)
    if settings.car:
        require_known(base)
    return image, base


def require_known(base: Base) -> None:
    """Raise ConfigError unless a car's stages know all that an official image does by itself."""
    unknown = [str(one) for one in base.first_start.by(Job.UNKNOWN)]
    if unknown:
        raise ConfigError(
            f"base: raspios: the image starts with {', '.join(unknown)}, which is not known here:"
            " it could grow the root over the data partition of a car",
            hint="profile: bench leaves it as it is",
        )
    if base.boot != plan.BOOT:
        raise ConfigError(
            f"base: raspios: the image has its boot partition at /{base.boot}, a car's is at"
            f" /{plan.BOOT}",
            hint="suite: trixie or bookworm; or profile: bench",
        )


def archives(
    settings: BuildConfig, board: Board, base: Base | None, suite: str
) -> list[apt.Archive]:
    """Give where the image's packages come from, where that is not Debian's suite alone."""
    mirror = mirror_of(settings)
    more = [
        apt.Archive(
            url=one.url,
            suite=one.suite,
            optional=False,
            components=one.components,
            keyring=Path(one.keyring),
        )
        for one in settings.archives
    ]
    if kernel.source(settings, board) is KernelFrom.BACKPORTS:
        # Not for what is compiled: of two versions of a source the newer one is taken.
        name = kernel.backports(suite)
        more.append(apt.Archive(url=mirror.main, suite=name, optional=False, sources=False))
    if base is not None:
        from glovebox.build import imported  # noqa: PLC0415  likewise

        own = imported.archives(base, mirror, raspberry_pis=settings.raspios.archive)
        return [*own, *more]
    return [*apt.archives(mirror, suite), *more] if more else []


def mirror_of(settings: Config) -> apt.Mirror:
    """Give the mirror of the configuration, else the host's own."""
    found = apt.host_mirror()
    if settings.mirror is None:
        return found
    return apt.Mirror(main=settings.mirror, security=found.security)


def _volatile_run(store: Store, stages: Sequence[stage.Stage], *, begin: bool) -> str:
    """Give the name of the run whose results of volatile stages count; ``begin`` makes it new."""
    if not any(sub.volatile for sub in stage.all_of(stages)):
        return ""
    path = store.root / "volatile"
    with store.exclusive("volatile"):
        if begin or not path.exists():
            files.write_whole(path, secrets.token_hex(8))
        return path.read_text()


def secret_file(store: Store) -> Path:
    """Give the place of a store's secret."""
    return store.root / "secret"


def secret_of(store: Store) -> bytes:
    """Give this store's own secret: keys hold what must not be guessed as an HMAC with it."""
    path = secret_file(store)
    with store.exclusive("secret"):  # two first builds at once must not make two
        if not path.exists():
            files.write_whole(path, secrets.token_hex(32), mode=0o600)
        return path.read_text().encode()
