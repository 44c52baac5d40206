"""Starting programs: a stated environment, whole output, and errors that say what to do."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

import pytest

from glovebox.errors import HostError
from glovebox.host import run as module
from glovebox.host.monitor import Monitor
from glovebox.host.run import CommandError, run, run_bytes, start, stream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MISSING = "glovebox-has-no-such-program"


@pytest.mark.parametrize(
    "call",
    [
        run,
        start,
        module.attach,
        lambda command: stream(command, line=print),
        lambda command: run_bytes(command, b""),
    ],
)
def test_a_missing_program_has_a_cure(call: Callable[[list[str]], object]) -> None:
    """However it is started, a program that is not there is named with the way to get it."""
    with pytest.raises(HostError) as caught:
        call([MISSING])

    assert caught.value.message == f"{MISSING} is not installed"
    assert caught.value.hint


def test_a_known_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package has another name than the program, the cure knows it."""
    monkeypatch.setitem(module.PACKAGE_OF, MISSING, "no-such-package")

    with pytest.raises(HostError, match="apt-get install no-such-package"):
        run([MISSING])


def test_a_missing_folder_is_not_a_missing_program(tmp_path: Path) -> None:
    """When the working folder is what is not there, that is what is said."""
    with pytest.raises(HostError, match="nowhere"):
        run(["true"], cwd=tmp_path / "nowhere")


LOUD = "for n in $(seq 30); do echo line $n; done; echo on stderr >&2; exit 7"


@pytest.mark.parametrize("call", [run, lambda command: stream(command, line=lambda _: None)])
def test_a_failure_has_a_status_and_a_tail(call: Callable[[list[str]], object]) -> None:
    """The error holds the status and the last lines of both streams, and no more."""
    with pytest.raises(CommandError) as caught:
        call(["sh", "-c", LOUD])

    assert caught.value.status == 7
    lines = caught.value.tail.splitlines()
    assert lines == [f"line {n}" for n in range(12, 31)] + ["on stderr"]
    assert str(caught.value).startswith("sh: status 7\nline 12")


def test_a_signal_is_named() -> None:
    """A program that was killed did not end with a status."""
    with pytest.raises(CommandError, match="sh: was ended by SIGKILL") as caught:
        run(["sh", "-c", "kill -KILL $$"])

    assert caught.value.status == -signal.SIGKILL


def test_unchecked() -> None:
    """With `check` off the status is the answer."""
    assert run(["false"], check=False).returncode == 1


def test_a_filter_fails_with_its_words() -> None:
    """What a filter said on its error stream is in the error."""
    with pytest.raises(CommandError, match="gone wrong"):
        run_bytes(["sh", "-c", "echo gone wrong >&2; exit 1"], b"")


