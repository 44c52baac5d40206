"""A stage's host script sees the machine read-only but for the places that are its own."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from glovebox.errors import ConfigError
from glovebox.host import chroot, mounts
from glovebox.host.run import run
from glovebox.stage import pi_gen

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root


@pytest.fixture
def root(folder: Path) -> Iterator[Path]:
    """Give a root that is mounted, with a link that leads to the machine as /var/lock does."""
    made = folder / "root"
    (made / "var").mkdir(parents=True)
    (made / "var/lock").symlink_to("/run")
    (folder / "stage").mkdir()
    (folder / "stage/file").write_text("of the stage")
    (folder / "work").mkdir()
    with mounts.chroot_mounts(made):
        yield made


def seen(root: Path, script: str) -> tuple[int, str]:
    """Run a script as a stage's host script is run; give its status and what it said."""
    folder = root.parent
    words = chroot.on_host(
        ["/bin/bash", "-c", f"exec 2>&1; {script}"],
        write=[root, folder / "work"], need=[folder / "stage"],
    )  # fmt: skip
    done = run(words, check=False, cwd=folder / "stage",
               env={"ROOT": str(root), "WORK": str(folder / "work")})  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    "script",
    [
        "touch $ROOT/var/lock/canary",
        "touch /etc/canary",
        "touch /root/canary",
        "touch ./canary",
        "touch /usr/canary",
        "mkdir /canary",
        "rm -f /etc/hostname",
        "echo x >/proc/sys/kernel/core_pattern",
        "echo x >/sys/kernel/uevent_helper",
        "mknod /dev/canary c 1 3",
    ],
)
def test_the_machine_is_read_only(script: str, root: Path) -> None:
    """What a slip of a script would change on the machine fails, and says why."""
    status, said = seen(root, script)

    assert status != 0
    assert "Read-only file system" in said


def test_its_own_places_are_writable(root: Path) -> None:
    """The root, its mounts and WORK_DIR take what is written; the stage is read; /tmp is empty."""
    status, said = seen(
        root,
        "set -e; touch $ROOT/etc-file $ROOT/run/in-run $WORK/out; cat file; touch $(mktemp) /tmp/x;"
        "echo >/dev/null; cat /etc/hostname >/dev/null; mkdir /var/tmp/y; ls /tmp",
    )

    assert status == 0, said
    assert (root / "etc-file").exists()
    assert (root / "run/in-run").exists()
    assert (root.parent / "work/out").exists()
    assert said.startswith("of the stage")
    assert not Path("/tmp/x").exists()
    assert not Path("/var/tmp/y").exists()


def test_a_mount_of_the_root_keeps_its_rights(root: Path) -> None:
    """/sys of the root stays read-only also for a script of the host."""
    status, said = seen(root, "echo 1 >$ROOT/sys/kernel/mm/ksm/run")

    assert status != 0
    assert "Read-only file system" in said


def test_what_is_sourced_sees_the_same() -> None:
    """EXPORT_IMAGE and pi-gen's config are read by a shell that can change nothing here."""
    with TemporaryDirectory(dir=Path.home()) as made:
        script = Path(made) / "stage/EXPORT_IMAGE"
        script.parent.mkdir()
        script.with_name("name").write_text("-lite")
        script.write_text("IMG_SUFFIX=$(cat ./name)\ntouch /tmp/x /var/tmp/y\n")
        assert pi_gen.source(script, {}) == {"IMG_SUFFIX": "-lite"}

        for place in (made, "/etc", "/run"):
            script.write_text(f"touch {place}/canary\n")
            with pytest.raises(ConfigError, match="Read-only file system"):
                pi_gen.source(script, {})
        assert not (Path(made) / "canary").exists()
