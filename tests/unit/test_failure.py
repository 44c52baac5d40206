"""A failed stage names its line, its cause and a way to look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox.build import failure
from glovebox.build.failure import Watch
from glovebox.errors import StepError
from glovebox.host import hints
from glovebox.host.run import CommandError, run

if TYPE_CHECKING:
    from pathlib import Path

# What a script holds, and the line that fails in it.
SCRIPTS: dict[str, tuple[str, int | None]] = {
    "a command": ("true\ntrue\nfalse\ntrue\n", 3),
    "a pipe's last command": ("true\ntrue | false\n", 2),
    "in a loop": ("for n in 1 2; do\n  true\n  false\ndone\n", 3),
    "in a condition's body": ("if true; then\n\n  false\nfi\n", 3),
    "a function: the line of its call": ("f() {\n  true\n  false\n}\ntrue\nf\n", 6),
    "a here-document to a function": ("f() {\n  bash -e -s\n}\ntrue\nf <<X\nfalse\nX\n", 2),
    "a here-document": ("cat <<X\nfalse\nX\nfalse <<X\ntrue\nX\n", 4),
    "a program that is not there": ("true\n\nnothing-of-this-name\n", 3),
    "a variable that is not set": ("set -u\n\necho $nothing\n", 3),
    "exit": ("true\n\nexit 7\n", 3),
    "after an error that was let pass": ("set +e\nfalse\nset -e\ntrue\nexit 3\n", 5),
    "exit said twice": ("if false; then\n  exit 4\nfi\nexit 4\n", None),
    "with a trap of its own": ("trap 'true' EXIT\ntrue\nfalse\n", 3),
}


def failing(tmp_path: Path, script: str, *, by_input: bool) -> tuple[Watch, CommandError]:
    """Run a script that fails, as a file or on standard input."""
    (tmp_path / "run").mkdir(exist_ok=True)
    watch = Watch(root=tmp_path)
    words = ["/bin/bash", "-e"]
    if not by_input:
        path = tmp_path / "01-run.sh"
        path.write_text(f"#!/bin/bash -e\n{script}")
        path.chmod(0o755)
        words = [str(path)]
    env = watch.environment(words[0], inside=False)
    with pytest.raises(CommandError) as caught:
        run(words, input=script if by_input else None, env=env)
    return watch, caught.value


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("by_input", [True, False], ids=["input", "file"])
def test_the_line_that_failed(tmp_path: Path, name: str, *, by_input: bool) -> None:
    """A script fed to bash -e and one that is a file both tell their line."""
    script, expected = SCRIPTS[name]
    watch, error = failing(tmp_path, script, by_input=by_input)

    text = script if by_input else f"#!/bin/bash -e\n{script}"
    below = 0 if by_input else 1
    assert watch.line(text, error.tail) == (expected and expected + below)


def test_on_chroot(tmp_path: Path) -> None:
    """A script that fails in what it gave to pi-gen's function is told with the line of that."""
    (tmp_path / "run").mkdir()
    watch = Watch(root=tmp_path)
    script = "true\non_chroot << EOF\nfalse\nEOF\n"
    function = {"BASH_FUNC_on_chroot%%": '() {\n bash -e "$@"\n}'}
    with pytest.raises(CommandError):
        run(["/bin/bash", "-e"], input=script,
            env={**function, **watch.environment("/bin/bash", inside=False)})  # fmt: skip

    assert watch.line(script, "") == 2


def test_another_shell_names_its_line(tmp_path: Path) -> None:
    """A script for dash, which knows no such traps, is found by the shell's own words."""
    (tmp_path / "run").mkdir()
    tail = "x\n/stages/car/00-gps/01-run.sh: 3: nosuch: not found"

    assert Watch(root=tmp_path).line("#!/bin/sh\n", tail) == 3
    assert Watch(root=tmp_path).line("#!/bin/sh\n", "make: *** [all] Error 2") is None


def test_an_older_failure_is_forgotten(tmp_path: Path) -> None:
    """What one script told is not taken for what the next one tells."""
    watch, _ = failing(tmp_path, "true\nfalse\n", by_input=True)
    watch.environment("/bin/bash", inside=False)

    assert watch.line("x\n", "") is None


def test_a_script_sees_nothing_of_it(tmp_path: Path) -> None:
    """Environment, options, functions, descriptors and what it starts are as without it."""
    (tmp_path / "run").mkdir()
    look = "env; set -o; declare -F; echo $-; ls /proc/self/fd | wc -l; bash -c 'trap -p'\n"
    env = Watch(root=tmp_path).environment("/bin/bash", inside=False)

    def told(more: dict[str, str]) -> list[str]:
        said = run(["/bin/bash", "-e"], input=look, env=more).stdout.splitlines()
        return [line for line in said if not line.startswith(("_=", "SHLVL="))]

    assert told(dict(env)) == told({})


