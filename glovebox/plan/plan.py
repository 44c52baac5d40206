"""Plan a build: steps, each with a key made of all that decides its result and nothing else.

Pure: nothing is started and nothing is written here.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
import uuid
from collections.abc import Mapping  # noqa: TC003  a dataclass field's hint
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from glovebox.card.first_start import FirstStart
from glovebox.config.build import RASPIOS
from glovebox.errors import ConfigError, Mistakes
from glovebox.host import files
from glovebox.host.arch import ARCHES, host_arch
from glovebox.lock.lock import Chain, Request
from glovebox.lock.pip import Wanted
from glovebox.plan import code
from glovebox.plan.inputs import Input, InputKind, Inputs, by_label, digests, value
from glovebox.stage import (
    modes,
    pi_gen,
    sources,
    stage,
    template,
    untracked,
    wheel_list,
    wordlist,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from glovebox.boards.boards import Board
    from glovebox.config.access import AccessKeys
    from glovebox.config.build import BuildConfig
    from glovebox.config.schema import Config, FirmwareFile, StageEntry
    from glovebox.lock.lock import Lock
    from glovebox.plan.base import Base

BOOT = "boot/firmware"
# As long as it is not known which disk it will be.
NO_DISK = "00000000"
TARGET, TOOLS, EMULATOR, QUILT = "target", "tools", "emulator", "quilt"
ACCELERATOR = "accelerator"
SETTINGS_STAGE = "settings"
# What brings a base to where all other stages begin.
DEBIANS_STAGE, RASPIOS_STAGE = "base", "raspios"
FIRST_USER = "first user"
# Beside the actions of a sub-stage: places of programs that are not for the board.
ALLOWED = "FOREIGN_PROGRAMS"

BASE_PACKAGES = ("?essential", "apt")
TOOLS_PACKAGES = (
    "cpio", "device-tree-compiler", "dosfstools", "dpkg-dev", "e2fsprogs", "fdisk", "kmod",
    "libcap2-bin", "locales", "make", "mount", "mtools", "python3", "xz-utils", "zstd",
)  # fmt: skip
# Whose programs the accelerator has.
ACCELERATOR_PACKAGES = (
    "apt", "bash", "coreutils", "cpio", "dash", "debianutils", "diffutils", "dpkg", "findutils",
    "grep", "gzip", "hostname", "kmod", "mawk", "passwd", "perl-base", "python3-minimal", "sed",
    "tar", "util-linux", "xz-utils", "zstd",
)  # fmt: skip


class StepKind(StrEnum):
    """What a step makes."""

    NATIVE_ROOT = "native root"
    ACCELERATOR = "accelerator"
    EXTRACT = "extract"
    UNPACK = "unpack"
    CONFIGURE = "configure"
    IMPORT = "import"
    ON_TOOLS = "on tools"
    FIRST_USER = "first user"
    SUB_STAGE = "sub-stage"
    OWN_FILES = "own files"
    IMAGE = "image"


# What these make is no part of an image, and takes long: a number goes up when the builder makes
# something else of the same packages. All other keys count the builder's code itself.
TOOL_VERSIONS = {StepKind.NATIVE_ROOT: 2, StepKind.ACCELERATOR: 6}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step: what it needs, what decides its result, and the key of both."""

    name: str
    kind: StepKind
    # The step whose layer lies directly beneath, for a layer of the image.
    below: str | None = None
    # Steps whose results it uses and that decide its own.
    uses: tuple[str, ...] = ()
    # Steps whose results only make it faster.
    helped_by: tuple[str, ...] = ()
    inputs: Inputs = field(default_factory=dict)
    key: str
    sub_stage: stage.SubStage | None = None
    action: stage.Action | None = None
    rendered: Mapping[str, tuple[template.Rendered, ...]] = field(default_factory=dict)
    # The owner's; what came of the templates is in ``rendered``, in the same order.
    overlays: tuple[Path, ...] = ()
    templates: tuple[Path, ...] = ()
    firmware: tuple[FirmwareFile, ...] = ()
    # What its scripts read that no key can know of, a sentence each.
    untracked: tuple[str, ...] = ()

    @property
    def stage(self) -> str:
        """The stage it belongs to; the base and the image belong to none."""
        return self.sub_stage.stage if self.sub_stage else ""

    @property
    def volatile(self) -> bool:
        """Whether it runs in every build."""
        return any(one.kind is InputKind.RUN for one in self.inputs.values())


