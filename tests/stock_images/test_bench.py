"""Profile bench on Raspberry Pi OS: the stock image, what stages and image.yaml bring, no more.

The images are stand-ins (tests/stock_image.py), fetched from a server on the loopback.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from glovebox.host.monitor import Monitor
from glovebox.images import diff, inventory
from glovebox.project import story
from glovebox.project.opened import Project, open_project
from glovebox.store.store import Store, default_root
from tests import stock_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.raspios_server import Server
    from tests.stock_image import Stock

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("mmdebstrap", "gpg", "xz", "mke2fs", "mformat", "sfdisk"),
]
# What image.yaml's settings write: name, user, keys, locale, time zone, keyboard, Wi-Fi, the disk.
_SETTINGS = (
    r"/etc/(hostname|hosts|fstab|locale\.conf|default/(locale|keyboard)|timezone|localtime)",
    r"/etc/(passwd|shadow|group|gshadow|subuid|subgid)-?",
    r"/etc/glovebox(/baked)?",
    r"/var/lib/NetworkManager(/NetworkManager\.state)?",
    r"/etc/sudoers\.d/010-first-user",
    r"/home/truck(/.*)?",
    r"/usr/lib/locale/C\.UTF-8(/.*)?|/usr/lib/locale",
    r"boot:cmdline\.txt",
)
# What installing a package writes beside its files, and its own first words.
_INSTALLING = (
    r"/var/lib/dpkg/.*",
    r"/var/lib/apt/extended_states",
    r"/var/cache/(ldconfig|debconf|man).*",
    r"/etc/ld\.so\.cache",
    r"/var/lib/systemd/deb-systemd-helper-.*",
)
PRELOAD = "/etc/ld.so.preload"
BOARD = {"arm64": "3"}
_STAGE = "tree"  # a small package without any other
_WRITTEN = ("/opt/tree-version", "/opt/preloaded")


@dataclass(frozen=True, kw_only=True)
class Built:
    """An image, and the stock image that it was built on."""

    stock: Stock
    project: Project
    found: dict[str, Any]  # in what they differ


def build(stock: Stock, folder: Path, *, base: str, more: str = "") -> Project:
    """Build an image with a stage of the owner's on a stand-in, and verify it in a chroot."""
    stage = folder / "my-stage/00-tree"
    stage.mkdir(parents=True)
    (stage / "00-packages-nr").write_text(f"{_STAGE}\n")
    (stage / "01-run-chroot.sh").write_text(
        "mkdir -p /opt\ntree --version >/opt/tree-version\n"
        f"cat {PRELOAD} >/opt/preloaded 2>/dev/null || true\n"
    )
    config = folder / "image.yaml"
    config.write_text(
        f"board: '{BOARD[stock.arch]}'\nbase: {base}\nprofile: bench\nsuite: {stock.suite}\n"
        "hostname: bench\nlocale: C.UTF-8\nuser: {name: truck}\n"
        f"stages: [./my-stage]\n{more}"
    )
    store = Store(root=default_root()).open()
    project = open_project(Monitor(quiet=True), store=store, config=config, out=folder / "out")
    with store.in_use():
        story.build_image(project)
    return project


def compared(stock: Stock, project: Project) -> Built:
    """Compare an image with the stock image below it, as `invoke diff` does."""
    with (
        inventory.viewed(stock.raw, project.store, project.monitor) as one,
        inventory.viewed(project.image, project.store, project.monitor) as other,
    ):
        return Built(stock=stock, project=project, found=diff.compare(one, other))