def test_a_script_that_ends_well_ends_well(tmp_path: Path) -> None:
    """The traps change no status, also when they cannot write."""
    (tmp_path / "run").mkdir()
    env = Watch(root=tmp_path).environment("/bin/bash", inside=False)
    for path in (tmp_path / "run/.glovebox").iterdir():
        path.chmod(0o444)
    (tmp_path / "run/.glovebox/ended").mkdir()
    (tmp_path / "run/.glovebox/failed").mkdir()

    assert run(["/bin/bash", "-e"], input="true\n", env=env, check=False).returncode == 0
    assert run(["/bin/bash", "-e"], input="exit 7\n", env=env, check=False).returncode == 7
    assert run(["/bin/bash", "-e"], input="false\n", env=env, check=False).returncode == 1


def test_an_error_says_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Place, time, status, last lines, cause, file, and the command that opens a shell."""
    monkeypatch.setattr("sys.argv", ["invoke", "build-image", "--set", "board=3"])
    error = CommandError(["bash"], 2, "one\ncp: No space left on device")
    path = tmp_path / "01-run.sh"

    said = str(failure.located("car/00-gps/01-run.sh", path, error, line=4, seconds=1.26))

    assert said.startswith("car/00-gps/01-run.sh:4 failed after 1.3 s (status 2)")
    assert "  one\n  cp: No space left on device" in said
    assert "the disk is full" in said
    assert str(path) in said
    assert "./invoke build-image --set board=3 --shell" in said


def test_a_step_that_is_no_script() -> None:
    """A program of the builder's own that fails is told with its step, its words and the cause."""
    with pytest.raises(StepError) as caught, failure.explained("base/extract"):
        raise CommandError(["mmdebstrap"], 25, "E: x  404  Not Found")

    assert caught.value.message.startswith("base/extract failed after ")
    assert "(mmdebstrap: status 25)" in caught.value.message
    assert "  E: x  404  Not Found" in caught.value.message
    assert "--refresh" in (caught.value.hint or "")


# What programs were seen to say, and a word of the hint that it shall give.
SAID = {
    "cp: error writing '/x': No space left on device": "disk is full",
    "E: You don't have enough free space in /var/cache/apt/archives/.": "disk is full",
    "chroot: failed to run command '/bin/bash': Exec format error": "flag F",
    "bash: /bin/true: cannot execute binary file: Exec format error": "flag F",
    "qemu-aarch64: Could not open '/lib/ld-linux-aarch64.so.1': No such file": "loader",
    "qemu: Unsupported syscall: 434": "too old",
    "qemu: uncaught target signal 11 (Segmentation fault) - core dumped": "too old",
    "qemu-aarch64: unable to find CPU model 'cortex-a53'": "too old",
    "E: Release file for http://x/InRelease is not valid yet (invalid for another 2h)": "clock",
    "E: Release file for http://x/InRelease is expired (invalid since 3d 2h).": "stale",
    "E: Failed to fetch http://x/a.deb  404  Not Found [IP: 192.0.2.1 80]": "--refresh",
    "E: Unable to locate package gspd": "--refresh",
    "E: Failed to fetch http://x/a.deb  Hash Sum mismatch": "mirror",
    "E: Failed to fetch http://x/Packages.xz  File has unexpected size (1 != 2)": "mirror",
    "Temporary failure resolving 'example.org'": "check the network",
    "Could not connect to example.org:80 (192.0.2.1), connection timed out": "check the network",
    "E: Failed to fetch http://x/a.deb  Connection timed out": "network",
    "Error reading from server. Remote end closed connection": "dropped or hangs",
    "bash: was ended by SIGKILL": "memory",
    "virtual memory exhausted: Cannot allocate memory": "memory",
    "c++: fatal error: Killed signal terminated program cc1plus": "memory",
    "sh: status 137": "memory",
    "touch: cannot touch '/x': Read-only file system": "writes where it cannot",
    "W: GPG error: The following signatures couldn't be verified: NO_PUBKEY 6ED0": "keys",
    "unshare: unshare failed: Operation not permitted": "doctor",
    "unshare: Operation not permitted": "doctor",
    "mount: Operation not permitted": "doctor",
}


@pytest.mark.parametrize("said", SAID)
def test_a_known_cause_has_a_hint(said: str) -> None:
    """What is known to help against a failure is said with it."""
    hint = hints.hint_for(f"first line\n{said}\nlast line")

    assert hint is not None
    assert SAID[said] in hint


@pytest.mark.parametrize(
    "said", ["", "make: *** [all] Error 2", "dpkg: error processing package x", "404 packages"]
)
def test_what_is_not_known_has_none(said: str) -> None:
    """A wrong hint is worse than none."""
    assert hints.hint_for(said) is None
