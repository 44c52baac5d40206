"""Run the steps of a plan; each leaves one whole result in the store, or nothing.

Steps that do not depend on each other run side by side.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.build import (
    accelerator,
    actions,
    download,
    failure,
    layer,
    modes,
    snapshot,
    workdir,
)
from glovebox.build.site import Site
from glovebox.errors import GloveboxError, HostError, StepError
from glovebox.host import chroot, clock, files, inside, mounts, native, shell
from glovebox.host.arch import ARCHES, host_arch
from glovebox.host.run import CommandError, end_streams, run, stream
from glovebox.lock import apt, archive, lock, pip
from glovebox.plan import details, room
from glovebox.plan.inputs import InputKind, by_label, digests
from glovebox.plan.plan import (
    ACCELERATOR,
    BESIDE,
    EMULATOR,
    QUILT,
    TARGET,
    TOOLS,
    Step,
    StepKind,
    allowed_programs,
    compiled_from,
    laid_from,
    libraries_chain,
    order,
    read_by,
    tools_chain,
)
from glovebox.stage import host_tools, sources, stage, wordlist
from glovebox.store.store import WHEELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from glovebox.host.monitor import Monitor
    from glovebox.lock.lock import Lock
    from glovebox.plan.plan import Plan
    from glovebox.store.store import Layer, Store

_DOING = {
    StepKind.NATIVE_ROOT: "making a native root of the suite",
    StepKind.ACCELERATOR: "collecting native twins of the target's programs",
    StepKind.EXTRACT: "extracting the essential packages",
    StepKind.UNPACK: "unpacking them with dpkg",
    StepKind.CONFIGURE: "configuring them",
    StepKind.ON_TOOLS: "compiling for the target",
    StepKind.FIRST_USER: "making the first user, whom stages may count on",
    StepKind.SUB_STAGE: "running its actions",
    StepKind.OWN_FILES: "laying your files over the root",
}
# Overlayfs shows nothing of the layers below a folder that has this.
_OPAQUE = "trusted.overlay.opaque"
_PRELOAD = "etc/ld.so.preload"
# What of packages the base leaves out, as mmdebstrap writes it down.
_EXCLUDED = "etc/dpkg/dpkg.cfg.d/99mmdebstrap"
# A base need not have useradd: that comes with a package no other of it needs.
_FIRST_USER = """
if id -u "$1" >/dev/null 2>&1; then exit; fi
number=1000
while grep -q "^[^:]*:[^:]*:$number:" /etc/passwd /etc/group; do number=$((number + 1)); done
if command -v useradd >/dev/null; then
  exec useradd --uid "$number" --create-home --shell /bin/bash --user-group "$1"
fi
word=*
if [ -e /etc/shadow ]; then
  word=x
  echo "$1:!:$((SOURCE_DATE_EPOCH / 86400)):0:99999:7:::" >>/etc/shadow