@dataclass(frozen=True, kw_only=True)
class Made:
    """One image of a plan: the step that assembles it, and what tells it from the others."""

    step: str
    disk_id: str
    suffix: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All steps in an order in which they can run, and what the image is called inside.

    Where several images are made, one of them is meant by ``image``, ``top`` and ``disk_id``: the
    last, or the one that ``of`` chose.
    """

    steps: Mapping[str, Step]
    disk_id: str
    arch: str
    epoch: int
    variables: Mapping[str, str]
    boot: str = BOOT
    images: tuple[Made, ...] = ()
    chosen: Made = Made(step="image", disk_id="")
    # What the image below would do by itself when it starts.
    first_start: FirstStart = field(default_factory=FirstStart)
    # The stages' folders in order, skipped ones too: a script may ask for the one before its own.
    stages: tuple[stage.Stage, ...] = ()

    def of(self, made: Made) -> Plan:
        """Give the plan as one of its images sees it."""
        return replace(self, disk_id=made.disk_id, chosen=made)

    def layers(self, name: str) -> list[Step]:
        """Give the steps whose layers, lowest first, make the root as ``name`` leaves it."""
        chain: list[Step] = []
        at: str | None = name
        while at is not None:
            chain.append(self.steps[at])
            at = self.steps[at].below
        return chain[::-1]

    def needs(self, name: str) -> tuple[str, ...]:
        """Give every step whose result must be there before this one runs: all layers beneath."""
        step = self.steps[name]
        beneath = [one.name for one in self.layers(step.below)] if step.below else []
        used = [one.name for use in step.uses for one in self.layers(use)]
        return tuple(dict.fromkeys((*beneath, *used, *step.helped_by)))

    @property
    def top(self) -> Step:
        """The last layer of the root file system."""
        below = self.image.below
        if below is None:
            message = "an image has a layer below it"
            raise AssertionError(message)
        return self.steps[below]

    @property
    def image(self) -> Step:
        """The step that assembles the image."""
        return self.steps[self.chosen.step]


def read_stages(config: Config, checkout: Path) -> tuple[stage.Stage, ...]:
    """Read all stages of the configuration, the settings last, or raise all that is wrong."""
    mistakes = Mistakes()
    read = examine_stages(config, checkout, mistakes)
    mistakes.require_none()
    return read


def examine_stages(
    config: Config, checkout: Path, mistakes: Mistakes, *, all_known: bool = True
) -> tuple[stage.Stage, ...]:
    """Give the stages that can be read, the settings last, and gather what is wrong.

    Where not ``all_known``, the configuration names more, and nothing is missed for that.
    """
    entries = [entry for entry in _on_this_base(config) if not config.leaves_out(entry.path)]
    read: list[stage.Stage] = []
    for entry in entries:
        with mistakes.gathered():
            read.append(_read_stage(entry, checkout))
    if not entries and all_known:
        mistakes.add(ConfigError("stages: there is none", hint="stages: [base, boot]"))
    read.append(stage.read(stage.find(SETTINGS_STAGE, checkout)))
    by_name: dict[str, stage.Stage] = {}
    for one in read:
        other = by_name.setdefault(one.name, one)
        if other is not one:  # one's layers would be taken for the other's
            said = f"stages: two are called {one.name}: {other.path} and {one.path}"
            mistakes.add(ConfigError(said, hint="rename one of the folders"))
    # Another image may bring what a stage needs.
    if config.base == "debian" and all_known:
        with mistakes.gathered():
            # Also of those that could not be read.
            _require_needs(read, [stage.find(one.path, checkout).name for one in entries])
    return tuple(read)


def _on_this_base(config: Config) -> Iterator[StageEntry]:
    """Give the stages that are meant: what `base` is to Debian, `raspios` is to Raspberry Pi OS."""
    for entry in config.stages:
        of_debian = entry.path == DEBIANS_STAGE and config.base == RASPIOS
        yield replace(entry, path=RASPIOS_STAGE) if of_debian else entry


def _require_needs(stages: Sequence[stage.Stage], names: Sequence[str]) -> None:
    """Raise ConfigError where stages come before what they need, all of them at once."""
    lacking = [
        f"{one.name} needs {need} before it"
        + ("" if need not in names else f", and {need} comes after it")
        for one in stages
        for need in one.needs
        if one.name in names and need not in names[: names.index(one.name)]
    ]
    if lacking:
        hint = "name them in that order; their files NEEDS say what each is made upon"
        raise ConfigError(
            f"stages: {'; '.join(lacking)}", hint=hint,
            each=[f"stages: {one}; hint: {hint}" for one in lacking],
        )  # fmt: skip


def _read_stage(entry: StageEntry, checkout: Path) -> stage.Stage:
    path = stage.find(entry.path, checkout)
    own = path.resolve().is_relative_to((checkout / "stages").resolve())
    return stage.read(path, volatile=entry.volatile, foreign=not own, network=entry.network)


def chains(
    board: Board,
    stages: Sequence[stage.Stage],
    variables: Mapping[str, str],
    *,
    installed: str | None = None,
    pins: str = "",
) -> tuple[Chain, ...]:
    """Give what has to be resolved before a plan can be made.

    ``installed`` is the dpkg status of an imported image, ``pins`` are its apt preferences; without
    one the base is made of packages.
    """
    wanted = [Request(name="base", packages=BASE_PACKAGES)] if installed is None else []
    for sub in (one for one in stage.all_of(stages) if not one.network):
        for action in sub.of(stage.Kind.PACKAGES, stage.Kind.PACKAGES_NR):
            words = wordlist.words_of(action.path, variables)
            if words:
                wanted.append(
                    Request(
                        name=f"{sub.name}/{action.path.name}",
                        packages=words,
                        recommends=action.recommends,
                    )
                )
    tools = (*TOOLS_PACKAGES, *ARCHES[board.arch].cross_packages)
    natives = {
        TOOLS: tools,
        EMULATOR: ("qemu-system-arm", "qemu-utils", "device-tree-compiler"),
    }
    if any(sub.of(stage.Kind.PATCHES) for sub in stage.all_of(stages)):
        natives[QUILT] = ("quilt",)
    return (
        Chain(
            name=TARGET,
            arch=board.arch,
            requests=tuple(wanted),
            installed=installed or "",
            pins=pins,
        ),
        *(
            Chain(
                name=name,
                arch=host_arch(),
                requests=(
                    Request(name="base", packages=BASE_PACKAGES),
                    Request(name=name, packages=packages),
                ),
            )
            for name, packages in natives.items()
        ),
        *_more_tools(stages, variables, tools),
        *_libraries(stages, variables, board.arch),
    )


def tools_chain(sub: stage.SubStage, action: stage.Action) -> str:
    """Give the name of the chain of what a compiling program needs beside the tools."""
    return f"{TOOLS} of {sub.name}/{action.number}"


def _more_tools(
    stages: Sequence[stage.Stage], variables: Mapping[str, str], tools: tuple[str, ...]
) -> Iterator[Chain]:
    """Give a chain for each `NN-tools`: all of them begin with the same native root."""
    for sub in stage.all_of(stages):
        for action in sub.of(stage.Kind.TOOLS):
            words = wordlist.words_of(action.path, variables)
            if words:
                yield Chain(
                    name=tools_chain(sub, action),
                    arch=host_arch(),
                    requests=(
                        Request(name="base", packages=BASE_PACKAGES),
                        Request(name=TOOLS, packages=tools),
                        Request(name=action.path.name, packages=words),
                    ),
                )


def libraries_chain(sub: stage.SubStage, action: stage.Action) -> str:
    """Give the name of the chain of what a compiled program is linked with."""
    return f"libraries of {sub.name}/{action.number}"


def _libraries(
    stages: Sequence[stage.Stage], variables: Mapping[str, str], arch: str
) -> Iterator[Chain]:
    """Give a chain for each `NN-libraries`, of the target's architecture, based on nothing.

    Not beside the native root, by Debian's multiarch: there both architectures must have the very
    same version of a library, and a mirror that is behind with one of them has not.
    """
    for sub in stage.all_of(stages):
        for action in sub.of(stage.Kind.LIBRARIES):
            words = wordlist.words_of(action.path, variables)
            if words:
                yield Chain(
                    name=libraries_chain(sub, action),
                    arch=arch,
                    requests=(Request(name=action.path.name, packages=words),),
                )


# What stands beside a compiling program, and what the chain of its packages is called.
BESIDE = {stage.Kind.TOOLS: tools_chain, stage.Kind.LIBRARIES: libraries_chain}


def source_names(stages: Sequence[stage.Stage], variables: Mapping[str, str]) -> tuple[str, ...]:
    """Give the source packages that the stages compile."""
    found = [
        one
        for sub in stage.all_of(stages)
        for action in sub.of(stage.Kind.SOURCES)
        for one in sources.of(action, variables)
    ]
    return tuple(dict.fromkeys(one.what for one in found if one.origin is sources.Origin.DEBIAN))


def wheel_lists(stages: Sequence[stage.Stage]) -> tuple[Wanted, ...]:
    """Give what the lists of wheels ask for, in the order in which they are installed."""
    return tuple(
        Wanted(name=f"{sub.name}/{action.path.name}", requirements=wanted)
        for sub in stage.all_of(stages)
        for action in sub.of(stage.Kind.WHEELS)
        if (wanted := wheel_list.requirements_of(action.path))
    )


def make_plan(  # noqa: PLR0913  all that decides a build comes together here
    config: BuildConfig,
    board: Board,
    lock: Lock,
    *,
    stages: Sequence[stage.Stage],
    checkout: Path,
    access: AccessKeys,
    secret: bytes,
    accelerate: bool = True,
    imported: Base | None = None,
    exports: Sequence[pi_gen.Export] = (),
    run: str = "",
) -> Plan:
    """Turn configuration and lock into steps.

    ``secret`` stays on this machine: the settings may hold Wi-Fi keys, and a plain hash of those
    could be guessed from a key. ``run`` names the run whose results of volatile stages count.
    """
    given = pi_gen.dated(pi_gen.variables(config, board), lock.epoch)
    maker = _Maker(
        lock=lock, accelerate=accelerate, given=given, checkout=checkout, run=run,
        hidden=frozenset(config.environment), quilt=QUILT in lock.chains,
    )  # fmt: skip
    maker.native_roots()
    if imported is None:
        maker.base()
    else:
        maker.import_(imported)
    boot = imported.boot if imported else BOOT
    first_start = imported.first_start if imported else FirstStart()
    values = context(config, board, access, boot=boot, stock=first_start)
    *before, settings = stages
    wanted = {one.stage: one for one in exports} or _last(before)
    images: list[Made] = []
    for one in before:
        for sub in one.sub_stages:
            if sub.foreign:
                maker.first_user(config)
            maker.sub_stage(sub, context=values)
        if one.name not in wanted:
            continue
        # What is this image's alone lies on a branch; the last one keeps the plain names.
        is_last = len(images) + 1 == len(wanted)
        branch = "" if is_last else f" ({one.name})"
        trunk = maker.below
        maker.own_files(config, context=values, secret=secret, branch=branch)
        disk_id = _disk_id(maker.key_below)
        known = {**values, "disk_id": disk_id}
        for sub in settings.sub_stages:
            maker.sub_stage(sub, context=known, secret=secret, branch=branch)
        step = maker.image(config, branch=branch)
        images.append(Made(step=step, disk_id=disk_id, suffix=wanted[one.name].suffix))
        maker.below = trunk
        if is_last:
            break  # what comes after gets into no image
    return Plan(
        steps=maker.steps,
        disk_id=images[-1].disk_id,
        arch=board.arch,
        epoch=lock.epoch,
        variables=given,
        boot=boot,
        first_start=first_start,
        images=tuple(images),
        chosen=images[-1],
        stages=tuple(stages),
    )


def _last(stages: Sequence[stage.Stage]) -> dict[str, pi_gen.Export]:
    return {stages[-1].name: pi_gen.Export(stage=stages[-1].name)}


def identifier(plan: Plan, what: str) -> uuid.UUID:
    """Give a file system's identifier, the same for the same image."""
    return uuid.UUID(bytes=bytes.fromhex(files.digest("identifier", what, plan.disk_id)[:32]))


