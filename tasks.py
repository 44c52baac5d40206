"""What a person types. Each task is thin: its body calls the module that does the work.

A task imports what it uses when it runs: `--list` and `plan` shall not wait for what only others
need.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

CHECKOUT = Path(__file__).resolve().parent
# Invoke loads this file by its name; the packages lie beside it.
sys.path[:0] = [path for path in (str(CHECKOUT), str(CHECKOUT / "app")) if path not in sys.path]

from invoke import Context, Exit, task

from glovebox.errors import ConfigError, GloveboxError, HostError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glovebox.host.monitor import Monitor
    from glovebox.project.opened import Project
    from glovebox.store.store import Store

OUT = CHECKOUT / "out"
INTERRUPTED = 130
_NOTHING_WRITTEN = "stopped; nothing was written"
PIPE_CLOSED = 141  # as of a program that SIGPIPE ended
_COLUMNS = ("name", "wifi", "passphrase", "country")  # of flash --devices
_HELP = {
    "set": "a value over image.yaml: --set board=3 (may be given several times)",
    "config": "the YAML file to build",
    "out": "the folder for the image and its papers",
    "json": "print JSON, for programs",
    "image": "an image of a card: .img, or packed as .xz, .zst, .gz, .bz2, .zip",
}


def _help(*names: str, **more: str) -> dict[str, str]:
    return {**{name: _HELP[name] for name in names}, **more}


@contextmanager
def _ending(
    log: Path | None = None,
    *,
    quiet: bool = False,
    stopped: str = "stopped; the next run goes on from here",
) -> Iterator[Monitor]:
    """Turn what goes wrong into one message and a status; no traceback for a user's mistake."""
    from glovebox.host import hints
    from glovebox.host.monitor import Monitor

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that has no … gets a question mark
            stream.reconfigure(errors="replace")
    monitor = Monitor(log_file=log, quiet=quiet)
    try:
        yield monitor
    except GloveboxError as error:
        monitor.note(f"error: {error}")
        where = f"\n  log: {log}" if log else ""
        raise Exit(f"error: {error}{where}", code=error.exit_code) from error
    except KeyboardInterrupt as error:
        # Asked by a signal other than Ctrl-C, it is told which.
        code = 128 + error.args[0] if error.args else INTERRUPTED
        raise Exit(stopped, code=code) from error
    except BrokenPipeError as error:
        # Whoever read the output has seen enough; nothing more is said to nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Exit(code=PIPE_CLOSED) from error
    except OSError as error:
        # A full disk and the like: the machine's trouble, not ours.
        said = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        failed = HostError(said, hint=hints.hint_for(said))
        raise Exit(f"error: {failed}", code=failed.exit_code) from error
    except Exit:
        raise
    except Exception as error:
        from glovebox import fault

        raise Exit(fault.report(error, sys.argv, log=log), code=fault.EXIT_CODE) from error
    finally:
        monitor.close()


@contextmanager
def _opened(
    what: str,
    *,
    overrides: list[str] | None,
    config: str,
    out: str | Path = OUT,
    logged: bool = False,
    quiet: bool = False,
    as_json: bool = False,
    accelerate: bool = True,
    refresh: bool = False,
    locked: bool = False,
    run_volatile: bool = False,
    builds: bool = False,
) -> Iterator[Project]:
    """Give the project a task works on; one that is ``logged`` mounts, and gets namespaces.

    ``quiet``: no warnings; ``as_json``: nothing at all is printed but what the task prints.
    """
    from glovebox.host import sandbox
    from glovebox.project.opened import open_project
    from glovebox.store.store import Store, default_root

    quiet = quiet or as_json
    with _ending(Path(out) / f"{what}.log" if logged else None, quiet=as_json) as monitor:
        if logged:
            sandbox.enter(what)
        with monitor.slow("store", "removing what killed builds left"):
            store = Store(root=default_root()).open(monitor.note if quiet else monitor.say)
        # From here on: what it reads to make a plan is not cleared either.
        with store.in_use(), store.temporary():
            yield open_project(
                monitor,
                store=store,
                config=Path(config),
                overrides=overrides or [],
                out=Path(out),
                accelerate=accelerate,
                refresh=refresh,
                quiet=quiet,
                locked=locked,
                run_volatile=run_volatile,
                builds=builds,
            )