fi
echo "$1:$word:$number:$number::/home/$1:/bin/bash" >>/etc/passwd
echo "$1:x:$number:" >>/etc/group
if [ -e /etc/gshadow ]; then echo "$1:!::" >>/etc/gshadow; fi
cp -a /etc/skel "/home/$1"
chown -R "$number:$number" "/home/$1"
chmod 700 "/home/$1"
"""
# Ports whose packages are made for more than one architecture: Raspberry Pi's armhf runs on ARMv6.
_SEVERAL_ARMS = frozenset({"armhf", "armel"})
_NAME_SERVERS = Path("/etc/resolv.conf")
# Two cores, two steps: more would only wait for each other.
_SIDE_BY_SIDE = 2


@dataclass(frozen=True, kw_only=True)
class Builder:
    """What every step needs to run."""

    plan: Plan
    lock: Lock
    store: Store
    monitor: Monitor
    checkout: Path
    # Whether a step that fails opens a shell where it did.
    shell: bool = False
    # Where the image will lie, if one is made.
    out: Path | None = None

    def build(self, wanted: Sequence[str], *, fresh: bool = False) -> None:
        """Make the results ``wanted`` and all they need; with ``fresh`` even those that stand."""
        with self.monitor.slow("store", "looking at the results that are there"):
            standing = frozenset() if fresh else self._standing(wanted)
        steps = order(self.plan, wanted, standing)
        self._require_tools(steps)
        self._require_room(steps)
        self._download(steps)
        for name in [one.name for one in self.plan.steps.values() if one.name in standing]:
            self.monitor.note(f"cached: {name}")
        reused = [step for step in self.plan.steps.values() if step.name in standing]
        if reused:
            self.monitor.say(f"  {len(reused)} of {len(reused) + len(steps)} steps are cached")
        with (
            self.store.scratch() as folder,
            snapshot.Snapshots(folder, epoch=self.plan.epoch) as copies,
        ):
            _run_all(self.plan, steps, lambda step: self._run(step, copies, fresh=fresh))

    def _standing(self, wanted: Sequence[str]) -> frozenset[str]:
        """Name the steps whose results are there; what is damaged and would be used is removed."""
        found = {
            name: layer
            for name, step in self.plan.steps.items()
            if step.kind is not StepKind.IMAGE and (layer := self.store.find(step.key))
        }
        steps = order(self.plan, wanted, frozenset(found))
        used = {need for step in steps for need in self.plan.needs(step.name)} & found.keys()
        for name in sorted(used):
            # An imported image's was looked at when it was brought in.
            imported = self.plan.steps[name].kind is StepKind.IMPORT
            if not imported and not self.store.is_intact(found[name]):
                self.monitor.warn(f"the result of {name} is damaged: it is made again")
                self.store.remove(found.pop(name))
        return frozenset(found)

    def layers(self, name: str) -> list[Path]:
        """Give the trees of the layers, lowest first, that make the root as ``name`` leaves it."""
        return [self.layer(step.name).tree for step in self.plan.layers(name)]

    def layer(self, name: str) -> Layer:
        """Give the finished result of a step."""
        found = self.store.find(self.plan.steps[name].key)
        if found is None:
            raise GloveboxError(
                f"the result of {name} is missing in {self.store.root}",
                hint="another build may have cleaned the store; build again",
            )
        return found

    def native(self, name: str = TOOLS) -> native.Root:
        """Give a native root that was built."""
        return native.Root(tree=self.layer(name).tree)

    def twins(self, root: Path, folder: Path) -> list[Path]:
        """Give the layers of native programs to lay over a finished root, if they were built.

        ``folder``, on the store's file system, is filled with what is shown of them.
        """
        step = self.plan.steps.get(ACCELERATOR)
        built = self.store.find(step.key) if step else None
        return accelerator.lay_over(built.tree, [root], folder) if built else []

    @contextmanager
    def merged(
        self, name: str, *, writable: bool = False, hide: Sequence[str] = ()
    ) -> Iterator[Path]:
        """Show the root as a step leaves it; changes, if any are allowed, are thrown away.

        The folders in ``hide`` appear empty.
        """
        with ExitStack() as stack:
            scratch = stack.enter_context(self.store.scratch())
            below = [self.layer(step.name) for step in self.plan.layers(name)]
            stack.enter_context(self.store.hold(below))
            trees = [layer.tree for layer in below]
            if hide:
                trees.append(_hiding(scratch / "hidden", trees, hide))
            target = scratch / "root"
            target.mkdir()
            upper = None
            if writable:
                upper = scratch / "upper"
                upper.mkdir()
            yield stack.enter_context(mounts.overlay(trees, target, scratch=scratch, upper=upper))

    def _require_tools(self, steps: Sequence[Step]) -> None:
        """Raise HostError when a script of these steps starts what this machine lacks."""
        lacking = host_tools.missing([step.sub_stage for step in steps if step.sub_stage])
        if lacking:
            raise HostError(
                "the scripts of stages need programs of this machine:\n  " + "\n  ".join(lacking)
            )

    def _require_room(self, steps: Sequence[Step]) -> None:
        chains = {step.name for step in steps if step.kind is StepKind.NATIVE_ROOT}
        if any(step.kind in (StepKind.EXTRACT, StepKind.SUB_STAGE) for step in steps):
            chains.add(TARGET)
        debs = self.store.root / "debs"
        packages = {one.sha256: one.size for name in chains for one in self.lock.packages(name)}
        downloads = sum(size for name, size in packages.items() if not (debs / name).exists())
        room.require(steps, self.lock, downloads=downloads, store=self.store.root, out=self.out)

    def _download(self, steps: Sequence[Step]) -> None:
        names = {step.name for step in steps}
        wanted = [chain for chain in (TOOLS, EMULATOR, QUILT) if chain in names]
        for sub, action in ((step.sub_stage, step.action) for step in steps):
            for kind, chain_of in BESIDE.items():
                listing = sub.beside(action, kind) if sub and action else None
                if sub and listing and chain_of(sub, listing) in self.lock.chains:
                    wanted.append(chain_of(sub, listing))
        if any(step.kind in (StepKind.EXTRACT, StepKind.SUB_STAGE) for step in steps):
            wanted.append(TARGET)
        packed = [one for group in self.lock.sources.values() for one in group]
        compiles = any(step.kind is StepKind.ON_TOOLS for step in steps)
        packages = [one.download() for chain in wanted for one in self.lock.packages(chain)]
        missing = [one for one in packages if not (self.store.root / "debs" / one.sha256).exists()]
        if missing:
            size = sum(one.size for one in missing) / 1e6
            with self.monitor.step("download", f"{len(missing)} packages, {size:.0f} MB"):
                apt.fetch(missing, self.store.root / "debs")
        if compiles:
            with self.monitor.slow("download", "fetching the sources of what is compiled"):
                apt.fetch(packed, self.store.root / "sources")
        self._download_wheels(steps)
        firmware = [
            apt.Download(url=one.url, name=one.url, size=0, sha256=one.sha256)
            for step in steps
            for one in step.firmware
        ]
        with self.monitor.slow("download", "fetching firmware files"):
            apt.fetch(firmware, self.store.root / "sources")

    def _download_wheels(self, steps: Sequence[Step]) -> None:
        listings = [one.listing for step in steps for one in step.inputs.values() if one.listing]
        wanted = [wheel for name in listings for wheel in self.lock.wheels_of(name)]
        folder = self.store.root / WHEELS
        missing = [one for one in wanted if not (folder / one.sha256).exists()]
        if missing and self.lock.wheels is not None:
            with self.monitor.step("wheels", f"fetching {len(missing)} by pip"):
                pip.fetch(missing, self.lock.wheels.python, folder)

    def _run(self, step: Step, copies: snapshot.Snapshots, *, fresh: bool) -> None:
        if step.kind is StepKind.IMAGE:
            return
        with ExitStack() as stack:
            stack.enter_context(self.store.exclusive(step.key))
            # Another build made it while this one waited, and may already stand on it.
            if not fresh and self.store.find(step.key):
                self.monitor.cached(step.name)
                return
            needs = [self.layer(name) for name in self.plan.needs(step.name)]
            stack.enter_context(self.store.hold(needs))
            line = stack.enter_context(self.monitor.step(step.name, _DOING[step.kind]))
            with self.store.scratch() as scratch:
                # The clock the file system stamps files with, not this process's.
                started_ns = scratch.stat().st_mtime_ns
                tree = scratch / "result" / "tree"
                tree.mkdir(parents=True)
                tree.chmod(0o755)
                begun = time.monotonic()
                places = self._places(step)
                copies.show(places)
                self._require_same(step)
                with room.blamed(self.store.root), failure.explained(step.name):
                    self._fill(step, tree, scratch, line, copies)
                copies.require_shown(places, step=step.name)
                if step.kind not in (StepKind.NATIVE_ROOT, StepKind.ACCELERATOR):
                    foreign = step.sub_stage is not None and step.sub_stage.foreign
                    layer.scrub(tree, logs=not foreign)
                    layer.settle_times(tree, started_ns=started_ns, epoch=self.plan.epoch)
                    layer.prove_clean(
                        tree, self.plan.arch, step=step.name, allowed=allowed_programs(step)
                    )
                    layer.prove_old_enough(tree, self._libc_of_an_image(), step=step.name)
                meta = {
                    "name": step.name,
                    "kind": str(step.kind),
                    "arch": self.plan.arch,
                    "inputs": digests(step.inputs),
                    "details": details.of(step, self.lock),
                    "before": self._before(step),
                    "seconds": round(time.monotonic() - begun, 1),
                }
                self.store.commit(step.key, scratch / "result", meta)

    def _libc_of_an_image(self) -> bytes:
        """Give the C library of an imported 32-bit Arm system; nothing where there is none."""
        imported = [one for one in self.plan.steps.values() if one.kind is StepKind.IMPORT]
        if not imported or self.plan.arch not in _SEVERAL_ARMS:
            return b""
        name = f"usr/lib/{ARCHES[self.plan.arch].triplet}/libc.so.6"
        path = inside.place(self.layer(imported[0].name).tree, name)
        return path.read_bytes() if path.is_file() else b""

    def _places(self, step: Step) -> list[Path]:
        """Give the files and folders that a step reads, and a person may change."""
        given = [one.path for one in step.inputs.values() if one.path is not None]
        sub = step.sub_stage
        if sub is None:
            return given
        if any((one.path / "EDIT").exists() for one in sub.of(stage.Kind.PATCHES)):
            return []  # they are edited while they are applied, where they lie
        return [*([] if sub.of(stage.Kind.PRERUN) else [sub.path]), *given]

    def _require_same(self, step: Step) -> None:
        """Raise StepError when what a step reads is no more what its plan found."""
        sub, action, given = step.sub_stage, step.action, self.plan.variables
        if sub is None:
            now = by_label(laid_from(step.overlays, step.templates))
        elif action is None:
            now = by_label(read_by(sub.read_again(), given=given, lock=self.lock))
        else:
            now = by_label(
                compiled_from(sub, action, given=given, lock=self.lock, checkout=self.checkout)
            )
        kinds = {
            InputKind.FILES, InputKind.PACKAGES, InputKind.WHEELS, InputKind.DEBIAN_SOURCE,
            InputKind.DOWNLOAD,
        }  # fmt: skip
        if sub is None:
            kinds = {InputKind.FILES}
        planned = {label: one for label, one in step.inputs.items() if one.kind in kinds}
        snapshot.require_same(digests(planned), digests(now), step=step.name)

    @contextmanager
    def deployed(self, name: str) -> Iterator[Path | None]:
        """Show what stages left in DEPLOY_DIR up to a step; None where there is nothing."""
        below = [self.layer(step.name) for step in self.plan.layers(name)]
        works = [layer.work for layer in below if layer.work.is_dir()]
        if not any((work / workdir.DEPLOY).is_dir() for work in works):
            yield None
            return
        with self.store.scratch() as scratch, self.store.hold(below):
            (scratch / "work").mkdir()
            with mounts.overlay(works, scratch / "work", scratch=scratch) as shown:
                place = shown / workdir.DEPLOY
                yield place if place.is_dir() else None

    def holding(self, *names: str) -> AbstractContextManager[None]:
        """Keep the files of these results while the block runs, where the plan has such steps."""
        return self.store.hold([self.layer(name) for name in names if name in self.plan.steps])

    def _before(self, step: Step) -> dict[str, str]:
        names = (*((step.below,) if step.below else ()), *step.uses)
        return {name: self.plan.steps[name].key for name in names}

    def _fill(
        self,
        step: Step,
        tree: Path,
        scratch: Path,
        line: Callable[[str], None],
        copies: snapshot.Snapshots,
    ) -> None:
        match step.kind:
            case StepKind.NATIVE_ROOT:
                self._native_root(step, tree, scratch, line)
            case StepKind.ACCELERATOR:
                accelerator.build(self.layer(TOOLS).tree, tree, arch=self.plan.arch)
            case StepKind.EXTRACT:
                self._extract(tree, scratch, line)
            case StepKind.UNPACK | StepKind.CONFIGURE:
                self._dpkg(step, tree, scratch, line)
            case StepKind.ON_TOOLS:
                self._on_tools(step, tree, scratch, line)
            case StepKind.FIRST_USER:
                self._first_user(step, tree, scratch, line)
            case StepKind.SUB_STAGE:
                self._sub_stage(step, tree, scratch, line, copies)
            case StepKind.OWN_FILES:
                self._own_files(step, tree, scratch)
            case StepKind.IMPORT | StepKind.IMAGE:
                message = f"{step.name} is made elsewhere"
                raise AssertionError(message)

    def _repository(self, scratch: Path, chain: str) -> Path:
        folder = scratch / "repository"
        folder.mkdir()
        (folder / "Packages").write_text(lock.repository(self.lock, chain))
        (folder / "pool").symlink_to(self.store.root / "debs")
        return folder

    def _native_root(
        self, step: Step, tree: Path, scratch: Path, line: Callable[[str], None]
    ) -> None:
        native.bootstrap(
            tree,
            suite=self.lock.suite,
            repository=self._repository(scratch, step.name),
            packages=[one.name for one in self.lock.chains[step.name][step.name]],
            epoch=self.plan.epoch,
            line=line,
        )

    def _extract(self, tree: Path, scratch: Path, line: Callable[[str], None]) -> None:
        stream(
            [
                "mmdebstrap", "--mode=root", "--variant=extract", "--format=directory",
                f"--architectures={self.plan.arch}", "--include=?essential", "--include=apt",
                # Nobody reads manuals on a board in a truck; licences stay.
                "--dpkgopt=path-exclude=/usr/share/man/*",
                "--dpkgopt=path-exclude=/usr/share/info/*",
                "--dpkgopt=path-exclude=/usr/share/doc/*",
                "--dpkgopt=path-include=/usr/share/doc/*/copyright",
                "--dpkgopt=path-exclude=/usr/share/locale/*",
                '--aptopt=APT::Install-Recommends "false"',
                '--aptopt=Acquire::Languages "none"',
                self.lock.suite, str(tree),
                f"deb [trusted=yes] copy:{self._repository(scratch, TARGET)} ./",
            ],
            line=line,
            env={"SOURCE_DATE_EPOCH": str(self.plan.epoch)},
        )  # fmt: skip
        # The image's own sources are mmdebstrap's default, whatever mirror it was built from.
        default = apt.mmdebstrap_default()
        entries = apt.archives(default, self.lock.suite)
        text = "".join(f"deb {one.url} {one.suite} {' '.join(apt.COMPONENTS)}\n" for one in entries)
        inside.write(tree, "etc/apt/sources.list", text)
        for name in ("etc/resolv.conf", "etc/hostname", "etc/machine-id"):
            inside.entry(tree, name).unlink(missing_ok=True)

    @contextmanager
    def _mounted(self, step: Step, tree: Path, scratch: Path) -> Iterator[Path]:
        """Mount the root below a step, its changes going to ``tree``."""
        if step.below is None:
            message = f"{step.name} lies on nothing"
            raise AssertionError(message)
        lower = self.layers(step.below)
        for name in step.helped_by:
            built = self.layer(name).tree
            lower += accelerator.lay_over(built, list(lower), scratch / "accelerator")
        harness = _harness(
            scratch / "harness", foreign=step.sub_stage is not None and step.sub_stage.foreign,
            below=lower,
        )  # fmt: skip
        lower.append(harness)
        target = scratch / "rootfs"
        target.mkdir()
        with (
            mounts.overlay(lower, target, scratch=scratch, upper=tree),
            mounts.chroot_mounts(target),
        ):
            clock.lay(target)
            yield target

    def _dpkg(self, step: Step, tree: Path, scratch: Path, line: Callable[[str], None]) -> None:
        env = chroot.environment(self.plan.arch, self.plan.epoch)
        if step.kind is StepKind.UNPACK:
            names = [one.sha256 for one in self.lock.chains[TARGET]["base"]]
            words = ["--force-depends", "--unpack", *(f"/run/pool/{name}" for name in names)]
            if step.helped_by:
                # dpkg unpacks over its own tools here: these copies stay.
                env["PATH"] = accelerator.PATH
        else:
            words = ["--configure", "--pending"]
        with self._mounted(step, tree, scratch) as root:
            (root / "run/pool").mkdir()
            with mounts.bind(self.store.root / "debs", root / "run/pool", read_only=True):
                command = chroot.command(root, ["dpkg", "--force-unsafe-io", *words])
                stream(command, line=line, env=env)

    def _first_user(
        self, step: Step, tree: Path, scratch: Path, line: Callable[[str], None]
    ) -> None:
        env = chroot.environment(self.plan.arch, self.plan.epoch)
        name = step.inputs["user"].digest
        with self._mounted(step, tree, scratch) as root:
            words = ["/bin/sh", "-ec", _FIRST_USER, "sh", name]
            stream(chroot.command(root, words), line=line, env=env)

    def _on_tools(self, step: Step, tree: Path, scratch: Path, line: Callable[[str], None]) -> None:
        sub, action = step.sub_stage, step.action
        if sub is None or action is None:
            message = f"{step.name} has nothing to run"
            raise AssertionError(message)
        with self.native().enter(scratch / "tools") as root:
            clock.lay(root)
            here = root / "run/glovebox"
            for name in ("sources", "stage", "out"):
                (here / name).mkdir(parents=True)
            self._bring_sources(sub, action, here / "sources")
            _bring_stage(sub, action, here / "stage")
            env = chroot.environment(
                host_arch(),
                self.plan.epoch,
                {
                    **self.plan.variables,
                    "SOURCES": "/run/glovebox/sources",
                    "OUT": "/run/glovebox/out",
                    "SYSROOT": "/run/glovebox/sysroot",
                    "LIBRARIES": "/run/glovebox/libraries",
                    "JOBS": str(len(os.sched_getaffinity(0))),
                },
            )
            self._more_tools(sub, action, root, env, line)
            self._libraries(sub, action, here / "libraries")
            watch = failure.Watch(root=root)
            env |= watch.environment(f"./{action.path.name}", inside=True)
            begun = time.monotonic()
            try:
                with mounts.bind(tree, here / "out"), self._sysroot(step, here / "sysroot"):
                    stream(
                        chroot.command(
                            root,
                            ["sh", "-c", f"cd /run/glovebox/stage && exec ./{action.path.name}"],
                        ),
                        line=line,
                        env=env,
                    )
            except CommandError as error:
                told = watch.line(action.path.read_text(errors="replace"), error.tail)
                seconds = time.monotonic() - begun
                failed = failure.located(step.name, action.path, error, line=told, seconds=seconds)
                self._open_shell(root, env, failed)
                raise failed from error

    def _more_tools(
        self,
        sub: stage.SubStage,
        action: stage.Action,
        root: Path,
        env: Mapping[str, str],
        line: Callable[[str], None],
    ) -> None:
        """Install what a compiling program needs into its throw-away copy of the native root."""
        tools = sub.beside(action, stage.Kind.TOOLS)
        if tools is None or tools_chain(sub, tools) not in self.lock.chains:
            return
        chain = tools_chain(sub, tools)
        wanted = wordlist.words_of(tools.path, self.plan.variables)
        words = self.lock.exact(chain, tools.path.name, wanted)
        index = lock.repository(self.lock, chain)
        with archive.shown(root, index, self.store.root / "debs") as apt_env:
            for more in (["update"], ["install", "--yes", "--no-install-recommends", "--", *words]):
                command = chroot.command(root, ["apt-get", "--quiet", *more])
                stream(command, line=line, env={**env, **apt_env})

    def _libraries(self, sub: stage.SubStage, action: stage.Action, folder: Path) -> None:
        """Extract what a compiled program is linked with: a root of the target, not configured."""
        listing = sub.beside(action, stage.Kind.LIBRARIES)
        if listing is None or libraries_chain(sub, listing) not in self.lock.chains:
            return
        for name in ("bin", "lib", "sbin"):  # as in every root since they moved below usr
            (folder / "usr" / name).mkdir(parents=True)
            (folder / name).symlink_to(f"usr/{name}")
        for one in self.lock.packages(libraries_chain(sub, listing)):
            run(["dpkg-deb", "--extract", self.store.root / "debs" / one.sha256, folder])

    @contextmanager
    def _sysroot(self, step: Step, target: Path) -> Iterator[None]:
        """Show a compiling program the target's root below its sub-stage, when it asks for it."""
        wanted = [name for name in step.uses if name != TOOLS]
        with ExitStack() as stack:
            for name in wanted:
                target.mkdir()
                root = stack.enter_context(self.merged(name))
                stack.enter_context(mounts.bind(root, target, read_only=True))
            yield

    def _bring_sources(self, sub: stage.SubStage, action: stage.Action, folder: Path) -> None:
        fetched = self.store.root / "sources"
        for listing, one in sources.for_action(sub, action, self.plan.variables):
            match one.origin:
                case sources.Origin.DEBIAN:
                    for part in self.lock.sources[one.what]:
                        shutil.copy(fetched / part.sha256, folder / part.name)
                case sources.Origin.URL:
                    download.fetch(one, fetched, wanted_by=str(listing.path))
                    shutil.copy(fetched / one.sha256, folder / one.what)
                case sources.Origin.PATH:
                    source = self.checkout / one.what
                    if source.is_dir():
                        shutil.copytree(source, folder / source.name, ignore=_no_bytecode)
                    else:
                        shutil.copy(source, folder / source.name)

    def _own_files(self, step: Step, tree: Path, scratch: Path) -> None:
        with self._mounted(step, tree, scratch) as root:
            for folder in step.overlays:
                actions.lay(folder, root)
                modes.give(folder, root)
            for made in step.rendered.values():
                actions.write(made, root)
            for folder in step.templates:
                modes.give(folder, root, rendered=True)
            for one in step.firmware:
                # The boards' Wi-Fi is the one part that asks for files Debian does not have.
                name = f"usr/lib/firmware/brcm/{one.url.rpartition('/')[2]}"
                inside.write(root, name, (self.store.root / "sources" / one.sha256).read_bytes())

    def _sub_stage(
        self,
        step: Step,
        tree: Path,
        scratch: Path,
        line: Callable[[str], None],
        copies: snapshot.Snapshots,
    ) -> None:
        at, before = self._neighbours(step)
        below = self.plan.layers(step.below) if step.below else []
        works = [one.work for one in map(self.layer, (one.name for one in below))]
        results = {
            action.number: self.layer(name).tree
            for name in step.uses
            if (action := self.plan.steps[name].action) is not None
        }
        place = self.store.root / "work"
        place.mkdir(exist_ok=True)
        with (
            self._mounted(step, tree, scratch) as root,
            workdir.mounted(
                [work for work in works if work.is_dir()], scratch / "result/work", scratch
            ) as work,
            self._previous(step, at, before) as previous,
            self._network(step, root, copies, line),
        ):
            site = Site(
                root=root,
                work=work,
                place=place,
                scratch=scratch,
                at=at,
                before=before,
                previous=previous,
                plan=self.plan,
                lock=self.lock,
                pool=self.store.root / "debs",
                wheels=self.store.root / WHEELS,
                results=results,
                quilt=self.layer(QUILT).tree if QUILT in step.uses else None,
                accelerated=bool(step.helped_by),
                line=line,
                warn=self.monitor.warn,
            )
            if step.sub_stage and self._places(step):  # a copy, not the originals
                modes.give_files(step.sub_stage.path / "files", root)
            try:
                actions.run_sub_stage(step, site)
            except StepError as error:
                self._open_shell(root, site.environment(), error)
                raise
        if (scratch / "result/work").is_dir():
            started_ns = scratch.stat().st_mtime_ns
            layer.settle_times(
                scratch / "result/work", started_ns=started_ns, epoch=self.plan.epoch
            )

    @contextmanager
    def _network(
        self, step: Step, root: Path, copies: snapshot.Snapshots, line: Callable[[str], None]
    ) -> Iterator[None]:
        """Let a stage that installs by network find package lists; no layer keeps them."""
        sub = step.sub_stage
        if sub is None or not sub.network:
            yield
            return
        lists = copies.folder / "lists" / sub.stage_path.name
        shown = root / "var/lib/apt/lists"
        shown.mkdir(parents=True, exist_ok=True)
        new = not lists.exists()
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        with mounts.bind(lists, shown):
            if new:
                env = chroot.environment(self.plan.arch, self.plan.epoch)
                words = ["apt-get", "--quiet", "--option=APT::Sandbox::User=root", "update"]
                try:
                    stream(chroot.command(root, words, network=True), line=line, env=env)
                except CommandError as error:
                    # The stage may name others, and ask them itself.
                    line(f"the archives that the image names could not be asked: {error}")
            yield

    def _neighbours(self, step: Step) -> tuple[stage.Stage, stage.Stage | None]:
        """Give the stage of a step and the one before it in the list, skipped or not."""
        number = [one.name for one in self.plan.stages].index(step.stage)
        return self.plan.stages[number], self.plan.stages[number - 1] if number else None

    @contextmanager
    def _previous(
        self, step: Step, at: stage.Stage, before: stage.Stage | None
    ) -> Iterator[Path | None]:
        """Show the root as the stage before left it, where a script may look at it."""
        sub, below = step.sub_stage, step.below
        while below is not None and self.plan.steps[below].stage == at.name:
            below = self.plan.steps[below].below
        scripts = sub.of(stage.Kind.RUN, stage.Kind.PRERUN) if sub else ()
        looks = any(b"PREV_ROOTFS_DIR" in one.path.read_bytes() for one in scripts)
        if before is None or below is None or not looks:
            yield None
            return
        with self.merged(below) as root:
            yield root

    def _open_shell(self, root: Path, env: Mapping[str, str], error: StepError) -> None:
        """With ``shell``, let a person look at the root as the failed step left it."""
        if self.shell:
            with self.monitor.handed_over():
                self.monitor.note(f"error: {error}")
                shell.open_in(root, env, said=str(error))


