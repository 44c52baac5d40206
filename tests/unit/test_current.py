"""Making room: what was used longest ago goes, what current plans need stays."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from glovebox.errors import ConfigError, HostError
from glovebox.lock.lock import Lock, Package
from glovebox.plan import needs
from glovebox.plan.plan import Plan, Step, StepKind
from glovebox.store import current
from glovebox.store.store import Store, size_of

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 100_000
LOCK = Lock(suite="trixie", epoch=0, chains={"target": {"base": (
    Package(name="x", version="1", arch="all", url="", size=1, sha256="deb1", stanza=""),
)}})  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give a store with four results, used one after the other, and two downloads."""
    made = Store(root=tmp_path / "store").open()
    for number in range(4):
        with made.scratch() as scratch:
            (scratch / "result/tree").mkdir(parents=True)
            (scratch / "result/tree/file").write_bytes(os.urandom(SIZE))
            layer = made.commit(f"key{number}", scratch / "result", {"name": str(number)})
        os.utime(layer.path / "meta.json", (1000 + number, 1000 + number))
    for name in ("deb1", "deb2"):
        (made.root / "debs" / name).write_bytes(os.urandom(SIZE))
    return made


def plan(*keys: str) -> Plan:
    """Plan steps with these keys."""
    steps = {key: Step(name=key, kind=StepKind.UNPACK, key=key) for key in keys}
    return Plan(steps=steps, disk_id="0", arch="armel", epoch=0, variables={})


def config(folder: Path, name: str = "image.yaml") -> Path:
    """Give a configuration file that exists."""
    path = folder / name
    path.touch()
    return path


def keys(store: Store) -> list[str]:
    """Name what is there."""
    return [layer.key for layer in store.layers()]


def test_the_longest_unused_goes_first(store: Store) -> None:
    """So much is removed as has to be, and no more."""
    total = size_of(store.root)

    made = current.shrink(store, total - 1)

    assert keys(store) == ["key1", "key2", "key3"]
    assert made.freed > SIZE
    assert made.left == total - made.freed


def test_what_fits_stays(store: Store) -> None:
    """A store that is small enough is left alone."""
    assert current.shrink(store, size_of(store.root)).freed == 0
    assert keys(store) == ["key0", "key1", "key2", "key3"]


def test_current_plans_stay(store: Store, tmp_path: Path) -> None:
    """What the last plan of each configuration and board needs is never removed, however small."""
    current.remember(
        store, config(tmp_path), "3", keys=["key0"], downloads=needs.downloads(plan("key0"), LOCK)
    )
    current.remember(
        store,
        config(tmp_path),
        "zero-w",
        keys=["key1"],
        downloads=needs.downloads(plan("key1"), LOCK),
    )
    current.remember(
        store,
        config(tmp_path, "other.yaml"),
        "3",
        keys=["key2"],
        downloads=needs.downloads(plan("key2"), LOCK),
    )

    current.shrink(store, 0)

    assert keys(store) == ["key0", "key1", "key2"]
    assert [path.name for path in (store.root / "debs").iterdir()] == ["deb1"]


def test_only_the_last_plan_is_current(store: Store, tmp_path: Path) -> None:
    """A plan that another of the same configuration and board follows is needed no more."""
    for key in ("key0", "key1"):
        current.remember(
            store, config(tmp_path), "3", keys=[key], downloads=needs.downloads(plan(key), LOCK)
        )

    current.shrink(store, 0)

    assert keys(store) == ["key1"]


def test_a_configuration_that_is_gone_needs_nothing(store: Store, tmp_path: Path) -> None:
    """Who removed a checkout needs its results no more."""
    current.remember(
        store, config(tmp_path), "3", keys=["key0"], downloads=needs.downloads(plan("key0"), LOCK)
    )
    (tmp_path / "image.yaml").unlink()

    current.shrink(store, 0)

    assert keys(store) == []
    assert list((store.root / "plans").iterdir()) == []


def test_what_is_used_is_young(store: Store, tmp_path: Path) -> None:
    """A build notes that it used a result: of those no plan needs it is the last to go."""
    current.remember(
        store, config(tmp_path), "3", keys=["key0"], downloads=needs.downloads(plan("key0"), LOCK)
    )
    current.remember(
        store, config(tmp_path), "3", keys=["none"], downloads=needs.downloads(plan("none"), LOCK)
    )

    current.shrink(store, size_of(store.root) - 1)

    assert keys(store) == ["key0", "key2", "key3"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"config": 1}', json.dumps({"config": "/x"})])
def test_a_damaged_record_is_passed_over(store: Store, text: str) -> None:
    """It keeps nobody from making room; the next build writes it again."""
    (store.root / "plans/x.json").write_text(text)

    assert current.needed(store) == (frozenset(), frozenset())


@pytest.mark.parametrize("act", ["shrink", "clear"])
def test_not_under_a_build(store: Store, act: str) -> None:
    """While a build, a boot or a verification runs nothing is removed, and that is said."""
    with store.in_use(), pytest.raises(HostError, match="is using"):
        current.shrink(store, 0) if act == "shrink" else store.clear(downloads=True)

    assert len(keys(store)) == 4


@pytest.mark.parametrize(
    ("text", "size"),
    [("10G", 10**10), ("10GB", 10**10), ("1.5GiB", 3 << 29), ("500M", 5 * 10**8), ("7", 7),
     ("2 TiB", 2 << 40), ("0", 0), ("10g", 10**10)],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    """Sizes are read as people write them."""
    assert current.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "ten", "-1G", "10X", "G", "1..5G"])
def test_no_sizes(text: str) -> None:
    """What is no size is said, with one that is."""
    with pytest.raises(ConfigError, match="is no size") as caught:
        current.parse_size(text)

    assert "10G" in (caught.value.hint or "")
