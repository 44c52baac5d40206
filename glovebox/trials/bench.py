"""Measure what a build takes, and what others take for the same, on this machine.

Each part gives rows of one table. All of it happens in a copy of the checkout with a store of its
own; downloads are shared with the caller's store and are there before anything is timed.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from glovebox.build import assemble
from glovebox.checkout import CHECKOUT
from glovebox.errors import ConfigError, VerifyError
from glovebox.host import chroot, files, memory, mounts
from glovebox.host.run import run, stream
from glovebox.lock import apt, lock
from glovebox.plan import plan
from glovebox.plan.plan import TARGET, TOOLS
from glovebox.project.opened import open_project
from glovebox.store.store import Store, default_root
from glovebox.trials import (
    bench_car,
    bench_contract,
    bench_home,
    bench_idle,
    bench_raspios,
    compare,
    elsewhere,
    measures,
)
from glovebox.trials.desk import BOARDS, LARGE, MB, SMALL, Bench
from glovebox.trials.measures import TIMES, Report, Row, StepTime, machine, ordered, today

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from glovebox.build.builder import Builder
    from glovebox.host.monitor import Monitor
    from glovebox.project.opened import Project

_SCRIPTS = CHECKOUT / "tests/bench"
# Steps that are emulated, of every kind of work there is: unpacking, package scripts, a kernel,
# Python's bytecode. (All of them take five minutes without the accelerator.)
_EMULATED = ("base/unpack", "base/configure", "base/01-kernel", "python/00-python")
# Two that say most about the accelerator: compiled bytecode, and an archive of copied programs.
_EMULATED_QUICK = ("python/00-python", "boot/00-initramfs")
_SHOWN = 5
# Where a vendor's image would begin: a system that boots. The plain script does the rest.
_VENDOR = "base/01-kernel"


def measure(
    monitor: Monitor,
    config: Path,
    *,
    only: Sequence[str] = (),
    rounds: int = 3,
    quick: bool = False,
    out: Path,
) -> Report:
    """Run the parts (all, or those in ``only``) and give what they found."""
    unknown = [name for name in only if name not in PARTS]
    if unknown:
        raise ConfigError(f"--only: no part is called {unknown[0]}", hint=", ".join(PARTS))
    chosen = [name for name in PARTS if name in only] if only else list(DEFAULT)
    if quick:
        chosen = [name for name in QUICK if not only or name in only]
    boards = BOARDS[:1] if quick else BOARDS
    store = Store(root=default_root()).open(monitor.note)
    opened = {
        board: open_project(
            monitor, store=store, config=config, overrides=[f"board={board}"], out=out, quiet=True
        )
        for board in boards
    }
    with elsewhere.workplace(opened[SMALL].store, "bench") as work:
        try:
            with monitor.step("downloads", "what is measured shall not wait for a network"):
                _download(opened)
                site = elsewhere.prepare(opened[SMALL], config, work)
                elsewhere.share_secret(opened[SMALL].store, site.store)
                for board in boards:
                    elsewhere.add_lock(opened[board], site.config)
            bench = Bench(
                monitor=monitor, opened=opened, site=site, work=work,
                rounds=1 if quick else rounds, quick=quick,
            )  # fmt: skip
            rows: list[Row] = []
            for name in chosen:
                with monitor.step(name, PARTS[name].__doc__ or ""):
                    rows += [replace(row, part=name) for row in PARTS[name](bench)]
                for row in rows[-4:]:
                    monitor.note(f"{row.name}: {row.value()} {row.values}")
        finally:
            shutil.rmtree(work, ignore_errors=True)
    facts = {"measured": today(), "rounds": str(bench.rounds)}
    return Report(
        machine=machine(), rows=ordered(rows, _ORDER), steps=tuple(bench.steps), facts=facts
    )


def _download(opened: dict[str, Project]) -> None:
    for one in opened.values():
        packages = [p.download() for chain in (TOOLS, TARGET) for p in one.lock.packages(chain)]
        apt.fetch(packages, one.store.root / "debs")
        apt.fetch([s for group in one.lock.sources.values() for s in group],
                  one.store.root / "sources")  # fmt: skip


def cold(bench: Bench) -> list[Row]:
    """Build both boards from empty layers."""
    rows: list[Row] = []
    peaks: list[int] = []
    for board, goal in ((LARGE, 180.0), (SMALL, 150.0)):
        with memory.watched() as peak:
            timing = bench.build(board)
        peaks.append(peak.bytes)
        name = f"cold image for `{board}`, downloads apart, verified in a chroot"
        rows.append(Row(name=name, unit="s", values=(timing.seconds,), goal=goal))
        opened = bench.opened[board]
        found = [bench.site.store.find(step.key) for step in opened.plan.steps.values()]
        bench.steps += [
            StepTime(
                board=board, step=layer.meta["name"], cold_s=layer.meta["seconds"],
                bytes=assemble.measure(layer.tree).size,
            )
            for layer in found
            if layer is not None
        ]  # fmt: skip
        bench.steps += [
            StepTime(board=board, step=name, cold_s=timing.parts[name], bytes=0)
            for name in ("verify", "image", "export")
            if name in timing.parts
        ]
        name = f"verify, chroot level, `{board}`, beside the assembly of the image"
        rows.append(Row(name=name, unit="s", values=(timing.parts["verify"],), goal=30.0))
    name = "peak memory of the process tree, both cold builds"
    rows.append(Row(name=name, unit="MB", values=(max(peaks) / MB,), goal=700, note="PSS, sampled"))
    return rows


def unchanged(bench: Bench) -> list[Row]:
    """Build when nothing changed."""
    bench.warm(SMALL)
    bench.build(SMALL)
    values = bench.median_of(lambda: bench.build(SMALL).seconds)
    return [Row(name="nothing changed → done", unit="s", values=values, goal=1.5, key="unchanged")]


def change(bench: Bench) -> list[Row]:
    """Change a line of the service, and a value of its settings."""
    bench.warm(SMALL)
    script = bench.site.checkout / "app/telematics/cli.py"

    def line(*options: str) -> float:
        bench.salt += 1
        script.write_text(f"{script.read_text()}# {bench.salt}\n")
        return bench.build(SMALL, *options).seconds

    def setting() -> float:
        bench.salt += 1
        return bench.build(SMALL, "--set", f"service.batch_ms={500 + bench.salt}").seconds

    name = "one line of `app/` → `.img`, verified"
    rows = [Row(name=name, unit="s", values=bench.median_of(line), goal=10.0, key="app")]
    if not bench.quick:
        values = bench.median_of(setting)
        rows.append(Row(name="a value under `service:` → `.img`, verified", unit="s",
                        values=values, goal=10.0, key="setting"))  # fmt: skip
    values = bench.median_of(lambda: line("--no-verify"))
    name = "one line of `app/` → `.img`, not verified"
    rows.append(Row(name=name, unit="s", values=values, key="app, not verified"))
    return rows


def plain(bench: Bench) -> list[Row]:
    """Make the same change with a plain shell script."""
    bench.warm(SMALL)
    opened, builder = bench.opened[SMALL], bench.builder(SMALL)
    folder = bench.work / "plain"
    folder.mkdir()
    base = folder / "base.img"
    _vendor_image(opened, builder, base)
    packages = [] if bench.quick else _packages_above(opened, _VENDOR)
    given = folder / "files"
    for name in ("queue/00-server", "telematics/00-service"):
        run(["cp", "--archive", f"{builder.layer(name).tree}/.", _made(given)])
    repository = _repository(opened, _made(folder / "repository"))
    _fill_pool(opened, repository)
    begun = time.monotonic()
    stream(
        [_SCRIPTS / "plain.sh", base, folder / "result.img", repository, given, *packages],
        line=bench.monitor.note,
    )
    seconds = time.monotonic() - begun
    shutil.rmtree(folder)
    note = "packages installed and files copied anew in a vendor's image; nothing is compiled"
    name = "the same change by a plain script"
    return [Row(name=name, unit="s", values=(seconds,), note=note, key="plain")]


def mmdebstrap(bench: Bench) -> list[Row]:
    """Install the same packages with mmdebstrap alone."""
    opened = bench.opened[SMALL]
    repository = _repository(opened, _made(bench.work / "repository"))
    (repository / "pool").rmdir()
    (repository / "pool").symlink_to(opened.store.root / "debs")
    names = [one.name for one in opened.lock.packages(TARGET)]
    begun = time.monotonic()
    stream(
        [
            "mmdebstrap", "--mode=root", "--variant=extract" if bench.quick else "--variant=apt",
            "--format=directory", f"--architectures={opened.board.arch}",
            *([] if bench.quick else [f"--include={','.join(names)}"]),
            opened.lock.suite, bench.work / "bootstrap",
            f"deb [trusted=yes] copy:{repository} ./",
        ],
        line=bench.monitor.note,
    )  # fmt: skip
    seconds = time.monotonic() - begun
    shutil.rmtree(bench.work / "bootstrap")
    note = f"{len(names)} packages; a directory, no image"
    return [Row(name=f"mmdebstrap alone for `{SMALL}`", unit="s", values=(seconds,), note=note)]


def emulated(bench: Bench) -> list[Row]:
    """Run emulated steps with and without the accelerator; the layers must be the same."""
    bench.warm(SMALL)
    names = _EMULATED_QUICK if bench.quick else _EMULATED
    # That a board has a name is known to steps below these; which one it is, to the last alone.
    keys = _renamed(bench)
    seconds: list[float] = []
    for options in ((), ("--no-accelerator",)):
        aside = _made(bench.work / "aside" / (options[0] if options else "as usual"))
        for name in names:
            found = bench.site.store.find(keys[name])
            if found is not None:
                found.path.rename(aside / keys[name])
        _renamed(bench, *options)
        made = [one for name in names if (one := bench.site.store.find(keys[name])) is not None]
        seconds.append(sum(one.meta["seconds"] for one in made))
    for name, one in zip(names, made, strict=True):
        _require_same(name, aside / keys[name] / "tree", one.tree)
    shutil.rmtree(aside.parent)
    ratio = seconds[1] / seconds[0]
    note = f"{seconds[1]:.0f} s / {seconds[0]:.0f} s: {', '.join(names)}"
    name = "emulated steps: without / with accelerator"
    return [Row(name=name, unit=TIMES, values=(ratio,), goal=2.0, least=True, note=note)]


def _renamed(bench: Bench, *options: str) -> dict[str, str]:
    """Build under another name, so that something is built, and give the keys of the steps."""
    bench.salt += 1
    name = f"round{bench.salt}"
    bench.build(SMALL, "--no-verify", "--set", f"hostname={name}", *options)
    papers = bench.site.out / f"{name}-{SMALL}.manifest.json"
    keys: dict[str, str] = json.loads(papers.read_text())["steps"]
    return keys


def _require_same(name: str, usual: Path, emulated: Path) -> None:
    differences = [str(one) for one in compare.trees(usual, emulated)]
    if differences:
        raise VerifyError(
            f"{name} differs without the accelerator:\n" + "\n".join(differences[:_SHOWN]),
            hint="./invoke reproduce --no-accelerator says more",
        )


def redis(bench: Bench) -> list[Row]:
    """Compile some of the queue's server, emulated and with the cross compiler."""
    bench.warm(SMALL)
    opened, builder = bench.opened[SMALL], bench.builder(SMALL)
    server = str(opened.loaded.config.queue.server)
    jobs = str(len(os.sched_getaffinity(0)))
    seconds: list[float] = []
    with ExitStack() as stack:
        scratch = stack.enter_context(bench.site.store.scratch())
        cross = stack.enter_context(builder.native().enter(_made(scratch / "tools")))
        env = chroot.environment(opened.board.arch, opened.plan.epoch)
        sources = _made(cross / "run/sources")
        for one in opened.lock.sources[server]:
            shutil.copy(opened.store.root / "sources" / one.sha256, sources / one.name)
        unpack = "cd /run/sources && dpkg-source --no-check --extract *.dsc source"
        stream(chroot.command(cross, ["sh", "-c", unpack]), line=bench.monitor.note, env=env)
        target = stack.enter_context(builder.merged("base/configure", writable=True))
        elsewhere.add_compiler(opened, target, arch=opened.board.arch)
        stack.enter_context(mounts.chroot_mounts(target))
        for root, compiler in (
            (cross, f"{opened.plan.variables['CROSS_COMPILE']}gcc"),
            (target, "gcc"),
        ):
            if root is not cross:
                run(["cp", "--recursive", sources, root / "run"])
            shutil.copy(_SCRIPTS / "compile.sh", root / "run")
            words = ["bash", "/run/compile.sh", compiler, jobs, "/run/sources/source"]
            begun = time.monotonic()
            stream(chroot.command(root, words), line=bench.monitor.note, env=env)
            seconds.append(time.monotonic() - begun)
    note = f"eight of its files: {seconds[1]:.0f} s / {seconds[0]:.1f} s"
    return [Row(name="Redis: compiled under emulation / cross", unit=TIMES,
                values=(seconds[1] / seconds[0],), goal=8.0, least=True, note=note)]  # fmt: skip


