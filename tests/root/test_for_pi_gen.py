"""The conformance suite turned round: a stage of ours, laid out, does in pi-gen what it does here.

By a runner of pi-gen's documented rules; by pi-gen itself where $PI_GEN names a checkout of it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.config.build import BuildConfig
from glovebox.config.schema import StageEntry
from glovebox.host.run import PATH, run
from glovebox.project import for_pi_gen
from tests.root import test_conformance
from tests.root.test_conformance import base, build, kept
from tests.unit.test_for_pi_gen import write

if TYPE_CHECKING:
    from glovebox.store.store import Store

__all__ = ["kept"]

pytestmark = test_conformance.pytestmark
RUNNER = Path(__file__).parents[1] / "pi_gen_runner"
STAGE = {
    "00-first/00-run.sh": '#!/bin/bash -e\nmkdir -p "$ROOTFS_DIR/opt/van"\n',
    # A name that leads through a link of the root, and one that a later script reads.
    "00-first/01-overlay/lib/van/plain": "plain\n",
    "00-first/01-overlay/usr/local/bin/van": "#!/bin/sh\necho van\n",
    "00-first/01-overlay/srv/mail/box": "mail\n",
    "00-first/01-overlay.modes": "2750 root:mail srv/mail\n0640 root:mail srv/mail/box\n",
    "00-first/01-templates/etc/van": "{{ config.hostname }} in {{ config.timezone }}\n",
    "00-first/01-templates/etc/nothing": "{% if false %}no{% endif %}",
    "00-first/01-run.sh": (
        '#!/bin/bash -e\ncat "$ROOTFS_DIR/etc/van" files/more >"$ROOTFS_DIR/opt/van/seen"\n'
    ),
    "00-first/01-run-chroot.sh": "van >/opt/van/said\n",
    "00-first/files/more": "more\n",
    "01-second/00-overlay/etc/van": "again\n",  # laid over what a template made
    "01-second/01-run-chroot.sh": "cp /etc/van /opt/van/last\n",
}
# What both sides do besides: Glovebox makes the first user, mounts come and go, programs log.
ELSEWHERE = (
    *("dev", "proc", "sys", "run", "tmp", "home", "var/log", "var/cache", "var/lib/apt"),
    *(f"etc/{name}{end}" for end in ("", "-")
      for name in ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")),
    *("etc/resolv.conf", "etc/hostname", "etc/.pwd.lock"),
)  # fmt: skip


def changed(root: Path, before: Path) -> dict[str, tuple[object, ...]]:
    """Give what a root has that another has not: kind, mode, owner and content by path."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, folders, names in os.walk(root):
        at = Path(folder)
        folders[:] = [each for each in folders if _counts((at / each).relative_to(root))]
        for name in (*folders, *names):
            path = at / name
            inner = path.relative_to(root)
            if _counts(inner) and (what := _what(path)) != _what(before / inner):
                found[str(inner)] = what
    return found


def _counts(path: Path) -> bool:
    return not any(path == Path(each) for each in ELSEWHERE)


def _what(path: Path) -> tuple[object, ...]:
    if not os.path.lexists(path):
        return ()
    status = path.lstat()
    content = b""
    if stat.S_ISLNK(status.st_mode):
        content = os.fsencode(path.readlink())
    elif stat.S_ISREG(status.st_mode):
        content = hashlib.sha256(path.read_bytes()).digest()
    return stat.S_IFMT(status.st_mode), oct(status.st_mode), status.st_uid, status.st_gid, content


@pytest.fixture(params=["our runner", "pi-gen itself"])
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Give the program that runs stages by the rules of pi-gen."""
    if request.param == "our runner":
        return RUNNER
    named = os.environ.get("PI_GEN")
    if not named:
        pytest.skip("$PI_GEN names no checkout of pi-gen")
    copy = tmp_path / "pi-gen"
    shutil.copytree(named, copy, ignore=shutil.ignore_patterns(".git", "work", "deploy"))
    (copy / "depends").unlink()  # they are those of the export, which is not tried
    return copy / "build.sh"


def test_a_stage_of_ours_does_the_same_in_pi_gen(runner: Path, kept: Store, tmp_path: Path) -> None:
    """Overlay, modes, templates and scripts leave the very same files, whoever runs the stage."""
    write(tmp_path / "stages/mine", STAGE)
    (tmp_path / "stages/mine/00-first/01-overlay/srv/link").symlink_to("/opt/van")
    config = BuildConfig(stages=(StageEntry(path=str(tmp_path / "stages/mine")),))
    made = for_pi_gen.lay_out(config, tmp_path / "laid")
    (made.stages[-1] / "SKIP_IMAGES").touch()
    with made.config.open("a") as file:
        file.write(
            f'STAGE_LIST="{made.stages[-1]}"\nexport WORK_DIR={tmp_path}/work GIT_HASH=none\n'
            f"PREV_ROOTFS_DIR={base().layer.tree}\n"
        )

    done = run(["bash", "-e", runner, "-c", made.config], check=False, env={"PATH": PATH})

    assert done.returncode == 0, done.stdout + done.stderr
    theirs = changed(tmp_path / "work/mine/rootfs", base().layer.tree)
    with ExitStack() as stack:
        here = build(tmp_path, kept, stack)
        with here.builder().merged(here.last()) as root:
            ours = changed(root, base().layer.tree)
    assert theirs == ours
    assert {"etc/van", "opt/van/seen", "opt/van/last", "usr/lib/van/plain", "srv/link"} <= set(ours)
