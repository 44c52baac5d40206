"""Plan a build: steps, each with a key made of all that decides its result and nothing else.

Pure: nothing is started and nothing is written here.
"""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Mapping  # noqa: TC003  a dataclass field's hint
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from glovebox import accelerator, files, native, stage, template
from glovebox.config import CAR_STAGE
from glovebox.lock import Chain, Request

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from glovebox.boards import Board
    from glovebox.config import Config, FirmwareFile
    from glovebox.imported import Base
    from glovebox.keys import AccessKeys
    from glovebox.lock import Lock

BOOT = "boot/firmware"
TARGET, TOOLS, EMULATOR = "target", "tools", "emulator"
SETTINGS_STAGE = "settings"

BASE_PACKAGES = ("?essential", "apt")
TOOLS_PACKAGES = (
    "cpio", "device-tree-compiler", "dosfstools", "dpkg-dev", "e2fsprogs", "fdisk", "kmod",
    "libcap2-bin", "locales", "make", "mount", "mtools", "python3", "xz-utils", "zstd",
)  # fmt: skip
CROSS_PACKAGES = {
    "armel": ("gcc-arm-linux-gnueabi", "g++-arm-linux-gnueabi", "libc6-dev-armel-cross"),
    "arm64": ("gcc-aarch64-linux-gnu", "g++-aarch64-linux-gnu", "libc6-dev-arm64-cross"),
}


class StepKind(StrEnum):
    """What a step makes."""

    NATIVE_ROOT = "native root"
    ACCELERATOR = "accelerator"
    EXTRACT = "extract"
    UNPACK = "unpack"
    CONFIGURE = "configure"
    IMPORT = "import"
    ON_TOOLS = "on tools"
    SUB_STAGE = "sub-stage"
    OWN_FILES = "own files"
    IMAGE = "image"


