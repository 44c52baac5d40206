"""The shell that asks an image: each command as if it were alone, told apart from the others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox import chroot_shell
from glovebox.errors import VerifyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glovebox.chroot_shell import Shell

pytestmark = pytest.mark.root


@pytest.fixture
def shell() -> Iterator[Shell]:
    """Give a shell in this very root, which is as good as another."""
    with chroot_shell.opened(Path("/"), {"GIVEN": "value"}) as opened:
        yield opened


def test_streams_and_status_are_told_apart(shell: Shell) -> None:
    """What a command prints on each stream, and how it ends, is what is given; byte by byte."""
    text = 'it\'s "quoted" \\ ü\n$5'

    assert shell.run("printf 'a\\0b'; printf %s c >&2; exit 7") == (7, b"a\0b", b"c")
    assert shell.run(f"cat <<'END'\n{text}\nEND") == (0, f"{text}\n".encode(), b"")
    assert shell.run("echo $GIVEN; pwd") == (0, b"value\n/\n", b"")
    assert shell.run("head -c 3000000 /dev/zero") == (0, bytes(3_000_000), b"")
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
    for _ in range(2):
        with pytest.raises(VerifyError, match=r"/bin/sh in / ended while it ran: kill -9"):
            shell.run("kill -9 $$")


def test_a_root_without_a_shell_is_an_error(tmp_path: Path) -> None:
    """What chroot says of a root that has none is told."""
    with (
        chroot_shell.opened(tmp_path, {}) as opened,
        pytest.raises(VerifyError, match="No such file"),
    ):
        opened.run("true")