def _disk_id(key: str) -> str:
    # Zero means "none" to partition tools.
    number = int(files.digest("disk id", key)[:8], 16) or 1
    return f"{number:08x}"


def context(
    config: Config,
    board: Board,
    access: AccessKeys,
    *,
    disk_id: str = NO_DISK,
    boot: str = BOOT,
    stock: FirstStart | None = None,
) -> dict[str, Any]:
    """Give what templates are filled from."""
    return {
        "config": config, "board": board, "access": access, "disk_id": disk_id, "boot": boot,
        "first_start": stock or FirstStart(),
    }  # fmt: skip


class _Maker:
    """Adds one step after the other; ``below`` is the layer the next one lies on."""

    def __init__(
        self,
        *,
        lock: Lock,
        accelerate: bool,
        given: Mapping[str, str],
        checkout: Path,
        run: str,
        hidden: frozenset[str],
        quilt: bool,
    ) -> None:
        self.steps: dict[str, Step] = {}
        self.below: str | None = None
        self._lock = lock
        self._given = given
        self._checkout = checkout
        self._run = run
        self._hidden = hidden
        self._quilt = (QUILT,) if quilt else ()
        self._helpers = (ACCELERATOR,) if accelerate else ()

    @property
    def key_below(self) -> str:
        return self.steps[self.below].key if self.below else ""

    def native_roots(self) -> None:
        for chain in (TOOLS, EMULATOR, *self._quilt):
            inputs = [
                _packages(self._lock, f"packages of {name}", chain, name)
                for name in self._lock.chains[chain]
            ]
            self._add(chain, StepKind.NATIVE_ROOT, inputs=inputs)
        if self._helpers:
            inputs = [
                value("packages", files.digest_json(list(ACCELERATOR_PACKAGES))),
                value("architecture", self._given["ARCH"]),
            ]
            self._add(ACCELERATOR, StepKind.ACCELERATOR, uses=(TOOLS,), inputs=inputs)

    def base(self) -> None:
        inputs = [
            value("suite", self._lock.suite),
            _packages(self._lock, "packages", TARGET, "base"),
        ]
        self._layer("base/extract", StepKind.EXTRACT, inputs=inputs)
        self._layer("base/unpack", StepKind.UNPACK, helped_by=self._helpers)
        self._layer("base/configure", StepKind.CONFIGURE, helped_by=self._helpers)

    def import_(self, base: Base) -> None:
        # Its layer was made before anything could be locked, under this very key.
        self.steps[base.step] = Step(
            name=base.step,
            kind=StepKind.IMPORT,
            inputs=by_label([Input(kind=InputKind.IMAGE, label="image", digest=base.digest)]),
            key=base.layer.key,
        )
        self.below = base.step

    def first_user(self, config: Config) -> None:
        """Add the first user once, below the first stage that may count on it, as in pi-gen.

        Name, number, home and skeleton; password, keys and groups are settings.
        """
        if FIRST_USER not in self.steps:
            self._layer(
                FIRST_USER, StepKind.FIRST_USER, inputs=[value("user", config.user.name)],
                helped_by=self._helpers,
            )  # fmt: skip

    def sub_stage(
        self,
        sub: stage.SubStage,
        *,
        context: Mapping[str, Any],
        secret: bytes | None = None,
        branch: str = "",
    ) -> None:
        rendered = {
            action.number: template.render(action.path, context)
            for action in sub.of(stage.Kind.TEMPLATES)
        }
        inputs = [
            *self._this_run(sub),
            *([value("network", "yes")] if sub.network else []),
            *read_by(sub, given=self._given, lock=self._lock),
            *self._variables(sub),
        ]
        for action in sub.of(stage.Kind.TEMPLATES):
            inputs += _rendered(action.path.name, rendered[action.number], secret)
        uses = [self._on_tools(sub, action) for action in sub.of(stage.Kind.ON_TOOLS)]
        if sub.of(stage.Kind.PATCHES):
            uses += self._quilt
        helpers = () if (sub.path / "NO_ACCELERATOR").exists() else self._helpers
        self._layer(
            f"{sub.name}{branch}", StepKind.SUB_STAGE, uses=tuple(uses), helped_by=helpers,
            inputs=inputs, sub_stage=sub, rendered=rendered, untracked=untracked.inputs(sub),
        )  # fmt: skip

    def _this_run(self, sub: stage.SubStage) -> Iterator[Input]:
        if sub.volatile:
            yield Input(kind=InputKind.RUN, label="run", digest=self._run)

    def _variables(self, sub: stage.SubStage) -> Iterator[Input]:
        """Give the variables a sub-stage reads; of those that may be secret, what is hard to guess.

        No HMAC with this store's secret: the disk's identifier follows from the keys, and another
        machine shall make the same image.
        """
        for name, text in stage.variables_read(sub, self._given).items():
            told = _hard_to_guess(name, text) if name in self._hidden else text
            yield Input(kind=InputKind.VARIABLE, label=f"${name}", digest=told)

    def _on_tools(self, sub: stage.SubStage, action: stage.Action) -> str:
        inputs = [
            *compiled_from(
                sub, action, given=self._given, lock=self._lock, checkout=self._checkout
            ),
            *self._variables(sub),
        ]
        inputs.append(value("time", str(self._lock.epoch)))
        inputs += self._this_run(sub)
        uses = [TOOLS]
        if self.below and wants_sysroot(action):
            uses.append(self.below)
        name = f"{sub.name}/{action.path.name}"
        self._add(
            name, StepKind.ON_TOOLS, uses=tuple(uses), inputs=inputs, sub_stage=sub, action=action
        )
        return name

    def own_files(
        self, config: Config, *, context: Mapping[str, Any], secret: bytes, branch: str = ""
    ) -> None:
        """Add the owner's overlays, templates and firmware files, if there are any."""
        folders = tuple(own_folder("overlays", name, self._checkout) for name in config.overlays)
        templates = tuple(
            own_folder("templates", name, self._checkout) for name in config.templates
        )
        rendered = {
            f"template {n}": template.render(folder, context) for n, folder in enumerate(templates)
        }
        if folders or templates or config.firmware:
            inputs = list(laid_from(folders, templates))
            for label, made in rendered.items():
                inputs += _rendered(label, made, secret)
            inputs += [
                Input(
                    kind=InputKind.DOWNLOAD,
                    label=f"firmware {one.url.rpartition('/')[2]}",
                    digest=one.sha256,
                )
                for one in config.firmware
            ]
            self._layer(
                f"own files{branch}",
                StepKind.OWN_FILES,
                inputs=inputs,
                overlays=folders,
                templates=templates,
                rendered=rendered,
                firmware=config.firmware,
            )

    def image(self, config: Config, *, branch: str = "") -> str:
        name = f"image{branch}"
        inputs = [
            value("disk.boot", str(config.disk.boot)),
            value("disk.root", str(config.disk.root)),
            value("disk.root_free", str(config.disk.root_free)),
            value("disk.data", str(config.disk.data) if config.survives_cuts else "none"),
            value("time", str(self._lock.epoch)),
        ]
        self._add(name, StepKind.IMAGE, below=self.below, uses=(TOOLS,), inputs=inputs)
        return name

    def _layer(
        self,
        name: str,
        kind: StepKind,
        *,
        inputs: Sequence[Input] = (),
        **more: Any,  # noqa: ANN401  fields of Step
    ) -> None:
        # Every layer's new files carry it; an imported image below does not know it.
        known = (*inputs, value("time", str(self._lock.epoch)))
        self._add(name, kind, below=self.below, inputs=known, **more)
        self.below = name

    def _add(
        self,
        name: str,
        kind: StepKind,
        *,
        below: str | None = None,
        uses: tuple[str, ...] = (),
        inputs: Sequence[Input] = (),
        **more: Any,  # noqa: ANN401  fields of Step
    ) -> None:
        known = by_label(inputs)
        key = files.digest_json(
            {
                "kind": str(kind),
                "builder": TOOL_VERSIONS.get(kind) or code.of_this_builder(),
                "below": self.steps[below].key if below else "",
                "uses": [self.steps[one].key for one in uses],
                "inputs": digests(known),
            }
        )
        self.steps[name] = Step(
            name=name, kind=kind, below=below, uses=uses, inputs=known, key=key, **more
        )


