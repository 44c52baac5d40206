"""A full disk, damage in the store, a failing step: said clearly, nothing half, and it goes on."""

from __future__ import annotations

import os
import pty
import re
import select
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.host.files import sha256_file
from glovebox.host.run import environment, run
from tests.root import small_world
from tests.root.small_build import IMAGE, NAMES, key
from tests.root.test_killed import CHECKOUT, PATIENCE_S, begin, check_image, finish, halves
from tests.root.tools import same_bytes_tools

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.needs("mount", "umount", "unshare")]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a folder with a store and a place for images, on a disk of a size a test chooses."""
    same_bytes_tools()
    folder = tmp_path_factory.mktemp("disk")
    run(["mount", "--types", "tmpfs", "--options", "size=512m", "tmpfs", folder])
    try:
        with small_world.made(folder):
            yield folder
    finally:
        run(["umount", folder])


@pytest.fixture(scope="module")
def undisturbed(world: Path) -> str:
    """Give the sha256 of the image as a build makes it that nobody disturbs."""
    finish(world, "undisturbed")
    return sha256_file(world / "out" / IMAGE)


def used(folder: Path) -> int:
    """Give the bytes that are taken on the disk of a folder."""
    status = os.statvfs(folder)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


# With so much room, in KiB, the build fails at a download, in mmdebstrap, and at the image.
@pytest.mark.parametrize(
    ("room_kib", "built"),
    [(100, False), (2000, False), (100, True)],
    ids=["download", "layer", "image"],
)
def test_a_full_disk(world: Path, undisturbed: str, room_kib: int, *, built: bool) -> None:
    """It is said, nothing half is left, and with more room the next run makes the same image."""
    salt = f"full{room_kib}{built}"
    if built:
        finish(world, salt)
    for path in (world / "out").iterdir():
        path.unlink()
    size = used(world) + room_kib * 1024
    run(["mount", "--options", f"remount,size={size}", world])
    try:
        process = begin(world, salt)
        said = process.communicate(timeout=PATIENCE_S)[0].decode()
    finally:
        run(["mount", "--options", "remount,size=512m", world])

    assert process.returncode not in (0, None), said
    assert "the disk is full" in said
    assert "Traceback" not in said
    assert halves(world) == []
    check_image(world, undisturbed)
    finish(world, salt)
    assert sha256_file(world / "out" / IMAGE) == undisturbed


@pytest.mark.parametrize("harm", ["a changed file", "a lost file", "half a description"])
def test_damage_in_the_store(world: Path, undisturbed: str, harm: str) -> None:
    """A damaged result is said and made again, those on it stand, and the image is the same."""
    salt = harm.replace(" ", "-")
    finish(world, salt)
    layer = world / "store/layers" / key("left", salt)
    above = (world / "store/layers" / key("top", salt)).stat().st_ino
    match harm:
        case "a changed file":
            (layer / "tree/left/3").write_text("4\n")
        case "a lost file":
            (layer / "tree/left/3").unlink()
        case _:
            text = (layer / "meta.json").read_text()
            (layer / "meta.json").write_text(text[: len(text) // 2])
    (world / "out" / IMAGE).unlink()

    said = finish(world, salt)

    if harm != "half a description":  # that one is no result at all
        assert "the result of left is damaged: it is made again" in said
    assert "✓ left" in said
    assert (world / "store/layers" / key("top", salt)).stat().st_ino == above
    assert sha256_file(world / "out" / IMAGE) == undisturbed


def test_a_shell_where_it_failed(world: Path) -> None:
    """With --shell a person finds the root as the failed step left it, and the run ends after."""
    program = Path(__file__).with_name("small_build.py")
    env = environment({
        "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'app'}", "FAILS": "right", "SHELL_ON_FAILURE": "1",
        "TERM": "dumb",
    })  # fmt: skip
    child, terminal = pty.fork()
    if child == 0:
        words = [sys.executable, str(program), str(world), "shell", "none"]
        os.execve(words[0], words, env)  # noqa: S606  no shell wanted
    said = answer(terminal, r"glovebox:\S*[#$] $", "cat /left/12 /right/12; echo pid $$; exit\n")
    _, status = os.waitpid(child, 0)

    assert "right failed after" in said
    assert "the root as the step left it" in said
    assert re.search(r"^12\r?\n12\r?\npid 2\r?$", said, re.MULTILINE), said
    assert os.waitstatus_to_exitcode(status) == 4, said
    assert not (world / "store/layers" / key(NAMES[2], "shell")).exists()
    assert halves(world) == []


def test_a_shell_needs_a_terminal(world: Path) -> None:
    """Without one the step's own error is not lost, and what is missing is said."""
    command = ["./invoke", "build-image", "--shell", "--out", world / "none"]
    done = run(command, cwd=CHECKOUT, check=False)

    assert done.returncode == 3
    assert "--shell needs a terminal" in done.stdout + done.stderr
    assert not (world / "none").exists()


def answer(terminal: int, prompt: str, words: str) -> str:
    """Read a terminal until it prompts, type, and read what it says until its end."""
    said, typed, deadline = "", False, time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            data = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        said += data.decode(errors="replace")
        if not typed and re.search(prompt, said):
            os.write(terminal, words.encode())
            typed = True
    return said