@task(auto_shortflags=False, help={"tests": "also what `test` and `lint` need"})
def setup(_c: Context, tests: bool = False) -> None:  # noqa: FBT001, FBT002  a flag
    """Install what this machine lacks and register the emulators (needs root)."""
    from glovebox import doctor as doctor_
    from glovebox.host import sandbox

    if sandbox.inside():  # a later task of the same command started this process again
        return
    with _ending() as monitor:
        doctor_.set_up(monitor, tests=tests)


@task(auto_shortflags=False, help=_help("json", store="look at what is in the store instead"))
def doctor(_c: Context, json: bool = False, store: bool = False) -> None:  # noqa: FBT001, FBT002
    """Look at this machine: all it lacks for a build, each with its cure."""
    from glovebox import doctor as doctor_
    from glovebox.project import show
    from glovebox.store.store import Store, default_root

    with _ending(quiet=json) as monitor:
        own = Store(root=default_root())
        with monitor.slow("doctor", "reading what is in the store" if store else "looking"):
            found = doctor_.examine_store(own.open(monitor.say)) if store else doctor_.examine(own)
        show.findings(found, as_json=json)
        if not all(one.good for one in found):
            raise Exit(code=HostError.exit_code)


@task(
    auto_shortflags=False,
    iterable=["set"],
    help=_help(
        "set",
        "config",
        "out",
        no_verify="leave out the tests in the chroot",
        no_cache="run every step again",
        no_accelerator="emulate everything: much slower",
        refresh="ask the mirror for newer packages now",
        locked="use the versions of the lock file and no others; needs no network once fetched",
        shell="open a shell in the state in which a step fails",
    ),
)
def build_image(
    _c: Context,
    set: list[str] | None = None,  # noqa: A002  its name on the command line
    config: str = "image.yaml",
    out: str = str(OUT),
    no_verify: bool = False,  # noqa: FBT001, FBT002
    no_cache: bool = False,  # noqa: FBT001, FBT002
    no_accelerator: bool = False,  # noqa: FBT001, FBT002
    refresh: bool = False,  # noqa: FBT001, FBT002
    locked: bool = False,  # noqa: FBT001, FBT002
    shell: bool = False,  # noqa: FBT001, FBT002
) -> None:
    """Build the image of image.yaml, verify it in a chroot, say how to flash it."""
    from glovebox.host import shell as shell_
    from glovebox.project import story, ways

    if shell:
        with _ending():
            shell_.require_terminal()
    with _opened(
        "build",
        overrides=set,
        config=config,
        out=out,
        logged=True,
        accelerate=not no_accelerator,
        refresh=refresh,
        locked=locked,
        run_volatile=True,
        builds=True,
    ) as opened:
        story.build_image(opened, fresh=no_cache, verify=not no_verify, shell=shell)
        ways.how_to_flash(opened)


@task(
    auto_shortflags=False,
    help=_help(
        "out",
        "image",
        device="the card: /dev/sdX or /dev/mmcblkN; without it the disks are listed",
        yes="write without asking",
        keep_data="renew boot and root, keep the card's data partition: records, settings, keys",
        name="the board's name, written onto the card",
        wifi="the network it joins; its passphrase is asked for (Enter: an open network)",
        country="where its radio is used: DE, US, …; with --wifi",
        passphrase_file="take the passphrase out of this file",  # noqa: S106  a help text
        devices=f"a CSV of cards, one a row: {','.join(_COLUMNS)}; asks for one after the other",
    ),
)
def flash(
    _c: Context,
    device: str = "",
    image: str = "",
    out: str = str(OUT),
    yes: bool = False,  # noqa: FBT001, FBT002
    keep_data: bool = False,  # noqa: FBT001, FBT002
    name: str = "",
    wifi: str = "",
    country: str = "",
    passphrase_file: str = "",
    devices: str = "",
) -> None:
    """Write an image to a card and read it back; without --device, list the cards.

    ./invoke flash [--device /dev/sdX [--image FILE] [--keep-data] [--name NAME] [--yes]]
    """
    from glovebox.card import disks, flash as flash_
    from glovebox.project import cards, offer, ways

    with _ending(stopped=_NOTHING_WRITTEN) as monitor:
        host = disks.Host()
        if not device:
            ways.disks(disks.listed(host))
            return
        owners = cards.owners(
            name=name, wifi=wifi, country=country, passphrase=passphrase_file, devices=devices
        )
        given = flash_.source(Path(image) if image else offer.only_image(Path(out)))
        wanted = cards.Wanted(given=given, device=device, keep_data=keep_data, yes=yes)
        try:
            cards.write(wanted, owners, host, monitor)
        except cards.StoppedError as error:
            raise Exit(str(error), code=error.code) from error


