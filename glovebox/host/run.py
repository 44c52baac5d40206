"""Start other programs; the only module that does, so their environment is stated in one place."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections import deque
from contextlib import contextmanager, suppress
from functools import partial
from threading import Thread, current_thread, main_thread
from typing import IO, TYPE_CHECKING, Any

from glovebox.errors import GloveboxError, HostError
from glovebox.host import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

    Command = Sequence[str | os.PathLike[str]]

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TAIL_LINES = 20
_ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_streaming: set[subprocess.Popen[bytes]] = set()

# Which Debian package brings a program that this host may lack.
PACKAGE_OF = {
    "mmdebstrap": "mmdebstrap",
    "apt-get": "apt",
    "unshare": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "xz": "xz-utils",
    "sfdisk": "fdisk",
    "zstd": "zstd",
    "unzip": "unzip",
    "mcopy": "mtools",
    "mtype": "mtools",
    "resize2fs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "shellcheck": "shellcheck",
}


class CommandError(GloveboxError):
    """A program ended with a status other than zero."""

    def __init__(self, command: Command, status: int, tail: str) -> None:
        """Keep the status and the last lines of what the program said."""
        what = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        super().__init__(f"{_name(command)}: {what}\n{tail}".rstrip())
        self.what = what
        self.status = status
        self.tail = tail


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give the small environment every child gets, with ``extra`` on top."""
    # HOME is stated too: tools read dotfiles from it, and a build must not depend on them.
    stated = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/root"}
    return {**stated, **clock.passed_on(), **(extra or {})}