def test_the_environment_is_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child sees three variables and what is asked for; nothing of ours leaks into it."""
    monkeypatch.setenv("GLOVEBOX_LEAK", "secret")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("HOME", "/home/me")

    said = run(["env"], env={"EXTRA": "x", "LANG": "C"}).stdout

    # A shell's own are not there: env is started directly.
    assert set(said.splitlines()) == {f"PATH={module.PATH}", "HOME=/root", "LANG=C", "EXTRA=x"}
    for other in (lambda: start(["env"]).communicate()[0], lambda: run_bytes(["env"], b"")):
        assert b"GLOVEBOX_LEAK" not in other()


def test_no_descriptor_leaks(tmp_path: Path) -> None:
    """A lock this process holds is not held on by its children."""
    with (tmp_path / "lock").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        said = run(["readlink", f"/proc/self/fd/{file.fileno()}"], check=False)

    assert said.returncode != 0


@pytest.mark.parametrize(
    ("given", "got"), [("text ü\n", "text ü\n"), (b"bytes", "bytes"), (None, "")]
)
def test_input(given: str | bytes | None, got: str) -> None:
    """Text and bytes arrive; without either there is nothing to wait for."""
    assert run(["cat"], input=given).stdout == got


def test_stream_gives_each_line() -> None:
    """Lines come in order, from both streams, without their ends; odd bytes do no harm."""
    lines: list[str] = []

    stream(["sh", "-c", "echo one; echo two >&2; printf 'a\\377b\\nlast'"], line=lines.append)

    assert lines == ["one", "two", "a\N{REPLACEMENT CHARACTER}b", "last"]


def test_stream_reads_while_it_writes() -> None:
    """A program that answers before it has read everything is not waited for in vain."""
    script = "".join(f"{number:07}\n" for number in range(100_000))
    lines: list[str] = []

    stream(["cat"], line=lines.append, input=script)

    assert lines == script.splitlines()


def test_stream_outlives_an_unread_input() -> None:
    """A program may end without reading what it was given; its status decides."""
    stream(["true"], line=print, input="x" * 1_000_000)
    with pytest.raises(CommandError, match="status 1"):
        stream(["false"], line=print, input="x" * 1_000_000)


def test_stream_ends_what_it_started() -> None:
    """When taking a line fails, the program does not run on."""
    pid: list[int] = []

    def take(text: str) -> None:
        pid.append(int(text))
        message = "enough"
        raise ValueError(message)

    with pytest.raises(ValueError, match="enough"):
        stream(["sh", "-c", "echo $$; exec sleep 60"], line=take)

    with pytest.raises(ProcessLookupError):
        os.kill(pid[0], 0)


def tell(monitor: Monitor) -> None:
    """Say one of each."""
    monitor.say("[bold]hello[/bold]")
    monitor.warn("careful")
    monitor.cached("one")
    with monitor.step("two", "doing it") as line:
        line("a program's line")
    with pytest.raises(ValueError, match="x"), monitor.step("three"):  # noqa: PT012  the step is the subject
        message = "x"
        raise ValueError(message)
    monitor.close()


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}, {"TERM": "xterm-256color"}])
def test_plain_lines_when_nobody_watches(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
) -> None:
    """Not on a terminal, each event is a plain line: no colour, no moving, no program's output."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    tell(Monitor())

    said = re.sub(r"\d+\.\d s", "N s", capsys.readouterr().out)
    assert said.splitlines() == [
        "[bold]hello[/bold]",
        "warning: careful",
        "  ✓ one  (cached)",
        "  … two: doing it",
        "  ✓ two  N s",
        "  ✗ three  after N s",
    ]


def test_no_color_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_COLOR takes the colours out where there is a terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")

    monitor = Monitor()
    monitor.warn("careful")
    monitor.close()

    assert "\x1b[3" not in capsys.readouterr().out


def test_the_log_has_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The log file holds what was said and what programs printed, for its owner alone."""
    log = tmp_path / "out/build.log"

    tell(Monitor(log_file=log, quiet=True))

    text = log.read_text()
    assert "[two] a program's line" in text
    assert "warning: careful" in text
    assert log.stat().st_mode & 0o777 == 0o600
    assert capsys.readouterr().out == ""


def test_stopped_while_a_program_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is started just when this process is asked to stop does not outlive it."""
    ended: list[str] = []

    class Started:
        """Stand in for a program: the signal comes before anybody knows it."""

        def __init__(self, *_: object, **__: object) -> None:
            signal.raise_signal(signal.SIGINT)  # at once, whatever threads there are

        def kill(self) -> None:
            ended.append("killed")

        def wait(self) -> None:
            ended.append("waited for")

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr("glovebox.host.run.subprocess.Popen", Started)
    with pytest.raises(KeyboardInterrupt):
        run(["sleep", "60"])

    assert ended == ["killed", "waited for"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_stream_that_is_left_early_ends_its_program() -> None:
    """Who has read enough goes on at once, and the program that would write more is no failure."""
    with module.reading(["yes"]) as stream:
        assert stream.read(2) == b"y\n"
