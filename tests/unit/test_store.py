"""The store: a result is there whole or not at all, and nobody else can look."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.errors import GloveboxError, HostError
from glovebox.store import store as module
from glovebox.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "a" * 64


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give an empty store."""
    return Store(root=tmp_path / "store").open()


def put(store: Store, key: str = KEY, text: str = "one") -> module.Layer:
    """Make a result with one file."""
    with store.scratch() as scratch:
        folder = scratch / "result"
        (folder / "tree").mkdir(parents=True)
        (folder / "tree/file").write_text(text)
        return store.commit(key, folder, {"name": "x"})


def names(folder: Path) -> list[str]:
    """List a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_result_is_found_by_its_key(store: Store) -> None:
    """What was committed is found, with its files and what is known of it; nothing else is."""
    put(store)

    found = store.find(KEY)
    assert found is not None
    assert (found.tree / "file").read_text() == "one"
    assert found.meta["name"] == "x"
    assert store.find("b" * 64) is None
    assert [layer.key for layer in store.layers()] == [KEY]
    assert names(store.root / "tmp") == []


def test_a_result_is_seen_only_whole(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until everything is on the disk there is no result, and a failure leaves none."""
    seen: list[object] = []

    def power_cut(folder: Path) -> None:
        seen.append(store.find(KEY))
        message = f"no power at {folder}"
        raise OSError(message)

    monkeypatch.setattr(module.files, "syncfs", power_cut)

    with pytest.raises(OSError, match="no power"):
        put(store)

    assert seen == [None]
    assert store.find(KEY) is None
    assert names(store.root / "layers") == names(store.root / "tmp") == []


def test_a_second_result_replaces_the_first(store: Store) -> None:
    """Building anew gives the new files, and nothing of the old ones stays."""
    put(store, text="old")
    put(store, text="new")

    found = store.find(KEY)
    assert found is not None
    assert (found.tree / "file").read_text() == "new"
    assert names(store.root / "layers") == [KEY]


