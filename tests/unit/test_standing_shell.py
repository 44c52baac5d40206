"""The shell that asks an image: each command as if it were alone, told apart from the others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from glovebox.verify import standing_shell
from glovebox.verify.standing_shell import ShellGoneError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from glovebox.verify.standing_shell import Shell


@pytest.fixture
def shell() -> Iterator[Shell]:
    """Give a shell of this very machine, which is as good as another."""
    with standing_shell.opened(["env", "--chdir=/", "sh"], {"GIVEN": "value"}) as opened:
        yield opened


def test_streams_and_status_are_told_apart(shell: Shell) -> None:
    """What a command prints on each stream, and how it ends, is what is given; byte by byte."""
    text = 'it\'s "quoted" \\ ü\n$5'

    assert shell.run("printf 'a\\0b'; printf %s c >&2; exit 7") == (7, b"a\0b", b"c")
    assert shell.run(f"cat <<'END'\n{text}\nEND") == (0, f"{text}\n".encode(), b"")
    assert shell.run("echo $GIVEN; pwd") == (0, b"value\n/\n", b"")
    assert shell.run("head -c 3000000 /dev/zero") == (0, bytes(3_000_000), b"")
    assert shell.run("head -c 300000 /dev/zero >&2; printf '\\n\\n'") == (
        0,
        b"\n\n",
        bytes(300_000),
    )
    assert shell.run("true") == (0, b"", b"")


@pytest.mark.parametrize(
    "command",
    ["cd /usr", "pwd() { echo no; }", "set -e; false", "exit 3", "exec true", "trap 'echo x' EXIT",
     "if", "exec >/dev/null 2>&1", "kill -9 $(sh -c 'echo $PPID')", "cat", "umask 077; x=1"],
)  # fmt: skip
def test_no_command_reaches_the_next(shell: Shell, command: str) -> None:
    """Whatever a command does to its own shell, also an unreadable one, the next begins afresh."""
    shell.run(command)

    assert shell.run("pwd; umask; echo ${x-}; false") == (1, b"/\n0022\n\n", b"")


def test_a_shell_that_is_gone_is_an_error(shell: Shell) -> None:
    """A command that ends the shell itself is named, and so is one asked after it."""
    for command in ("echo said; kill -9 $$", "true"):
        with pytest.raises(ShellGoneError, match=f"ended while it ran: {re.escape(command)}"):
            shell.run(command)


@pytest.mark.root
def test_a_command_that_never_ends_is_an_error(shell: Shell) -> None:
    """After the time that it was given it is named, with what was said until then."""
    shell.run("true", timeout_s=60)

    with pytest.raises(ShellGoneError, match=r"no answer within 0 s to: echo begun; .*\nbegun"):
        shell.run("echo begun; sleep 5", timeout_s=0.4)


def test_why_there_is_no_shell_is_told(tmp_path: Path) -> None:
    """Where none can be started, what was said of that is given."""
    with (
        standing_shell.opened(["chroot", str(tmp_path), "/bin/sh"]) as opened,
        pytest.raises(ShellGoneError, match="No such file"),
    ):
        opened.run("true")