def read_by(sub: stage.SubStage, *, given: Mapping[str, str], lock: Lock) -> Iterator[Input]:
    """Give the files and packages that a sub-stage is made of."""
    for action in sub.actions:
        match action.kind:
            case stage.Kind.PACKAGES | stage.Kind.PACKAGES_NR:
                # A word that adds nothing still marks its package as wanted for itself.
                words = wordlist.words_of(action.path, given)
                name = action.path.name
                yield _packages(lock, name, TARGET, f"{sub.name}/{name}", *words)
            case stage.Kind.WHEELS:
                yield _wheels(lock, action.path, f"{sub.name}/{action.path.name}")
            case stage.Kind.SOURCES | stage.Kind.TOOLS | stage.Kind.LIBRARIES | stage.Kind.ON_TOOLS:
                pass  # they belong to the step that compiles them
            case _ if action.kind is not stage.Kind.TEMPLATES:  # rendered, they are inputs
                yield _files(action.path.name, action.path)
        yield from _modes_elsewhere(action)
    for entry in sub.others():
        yield _files(entry.name, entry)
    for entry in sub.shared():
        yield _files(f"../{entry.name}", entry)
    for name, path in sub.linked().items():
        yield _files(name, path)
    common = sub.common()
    if common is not None:
        yield _files("scripts/common", common)