@pytest.mark.parametrize("act", ["replace", "remove"])
def test_an_old_result_is_never_half_gone(
    store: Store, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """Whoever is killed while removing a result has taken its name away before its files."""
    layer = put(store)
    seen: list[object] = []

    def killed(_path: Path) -> None:
        seen.append(store.find(KEY))
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_remove", killed)
    with pytest.raises(KeyboardInterrupt):
        put(store) if act == "replace" else store.remove(layer)

    assert seen[0] is None


@pytest.mark.parametrize(
    "damage", ["", "{", "\0" * 20, "\xff", "[]", "null", "7", '{"a":' * 100_000]
)
def test_a_damaged_result_is_none(store: Store, damage: str) -> None:
    """A result whose description cannot be read does not count, and is made again."""
    layer = put(store)
    (layer.path / "meta.json").write_bytes(damage.encode("latin-1"))

    assert store.find(KEY) is None
    assert list(store.layers()) == []
    assert put(store).meta["name"] == "x"


def test_a_result_without_description_is_none(store: Store) -> None:
    """A folder that was never finished does not count, and does not stand in the way."""
    (store.root / "layers" / KEY / "tree").mkdir(parents=True)

    assert store.find(KEY) is None
    assert put(store).meta["name"] == "x"


def test_remove(store: Store) -> None:
    """What is removed is gone with its files, and can be made again."""
    store.remove(put(store))

    assert store.find(KEY) is None
    assert names(store.root / "layers") == names(store.root / "tmp") == []
    put(store)


def test_scratch_ends_with_its_block(store: Store) -> None:
    """A temporary folder is gone afterwards, also when the block fails."""
    with pytest.raises(ValueError, match="failed"), store.scratch() as scratch:  # noqa: PT012  the block is the subject
        (scratch / "file").touch()
        message = "failed"
        raise ValueError(message)

    assert names(store.root / "tmp") == []


def test_opening_sweeps_what_killed_builds_left(store: Store) -> None:
    """Temporary folders nobody holds are removed; those of a running build stay."""
    (store.root / "tmp/left/deep").mkdir(parents=True)

    with store.scratch() as held:
        Store(root=store.root).open()

        assert names(store.root / "tmp") == [held.name]


def test_sweep_counts(store: Store) -> None:
    """The number of folders removed is given."""
    for name in ("one", "two"):
        (store.root / "tmp" / name).mkdir()

    assert store.sweep() == 2
    assert store.sweep() == 0


def test_another_version_is_refused(store: Store) -> None:
    """A store of another format is left alone; the message names both and the way out."""
    (store.root / "format").write_text("99\n")
    put(store)

    with pytest.raises(HostError) as caught:
        Store(root=store.root).open()

    assert "99" in caught.value.message
    assert str(module.FORMAT) in caught.value.message
    assert str(store.root) in caught.value.message
    assert caught.value.hint
    assert "GLOVEBOX_STORE" in caught.value.hint
    assert store.find(KEY) is not None


def test_the_world_cannot_read(tmp_path: Path) -> None:
    """Layers may hold Wi-Fi keys: whatever the umask was, only the owner gets in."""
    root = tmp_path / "store"
    root.mkdir(mode=0o777)
    root.chmod(0o777)

    Store(root=root).open()

    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_meta_is_what_was_given(store: Store) -> None:
    """The description keeps what the step said of itself, for `why` to compare with."""
    with store.scratch() as scratch:
        folder = scratch / "result"
        folder.mkdir()
        layer = store.commit(KEY, folder, {"inputs": {"$A": "1"}})

    assert json.loads((layer.path / "meta.json").read_text())["inputs"] == {"$A": "1"}


def test_default_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """$GLOVEBOX_STORE decides, else the user's cache folder."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("GLOVEBOX_STORE", raising=False)

    assert module.default_root() == tmp_path / ".cache/glovebox"
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert str(module.default_root()) == "/x/glovebox"
    monkeypatch.setenv("GLOVEBOX_STORE", "/y")
    assert str(module.default_root()) == "/y"


def test_size_of_counts_what_lies_on_the_disk(tmp_path: Path) -> None:
    """Holes take nothing, links are not followed."""
    (tmp_path / "full").write_bytes(b"x" * 100_000)
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(10_000_000)
    (tmp_path / "link").symlink_to("/usr")

    assert 100_000 <= module.size_of(tmp_path) < 1_000_000


def test_a_store_of_an_older_version_is_cleared(store: Store) -> None:
    """Its results go, its downloads stay, and that is said; the new format is written last."""
    put(store)
    (store.root / "debs/one").write_text("deb")
    (store.root / "format").write_text("0\n")
    said: list[str] = []

    Store(root=store.root).open(said.append)

    assert store.find(KEY) is None
    assert (store.root / "debs/one").exists()
    assert (store.root / "format").read_text() == f"{module.FORMAT}\n"
    assert len(said) == 1
    assert "older version (format 0" in said[0]
    assert "1 results were removed" in said[0]


def test_an_older_version_that_still_builds_is_not_disturbed(store: Store) -> None:
    """Its store is cleared when it has ended; until then the new version does not begin."""
    put(store)
    (store.root / "format").write_text("0\n")

    with store.in_use(), pytest.raises(HostError, match="is using"):
        Store(root=store.root).open()

    assert store.find(KEY) is not None


def test_what_was_swept_is_said(store: Store) -> None:
    """The next run after a killed one says that it goes on, and from what; another says nothing."""
    (store.root / "tmp/left").mkdir()
    (store.root / "plans/.x.json.abc.half").write_text("{")
    said: list[str] = []

    Store(root=store.root).open(said.append)
    Store(root=store.root).open(said.append)

    assert said == ["resuming after a killed build: swept 2 leftovers"]
    assert names(store.root / "plans") == []


@pytest.mark.parametrize("damage", [b"", b"\xff", b"1\xff", b"9" * 5000, b"one\n", "²".encode()])
def test_a_damaged_format_is_said(store: Store, damage: bytes) -> None:
    """A store whose format cannot be read is left alone; the message names the file and a cure."""
    put(store)
    (store.root / "format").write_bytes(damage)

    with pytest.raises(HostError, match="is damaged") as caught:
        Store(root=store.root).open()

    assert str(store.root / "format") in caught.value.message
    assert "rm -r" in (caught.value.hint or "")
    assert store.find(KEY) is not None


def test_no_other_command_sweeps_a_folder_that_is_being_removed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A temporary folder is locked until it is gone: two that remove it would fail both."""
    real = module._remove
    swept: list[int] = []

    def slowly(path: Path) -> None:
        swept.append(Store(root=store.root).sweep())
        real(path)

    with store.scratch() as scratch:
        (scratch / "file").touch()
        monkeypatch.setattr(module, "_remove", slowly)

    assert swept == [0]
    assert names(store.root / "tmp") == []


def test_a_replaced_result_stays_for_whoever_uses_it(store: Store) -> None:
    """Its files stand until the block ends that holds it; the next command removes them."""
    old = put(store, text="old")
    with store.hold([old]):
        (inside,) = [(old.tree / "file").open()]
        before = inode(old.tree)
        put(store, text="new")
        left = [path / "tree" for path in (store.root / "tmp").iterdir()]

        assert [inode(path) for path in left] == [before]
        assert (left[0] / "file").read_text() == "old"
        assert (store.root / "layers" / KEY / "tree/file").read_text() == "new"
        assert store.sweep() == 0
        inside.close()

    assert store.sweep() == 1
    assert names(store.root / "tmp") == []


def inode(path: Path) -> int:
    """Give what tells one folder from another."""
    return path.stat().st_ino


def test_holding_what_is_gone(store: Store) -> None:
    """A result that another command removed cannot be held, and the message says what to do."""
    layer = put(store)
    store.remove(layer)

    with pytest.raises(GloveboxError, match="removed from") as caught, store.hold([layer]):
        pass

    assert caught.value.hint


def test_two_remove_the_same(store: Store) -> None:
    """Removing what another command has removed is no error."""
    layer = put(store)
    store.remove(layer)
    store.remove(layer)

    assert names(store.root / "tmp") == []


def test_a_store_is_cleared_of_everything(store: Store) -> None:
    """Damaged results go, too; the folders stay for a command that waits for this one's end."""
    put(store)
    (store.root / "layers/half").mkdir()
    (store.root / "layers/file").touch()
    (store.root / "debs/one").write_text("deb")
    (store.root / "apt/armel-x/lists").mkdir(parents=True)

    store.clear(downloads=True)

    assert [names(store.root / name) for name in ("layers", "debs", "apt", "tmp")] == [[]] * 4


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a byte more": lambda tree: (tree / "file").write_text("one!"),
    "other bytes": lambda tree: (tree / "file").write_text("two"),
    "a file gone": lambda tree: (tree / "file").unlink(),
    "a file more": lambda tree: (tree / "new").touch(),
    "another mode": lambda tree: (tree / "file").chmod(0o600),
    "another name": lambda tree: (tree / "file").rename(tree / "other"),
    "an attribute more": lambda tree: os.setxattr(tree / "file", "user.x", b"1"),
    "an attribute of the tree's": lambda tree: os.setxattr(tree, "user.x", b"1"),
    "a link in its place": lambda tree: (
        tree.rename(tree.with_name("away")), tree.symlink_to("away"),
    ),
    "a file in a new folder": lambda tree: (
        (tree / "sub").mkdir(), (tree / "file").rename(tree / "sub/file"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_seen(store: Store, name: str) -> None:
    """A result whose files are not those it was made with is told from one that is as it was."""
    layer = put(store)
    assert store.is_intact(layer)

    DAMAGE[name](layer.tree)

    assert not store.is_intact(layer)


def test_a_link_in_place_of_a_tree_is_no_result(store: Store) -> None:
    """What it points to is not what the build made."""
    layer = put(store)
    layer.tree.rename(layer.path / "away")
    layer.tree.symlink_to("away")

    assert store.find(KEY) is None


def test_a_result_of_before_is_intact(store: Store) -> None:
    """What was not kept when it was made is not missed: no result is made again for it."""
    layer = put(store)
    meta = json.loads((layer.path / "meta.json").read_text())
    del meta["attributes"]
    (layer.path / "meta.json").write_text(json.dumps(meta))

    found = store.find(KEY)
    assert found is not None
    assert store.is_intact(found)


def test_a_copied_store_is_intact(store: Store, tmp_path: Path) -> None:
    """Moving a store to another disk changes no result."""
    put(store)
    shutil.copytree(store.root, tmp_path / "copy", symlinks=True)
    copy = Store(root=tmp_path / "copy").open()

    found = copy.find(KEY)

    assert found is not None
    assert copy.is_intact(found)


def test_a_result_without_its_tree_is_none(store: Store) -> None:
    """What was removed by hand does not count."""
    shutil.rmtree(put(store).tree)

    assert store.find(KEY) is None
    put(store)


def test_the_order_that_survives_a_power_cut(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """All bytes are on the disk before the result has its name, and the name before it is given."""
    calls: list[str] = []

    def note(owner: object, name: str, told: Callable[..., str]) -> None:
        real = getattr(owner, name)

        def noted(*words: Path) -> object:
            calls.append(told(*words))
            return real(*words)

        monkeypatch.setattr(owner, name, noted)

    note(module.files, "syncfs", lambda path: f"flush {path.name}")
    note(module.files, "fsync_folder", lambda path: f"flush {path.name}/")
    note(Path, "rename", lambda path, to: f"rename {path.name} {to.name}")
    note(Path, "replace", lambda _, to: f"rename {to.name}")
    put(store)

    assert calls == [
        "rename meta.json", "flush result/", "flush result", f"rename result {KEY}",
        "flush layers/",
    ]  # fmt: skip


def test_a_flush_that_fails_makes_no_result(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that cannot take the bytes, which syncfs(2) tells, leaves no result behind."""
    import ctypes  # noqa: PLC0415  only here

    class Full:
        """Stands for a C library on a full disk."""

        def __init__(self, *_words: object, **_more: object) -> None:
            """Be loaded."""

        def syncfs(self, _descriptor: int) -> int:
            """Fail."""
            ctypes.set_errno(errno.ENOSPC)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", Full)

    with pytest.raises(OSError, match="No space left"):
        put(store)
    assert store.find(KEY) is None
    assert names(store.root / "layers") == names(store.root / "tmp") == []


@pytest.mark.parametrize(("name", "in_store"), [("s", True), ("s" * 60, False)])
def test_temporary_files_lie_where_they_are_swept(name: str, *, in_store: bool) -> None:
    """They end with the block, but for a store with a long path: sockets have short names only."""
    before = tempfile.gettempdir()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(root=Path(folder) / name).open()

        with store.temporary(), tempfile.TemporaryDirectory() as made:
            assert Path(made).is_relative_to(store.root) == in_store
            left = Path(tempfile.mkdtemp())

        assert left.exists() != in_store
        assert tempfile.gettempdir() == before
        if left.exists():
            left.rmdir()