def size(bench: Bench) -> list[Row]:
    """Count what is in the images."""
    rows = []
    for board, goal in ((LARGE, 650.0), (SMALL, 450.0)):
        if board not in bench.opened:
            continue
        bench.warm(board)
        with bench.builder(board).merged(bench.opened[board].plan.top.name) as root:
            content = assemble.measure(root).size / MB
        name = f"content of the image for `{board}`"
        rows.append(Row(name=name, unit="MB", values=(content,), goal=goal))
    return rows


def boots(bench: Bench) -> list[Row]:
    """Verify both boards, booted in the emulator."""
    rows = []
    for board in (LARGE, SMALL):
        bench.warm(board)
        # The emulator is made once, not for each board that boots.
        bench.builder(board).build([plan.EMULATOR])
        begun = time.monotonic()
        words = ("--locked", "--set", f"board={board}")
        bench.site.run("verify", *words, line=bench.monitor.note)
        seconds = time.monotonic() - begun
        name = f"verify, emulated boot included, `{board}`"
        rows.append(Row(name=name, unit="s", values=(seconds,), goal=240.0))
    return rows


def contract(bench: Bench) -> list[Row]:
    """Record a drive, keep a month of it, publish that."""
    return bench_contract.rows(bench.monitor)


def drain(bench: Bench) -> list[Row]:
    """Publish a backlog from emulated boards to a broker on this machine."""
    return [row for board in (LARGE, SMALL) for row in bench_contract.drained(bench, board)]