# A number goes up when the builder's own code makes something else of the same inputs.
VERSIONS = {
    **dict.fromkeys(StepKind, 1),
    StepKind.ACCELERATOR: 4,
    StepKind.CONFIGURE: 3,
    StepKind.SUB_STAGE: 2,
}


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
    inputs: Mapping[str, str] = field(default_factory=dict)
    key: str
    sub_stage: stage.SubStage | None = None
    action: stage.Action | None = None
    rendered: Mapping[str, tuple[template.Rendered, ...]] = field(default_factory=dict)
    overlays: tuple[Path, ...] = ()
    firmware: tuple[FirmwareFile, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All steps in an order in which they can run, and what the image is called inside."""

    steps: Mapping[str, Step]
    disk_id: str
    arch: str
    epoch: int
    variables: Mapping[str, str]
    boot: str = BOOT

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
        return (*beneath, *step.uses, *step.helped_by)

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
        return self.steps["image"]


def variables(config: Config, board: Board) -> dict[str, str]:
    """Give what stages find in their environment: pi-gen's names, and a few of ours."""
    return {
        "PI_GEN": "glovebox",
        "ARCH": board.arch,
        "RELEASE": config.suite,
        "IMG_NAME": f"{config.hostname}-{board.name}",
        "TARGET_HOSTNAME": config.hostname,
        "FIRST_USER_NAME": config.user.name,
        "LOCALE_DEFAULT": config.locale,
        "KEYBOARD_KEYMAP": config.keyboard,
        "TIMEZONE_DEFAULT": config.timezone,
        "WPA_COUNTRY": config.wifi.country or "",
        "ENABLE_SSH": "1",
        "PUBKEY_ONLY_SSH": "1",
        "BOARD": str(board.name),
        "BOARD_DTB": board.dtb,
        "KERNEL_PACKAGE": board.kernel,
        "QUEUE_SERVER": str(config.queue.server),
        "CROSS_COMPILE": f"{native.TRIPLETS[board.arch]}-",
        **config.environment,
    }


def read_stages(config: Config, checkout: Path) -> tuple[stage.SubStage, ...]:
    """Read all sub-stages of the configuration; the settings come last."""
    kept = [name for name in config.stages if name != CAR_STAGE or config.car]
    names = (*kept, SETTINGS_STAGE)
    return tuple(sub for name in names for sub in stage.read(stage.find(name, checkout)).sub_stages)


def chains(
    board: Board,
    sub_stages: Sequence[stage.SubStage],
    variables: Mapping[str, str],
    *,
    installed: str | None = None,
) -> tuple[Chain, ...]:
    """Give what has to be resolved before a plan can be made.

    ``installed`` is the dpkg status of an imported image; without one the base is made of packages.
    """
    wanted = [Request(name="base", packages=BASE_PACKAGES)] if installed is None else []
    for sub in sub_stages:
        for action in sub.of(stage.Kind.PACKAGES, stage.Kind.PACKAGES_NR):
            words = stage.words_of(action.path.read_text(), variables)
            if words:
                wanted.append(
                    Request(
                        name=f"{sub.name}/{action.path.name}",
                        packages=words,
                        recommends=action.recommends,
                    )
                )
    host = native.host_arch()
    return (
        Chain(name=TARGET, arch=board.arch, requests=tuple(wanted), installed=installed or ""),
        Chain(
            name=TOOLS,
            arch=host,
            requests=(
                Request(name="base", packages=BASE_PACKAGES),
                Request(name=TOOLS, packages=(*TOOLS_PACKAGES, *CROSS_PACKAGES[board.arch])),
            ),
        ),
        Chain(
            name=EMULATOR,
            arch=host,
            requests=(
                Request(name="base", packages=BASE_PACKAGES),
                Request(name=EMULATOR, packages=("qemu-system-arm", "qemu-utils")),
            ),
        ),
    )


def source_names(
    sub_stages: Sequence[stage.SubStage], variables: Mapping[str, str]
) -> tuple[str, ...]:
    """Give the source packages that the stages compile."""
    words = [
        word
        for sub in sub_stages
        for action in sub.of(stage.Kind.SOURCES)
        for word in stage.words_of(action.path.read_text(), variables)
    ]
    return tuple(
        dict.fromkeys(word.removeprefix("debian:") for word in words if word.startswith("debian:"))
    )


def make_plan(  # noqa: PLR0913  all that decides a build comes together here
    config: Config,
    board: Board,
    lock: Lock,
    *,
    sub_stages: Sequence[stage.SubStage],
    checkout: Path,
    access: AccessKeys,
    secret: bytes,
    accelerate: bool = True,
    imported: Base | None = None,
) -> Plan:
    """Turn configuration and lock into steps.

    ``secret`` stays on this machine: the settings may hold Wi-Fi keys, and a plain hash of those
    could be guessed from a key.
    """
    given = variables(config, board)
    maker = _Maker(lock=lock, accelerate=accelerate, given=given, checkout=checkout)
    maker.native_roots()
    if imported is None:
        maker.base()
    else:
        maker.import_(imported)
    boot = imported.boot if imported else BOOT
    for sub in sub_stages:
        if sub.name.startswith(f"{SETTINGS_STAGE}/"):
            break
        maker.sub_stage(sub, context=_context(config, board, access, disk_id="00000000", boot=boot))
    maker.own_files(config)
    disk_id = _disk_id(maker.key_below)
    for sub in sub_stages:
        if sub.name.startswith(f"{SETTINGS_STAGE}/"):
            context = _context(config, board, access, disk_id=disk_id, boot=boot)
            maker.sub_stage(sub, context=context, secret=secret)
    maker.image(config)
    return Plan(
        steps=maker.steps,
        disk_id=disk_id,
        arch=board.arch,
        epoch=lock.epoch,
        variables=given,
        boot=boot,
    )


def identifier(plan: Plan, what: str) -> uuid.UUID:
    """Give a file system's identifier, the same for the same image."""
    return uuid.UUID(bytes=bytes.fromhex(files.digest("identifier", what, plan.disk_id)[:32]))


def _disk_id(key: str) -> str:
    # Zero means "none" to partition tools.
    number = int(files.digest("disk id", key)[:8], 16) or 1
    return f"{number:08x}"


def _context(
    config: Config, board: Board, access: AccessKeys, *, disk_id: str, boot: str
) -> dict[str, Any]:
    return {"config": config, "board": board, "access": access, "disk_id": disk_id, "boot": boot}


class _Maker:
    """Adds one step after the other; ``below`` is the layer the next one lies on."""

    def __init__(
        self, *, lock: Lock, accelerate: bool, given: Mapping[str, str], checkout: Path
    ) -> None:
        self.steps: dict[str, Step] = {}
        self.below: str | None = None
        self._lock = lock
        self._given = given
        self._checkout = checkout
        self._helpers = ("accelerator",) if accelerate else ()

    @property
    def key_below(self) -> str:
        return self.steps[self.below].key if self.below else ""

    def native_roots(self) -> None:
        for chain in (TOOLS, EMULATOR):
            inputs = {
                f"packages of {name}": files.digest(self._lock.identities(chain, name))
                for name in self._lock.chains[chain]
            }
            self._add(chain, StepKind.NATIVE_ROOT, inputs=inputs)
        if self._helpers:
            inputs = {"packages": files.digest_json(list(accelerator.PACKAGES))}
            inputs["architecture"] = self._given["ARCH"]
            self._add("accelerator", StepKind.ACCELERATOR, uses=(TOOLS,), inputs=inputs)

    def base(self) -> None:
        inputs = {
            "suite": self._lock.suite,
            "packages": files.digest(self._lock.identities(TARGET, "base")),
        }
        self._layer("base/extract", StepKind.EXTRACT, inputs=inputs)
        self._layer("base/unpack", StepKind.UNPACK, helped_by=self._helpers)
        self._layer("base/configure", StepKind.CONFIGURE, helped_by=self._helpers)

    def import_(self, base: Base) -> None:
        # Its layer was made before anything could be locked, under this very key.
        self.steps[base.step] = Step(
            name=base.step,
            kind=StepKind.IMPORT,
            inputs={"image": base.digest},
            key=base.layer.key,
        )
        self.below = base.step

    def sub_stage(
        self, sub: stage.SubStage, *, context: Mapping[str, Any], secret: bytes | None = None
    ) -> None:
        inputs: dict[str, str] = {}
        rendered: dict[str, tuple[template.Rendered, ...]] = {}
        uses: list[str] = []
        for action in sub.actions:
            match action.kind:
                case stage.Kind.TEMPLATES:
                    made = template.render(action.path, context)
                    rendered[action.number] = made
                    for one in made:
                        text = f"{one.program}\n{one.text}"
                        inputs[f"{action.path.name}/{one.name}"] = (
                            files.digest(text)
                            if secret is None
                            else hmac.digest(secret, text.encode(), "sha256").hex()
                        )
                case stage.Kind.PACKAGES | stage.Kind.PACKAGES_NR:
                    request = f"{sub.name}/{action.path.name}"
                    # A word that adds nothing still marks its package as wanted for itself.
                    inputs[action.path.name] = files.digest(
                        *stage.words_of(action.path.read_text(), self._given),
                        self._lock.identities(TARGET, request),
                    )
                case stage.Kind.ON_TOOLS:
                    uses.append(self._on_tools(sub, action))
                case stage.Kind.SOURCES:
                    pass  # they belong to the step that compiles them
                case _:
                    inputs[action.path.name] = files.digest_tree(action.path)
        for entry in sorted(sub.path.iterdir()):
            if entry.name not in {action.path.name for action in sub.actions}:
                inputs[entry.name] = files.digest_tree(entry)
        for name, value in stage.variables_read(sub, self._given).items():
            inputs[f"${name}"] = value
        helpers = () if (sub.path / "NO_ACCELERATOR").exists() else self._helpers
        self._layer(
            sub.name, StepKind.SUB_STAGE, uses=tuple(uses), helped_by=helpers, inputs=inputs,
            sub_stage=sub, rendered=rendered,
        )  # fmt: skip

    def _on_tools(self, sub: stage.SubStage, action: stage.Action) -> str:
        inputs = {action.path.name: files.digest_tree(action.path)}
        for source in sub.of(stage.Kind.SOURCES):
            if source.number != action.number:
                continue
            for word in stage.words_of(source.path.read_text(), self._given):
                inputs[word] = self._source(word)
        for name, value in stage.variables_read(sub, self._given).items():
            inputs[f"${name}"] = value
        if (sub.path / "files").is_dir():
            inputs["files"] = files.digest_tree(sub.path / "files")
        inputs["time"] = str(self._lock.epoch)
        name = f"{sub.name}/{action.path.name}"
        self._add(
            name, StepKind.ON_TOOLS, uses=(TOOLS,), inputs=inputs, sub_stage=sub, action=action
        )
        return name

    def _source(self, word: str) -> str:
        kind, _, what = word.partition(":")
        if kind == "debian":
            return files.digest_json([[one.name, one.sha256] for one in self._lock.sources[what]])
        return files.digest_tree(self._checkout / what)

    def own_files(self, config: Config) -> None:
        """Add the owner's overlays and firmware files, if there are any."""
        folders = tuple(overlay_folder(name, self._checkout) for name in config.overlays)
        if folders or config.firmware:
            inputs = {f"overlay {n}": files.digest_tree(path) for n, path in enumerate(folders)}
            inputs |= {
                f"firmware {one.url.rpartition('/')[2]}": one.sha256 for one in config.firmware
            }
            self._layer(
                "own files",
                StepKind.OWN_FILES,
                inputs=inputs,
                overlays=folders,
                firmware=config.firmware,
            )

    def image(self, config: Config) -> None:
        inputs = {
            "disk.boot": str(config.disk.boot),
            "disk.root": str(config.disk.root),
            "disk.root_free": str(config.disk.root_free),
            "disk.data": str(config.disk.data) if config.car else "none",
            "time": str(self._lock.epoch),
        }
        self._add("image", StepKind.IMAGE, below=self.below, uses=(TOOLS,), inputs=inputs)

    def _layer(
        self,
        name: str,
        kind: StepKind,
        *,
        inputs: Mapping[str, str] | None = None,
        **more: Any,  # noqa: ANN401  fields of Step
    ) -> None:
        # Every layer's new files carry it; an imported image below does not know it.
        known = {**(inputs or {}), "time": str(self._lock.epoch)}
        self._add(name, kind, below=self.below, inputs=known, **more)
        self.below = name

    def _add(
        self,
        name: str,
        kind: StepKind,
        *,
        below: str | None = None,
        uses: tuple[str, ...] = (),
        inputs: Mapping[str, str] | None = None,
        **more: Any,  # noqa: ANN401  fields of Step
    ) -> None:
        known = dict(inputs or {})
        key = files.digest_json(
            {
                "kind": f"{kind}/{VERSIONS[kind]}",
                "below": self.steps[below].key if below else "",
                "uses": [self.steps[one].key for one in uses],
                "inputs": known,
            }
        )
        self.steps[name] = Step(
            name=name, kind=kind, below=below, uses=uses, inputs=known, key=key, **more
        )


def overlay_folder(name: str, checkout: Path) -> Path:
    """Give the folder of an overlay: a name below ``overlays/``, or a path."""
    path = checkout / "overlays" / name
    return path if path.is_dir() else checkout / name


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
