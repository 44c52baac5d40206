"""What runs inside a root runs in a cage: what it does there does not reach the machine."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.errors import ConfigError
from glovebox.host import chroot, mounts
from glovebox.host.run import run, start
from glovebox.stage import stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = pytest.mark.root
PATTERN = Path("/proc/sys/kernel/core_pattern")


@pytest.fixture
def root(folder: Path) -> Iterator[Path]:
    """Give a root with this machine's own programs, entered as every root is."""
    made = folder / "root"
    (made / "usr").mkdir(parents=True)
    (made / "etc").mkdir()
    for name in ("bin", "sbin", "lib", "lib64"):
        (made / name).symlink_to(f"usr/{name}")
    with (
        mounts.bind(folder, folder),  # no other mount of the machine is shown below it
        mounts.chroot_mounts(made),
        mounts.bind(Path("/usr"), made / "usr", read_only=True),
    ):
        yield made


def caged(root: Path, script: str, *, may: Sequence[str] = (), **env: str) -> tuple[int, str]:
    """Run a script in the cage; give its status and all it said."""
    words = chroot.command(root, ["/bin/bash", "-c", f"exec 2>&1; {script}"], may=may)
    done = run(words, check=False, env=env)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "script",
    [
        "echo /tmp/x >$PATTERN",
        "echo h >/proc/sysrq-trigger",
        "echo 1 >/sys/kernel/mm/ksm/run",
        "mount --options remount,bind,rw /proc/sys",
        "umount /proc/sys",
        "mount --types tmpfs none /tmp",
        "mount --types proc proc /tmp",
        "unshare --mount true",
        "unshare -Urm sh -ec 'mount -o remount,bind,rw /proc/sys; echo x >$PATTERN'",
        "unshare -Urmpf sh -ec 'mount -t proc proc /tmp; echo x >/tmp/sys/kernel/core_pattern'",
        "unshare -Urm sh -ec 'umount -l /proc/sys; echo x >$PATTERN'",
        "mknod /tmp/disk b $DISK && head -c 1 /tmp/disk",
        "mknod /disk b $DISK && head -c 1 /disk",
        "mknod /dev/disk b $DISK && head -c 1 /dev/disk",
        "date --set 2001-01-01",
        "ip link set lo up",
        "dmesg",
        "ls /proc/1/root/ | grep -x host-canary",
        "ls /proc/1/exe/../",
        "head -c 1 /proc/kcore",
        "hostname; cd /; chroot . true; chroot ../../../../.. test -e /host-canary",
    ],
)
def test_nothing_reaches_the_machine(script: str, root: Path) -> None:
    """As root of the cage, each of these is refused; the machine is as it was."""
    before = PATTERN.read_text()
    device = Path("/").stat().st_dev
    disk = f"{os.major(device)} {os.minor(device)}"

    status, said = caged(root, script, DISK=disk, PATTERN=str(PATTERN))

    assert status != 0, said
    assert PATTERN.read_text() == before


def test_root_does_not_get_out_by_a_second_chroot(root: Path, folder: Path) -> None:
    """The old way out of a chroot leads to the cage's own root: nothing else is mounted there."""
    (folder / "canary").touch()
    escape = (
        "import os; os.mkdir('/tmp/x'); there = os.open('/', os.O_RDONLY); os.chroot('/tmp/x');"
        "os.fchdir(there); [os.chdir('..') for _ in range(99)]; os.chroot('.');"
        f"print(os.path.exists('{folder}/canary'), os.path.exists('/usr'))"
    )

    status, said = caged(root, f'/usr/bin/python3 -c "{escape}"')

    assert (status, said.split()) == (0, ["False", "True"])


def test_what_packages_need_works(root: Path) -> None:
    """Owners, modes, devices as files, other users, the null device: as in any root."""
    status, said = caged(
        root,
        "set -e; touch /f; chown 12:34 /f; chmod 4755 /f; mknod /null c 1 3; echo >/dev/null;"
        "setpriv --reuid 1000 --regid 1000 --clear-groups id --user; mkfifo /p;"
        "setcap cap_net_raw+ep /f 2>/dev/null || type setcap >/dev/null || exit 0",
    )

    assert status == 0, said
    assert (root / "f").stat().st_uid == 12


def test_a_capability_is_kept_by_name(root: Path) -> None:
    """What names sys_admin may mount inside; it is gone with it."""
    status, said = caged(root, "mount --types tmpfs none /tmp && touch /tmp/x", may=("sys_admin",))

    assert status == 0, said
    assert not (root / "tmp/x").exists()


def test_a_sub_stage_names_what_it_needs(tmp_path: Path) -> None:
    """CAPABILITIES in a sub-stage is read; a word that is none is refused with the place."""
    (tmp_path / "00-run-chroot.sh").write_text("true\n")
    (tmp_path / "CAPABILITIES").write_text("sys_admin\nsys_time\n")
    assert stage.read_sub_stage(tmp_path, "s").capabilities == ("sys_admin", "sys_time")

    (tmp_path / "CAPABILITIES").write_text("CAP_SYS_ADMIN\n")
    with pytest.raises(ConfigError, match="no capability is called CAP_SYS_ADMIN"):
        stage.require_capabilities(stage.read_sub_stage(tmp_path, "s"))


def test_status_and_signals_are_the_command_s(root: Path) -> None:
    """A status, a signal that ended it, a command that is not there: each is told."""
    assert caged(root, "exit 7")[0] == 7
    assert caged(root, "kill -TERM $$")[0] == 128 + signal.SIGTERM
    assert run(chroot.command(root, ["/nowhere"]), check=False).returncode == 127
    assert "yes" in caged(root, "trap 'echo yes' PIPE; kill -PIPE $$")[1]


def test_no_variable_stands_in_ps(root: Path) -> None:
    """What a script has in its environment is nobody else's to read."""
    process = start(
        chroot.command(root, ["/bin/sh", "-c", "echo $TOKEN; exec sleep 60"]),
        env={"TOKEN": "f4ilk1d0"},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"f4ilk1d0\n"
        told = run(["ps", "-e", "-ww", "-o", "args"]).stdout
    finally:
        process.kill()
        process.wait()

    assert "sleep 60" in told
    assert "f4ilk1d0" not in told


def test_all_end_with_the_one_that_waits(root: Path) -> None:
    """Killed at any moment, it takes every process of the cage along."""
    script = "sleep 7777.25 & echo here; sleep 7777.25"
    process = start(chroot.command(root, ["/bin/sh", "-c", script]))
    assert process.stdout is not None
    process.stdout.readline()

    process.kill()
    process.wait()

    until = time.monotonic() + 30
    while "7777.25" in run(["ps", "-e", "-o", "args"]).stdout and time.monotonic() < until:
        time.sleep(0.05)
    assert "7777.25" not in run(["ps", "-e", "-o", "args"]).stdout