@pytest.fixture(
    scope="module",
    params=[
        "trixie",
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in ("bookworm", "bookworm-2024", "bullseye")
        ),
    ],
)
def built(
    request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Built]:
    """Build on each layout: on the newest from the list, on older ones from a file."""
    stock = stock_image.stock(request.param, "arm64")
    folder = tmp_path_factory.mktemp(request.param)
    if request.param in ("trixie", "bookworm"):
        server.moods = ["drop"]
        settings = f"raspios: {{server: '{server.url}', archive: '{server.url}/debian'}}\n"
        project = build(stock, folder, base="raspios", more=settings)
    else:
        settings = f"raspios: {{archive: '{server.url}/debian'}}\n"
        project = build(stock, folder, base=str(stock.packed), more=settings)
    yield compared(stock, project)
    # What came from the server is the stand-in once more.
    (project.store.root / "sources" / stock.sha256).unlink(missing_ok=True)


def brought(path: str, package: str | None) -> bool:
    """Tell whether the stage or image.yaml brings a file."""
    by_stage = package == _STAGE or path in _WRITTEN
    return by_stage or any(re.fullmatch(one, path) for one in (*_SETTINGS, *_INSTALLING))


def test_nothing_but_what_was_asked_for(built: Built) -> None:
    """Each file that differs is the stage's or image.yaml's; nothing of the stock image is gone."""
    strange = [
        f"{one['what']} {one['path']} ({', '.join(one['how'])})"
        for one in built.found["files"]
        if not brought(one["path"], one["package"]) or one["what"] == "removed"
    ]

    assert strange == []


def test_the_other_differences(built: Built) -> None:
    """One package more, one user more, another name; units and config.txt are the stock image's."""
    found = built.found

    assert set(found) == {"sizes", "system", "packages", "users", "cmdline.txt", "files"}
    assert list(found["packages"]["added"]) == [_STAGE]
    assert list(found["users"]["added"]) == ["truck"]
    assert found["system"] == {"hostname": ["raspberrypi", "bench"]}


def test_first_boot_is_as_on_the_stock_image(built: Built) -> None:
    """Of cmdline.txt only the disk's id differs; no host key, and the id's own first-boot word."""
    project, stock = built.project, built.stock
    with inventory.viewed(project.image, project.store, project.monitor) as view:
        words = (view.boot_text("cmdline.txt") or "").split()
        machine_id = (view.root / "etc/machine-id").read_text()
        host_keys = list((view.root / "etc/ssh").glob("ssh_host_*"))

    new = project.plan.disk_id
    assert new != stock.disk_id
    assert built.found["cmdline.txt"] == [
        f"- root=PARTUUID={stock.disk_id}-02",
        f"+ root=PARTUUID={new}-02",
    ]
    first = "resize" if stock.suite == "trixie" else "init=/usr/lib/raspberrypi-sys-mods/firstboot"
    assert words.count(first) == 1
    assert machine_id == stock_image.LAYOUTS[stock.layout].machine_id
    assert host_keys == []


def test_what_is_preloaded_is_set_aside(built: Built) -> None:
    """While stages run, no library is preloaded, which the emulated programs would stumble over."""
    project, stock = built.project, built.stock
    with (
        inventory.viewed(stock.raw, project.store, project.monitor) as one,
        inventory.viewed(project.image, project.store, project.monitor) as other,
    ):
        before, after = (view.root / PRELOAD.lstrip("/") for view in (one, other))
        assert before.is_file() is (stock.arch == "armhf")
        assert after.is_file() is before.is_file()
        if before.is_file():
            assert after.read_text() == before.read_text() != ""
        assert (other.root / "opt/preloaded").read_text() == ""


def test_locked_it_asks_no_network(built: Built, server: Server) -> None:
    """The lock names the image; with it the same image is up to date, and no server is asked."""
    if built.project.lock.raspios is None:
        assert built.stock.layout in ("bookworm-2024", "bullseye")
        return
    project = built.project
    story.write_lock(project, project.config)
    asked = len(server.asked)

    again = open_project(
        Monitor(quiet=True), store=project.store, config=project.config, out=project.out,
        locked=True,
    )  # fmt: skip

    assert again.lock.raspios == project.lock.raspios
    assert again.plan.steps["image"].key == project.plan.steps["image"].key
    assert len(server.asked) == asked