def _bring_stage(sub: stage.SubStage, action: stage.Action, folder: Path) -> None:
    """Bring a compiling program what its key knows of, and nothing else of its sub-stage."""
    shutil.copy(action.path, folder)
    if (sub.path / "files").is_dir():
        shutil.copytree(sub.path / "files", folder / "files", symlinks=True)


def _no_bytecode(_folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name == files.BYTECODE]


def _harness(folder: Path, *, foreign: bool, below: Sequence[Path]) -> Path:
    """Make the layer that keeps services from being started while packages are configured.

    A ``foreign`` stage, of which nobody knows what it counts on, finds what a root of pi-gen's
    has: the host's name servers, and packages with manuals and translations. No layer keeps it.
    """
    # Raspberry Pi OS preloads a library for its processor, which an emulator stumbles over.
    if any(inside.exists(tree, _PRELOAD) for tree in below):
        (folder / "etc").mkdir(parents=True)
        (folder / _PRELOAD).touch()
    if foreign and _NAME_SERVERS.exists():
        (folder / "etc").mkdir(parents=True, exist_ok=True)
        (folder / "etc/resolv.conf").write_bytes(_NAME_SERVERS.read_bytes())
    if foreign and any(inside.exists(tree, _EXCLUDED) for tree in below):
        (folder / _EXCLUDED).parent.mkdir(parents=True, exist_ok=True)
        (folder / _EXCLUDED).touch()
    program = folder / "usr/sbin/policy-rc.d"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nexit 101\n")
    program.chmod(0o755)
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        path.chmod(0o755)
    return folder