def run(
    command: Command,
    *,
    check: bool = True,
    input: str | bytes | None = None,  # noqa: A002  the name subprocess uses
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    capture: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return what it printed.

    Raises CommandError when ``check`` is set and the status is not zero, HostError when the program
    is not installed.
    """
    text = input.decode() if isinstance(input, bytes) else input
    process = _popen(
        command,
        stdin=subprocess.DEVNULL if text is None else subprocess.PIPE,
        stdout=subprocess.PIPE if capture else None,
        stderr=subprocess.PIPE if capture else None,
        cwd=cwd,
        env=environment(env),
        text=True,
        errors="replace",
    )
    try:
        out, err = process.communicate(text)
    except BaseException:
        process.kill()
        process.wait()
        raise
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check and done.returncode != 0:
        raise CommandError(command, done.returncode, _tail(f"{out or ''}{err or ''}".splitlines()))
    return done


def stream(
    command: Command,
    *,
    line: Callable[[str], None],
    input: str | None = None,  # noqa: A002  the name subprocess uses
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a program, handing each line it prints (both streams, in order) to ``line``.

    Raises CommandError with the last lines when the status is not zero.
    """
    last: deque[str] = deque(maxlen=TAIL_LINES)
    process = start(command, input=input is not None, cwd=cwd, env=env)
    _streaming.add(process)
    try:
        if input is not None and process.stdin is not None:
            # Beside the reading: a program that prints before it has read all must not wait for us.
            Thread(target=_feed, args=(process.stdin, input), daemon=True).start()
        for raw in process.stdout or ():
            text = raw.decode(errors="replace").rstrip("\n")
            last.append(text)
            line(text)
        status = process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        _streaming.discard(process)
    if status != 0:
        raise CommandError(command, status, _tail(last))


def end_streams() -> None:
    """Kill every program that ``stream`` follows, in whichever thread: the run is to stop now."""
    for process in tuple(_streaming):
        process.kill()


def start(
    command: Command,
    *,
    input: bool = False,  # noqa: A002  the name subprocess uses
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    apart: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a program in the background; the caller ends it.

    Both its streams are on one pipe, or on one each where they are to be told ``apart``.
    """
    return _popen(
        command,
        stdin=subprocess.PIPE if input else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if apart else subprocess.STDOUT,
        cwd=cwd,
        env=environment(env),
        pass_fds=pass_fds,
    )


def end(process: subprocess.Popen[bytes], *, grace_s: float) -> None:
    """Ask a program that was started here to end, and end it when it does not."""
    process.terminate()
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def attach(
    command: Command,
    *,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> int:
    """Run a program on the caller's own terminal and return its status."""
    try:
        return subprocess.call([os.fspath(word) for word in command], cwd=cwd, env=environment(env))
    except FileNotFoundError as error:
        raise _missing(command, error) from error


def _popen(command: Command, **options: Any) -> subprocess.Popen[Any]:  # noqa: ANN401  Popen's own
    """Start a program; asked to stop just then, this process leaves none behind it does not know.

    Popen starts the program before there is an object by which to end it.
    """
    with _held_back() as told:
        try:
            process = subprocess.Popen([os.fspath(word) for word in command], **options)
        except FileNotFoundError as error:
            raise _missing(command, error) from error
    if told:
        process.kill()
        process.wait()
        told[0]()
    return process


@contextmanager
def _held_back() -> Iterator[list[Callable[[], object]]]:
    """Collect what asks this process to stop while the block runs; the caller calls it after."""
    told: list[Callable[[], object]] = []
    found = {int(number): signal.getsignal(number) for number in _ASKING}
    handlers = {number: handler for number, handler in found.items() if callable(handler)}
    if current_thread() is not main_thread():  # only the main one is ever interrupted
        yield told
        return

    def later(number: int, frame: FrameType | None) -> None:
        told.append(partial(handlers[number], number, frame))

    for number in handlers:
        signal.signal(number, later)
    try:
        yield told
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _name(command: Command) -> str:
    """Give the program's name: a loader (ld.so) that starts another is not the one to name."""
    words = [os.fspath(word) for word in command]
    if os.path.basename(words[0]).startswith("ld-") and "--library-path" in words:  # noqa: PTH119  words may be no paths
        return words[words.index("--library-path") + 2]
    return words[0]


def _feed(pipe: IO[bytes], text: str) -> None:
    # The program may end early; its status says why.
    with suppress(BrokenPipeError):
        pipe.write(text.encode(errors="surrogateescape"))
    with suppress(BrokenPipeError):
        pipe.close()


def _tail(lines: Sequence[str] | deque[str]) -> str:
    return "\n".join(list(lines)[-TAIL_LINES:])


def _missing(command: Command, error: FileNotFoundError) -> HostError:
    name = os.fspath(command[0])
    if error.filename is not None and os.fspath(error.filename) != name:
        return HostError(f"{name}: {error.filename}: no such file or directory")
    package = PACKAGE_OF.get(name)
    cure = f"apt-get install {package}" if package else "run: ./invoke setup"
    return HostError(f"{name} is not installed", hint=cure)


def run_bytes(command: Command, data: bytes) -> bytes:
    """Send ``data`` through a filter program and return what comes out."""
    try:
        return subprocess.run(
            [os.fspath(word) for word in command],
            input=data,
            capture_output=True,
            check=True,
            env=environment(),
        ).stdout
    except FileNotFoundError as error:
        raise _missing(command, error) from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace")
        raise CommandError(command, error.returncode, said) from error


@contextmanager
def reading(command: Command) -> Iterator[IO[bytes]]:
    """Start a program and give what it prints, as a stream of bytes; it ends with the block.

    Raises CommandError when the stream was read to its end and the status is not zero; a program
    that nobody wants to hear out is ended.
    """
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                [os.fspath(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                env=environment(),
            )
        except FileNotFoundError as error:
            raise _missing(command, error) from error
        try:
            if process.stdout is None:
                raise AssertionError
            yield process.stdout
            status = 0 if process.stdout.read(1) else process.wait()
        finally:
            process.kill()
            process.wait()
        if status != 0:
            said.seek(0)
            raise CommandError(command, status, said.read().decode(errors="replace"))


@contextmanager
def writing(command: Command, target: IO[bytes]) -> Iterator[IO[bytes]]:
    """Start a program that filters what is written to the stream into a file.

    Raises CommandError when the status is not zero, also where it ended before it had read all.
    """
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                [os.fspath(word) for word in command],
                stdin=subprocess.PIPE,
                stdout=target,
                stderr=said,
                env=environment(),
            )
        except FileNotFoundError as error:
            raise _missing(command, error) from error
        try:
            if process.stdin is None:
                raise AssertionError
            with suppress(BrokenPipeError):  # its status says why
                yield process.stdin
                process.stdin.close()
            status = process.wait()
        finally:
            process.kill()
            process.wait()
            with suppress(BrokenPipeError):
                process.stdin.close() if process.stdin else None
        if status != 0:
            said.seek(0)
            raise CommandError(command, status, said.read().decode(errors="replace"))
