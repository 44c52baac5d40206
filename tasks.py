"""What a person types. Each task is thin: its body calls the module that does the work."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

CHECKOUT = Path(__file__).resolve().parent
# Invoke loads this file by its name; the packages lie beside it.
sys.path[:0] = [path for path in (str(CHECKOUT), str(CHECKOUT / "app")) if path not in sys.path]

from invoke import Context, Exit, task

from glovebox import (
    board_session,
    doctor as doctor_,
    keep as room,
    project,
    sandbox,
    shell as shell_,
    show,
    suite,
    why as why_,
)
from glovebox.errors import GloveboxError, HostError
from glovebox.monitor import Monitor
from glovebox.store import Store, default_root

if TYPE_CHECKING:
    from collections.abc import Iterator

OUT = CHECKOUT / "out"
INTERRUPTED = 130
_HELP = {
    "set": "a value over image.yaml: --set board=3 (may be given several times)",
    "config": "the YAML file to build",
    "out": "the folder for the image and its papers",
    "json": "print JSON, for programs",
}


def _help(*names: str, **more: str) -> dict[str, str]:
    return {**{name: _HELP[name] for name in names}, **more}


@contextmanager
def _ending(log: Path | None = None) -> Iterator[Monitor]:
    """Turn what goes wrong into one message and a status; no traceback for a user's mistake."""
    monitor = Monitor(log_file=log)
    try:
        yield monitor
    except GloveboxError as error:
        monitor.note(f"error: {error}")
        where = f"\n  log: {log}" if log else ""
        raise Exit(f"error: {error}{where}", code=error.exit_code) from error
    except KeyboardInterrupt as error:
        # Asked by a signal other than Ctrl-C, it is told which.
        code = 128 + error.args[0] if error.args else INTERRUPTED
        raise Exit("stopped; the next run goes on from here", code=code) from error
    except OSError as error:
        # A full disk and the like: the machine's trouble, not ours.
        failed = HostError(f"{error.strerror}: {error.filename}" if error.filename else str(error))
        raise Exit(f"error: {failed}", code=failed.exit_code) from error
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
    accelerate: bool = True,
    refresh: bool = False,
    locked: bool = False,
    run_volatile: bool = False,
) -> Iterator[project.Project]:
    """Give the project a task works on; one that is ``logged`` mounts, and gets namespaces."""
    with _ending(Path(out) / f"{what}.log" if logged else None) as monitor:
        if logged:
            sandbox.enter(what)
        opened = project.open_project(
            monitor,
            config=Path(config),
            overrides=overrides or [],
            out=Path(out),
            accelerate=accelerate,
            refresh=refresh,
            quiet=quiet,
            locked=locked,
            run_volatile=run_volatile,
        )
        with opened.store.in_use(), opened.store.temporary():
            yield opened


@task(auto_shortflags=False, help={"tests": "also what `test` and `lint` need"})
def setup(_c: Context, tests: bool = False) -> None:  # noqa: FBT001, FBT002  a flag
    """Install what this machine lacks and register the emulators (needs root)."""
    if sandbox.inside():  # a later task of the same command started this process again
        return
    with _ending() as monitor:
        doctor_.set_up(monitor, tests=tests)


@task(auto_shortflags=False, help=_help("json"))
def doctor(_c: Context, json: bool = False) -> None:  # noqa: FBT001, FBT002  a flag
    """Look at this machine: all it lacks for a build, each with its cure."""
    with _ending():
        found = doctor_.examine(Store(root=default_root()))
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
    ) as opened:
        project.build_image(opened, fresh=no_cache, verify=not no_verify, shell=shell)
        show.how_to_flash(opened)


@task(auto_shortflags=False, iterable=["set"], help=_help("set", "config"))
def lock(
    _c: Context,
    set: list[str] | None = None,  # noqa: A002
    config: str = "image.yaml",
) -> None:
    """Resolve packages and sources now and write the lock file for `build-image --locked`."""
    with _opened("lock", overrides=set, config=config, refresh=True) as opened:
        show.lock_written(opened, project.write_lock(opened, Path(config)))


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
    with _opened("why", overrides=set, config=config, quiet=True) as opened:
        for line in why_.explain(opened.plan, opened.store, step):
            opened.monitor.say(line)


@task(auto_shortflags=False, iterable=["set"], help=_help("set", "config", "json"))
def plan(
    _c: Context,
    set: list[str] | None = None,  # noqa: A002
    config: str = "image.yaml",
    json: bool = False,  # noqa: FBT001, FBT002
) -> None:
    """Show the steps of a build: key, cached or not, size."""
    with _opened("plan", overrides=set, config=config, quiet=json) as opened:
        show.steps(opened, as_json=json)


@task(
    auto_shortflags=False,
    iterable=["set"],
    help=_help(
        "set",
        "config",
        "out",
        target="chroot, emulated (default), or ssh:[user@]host[:port]",
        report="write what the board is and how the tests ended to this JSON file",
    ),
)
def verify(
    _c: Context,
    target: str = "emulated",
    report: str = "",
    set: list[str] | None = None,  # noqa: A002
    config: str = "image.yaml",
    out: str = str(OUT),
) -> None:
    """Prove an image: in a chroot, booted in an emulator, or on a real board by ssh."""
    with _opened("verify", overrides=set, config=config, out=out, logged=True) as opened:
        project.verify_target(opened, target, report=Path(report).resolve() if report else None)


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
    with _opened("boot", overrides=set, config=config, out=out, logged=True) as opened:
        board_session.run(opened, drive=Path(drive) if drive else None)


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
    with _ending() as monitor:
        size = room.parse_size(keep) if keep else None
        store = Store(root=default_root()).open(monitor.say)
        if size is None:
            freed = store.clear(downloads=all)
            monitor.say(f"{freed / 1e9:.1f} GB freed in {store.root}")
            return
        made = room.shrink(store, size)
        monitor.say(f"{made.freed / 1e9:.1f} GB freed in {store.root}, {made.left / 1e9:.1f} left")
        if made.left > size:
            monitor.warn("the rest is what current plans need; all of it goes with: clean --all")


@task
def lint(_c: Context) -> None:
    """Check types, style and shell scripts."""
    with _ending() as monitor:
        suite.lint(monitor, CHECKOUT)


@task(auto_shortflags=False, help={"quick": "only what takes seconds: style, types, unit tests"})
def test(_c: Context, quick: bool = False) -> None:  # noqa: FBT001, FBT002, PT028  a task
    """Run all tests: both boards built, verified, booted, with a drive replayed (needs root)."""
    with _ending(OUT / "test.log") as monitor:
        if quick:
            suite.quick(monitor, CHECKOUT)
        else:
            sandbox.enter("test")
            suite.everything(monitor, CHECKOUT, OUT)