def _hiding(folder: Path, trees: Sequence[Path], names: Sequence[str]) -> Path:
    """Make a layer in which the folders ``names`` are empty, with the owner and mode they have."""
    for name in names:
        (folder / name).mkdir(parents=True)
    # From the inside out: making a folder changes the time of the one around it.
    for target in (*reversed(list(files.walk(folder))), folder):
        below = [tree / target.relative_to(folder) for tree in trees]
        for path in (one for one in reversed(below) if one.is_dir()):
            _copy_folder_status(path, target)
            break
    for name in names:
        os.setxattr(folder / name, _OPAQUE, b"y")
    return folder


def _copy_folder_status(source: Path, target: Path) -> None:
    status = source.stat()
    os.chown(target, status.st_uid, status.st_gid)
    shutil.copystat(source, target)
    if _OPAQUE in os.listxattr(target):  # it holds for the layer it was found in
        os.removexattr(target, _OPAQUE)


def _run_all(plan: Plan, steps: Sequence[Step], work: Callable[[Step], None]) -> None:
    """Run steps as soon as what they need is done, a few side by side; the first error ends it."""
    by_name = {step.name: step for step in steps}
    sorter = TopologicalSorter(
        {name: [need for need in plan.needs(name) if need in by_name] for name in by_name}
    )
    sorter.prepare()
    ready: deque[str] = deque()
    running: dict[Future[None], str] = {}
    with ThreadPoolExecutor(max_workers=_SIDE_BY_SIDE) as pool:
        try:
            while sorter.is_active():
                ready.extend(sorter.get_ready())
                while ready and len(running) < _SIDE_BY_SIDE:
                    name = ready.popleft()
                    running[pool.submit(work, by_name[name])] = name
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for one in done:
                    name = running.pop(one)
                    one.result()
                    sorter.done(name)
        except BaseException as error:
            for one in running:
                one.cancel()
            if not isinstance(error, Exception):
                # Somebody wants it to stop: leaving this block waits for the threads.
                end_streams()
            raise
