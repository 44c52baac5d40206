"""Which tests of an image are asked of which target."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.image import conftest

FACTS = {
    "board": "zero-w", "arch": "armel", "suite": "trixie", "hostname": "truck", "user": "pi",
    "timezone": "Etc/UTC", "locale": "C.UTF-8", "server": "redis", "disk_id": "0badcafe",
    "steps": {"base/00-system": "1"},
}  # fmt: skip


def mark(*args: str, **kwargs: str) -> SimpleNamespace:
    """Stand in for a marker: pytest takes none that these unit tests do not know."""
    return SimpleNamespace(args=args, kwargs=kwargs)


class Item:
    """A test with markers."""

    def __init__(self, name: str = "test_a.py", **marks: SimpleNamespace) -> None:
        """Take what it is marked with."""
        self.path, self.nodeid = Path(name), f"{name}::test"
        self.config: Any = None
        self.fixturenames: tuple[str, ...] = ()
        self.marks: dict[str, Any] = dict(marks)

    def get_closest_marker(self, name: str) -> SimpleNamespace | None:
        """Give a marker."""
        return self.marks.get(name)

    def add_marker(self, mark: pytest.MarkDecorator) -> None:
        """Add one."""
        self.marks[mark.name] = mark.mark

    @property
    def skipped(self) -> str:
        """Tell why it is skipped."""
        return str(self.marks["skip"].kwargs["reason"]) if "skip" in self.marks else ""


def skipped(folder: Path, target: str, *items: Item, **facts: object) -> list[str]:
    """Let a target be asked; tell why each test is skipped."""
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps({**FACTS, **facts}))
    options = {"target": target, "manifest": manifest, "claims": None}
    config: Any = SimpleNamespace(getoption=options.__getitem__)
    asked: Any = list(items)
    conftest.pytest_collection_modifyitems(config, asked)
    assert set(asked) == set(items)
    return [item.skipped for item in items]


@pytest.mark.parametrize(
    ("target", "verified", "skips"),
    [
        ("chroot:/tree", True, False),
        ("emulated:/a.img", True, True),
        # Nobody has shown it yet.
        ("emulated:/a.img", False, False),
        ("ssh:truck.local", True, False),
    ],
)
def test_what_no_start_changes(tmp_path: Path, target: str, *, verified: bool, skips: bool) -> None:
    """It is asked in a chroot and of a real board; emulated only if it was not shown before."""
    marked = Item(level=mark("chroot"), unchanging=mark())

    same, other = skipped(tmp_path, target, marked, Item(level=mark("chroot")), verified=verified)

    assert ("no start changes it" in same) is skips
    assert not other


def test_levels(tmp_path: Path) -> None:
    """A test is skipped below its lowest level and above its highest, with the reason."""
    items = [
        Item(level=mark("chroot", highest="chroot")),
        Item(level=mark("emulated")),
        Item(level=mark("board")),
    ]

    assert skipped(tmp_path, "emulated:/a.img", *items) == [
        "means something up to target 'chroot'",
        "",
        "means something from target 'board' on",
    ]


def test_a_test_names_its_level(tmp_path: Path) -> None:
    """One that names none would run anywhere, or nowhere."""
    with pytest.raises(pytest.UsageError, match="names no level"):
        skipped(tmp_path, "chroot:/tree", Item())


def test_each_file_is_taken_once(tmp_path: Path) -> None:
    """Of two processes that share the tests, one runs all tests of a file and the other none."""
    files = ["test_a.py", "test_b.py", "test_a.py", "test_c.py", "test_b.py"]
    ran: list[list[str]] = [[], []]
    sides = [
        SimpleNamespace(getoption={"claims": tmp_path}.__getitem__, stash=pytest.Stash())
        for _ in ran
    ]

    for number, name in enumerate([*files, *files]):
        for side in (sides, sides[::-1])[number % 2]:
            item: Any = Item(name)
            item.config = side
            if conftest.pytest_runtest_protocol(item) is None:
                ran[sides.index(side)].append(name)

    assert sorted(ran[0] + ran[1]) == sorted([*files, *files])
    assert ran[0]
    assert ran[1]
    assert not set(ran[0]) & set(ran[1])


def test_alone_a_process_runs_all() -> None:
    """Where nobody shares, nothing is left out."""
    item: Any = Item()
    item.config = SimpleNamespace(getoption={"claims": None}.__getitem__)

    assert conftest.pytest_runtest_protocol(item) is None


def test_what_takes_longest_is_begun_first(tmp_path: Path) -> None:
    """Files that ask emulated programs come first where several processes share the work."""
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps(FACTS))
    options = {"target": "chroot:/tree", "manifest": manifest, "claims": tmp_path}
    config: Any = SimpleNamespace(getoption=options.__getitem__)
    items: Any = [Item(name, level=mark("chroot")) for name in ("a.py", "b.py", "c.py", "b.py")]
    items[1].fixturenames = items[2].fixturenames = items[3].fixturenames = ("own", "facts")

    conftest.pytest_collection_modifyitems(config, items)

    assert [item.path.name for item in items] == ["b.py", "b.py", "c.py", "a.py"]
