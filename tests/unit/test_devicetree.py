"""Overlays: which a model is told to load, and that a missing or unfitting one is a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox.boards.firmware import MODELS, read
from glovebox.emulator import devicetree
from glovebox.emulator.devicetree import overlays
from glovebox.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

# Joins what it is given, as `fdtoverlay -i DTB -o TARGET OVERLAY…` would; an overlay of one word
# does not fit.
FAKE = """#!/bin/sh -e
target=$4
cat "$2" >"$target"
shift 4
for each in "$@"; do
  grep -q ' ' "$each" || { echo "Failed to apply '$each'" >&2; exit 1; }
  cat "$each" >>"$target"
done
"""


def made(folder: Path, config: str, files: dict[str, str], *, board: str = "3") -> str:
    """Apply what a configuration asks for, and give the result."""
    (folder / "overlays").mkdir()
    for name, text in files.items():
        (folder / "overlays" / name).write_text(text)
    (folder / "board.dtb").write_text("tree;")
    fake = folder / "fdtoverlay"
    fake.write_text(FAKE)
    fake.chmod(0o755)
    result = devicetree.apply(
        folder / "board.dtb", folder, folder / "made.dtb",
        reading=read(config, MODELS[board]), by=[str(fake)],
    )  # fmt: skip
    return result.read_text()


def test_overlays_of_a_model_in_their_order() -> None:
    """Filters decide which, the prefix where, and parameters stand behind the name."""
    config = (
        "dtoverlay=b\n[pi4]\ndtoverlay=a\n[pi3]\ndtoverlay=c,pin=17,up\n[all]\ndtoverlay=\n"
        "overlay_prefix=mine/\n"
    )
    found = overlays(read(config, MODELS["3"]))

    assert [(one.file, one.parameters, one.place) for one in found] == [
        ("mine/b.dtbo", (), "config.txt:1"),
        ("mine/c.dtbo", ("pin=17", "up"), "config.txt:5"),
    ]


def test_they_are_applied_in_their_order(tmp_path: Path) -> None:
    """The second one is laid over what the first one made."""
    files = {"b.dtbo": "b 1;", "a.dtbo": "a 2;"}

    assert made(tmp_path, "dtoverlay=b\ndtoverlay=a\n", files) == "tree;b 1;a 2;"


def test_without_an_overlay_the_tree_stays(tmp_path: Path) -> None:
    """Nothing is started when nothing is asked for."""
    assert made(tmp_path, "[pi4]\ndtoverlay=a\n", {}) == "tree;"


def test_a_missing_overlay_is_named_with_its_line(tmp_path: Path) -> None:
    """The firmware would say nothing and go on."""
    with pytest.raises(ImageError, match=r"config.txt:2 asks for overlays/a.dtbo"):
        made(tmp_path, "\ndtoverlay=a\n", {})


def test_an_overlay_that_does_not_fit_is_named(tmp_path: Path) -> None:
    """A label that the tree lacks is an error with the program's words."""
    with pytest.raises(ImageError, match=r"overlays/a.dtbo: do not fit board.dtb.*Failed to apply"):
        made(tmp_path, "dtoverlay=a\n", {"a.dtbo": "a"})