def _modes_elsewhere(action: stage.Action) -> Iterator[Input]:
    """Name the list of modes beside what a link leads to; one beside the link counts anyway."""
    if action.kind not in (stage.Kind.OVERLAY, stage.Kind.TEMPLATES):
        return
    folder = action.path
    listing = modes.listing_of(folder)
    if listing is not None and listing.parent != folder.parent:
        yield _files(f"{folder.name}.modes", listing)


def compiled_from(
    sub: stage.SubStage,
    action: stage.Action,
    *,
    given: Mapping[str, str],
    lock: Lock,
    checkout: Path,
) -> Iterator[Input]:
    """Give the files, packages and sources that a compiling program works on."""
    yield _files(action.path.name, action.path)
    for listing, source in sources.for_action(sub, action, given):
        yield _source(listing, source, lock, checkout)
    for kind, chain_of in BESIDE.items():
        beside = sub.beside(action, kind)
        if beside:
            yield _packages(lock, beside.path.name, chain_of(sub, beside), beside.path.name)
    if (sub.path / "files").is_dir():
        yield _files("files", sub.path / "files")


def laid_from(overlays: Sequence[Path], templates: Sequence[Path] = ()) -> Iterator[Input]:
    """Give what the owner's overlays hold, and the modes that are named for them and templates."""
    for number, path in enumerate(overlays):
        yield _files(f"overlay {number}", path)
    for kind, folders in (("overlay", overlays), ("template", templates)):
        for number, path in enumerate(folders):
            listing = modes.listing_of(path)
            if listing is not None:
                yield _files(f"modes of {kind} {number}", listing)


