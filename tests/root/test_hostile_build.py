"""A build over a root full of links to the machine: no file of the machine is read or changed."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from glovebox.config.schema import FirmwareFile
from glovebox.errors import GloveboxError
from glovebox.host import files
from glovebox.plan.plan import Step, StepKind
from glovebox.stage.template import Rendered
from tests.root.test_overlays import builder

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.needs("mount", "umount")]
# What a build writes to by itself or by overlays, templates and the list firmware:.
LINKED = ("var/lock", "opt", "usr/lib/firmware", "srv/deep", "etc/ssh")


def hostile(tree: Path, host: Path) -> None:
    """Fill a layer with links to a folder of the machine, absolute and climbing."""
    for number, name in enumerate(LINKED):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).symlink_to(f"{'/..' * 9 * (number % 2)}{host}")


@pytest.fixture
def host() -> Iterator[Path]:
    """Give a folder of the machine that is not below /tmp: a root has a /tmp of its own."""
    with TemporaryDirectory(dir="/var/tmp") as made:
        yield Path(made)


def test_no_file_of_the_machine_is_made_or_changed(folder: Path, host: Path) -> None:
    """Overlays, templates and firmware land in the layer, wherever the root's links point."""
    for name in ("x", "key", "brcm"):
        (host / name).mkdir() if name == "brcm" else (host / name).write_text("the machine's")
    before = files.stamp_tree(host)
    built = builder(folder, 1)
    hostile(built.layers("layer-0")[0], host)
    overlay = folder / "overlay"
    for name in LINKED:
        (overlay / name).mkdir(parents=True)
        (overlay / name / "x").write_text("mine")
    blob = b"a firmware"
    digest = files.digest(blob)
    (built.store.root / "sources").mkdir(exist_ok=True)
    (built.store.root / "sources" / digest).write_bytes(blob)
    step = Step(
        name="own", kind=StepKind.OWN_FILES, below="layer-0", key="own", overlays=(overlay,),
        firmware=(FirmwareFile(url="http://example.org/fw.bin", sha256=digest),),
        rendered={"0": (Rendered(name="opt/key", text="rendered", program=False),)},
    )  # fmt: skip
    scratch, tree = folder / "scratch", folder / "tree"
    scratch.mkdir()
    tree.mkdir()

    built._own_files(step, tree, scratch)

    assert files.stamp_tree(host) == before
    made = tree / host.relative_to("/")
    assert sorted(path.name for path in made.iterdir()) == ["brcm", "key", "x"]
    assert (made / "brcm/fw.bin").read_bytes() == blob
    assert (made / "key").read_text() == "rendered"


@pytest.mark.parametrize("name", ["run", "dev", "proc", "sys"])
def test_a_root_whose_mounts_would_land_on_the_machine(name: str, folder: Path, host: Path) -> None:
    """A root with a link in place of /run is refused before anything is mounted or written."""
    built = builder(folder, 1)
    (built.layers("layer-0")[0] / name).symlink_to(host)
    step = Step(name="own", kind=StepKind.OWN_FILES, below="layer-0", key="own")
    scratch, tree = folder / "scratch", folder / "tree"
    scratch.mkdir()
    tree.mkdir()

    with pytest.raises(GloveboxError, match=f"/{name} is a link"):
        built._own_files(step, tree, scratch)

    assert list(host.iterdir()) == []
    assert not host.is_mount()