@task(
    auto_shortflags=False,
    iterable=["image"],
    help=_help(
        "out",
        image="this image alone, also where it may hold secrets (may be given several times)",
        address="of this machine, in the network where the card is written",
        port="where it listens; 0: any that is free",
        minutes="how long after the last download it ends",
    ),
)
def serve(
    _c: Context,
    image: list[str] | None = None,
    out: str = str(OUT),
    address: str = "",
    port: int = 8642,
    minutes: float = 30.0,
) -> None:
    """Serve the images on the local network, with a link for Raspberry Pi Imager."""
    from glovebox.project import offer, serve as serve_, ways

    with _ending(stopped="stopped; nobody is served any more") as monitor:
        found = offer.find(Path(out), image or ())
        ways.kept_back(found.kept_back, "serve")
        if not found.offers:
            raise ConfigError("nothing is left to serve", hint="name it: --image NAME")
        place = address or serve_.own_address()
        with serve_.serving(found.offers, monitor, address=place, port=port) as (server, base):
            ways.served(base, minutes)
            sys.stdout.flush()
            serve_.until_idle(server, minutes * 60)
        monitor.say("nobody took anything for a while: ended")


@task(
    auto_shortflags=False,
    iterable=["image"],
    help=_help(
        "out",
        folder="where the files go",
        url="the address that the folder will have",
        image="this image alone, also where it may hold secrets (may be given several times)",
    ),
)
def publish(
    _c: Context, folder: str, url: str = "", image: list[str] | None = None, out: str = str(OUT)
) -> None:
    """Put the images, a list for Raspberry Pi Imager and checksums into a web server's folder.

    ./invoke publish FOLDER --url https://example.org/images
    """
    from glovebox.project import offer, publish as publish_, ways

    with _ending(stopped="stopped; run it again to complete the folder") as monitor:
        base = publish_.address(url)
        found = offer.find(Path(out), image or ())
        ways.kept_back(found.kept_back, "publish")
        if not found.offers:
            raise ConfigError("nothing is left to publish", hint="name it: --image NAME")
        publish_.publish(found.offers, Path(folder), base, monitor)
        monitor.say(f"copy {folder} to {base}/, then open: {offer.link(base)}")


@task(
    auto_shortflags=False,
    iterable=["image", "packages"],
    help=_help(
        "out",
        "json",
        image="this image alone (may be given several times)",
        packages="a list of packages of an earlier build, NAME.packages.txt, in place of images",
        suite="the Debian suite, where no manifest beside the list says it",
        tracker="a file with the tracker's data, or another address of it",
        refresh="fetch the tracker's data now",
        all="list what is minor or unimportant by Debian's word, too, and what each flaw is",
    ),
)
def audit(
    _c: Context,
    image: list[str] | None = None,
    packages: list[str] | None = None,
    suite: str = "",
    tracker: str = "",
    out: str = str(OUT),
    refresh: bool = False,  # noqa: FBT001, FBT002
    all: bool = False,  # noqa: A002, FBT001, FBT002
    json: bool = False,  # noqa: FBT001, FBT002
) -> None:
    """Say which known flaws the images have, by Debian's security tracker.

    Ends with 0, with 8 where a fix is out that an image lacks, else with 9 where one is open.
    """
    from glovebox.project import audit as audit_, audited
    from glovebox.store.store import Store, default_root

    with _ending(quiet=json) as monitor:
        lists = audited.lists(Path(out), image or (), packages or ())
        store = Store(root=default_root()).open(monitor.note if json else monitor.say)
        data = audited.known(tracker, store, monitor, refresh=refresh)
        found = {audited.name(path): audited.of(path, data, store, suite=suite) for path in lists}
        if json:
            audited.as_json(found, data)
        else:
            for name, one in found.items():
                audited.tell(name, one, data, everything=all)
        if code := audit_.exit_code(found.values()):
            raise Exit(code=code)