def keep(report: Report, out: Path, *, add: bool) -> Report:
    """Write the report as JSON and Markdown; with ``add`` what was there before stays in it."""
    kept = out / "bench.json"
    if add and kept.exists():
        with suppress(ValueError, KeyError, TypeError):  # of another version: it goes
            report = report.merged(measures.load(kept.read_text()))
    report = with_ratios(report)
    files.write_whole(kept, report.dump())
    files.write_whole(out / "bench.md", measures.page(report))
    return report


def into_docs(out: Path, docs: Path) -> None:
    """Put what was kept into its page, and what the contract costs into the contract."""
    found = measures.load((out / "bench.json").read_text())
    builds, costs = bench_contract.parted(found)
    measures.put_into(docs / "benchmarks.md", measures.markdown(builds))
    if costs.rows:
        measures.put_into(docs / bench_contract.PAGE, measures.markdown(costs))


def with_ratios(report: Report) -> Report:
    """Add the ratios of what two parts of one run measured."""
    found = {row.key: row for row in report.rows}
    if "app" not in found or "plain" not in found:
        return report
    row = Row(
        name="the same change: plain script / one line of `app/`",
        unit=TIMES,
        values=(found["plain"].median / found["app"].median,),
        goal=10.0,
        least=True,
        part="ratios",
        key="ratio",
    )
    rows = ordered([*(each for each in report.rows if each.key != row.key), row], _ORDER)
    return Report(machine=report.machine, rows=rows, steps=report.steps, facts=report.facts)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _repository(opened: Project, folder: Path) -> Path:
    (folder / "Packages").write_text(lock.repository(opened.lock, TARGET))
    (folder / "pool").mkdir()
    return folder


