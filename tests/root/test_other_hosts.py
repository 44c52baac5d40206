"""A root that stands for another host has what a build needs, and leaves nothing mounted."""

from __future__ import annotations

from pathlib import Path

import pytest

from glovebox.host.mounts import bind
from glovebox.host.run import run
from glovebox.trials import hosts

pytestmark = [pytest.mark.root, pytest.mark.needs("chroot", "unshare")]
LINKS = ("bin", "lib", "lib64", "sbin")
# A build moves into namespaces of its own, mounts, and asks for loop devices.
BUILD = """
unshare --mount --pid --fork sh -e -c '
  mount --make-rprivate /
  mount -t proc proc /proc
  mount -t tmpfs none /mnt
  test -c /dev/loop-control
  test -d /sys/block
  test "$(stat --file-system --format %T /tmp)" = tmpfs
'
"""


def test_a_build_can_work_there(folder: Path) -> None:
    """With the machine's own programs for once; ``folder`` looks that nothing is left."""
    for name in ("proc", "sys", "dev", "tmp", "usr", "mnt"):
        (folder / name).mkdir()
    for name in LINKS:
        if Path("/", name).is_symlink():
            (folder / name).symlink_to(f"usr/{name}")
    with hosts.entered(folder) as inside, bind(Path("/usr"), folder / "usr"):
        run([*inside, "sh", "-e", "-c", BUILD])

    assert not any((folder / "dev").iterdir())