@task(auto_shortflags=False, iterable=["set"], help=_help("set", "config"))
def lock(
    _c: Context,
    set: list[str] | None = None,  # noqa: A002
    config: str = "image.yaml",
) -> None:
    """Resolve packages and sources now and write the lock file for `build-image --locked`."""
    from glovebox.project import show, story

    with _opened("lock", overrides=set, config=config, refresh=True) as opened:
        show.lock_written(opened, story.write_lock(opened, Path(config)))


@task(
    auto_shortflags=False, iterable=["set"], help=_help("set", "config", step="its name in `plan`")
)
def why(
    _c: Context,
    step: str,
    set: list[str] | None = None,  # noqa: A002
    config: str = "image.yaml",
) -> None:
    """Say why a step runs again: the file, variable or package that changed."""
    from glovebox.project import story

    with _opened("why", overrides=set, config=config, quiet=True) as opened:
        for line in story.reasons(opened, step):
            opened.monitor.say(line)


@task(auto_shortflags=False, iterable=["set"], help=_help("set", "config", "json"))
def plan(
    _c: Context,
    set: list[str] | None = None,  # noqa: A002
    config: str = "image.yaml",
    json: bool = False,  # noqa: FBT001, FBT002
) -> None:
    """Show the steps of a build: key, cached or not, size."""
    from glovebox.project import show

    with _opened("plan", overrides=set, config=config, as_json=json) as opened:
        show.steps(opened, as_json=json)


@task(
    name="pi-gen",
    auto_shortflags=False,
    iterable=["set"],
    help=_help("set", "config", folder="the new folder that the stages are written to"),
)
def pi_gen(
    _c: Context,
    folder: str,
    set: list[str] | None = None,  # noqa: A002
    config: str = "image.yaml",
) -> None:
    """Lay the stages out for pi-gen: overlays and templates become files that it knows.

    ./invoke pi-gen FOLDER, then in a checkout of pi-gen: ./build.sh -c FOLDER/config. A stage that
    compiles is left out, which is said.
    """
    from glovebox.project import for_pi_gen
    from glovebox.project.load import load

    with _ending() as monitor:
        loaded = load(Path(config), overrides=set or [])
        made = for_pi_gen.lay_out(loaded.config, Path(folder))
        for name, why in made.left_out.items():
            monitor.warn(f"{name} is left out: {why}")
        monitor.say(f"laid out: {', '.join(one.name for one in made.stages)}")
        monitor.say(f"in a checkout of pi-gen, as root: ./build.sh -c {made.config}")


@task(
    auto_shortflags=False,
    iterable=["set"],
    help=_help(
        "set",
        "config",
        "out",
        target="chroot, emulated (default), or ssh:[user@]host[:port]",
        report="write what the board is and how the tests ended to this JSON file",
        locked="by the lock file, as it was built",
    ),
)
def verify(
    _c: Context,
    target: str = "emulated",
    report: str = "",
    locked: bool = False,  # noqa: FBT001, FBT002
    set: list[str] | None = None,  # noqa: A002
    config: str = "image.yaml",
    out: str = str(OUT),
) -> None:
    """Prove an image: in a chroot, booted in an emulator, or on a real board by ssh."""
    from glovebox.project import story

    with _opened(
        "verify", overrides=set, config=config, out=out, logged=True, locked=locked
    ) as opened:
        story.verify_target(opened, target, report=Path(report).resolve() if report else None)