def _fill_pool(opened: Project, repository: Path) -> None:
    # A symbolic link would not hold inside a changed root.
    for one in opened.lock.packages(TARGET):
        (repository / "pool" / one.sha256).hardlink_to(opened.store.root / "debs" / one.sha256)


def _packages_above(opened: Project, step: str) -> list[str]:
    """Give the packages that sub-stages after ``step`` install."""
    names = [one.name for one in opened.plan.layers(opened.plan.top.name)]
    above = set(names[names.index(step) + 1 :])
    return [
        one.name
        for request, group in opened.lock.chains[TARGET].items()
        if request.rpartition("/")[0] in above
        for one in group
    ]


def _vendor_image(opened: Project, builder: Builder, target: Path) -> None:
    with (
        builder.merged(_VENDOR, hide=[plan.BOOT]) as root,
        builder.merged(_VENDOR) as whole,
        builder.store.scratch() as scratch,
    ):
        assemble.assemble(
            target,
            root=root,
            whole=whole,
            made=opened.plan,
            disk=opened.loaded.config.disk,
            tools=builder.native(),
            scratch=scratch,
        )


_ORDER = ("unchanged", "app", "setting", "app, not verified", "plain", "ratio")
PARTS: dict[str, Callable[[Bench], list[Row]]] = {
    "cold": cold, "unchanged": unchanged, "change": change, "plain": plain, "emulated": emulated,
    "redis": redis, "size": size, "mmdebstrap": mmdebstrap, "boots": boots, "contract": contract,
    "car": bench_car.car, "idle": bench_idle.idle, "drain": drain,
    "home": bench_home.home, "raspios": bench_raspios.raspios,
}  # fmt: skip
DEFAULT = tuple(
    name for name in PARTS if name not in {"boots", "car", "idle", "drain", "home", "raspios"}
)
QUICK = ("unchanged", "change", "plain", "emulated", "size")