def _packages(lock: Lock, label: str, chain: str, request: str, *words: str) -> Input:
    """Name the packages of a request; ``words`` count as they are."""
    return Input(
        kind=InputKind.PACKAGES,
        label=label,
        digest=files.digest(*words, lock.identities(chain, request)),
        request=(chain, request),
    )


def _wheels(lock: Lock, path: Path, listing: str) -> Input:
    """Name the wheels of a list; what asks for them is told by them."""
    words = wheel_list.requirements_of(path)
    found = [one.identity for one in lock.wheels_of(listing)]
    return Input(
        kind=InputKind.WHEELS,
        label=path.name,
        digest=files.digest(*words, "", *found),
        listing=listing,
    )


def _source(listing: stage.Action, source: sources.Source, lock: Lock, checkout: Path) -> Input:
    label = f"{source.origin}:{source.what}"
    match source.origin:
        case sources.Origin.DEBIAN:
            found = lock.sources[source.what]
            digest = files.digest_json([[one.name, one.sha256] for one in found])
            return Input(kind=InputKind.DEBIAN_SOURCE, label=label, digest=digest)
        case sources.Origin.URL:
            return Input(kind=InputKind.DOWNLOAD, label=label, digest=source.sha256)
        case sources.Origin.PATH:
            return _files(label, sources.in_checkout(listing, source, checkout))