@task(
    auto_shortflags=False,
    iterable=["set"],
    help=_help(
        "set",
        "config",
        "out",
        drive="an NMEA file the plugged-in receiver replays, once the board is up",
    ),
)
def boot(
    _c: Context,
    drive: str = "",
    set: list[str] | None = None,  # noqa: A002
    config: str = "image.yaml",
    out: str = str(OUT),
) -> None:
    """Boot the image in an emulator and open a shell on it; the image stays as it is."""
    from glovebox.project import session

    with _opened("boot", overrides=set, config=config, out=out, logged=True) as opened:
        session.run(opened, drive=Path(drive) if drive else None)


@task(
    auto_shortflags=False,
    iterable=["set"],
    help=_help(
        "set",
        "config",
        no_accelerator="the second build emulates everything; the rest stays as it is: slow",
        first_cached="the first build takes what the store has",
    ),
)
def reproduce(
    _c: Context,
    set: list[str] | None = None,  # noqa: A002
    config: str = "image.yaml",
    no_accelerator: bool = False,  # noqa: FBT001, FBT002
    first_cached: bool = False,  # noqa: FBT001, FBT002
) -> None:
    """Build twice from empty layers, at another time, umask and place, and compare the bytes."""
    from glovebox.trials import reproduce as reproduce_

    with _opened("reproduce", overrides=set, config=config, logged=True, builds=True) as opened:
        how = reproduce_.WITHOUT_ACCELERATOR if no_accelerator else reproduce_.OTHERWISE
        digest = reproduce_.reproduce(
            opened, Path(config), set or [], circumstances=how, first_cached=first_cached
        )
        opened.monitor.say(f"the same bytes, sha256 {digest}; the second time {how}")


@task(
    auto_shortflags=False,
    iterable=["set"],
    help=_help(
        "set",
        base="what the image starts from: raspios or debian",
        board="the board that is built for, and emulated where QEMU can",
    ),
)
def selftest(
    _c: Context,
    base: str = "raspios",
    board: str = "3",
    set: list[str] | None = None,  # noqa: A002
) -> None:
    """Try a base with the real downloads: lock, build, verify, boot; into out/selftest/report.json.

    Takes a configuration of its own, no image.yaml. The report holds nothing of its owner.
    """
    from glovebox.host import sandbox
    from glovebox.store.store import Store, default_root
    from glovebox.trials import selftest as selftest_

    out = OUT / "selftest"
    with _ending(out / "selftest.log") as monitor:
        sandbox.enter("selftest")
        store = Store(root=default_root()).open(monitor.say)
        with store.in_use(), store.temporary():
            selftest_.run_on(
                monitor, store=store, out=out, base=base, board=board, settings=set or []
            )


@task(
    auto_shortflags=False,
    help=_help(
        "config",
        only="these parts alone, with commas; the others keep what they found before",
        rounds="how often what takes seconds is measured; the median counts",
        quick="once and small: shows that the harness works, its figures mean little",
        publish="put the table into docs/benchmarks.md",
    ),
)
def bench(
    _c: Context,
    only: str = "",
    rounds: int = 3,
    quick: bool = False,  # noqa: FBT001, FBT002
    publish: bool = False,  # noqa: FBT001, FBT002
    config: str = "image.yaml",
) -> None:
    """Measure builds, and what others take for the same; into out/bench.json and out/bench.md."""
    from glovebox.host import sandbox
    from glovebox.trials import bench as bench_, report

    with _ending(OUT / "bench.log", stopped="stopped; nothing of this run is kept") as monitor:
        sandbox.enter("bench")
        names = [name for name in only.split(",") if name]
        found = bench_.measure(
            monitor, Path(config), only=names, rounds=rounds, quick=quick, out=OUT / "bench"
        )
        # What was measured once and small is not kept.
        report.measured(found if quick else bench_.keep(found, OUT, add=bool(names)))
        if publish and not quick:
            bench_.into_docs(OUT, CHECKOUT / "docs")


