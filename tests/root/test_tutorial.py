"""docs/your-own-stage.md does what it says: its files are written, its commands run, in order."""

from __future__ import annotations

import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from glovebox.host.run import PATH, run
from glovebox.store import store
from tests.root.tools import suite_tools

pytestmark = [pytest.mark.root, pytest.mark.needs("mmdebstrap", "qemu-arm-static")]

CHECKOUT = Path(__file__).resolve().parent.parent.parent
PAGE = CHECKOUT / "docs/your-own-stage.md"
_BLOCK = re.compile(
    r"(?:^File `(?P<file>[^`]+)`:\n\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A piece of the page: a file, commands, or what they print."""

    file: str | None
    kind: str
    text: str


def blocks() -> list[Block]:
    """Give them in their order."""
    return [
        Block(file=found["file"], kind=found["kind"], text=found["text"])
        for found in _BLOCK.finditer(PAGE.read_text())
    ]


def as_printed(line: str, home: Path) -> str:
    """Give a pattern for a line of the page: numbers differ from run to run."""
    words = re.escape(line.replace("~", str(home)))
    return re.sub(r"\d+(\\\.\d+)?(?= s\b|\\ s\b|\\ of\b|\\ steps\b)", r"[0-9.]+", words)


def unlike(path: Path, token: str) -> str:
    """Give a comment that no earlier run had, for files that are compiled or run.

    The store may know the steps of the page from another run, and would not show them again.
    """
    return {".sh": f"# {token} {time.time_ns()}\n", ".c": f"// {token} {time.time_ns()}\n"}.get(
        path.suffix, ""
    )


def test_every_step(tmp_path: Path) -> None:
    """Each command of the page succeeds and prints what the page shows; nothing is left out."""
    suite_tools()  # the page builds on what a first build left
    env = {
        "HOME": str(tmp_path),
        "GLOVEBOX_STORE": str(store.default_root()),
        "PATH": f"{Path(sys.executable).parent}:{PATH}",
    }
    said = ""
    kinds = [block.kind for block in blocks() if not block.file]
    for block in blocks():
        if block.file:
            path = Path(block.file.replace("~", str(tmp_path)))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text + unlike(path, str(tmp_path)))
        elif block.kind == "sh":
            done = run(["bash", "-e", "-c", block.text], cwd=CHECKOUT, env=env, check=False)
            said = done.stdout + done.stderr
            assert done.returncode == 0, f"{block.text}\n{said}"
        else:
            for line in block.text.splitlines():
                assert re.search(as_printed(line, tmp_path), said), f"{line}\n\n{said}"
    assert (kinds.count("sh"), kinds.count("text")) == (7, 5)
    out = tmp_path / "my-image/out"
    assert (out / "van-zero-w.img").exists()
    assert "\ntree " in (out / "van-zero-w.packages.txt").read_text()
