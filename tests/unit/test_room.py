"""A disk that cannot hold a build says so before the build begins."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pytest

from glovebox.errors import HostError
from glovebox.lock.lock import Lock, Package
from glovebox.plan import room
from glovebox.plan.inputs import Input, InputKind, by_label
from glovebox.plan.plan import Step, StepKind

if TYPE_CHECKING:
    from pathlib import Path

GB = 10**9


def package(name: str, kib: int) -> Package:
    """Make a package that takes so many KiB when installed."""
    stanza = f"Package: {name}\nInstalled-Size: {kib}\nSize: 1"
    return Package(name=name, version="1", arch="arm64", url="", size=1, sha256=name, stanza=stanza)


LOCK = Lock(
    suite="trixie",
    epoch=0,
    chains={
        "target": {
            "base": (package("dpkg", 1000),),
            "car/00-gps/00-packages": (package("g", 200),),
        },
        "tools": {"base": (package("dpkg", 1000),), "tools": (package("mtools", 3000),)},
    },
)
STEPS = {
    "tools": Step(name="tools", kind=StepKind.NATIVE_ROOT, key="1"),
    "extract": Step(name="base/extract", kind=StepKind.EXTRACT, key="2"),
    "gps": Step(
        name="car/00-gps",
        kind=StepKind.SUB_STAGE,
        key="3",
        inputs=by_label(
            [
                Input(
                    kind=InputKind.PACKAGES,
                    label="00-packages",
                    digest="",
                    request=("target", "car/00-gps/00-packages"),
                ),
            ]
        ),
    ),
    "image": Step(name="image", kind=StepKind.IMAGE, key="4"),
}


@pytest.mark.parametrize(
    ("names", "results_kib", "image_kib"),
    [
        ((), 0, 0),
        (("tools",), 4000, 0),
        (("extract",), 1000, 0),
        (("gps",), 200, 0),
        (("image",), 0, 1200),
        (("tools", "extract", "gps", "image"), 5200, 1200),
    ],
)
def test_needed(names: tuple[str, ...], results_kib: int, image_kib: int) -> None:
    """Only what is still to do counts, by the sizes that Debian states, and a little more."""
    found = room.needed([STEPS[name] for name in names], LOCK)

    assert found == (int(results_kib * 1024 * 1.2), int(image_kib * 1024 * 1.2))


class Usage(NamedTuple):
    """What shutil.disk_usage gives."""

    total: int
    used: int
    free: int


@pytest.mark.parametrize(("free", "fits"), [(GB, False), (3 * GB, True)])
def test_require(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, *, fits: bool) -> None:
    """Too little room is an error that names the place, what is needed and what is free."""
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: Usage(9 * GB, 0, free))
    big = replace(LOCK, chains={"tools": {"tools": (package("big", 1_000_000),)}})

    def ask() -> None:
        room.require([STEPS["tools"]], big, downloads=GB, store=tmp_path, out=tmp_path / "not/yet")

    if fits:
        ask()
        return
    with pytest.raises(HostError) as caught:
        ask()
    assert str(tmp_path) in caught.value.message
    assert "2.2 GB" in caught.value.message
    assert "1.0 GB" in caught.value.message
    assert "clean --keep" in (caught.value.hint or "")