@task(
    auto_shortflags=False,
    help={
        "all": "also the packages that were fetched",
        "keep": "remove what was used longest ago until the store takes this much: 10G",
    },
)
def clean(_c: Context, all: bool = False, keep: str = "") -> None:  # noqa: A002, FBT001, FBT002
    """Remove the store's layers; downloads stay unless --all. With --keep, only as many as needed.

    What the last plan of each configuration and board needs is not touched by --keep.
    """
    from glovebox.store import current
    from glovebox.store.store import Store, default_root

    with _ending() as monitor:
        size = current.parse_size(keep) if keep else None
        store = Store(root=default_root()).open(monitor.say)
        if size is None:
            with monitor.slow("clean", "removing results"):
                freed = store.clear(downloads=all)
            monitor.say(f"{freed / 1e9:.1f} GB freed in {store.root}")
            return
        with monitor.slow("clean", "removing what was used longest ago"):
            made = current.shrink(store, size)
        monitor.say(f"{made.freed / 1e9:.1f} GB freed in {store.root}, {made.left / 1e9:.1f} left")
        if made.left > size:
            monitor.warn("the rest is what current plans need; all of it goes with: clean --all")


@task
def lint(_c: Context) -> None:
    """Check types, style and shell scripts."""
    from glovebox.trials import suite

    with _ending() as monitor:
        suite.lint(monitor, CHECKOUT)


@task(
    auto_shortflags=False,
    help={
        "quick": "only what takes seconds: style, types, unit tests",
        "long": "also what takes hours: more cuts, boards on a busy machine, tests marked long",
        "only": "these parts alone, with commas, and what they need; a run's last lines name them",
        "fuzz": "only the readers of other people's input, by chance, for so many minutes",
        "hosts": "only in roots of other hosts: Debian 13, and an arm64 machine, emulated",
    },
)
def test(
    _c: Context,
    quick: bool = False,  # noqa: FBT001, FBT002, PT028  a task
    long: bool = False,  # noqa: FBT001, FBT002, PT028  likewise
    only: str = "",  # noqa: PT028  likewise
    fuzz: float = 0.0,  # noqa: PT028  likewise
    hosts: bool = False,  # noqa: FBT001, FBT002, PT028  likewise
) -> None:
    """Run all tests: both boards built, verified, booted, with a drive replayed (needs root).

    Each part is tried, whatever came of those before; the end tells what each took and came to.
    """
    from glovebox.host import sandbox
    from glovebox.trials import hosts as hosts_, suite

    names = [name for name in only.split(",") if name]
    with _ending(OUT / "test.log") as monitor:
        if fuzz:
            suite.fuzz(monitor, CHECKOUT, fuzz)
        elif quick:
            suite.quick(monitor, CHECKOUT, only=names)
        elif hosts:
            sandbox.enter("test --hosts")
            hosts_.try_hosts(monitor, CHECKOUT, only=names)
        else:
            sandbox.enter("test")
            suite.everything(monitor, CHECKOUT, OUT, only=names, long=long)


_UNCHANGED = "stopped; nothing was changed"


@contextmanager
def _store() -> Iterator[Store]:
    """Give the store to a verb for any image; it is not cleared meanwhile."""
    from glovebox.store.store import Store, default_root

    store = Store(root=default_root()).open()
    with store.in_use():
        yield store


@task(
    auto_shortflags=False,
    help=_help("image", "json", board="whose view of config.txt is shown: zero-w, 3, 4, 5, cm4 …"),
)
def info(_c: Context, image: str, board: str = "", json: bool = False) -> None:  # noqa: FBT001, FBT002
    """Say what an image is: system, boards, config.txt, users, units, packages.

    ./invoke info IMAGE [--board 4] [--json]
    """
    from glovebox.host import sandbox
    from glovebox.images import inventory, show as show_image

    with _ending(quiet=json, stopped=_UNCHANGED) as monitor:
        sandbox.enter("info")
        model = inventory.model_named(board) if board else None
        with (
            _store() as store,
            monitor.slow("info", "reading the image"),
            inventory.viewed(Path(image), store, monitor) as view,
        ):
            found = inventory.facts(view, model)
        show_image.as_json(found) if json else show_image.info(found)


