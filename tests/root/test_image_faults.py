"""Deliberate faults of each kind in a real image: the tests in a chroot find them, each of them.

Most of these tests are answered by native twins of the image's programs, which must see no less.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.build import accelerator
from glovebox.card import table as card
from glovebox.errors import VerifyError
from glovebox.host.mounts import mount, overlay
from glovebox.store import store
from glovebox.verify import verify as proof
from tests.needs import missing
from tests.root.tools import suite_tools

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.needs("mcopy", "mount")]

CHECKOUT = Path(__file__).resolve().parent.parent.parent
IMAGE = CHECKOUT / "out/glovebox-zero-w.img"
MANIFEST = CHECKOUT / "out/glovebox-zero-w.manifest.json"
KAFKA = "usr/lib/python3/dist-packages/confluent_kafka"
STRANGER = 64999
WANTS = "etc/systemd/system/multi-user.target.wants"


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Give a folder on the store's file system, where twins can be linked."""
    own = store.Store(root=store.default_root()).open()
    with own.in_use(), own.scratch() as folder:
        yield folder


@pytest.fixture
def tree(scratch: Path) -> Iterator[Path]:
    """Give the files of the image that the builds of this run exported; they may be changed."""
    if not MANIFEST.exists():
        missing(f"needs {IMAGE}: run invoke build-image")
    with ExitStack() as stack:
        for name in ("image", "upper", "root"):
            (scratch / name).mkdir()
        options = f"loop,ro,noload,offset={card.table(IMAGE).root.start}"
        lower = stack.enter_context(mount(IMAGE, scratch / "image", options=options))
        root = stack.enter_context(
            overlay([lower], scratch / "root", scratch=scratch, upper=scratch / "upper")
        )
        card.copy_out(IMAGE, "/", root / "boot/firmware")
        yield root


def twins(tree: Path, scratch: Path) -> list[Path]:
    """Give the layers of native programs that the build of this image made."""
    key = json.loads(MANIFEST.read_text())["steps"]["accelerator"]
    built = store.Store(root=store.default_root()).find(key)
    if built is None:
        missing("needs the accelerator in the store: run invoke build-image")
    return accelerator.lay_over(built.tree, [tree], scratch / "twins")


def replaced(path: Path, old: str, new: str) -> None:
    """Change a word of a file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def spoil(tree: Path) -> dict[str, set[str]]:
    """Make one fault of each kind; give the tests that shall find them, by fault."""
    user = json.loads(MANIFEST.read_text())["user"]
    (tree / "usr/lib/glovebox/mend-queue").unlink()
    (tree / f"home/{user}/.ssh/authorized_keys").chmod(0o666)
    (tree / WANTS / "telematics.service").unlink()
    shutil.rmtree(tree / KAFKA)
    status = tree / "var/lib/dpkg/status"
    before, name, after = status.read_text().partition("Package: gpsd\n")
    assert name
    status.write_text(
        before + name + after.replace("install ok installed", "install ok half-configured", 1)
    )
    replaced(tree / "etc/group", f"sudo:x:27:{user}", "sudo:x:27:")
    os.chown(tree / "etc/fstab", STRANGER, STRANGER)
    (tree / "etc/ssh/ssh_host_ed25519_key").write_text("not the board's\n")
    shutil.copy("/bin/true", tree / "usr/local/bin/true")
    return {
        "a missing file": {"test_telematics::test_queue_is_mended_before_it_starts"},
        "a wrong mode": {"test_base::test_authorized_keys_are_private"},
        "a unit not enabled": {"test_telematics::test_unit"},
        "a missing library": {
            "test_telematics::test_command",
            "test_telematics::test_settings_are_those_of_the_image",
        },
        "a package half done": {"test_base::test_packages_are_whole"},
        "a user without a group": {"test_base::test_user"},
        "a file of a stranger's": {"test_clean::test_nothing_belongs_to_a_stranger"},
        "a leftover": {"test_clean::test_nothing_is_left[etc/ssh/ssh_host_*]"},
        "a foreign program": {"test_clean::test_no_foreign_program"},
    }


def test_each_kind_of_fault_is_found(tree: Path, scratch: Path) -> None:
    """Each fault fails the test that is about it, and no other test fails."""
    wanted = spoil(tree)
    layers = twins(tree, scratch)
    assert layers

    with pytest.raises(VerifyError):
        proof.verify(
            proof.Target(level=proof.Level.CHROOT, path=tree),
            MANIFEST,
            folder=scratch / "verify",
            native_root=suite_tools().tree,
            twins=layers,
        )

    found = {each.test for each in proof.read_junit(scratch / "verify/junit.xml").failed}
    assert {fault for fault, tests in wanted.items() if not tests <= found} == set()
    assert found == set().union(*wanted.values())