def allowed_programs(step: Step) -> tuple[str, ...]:
    """Give the patterns of programs for other processors that a sub-stage brings on purpose."""
    listing = step.sub_stage.path / ALLOWED if step.sub_stage else None
    if listing is None or not listing.is_file():
        return ()
    lines = listing.read_text(errors="replace").splitlines()
    return tuple(one for line in lines if (one := line.partition("#")[0].strip()))


def wants_sysroot(action: stage.Action) -> bool:
    """Tell whether a compiling program asks for the target's root: then that decides its result."""
    return re.search(rb"\bSYSROOT\b", action.path.read_bytes()) is not None


@functools.cache
def _hard_to_guess(name: str, value: str) -> str:
    """Digest what may be a secret so that trying words costs 50 ms each (scrypt, RFC 7914)."""
    return hashlib.scrypt(value.encode(), salt=name.encode(), n=1 << 14, r=8, p=1).hex()


def own_folder(kind: str, name: str, checkout: Path) -> Path:
    """Give a folder of the owner's: a name below ``overlays/`` or ``templates/``, or a path."""
    path = checkout / kind / name
    return path if path.is_dir() else checkout / name


def _files(label: str, path: Path) -> Input:
    """Name a file or folder: names, bytes, executable bits and link targets decide."""
    return Input(kind=InputKind.FILES, label=label, digest=files.digest_tree(path), path=path)


def _rendered(
    label: str, made: Sequence[template.Rendered], secret: bytes | None
) -> Iterator[Input]:
    """Name what templates came to; with ``secret`` by an HMAC, since it may hold passphrases."""
    for one in made:
        text = f"{one.program}\n{one.text}"
        digest = (
            files.digest(text)
            if secret is None
            else hmac.digest(secret, text.encode(), "sha256").hex()
        )
        yield Input(kind=InputKind.RENDERED, label=f"{label}/{one.name}", digest=digest)


def order(plan: Plan, wanted: Sequence[str], standing: frozenset[str]) -> list[Step]:
    """Give the steps that must run to have ``wanted``, in an order in which they can.

    ``standing`` names the steps whose results are there; what only those needed does not run.
    """
    found: dict[str, Step] = {}

    def visit(name: str) -> None:
        if name in standing or name in found:
            return
        for need in plan.needs(name):
            visit(need)
        found[name] = plan.steps[name]

    for name in wanted:
        visit(name)
    return list(found.values())