@task(
    auto_shortflags=False,
    help=_help("json", a="an image", b="another one", all="every line, however many"),
)
def diff(_c: Context, a: str, b: str, json: bool = False, all: bool = False) -> None:  # noqa: A002, FBT001, FBT002
    """Say what two images differ in, in packages, files, units, boot configuration and sizes.

    ./invoke diff A B [--all | --json]; ends with status 1 if they differ, 0 if not.
    """
    from glovebox.host import sandbox
    from glovebox.images import diff as diff_, inventory, show as show_image

    with _ending(quiet=json, stopped=_UNCHANGED) as monitor:
        sandbox.enter("diff")
        with (
            _store() as store,
            monitor.slow("diff", "comparing the images"),
            inventory.viewed(Path(a), store, monitor) as one,
            inventory.viewed(Path(b), store, monitor) as other,
        ):
            found = diff_.compare(one, other)
        show_image.as_json(found) if json else show_image.diff(found, everything=all)
    if found:
        raise Exit(code=1)


@task(
    auto_shortflags=False,
    help={
        "folder": "where everything lies (default: home.yaml's, or home-data)",
        "demo": "simulated drives, received and built as real ones, and their map at once",
    },
)
def home(_c: Context, folder: str = "", demo: bool = False) -> None:  # noqa: FBT001, FBT002  a flag
    """Be the home base: receive from vehicles, build days, show the map (docs/home.md).

    ./invoke home [--folder FOLDER] [-- COMMAND …]; without a command it serves until Ctrl-C. All
    commands: ./invoke home -- --help
    """
    from home.cli import main

    words = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else ["serve"]
    words = ["demo"] if demo else words
    status = main([*(["--folder", folder] if folder else []), *words])
    if status:
        raise Exit(code=status)


@task(
    auto_shortflags=False,
    help=_help(
        "image",
        write="keep what is changed, in the image itself",
        output="keep what is changed, in a copy of this name",
        network="let it use this machine's network",
    ),
)
def chroot(
    _c: Context,
    image: str,
    write: bool = False,  # noqa: FBT001, FBT002
    output: str = "",
    network: bool = False,  # noqa: FBT001, FBT002
) -> None:
    """Open a shell in an image, or run one command, through QEMU if need be.

    ./invoke chroot IMAGE [--write | --output NEW.img] [--network] [-- COMMAND …]; without --write
    or --output the image stays as it is.
    """
    from glovebox.host import sandbox
    from glovebox.images import enter

    # What follows `--` as it was typed: invoke would join the words.
    words = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    with _ending(quiet=bool(words), stopped=_UNCHANGED) as monitor:
        sandbox.enter("chroot")
        with _store() as store:
            status = enter.enter(
                Path(image),
                words,
                store=store,
                monitor=monitor,
                write=write,
                output=Path(output) if output else None,
                network=network,
            )
    if status:
        raise Exit(code=status)


@task(
    auto_shortflags=False,
    help=_help(
        "image",
        to="the size of the image afterwards: 4GiB, 16GB, or `least`",
        grow="add this to the root partition: 500MiB",
        shrink="take this from the root partition: 500MiB",
        output="write the resized image under this name",
        in_place="replace the image itself",
    ),
)
def resize(
    _c: Context,
    image: str,
    to: str = "",
    grow: str = "",
    shrink: str = "",
    output: str = "",
    in_place: bool = False,  # noqa: FBT001, FBT002
) -> None:
    """Give the root partition and its file system another size.

    ./invoke resize IMAGE --to 4GiB [--output NEW.img | --in-place]. Shows the sizes before and
    after; writes only with --output or --in-place.
    """
    from glovebox.card import media
    from glovebox.host import sandbox
    from glovebox.images import resize as resize_, show as show_image

    with _ending(stopped=_UNCHANGED) as monitor:
        sandbox.enter("resize")
        wanted = resize_.wish(to, grow, shrink)
        if output and in_place:
            raise ConfigError("--output or --in-place, not both")
        with _store() as store:
            found = media.look(Path(image), store, monitor)
            if in_place:
                media.require_writable(found)
            with monitor.slow("resize", "asking how small its file system can be"):
                before, after, least = resize_.plan(found, wanted, store)
            show_image.resize(before, after, least)
            if output or in_place:
                resize_.apply(found, after, Path(output) if output else None, monitor)
                monitor.say(f"{output or image} is written")
            else:
                monitor.say("nothing is written; to do it: --output NEW.img, or --in-place")


@task(
    auto_shortflags=False,
    help=_help(
        "image",
        at="the folder to mount it on (default: /mnt/NAME)",
        write="writable: what you change, you change in the image",
    ),
)
def mount(_c: Context, image: str, at: str = "", write: bool = False) -> None:  # noqa: FBT001, FBT002
    """Mount both partitions of an image at their places, read-only, until `umount`.

    ./invoke mount IMAGE [--at FOLDER] [--write]
    """
    from glovebox.host import sandbox
    from glovebox.images import mounted, show as show_image

    with _ending(stopped=_UNCHANGED) as monitor:
        sandbox.require_root("mount")
        place = Path(at) if at else None
        with _store() as store, monitor.slow("mount", f"mounting {image}"):
            record = mounted.mount(Path(image), store, monitor, place=place, write=write)
        show_image.mounted(record)
        monitor.say(f"take it away: ./invoke umount {image}")


@task
def mounts(_c: Context) -> None:
    """List the images that are mounted."""
    from glovebox.images import mounted, show as show_image

    with _ending():
        show_image.mounts(mounted.records())


@task(
    auto_shortflags=False,
    help={"image": "the image, or the folder it is mounted on, or `all` that are mounted"},
)
def umount(_c: Context, image: str) -> None:
    """Unmount what `mount` mounted; boot files shown as a copy are written back.

    ./invoke umount IMAGE, or FOLDER, or all
    """
    from glovebox.host import sandbox
    from glovebox.images import mounted

    with _ending(stopped="stopped; to go on: ./invoke umount") as monitor:
        sandbox.require_root("umount")
        found = mounted.find(Path(image))
        chosen = list(mounted.records()) if image == "all" else [found] if found else []
        for folder, record in chosen:
            with monitor.slow("umount", "writing back what the kernel still holds"):
                mounted.umount(folder, record, monitor)
            monitor.say(f"{record.place} is unmounted")
        if not chosen:
            monitor.say("no image is mounted" if image == "all" else f"{image} is not mounted")


@task(
    auto_shortflags=False,
    iterable=["set"],
    help=_help(
        "set",
        "config",
        board="zero-w, zero-2-w, 2, 3, 4 or 5; none: that of the YAML file",
        battery="its capacity in Wh",
        efficiency="share of it that the converter brings to 5 V, 0 to 1",
        extra="mA at 5 V of what hangs beside the board, such as the receiver",
    ),
)
def power_report(
    _c: Context,
    set: list[str] | None = None,  # noqa: A002
    config: str = "image.yaml",
    board: str = "",
    battery: float = 600.0,
    efficiency: float = 0.5,
    extra: float = 0.0,
) -> None:
    """Estimate what a board draws and how long a battery lasts, with the source of each figure."""
    from glovebox.boards import power
    from glovebox.boards.boards import BOARDS
    from glovebox.config.schema import BoardName
    from glovebox.project import load

    with _ending() as monitor:
        if board and board not in list(BoardName):
            raise ConfigError(
                f"--board: '{board}' is unknown", hint=f"one of {', '.join(BoardName)}"
            )
        if battery <= 0 or not 0 < efficiency <= 1 or extra < 0:
            raise ConfigError(
                "--battery, --efficiency and --extra: not such numbers",
                hint="--battery 600 --efficiency 0.5 --extra 50",
            )
        loaded = load.load(Path(config), overrides=set or []).config
        text = power.report(
            BOARDS[BoardName(board) if board else loaded.board],
            loaded.power,
            battery_wh=battery,
            efficiency=efficiency,
            extra_ma=extra,
        )
        monitor.say(text)
