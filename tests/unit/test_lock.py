"""The lock: read and written without loss, and the only archive a build sees."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.errors import LockError
from glovebox.lock import apt, lock
from glovebox.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence


def package(name: str, version: str = "1.0-1") -> lock.Package:
    """Make a locked package as apt describes it."""
    sha256 = (name.encode().hex() * 64)[:64]
    stanza = (
        f"Package: {name}\nVersion: {version}\nArchitecture: armel\n"
        f"Description: reads\n Filename: is no field here\nFilename: pool/main/{name}.deb\n"
        f"SHA256: {sha256}"
    )
    return lock.Package(
        name=name, version=version, arch="armel", url=f"http://example.org/{name}.deb", size=7,
        sha256=sha256, stanza=stanza,
    )  # fmt: skip


LOCK = lock.Lock(
    suite="trixie",
    epoch=1_700_000_000,
    chains={
        "target": {"base": (package("dpkg"), package("apt")), "car/00-gps": (package("gpsd"),)},
        "tools": {"tools": (package("mtools"),)},
    },
    sources={
        "redis": (apt.Download(url="http://example.org/r", name="r", size=1, sha256="0" * 64),)
    },
    warnings=("an older one",),
)


def test_round_trip() -> None:
    """What is written is read back the same, and written again the same."""
    text = LOCK.dump()

    assert lock.parse(text) == LOCK
    assert lock.parse(text).dump() == text


def test_a_person_can_diff_it() -> None:
    """A line holds one value, and the order does not depend on how the lock was made."""
    again = lock.Lock(
        suite=LOCK.suite,
        epoch=LOCK.epoch,
        chains=dict(reversed(LOCK.chains.items())),
        sources=LOCK.sources,
        warnings=LOCK.warnings,
    )

    assert again.dump() == LOCK.dump()
    assert '"name": "gpsd",\n' in LOCK.dump()


def broken(**changes: object) -> str:
    """Give the lock with some of its top fields changed; None takes one out."""
    data = {**json.loads(LOCK.dump()), **changes}
    return json.dumps({name: value for name, value in data.items() if value is not None})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        "{}",
        LOCK.dump()[:-20],
        broken(suite=None),
        broken(format=None),
        broken(more=1),
        broken(chains=[]),
        broken(chains={"target": {"base": [{"name": "dpkg"}]}}),
        broken(sources={"redis": [7]}),
        broken(warnings=None),
        broken(format=lock.FORMAT + 1),
    ],
)
def test_a_damaged_lock(text: str) -> None:
    """Whatever is not our lock is refused with the way to a new one."""
    with pytest.raises(LockError) as caught:
        lock.parse(text)

    assert caught.value.hint == "run: invoke lock"


def test_another_format_is_named() -> None:
    """A lock of another version is not called damaged."""
    with pytest.raises(LockError, match="another version"):
        lock.parse(broken(format=lock.FORMAT + 1))


def test_the_repository_holds_the_locked_packages() -> None:
    """The index has exactly the chain's packages, each found in the pool by its hash."""
    stanzas = lock.repository(LOCK, "target").strip("\n").split("\n\n")

    assert [stanza.splitlines()[0] for stanza in stanzas] == [
        "Package: dpkg",
        "Package: apt",
        "Package: gpsd",
    ]
    for stanza, one in zip(stanzas, LOCK.packages("target"), strict=True):
        lines = stanza.splitlines()
        assert f"Filename: ./pool/{one.sha256}" in lines
        assert "pool/main" not in stanza
        assert " Filename: is no field here" in lines
        assert f"SHA256: {one.sha256}" in lines


def test_identity_is_what_is_installed() -> None:
    """Name, version, architecture and hash, and not where it came from."""
    one = package("gpsd", "3.25-1")

    assert one.identity == f"gpsd=3.25-1:armel@{one.sha256}"
    assert LOCK.identities("target", "car/00-gps") == package("gpsd").identity
    assert LOCK.identities("target", "nobody asked") == ""


def test_while_a_request_is_installed_later_ones_are_not_seen() -> None:
    """A later request may have another version of a package; the index ends with this one."""
    text = lock.repository(LOCK, "target", until="base")

    assert "Package: apt\n" in text
    assert "Package: gpsd\n" not in text
    assert "Package: gpsd\n" in lock.repository(LOCK, "target", until="car/00-gps")


def test_a_suite_becomes_the_version_that_was_found() -> None:
    """The lock's archive has no suites: the version stands in; other notation stays."""
    words = ("gpsd/backports", "dpkg/stable", "vim-", "x=1", "y:armel", "plain")

    exact = LOCK.exact("target", "car/00-gps", words, installed=frozenset({"vim"}))

    assert exact == ("gpsd=1.0-1", "dpkg", "vim-", "x=1", "y:armel", "plain")


def test_a_package_to_remove_that_is_nowhere_is_left_out() -> None:
    """`name-` of a package that is not there has nothing to do; apt would not find it here."""
    words = ("gpsd", "firmware-marvell-prestera-", "vim-:armel", "gpsd-", "libstdc++-")

    exact = LOCK.exact("target", "car/00-gps", words, installed=frozenset({"libstdc++-"}))

    assert exact == ("gpsd", "gpsd-", "libstdc++-")


def test_removed_packages_leave_the_status() -> None:
    """What apt says it removes is read, whatever marks stand on it, and taken out of the status."""
    said = (
        "Reading package lists...\nThe following packages will be REMOVED:\n  cl-rt* libfoo:armel\n"
        "  more\nThe following NEW packages will be installed:\n  hello\n"
    )
    status = apt.status_of(["Package: cl-rt\nVersion: 1", "Package: cl-rt-dev\nVersion: 1"])

    assert apt._removed(said) == {"cl-rt", "libfoo", "more"}
    assert apt._removed("The following NEW packages will be installed:\n  hello\n") == frozenset()
    assert apt.without(status, {"cl-rt"}) == apt.status_of(["Package: cl-rt-dev\nVersion: 1"])


def test_a_locked_build_takes_its_own_lock_alone(tmp_path: Path) -> None:
    """One that answers what is asked is taken as it is; for other questions it is refused."""
    path = tmp_path / "image.3.lock.json"
    path.write_text(replace(LOCK, asked="this").dump())

    assert lock.read(path, asked="this") == replace(LOCK, asked="this")
    with pytest.raises(LockError, match="made for other packages") as caught:
        lock.read(path, asked="that")

    assert str(path) in caught.value.message
    assert "./invoke lock" in (caught.value.hint or "")


def test_without_a_lock_file(tmp_path: Path) -> None:
    """The error names the file that is missing and how it is made."""
    with pytest.raises(LockError) as caught:
        lock.read(tmp_path / "image.3.lock.json", asked="this")

    assert "image.3.lock.json" in caught.value.message
    assert "./invoke lock" in (caught.value.hint or "")


CHAIN = lock.Chain(
    name="target", arch="armel", requests=(lock.Request(name="base", packages=("apt",)),)
)
ASKED: dict[str, tuple[str, lock.Chain, tuple[str, ...]]] = {
    "another suite": ("forky", CHAIN, ("redis",)),
    "another processor": ("trixie", replace(CHAIN, arch="arm64"), ("redis",)),
    "another package": (
        "trixie",
        replace(CHAIN, requests=(lock.Request(name="base", packages=("apt", "gpsd")),)),
        ("redis",),
    ),
    "recommended ones too": (
        "trixie",
        replace(CHAIN, requests=(replace(CHAIN.requests[0], recommends=True),)),
        ("redis",),
    ),
    "another base": ("trixie", replace(CHAIN, installed="Package: x"), ("redis",)),
    "another source": ("trixie", CHAIN, ("valkey",)),
}


@pytest.mark.parametrize("name", ASKED)
def test_what_makes_it_another_question(name: str) -> None:
    """Everything that decides the answer is part of the question, and it alone."""
    asked = lock.question("trixie", [CHAIN], ["redis"])
    suite, chain, sources = ASKED[name]

    assert lock.question(suite, [chain], list(sources)) != asked
    assert lock.question("trixie", [replace(CHAIN)], ("redis",)) == asked


class Listed(apt.Apt):
    """Indices that list these versions of every source, newest first."""

    versions = ("3", "2")

    def source_versions(self, package: str) -> list[str]:
        """Give them."""
        assert package == "redis"
        return list(self.versions)

    def source_uris(self, package: str, version: str) -> list[apt.Download]:
        """Give one file, named by its version."""
        name = f"{package}_{version}.dsc"
        return [apt.Download(url=f"http://example.org/{name}", name=name, size=1, sha256=version)]


class Older(Listed):
    """The same under the suite's other name."""

    versions = ("1",)


@pytest.mark.parametrize(
    ("there", "taken", "warned"),
    [({"3", "2", "1"}, "3", 0), ({"2", "1"}, "2", 1), ({"1"}, "1", 2)],
)
def test_newest_source_that_the_mirror_has(
    there: set[str], taken: str, warned: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each version that is listed and not there is told; last the suite's other name is asked."""

    def fetch(downloads: tuple[apt.Download, ...], _folder: Path) -> None:
        if downloads[0].sha256 not in there:
            raise LockError("404  Not Found")

    monkeypatch.setattr(apt, "fetch", fetch)
    warnings: list[str] = []
    state, older = (kind(folder=tmp_path, arch="armel") for kind in (Listed, Older))

    (found,) = lock._resolve_source(state, lambda: older, "redis", Store(root=tmp_path), warnings)

    assert found.sha256 == taken
    assert len(warnings) == warned


def test_source_that_is_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no listed version can be had, the first one's error is told."""

    def fetch(downloads: tuple[apt.Download, ...], _folder: Path) -> None:
        raise LockError(f"no {downloads[0].name}")

    monkeypatch.setattr(apt, "fetch", fetch)
    state = Listed(folder=tmp_path, arch="armel")

    with pytest.raises(LockError, match=r"no redis_3\.dsc"):
        lock._resolve_source(state, lambda: None, "redis", Store(root=tmp_path), [])


INDEX = "m_dists_trixie_InRelease"
ARCHIVES = (apt.Archive(url="http://example.org/debian", suite="trixie", optional=False),)


class Mirror:
    """A mirror that can go away, and takes half of what was known along."""

    def __init__(self) -> None:
        """Be there."""
        self.there = True

    def update(self, state: apt.Apt, _: object) -> list[str]:
        """Stand for `Apt.update`."""
        path = state.folder / "lists" / INDEX
        path.unlink(missing_ok=True)
        if not self.there:
            raise LockError("the package index of trixie (armel) could not be fetched:\nE: gone")
        path.write_text("Codename: trixie\n")
        (state.folder / "sources.list").write_text("deb http://example.org/debian trixie main\n")
        return ["an older one"]


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Mirror:
    """Give a mirror that apt asks, whose answers are never fresh."""
    made = Mirror()

    def update(state: apt.Apt, entries: object) -> list[str]:
        return made.update(state, entries)

    monkeypatch.setattr(apt.Apt, "update", update)
    monkeypatch.setattr(lock, "FRESH_S", 0)
    return made


def indices(store: Store, *, refresh: bool = False) -> tuple[apt.Apt, list[str]]:
    """Ask for the indices of one archive."""
    return lock._indices(store, entries=ARCHIVES, arch="armel", refresh=refresh)


def test_known_packages_are_built_from_when_the_mirror_is_gone(
    tmp_path: Path, mirror: Mirror
) -> None:
    """What was known whole last is used again, each time with one warning that says so."""
    store = Store(root=tmp_path).open()
    indices(store)
    mirror.there = False

    for _ in range(2):
        state, warnings = indices(store)

        assert (state.folder / "lists" / INDEX).read_text() == "Codename: trixie\n"
        assert warnings[0] == "an older one"
        assert [one for one in warnings if "known since" in one] == warnings[1:]
        assert "could not be fetched" in warnings[1]

    mirror.there = True
    assert indices(store)[1] == ["an older one"]


def test_who_asks_for_the_newest_hears_that_there_is_none(tmp_path: Path, mirror: Mirror) -> None:
    """With `--refresh`, or where nothing was ever known, a mirror that is gone is an error."""
    store = Store(root=tmp_path).open()
    mirror.there = False
    with pytest.raises(LockError, match="could not be fetched"):
        indices(store)
    mirror.there = True
    indices(store)
    mirror.there = False

    with pytest.raises(LockError, match="could not be fetched"):
        indices(store, refresh=True)


class Pool:
    """A mirror whose indices list a new package, and under the suite's other name an old one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *there: lock.Package) -> None:
        """Have these files; answer for `Apt` and `pool`."""
        self.there = there
        self.has_other_name = True
        monkeypatch.setattr(lock.pool, "missing", self.missing)
        monkeypatch.setattr(lock, "_resolve_chain", self.resolve)
        monkeypatch.setattr(lock, "_under_other_names", self.under_other_names)

    def missing(self, downloads: Sequence[apt.Download]) -> list[apt.Download]:
        """Stand for `pool.missing`."""
        had = {one.sha256 for one in self.there}
        return [one for one in downloads if one.sha256 not in had]

    def resolve(self, state: apt.Apt, _: lock.Chain) -> dict[str, tuple[lock.Package, ...]]:
        """Give what the indices of this state list."""
        return {"base": (package(state.arch),)}

    def under_other_names(self, *_: object, refresh: bool) -> apt.Apt | None:
        """Give the older state, if there is one."""
        assert not refresh
        return apt.Apt(folder=Path("/nowhere"), arch="old") if self.has_other_name else None

    def ask(self, store: Store) -> tuple[str, list[str]]:
        """Give the package that was found, and the warnings."""
        warnings: list[str] = []
        state = apt.Apt(folder=store.root, arch="new")
        chain = lock.Chain(name="target", arch="new", requests=())
        used, found = lock._resolve_chain_that_is_there(
            store, state, chain, ARCHIVES, warnings, refresh=False
        )
        name = found["base"][0].name
        assert used.arch == name  # what gives the date of the build
        return name, warnings


def test_packages_that_are_listed_and_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suite under its other name is taken when its packages can be had, and it is said."""
    asked = Pool(monkeypatch, package("old"))

    name, (warning,) = asked.ask(Store(root=tmp_path))

    assert name == "old"
    assert "1 of those needed (new 1.0-1)" in warning


def test_packages_that_are_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the other name is no better, or there is none, the download will say it."""
    asked = Pool(monkeypatch)
    assert asked.ask(Store(root=tmp_path)) == ("new", [])

    asked.has_other_name = False
    assert asked.ask(Store(root=tmp_path)) == ("new", [])


def test_packages_in_the_store_are_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mirror that forgot a package does not matter to who has it."""
    (tmp_path / "debs").mkdir()
    (tmp_path / "debs" / package("new").sha256).touch()

    assert Pool(monkeypatch, package("old")).ask(Store(root=tmp_path)) == ("new", [])


@pytest.mark.parametrize(
    "stamp",
    [
        json.dumps({"time": 4_070_908_800, "warnings": ["of 2099"]}),
        "[]", "null", "{}", '{"time": "now", "warnings": []}', '{"time": 1', "[" * 100_000,
    ],
)  # fmt: skip
def test_an_index_nobody_knows_the_age_of_is_not_fresh(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch, stamp: str
) -> None:
    """Asked for while a clock was ahead, or with a damaged note, it is asked for again."""
    assert mirror.there
    monkeypatch.setattr(lock, "FRESH_S", 1000)
    store = Store(root=tmp_path).open()
    state, _ = indices(store)
    (state.folder / "lists" / INDEX).write_text("old\n")
    (state.folder / "updated.json").write_text(stamp)

    state, warnings = indices(store)

    assert (state.folder / "lists" / INDEX).read_text() == "Codename: trixie\n"
    assert warnings == ["an older one"]


def test_a_lock_file_that_is_no_text(tmp_path: Path) -> None:
    """Bytes that are no UTF-8, or JSON deeper than any lock, are a damaged lock."""
    path = tmp_path / "image.3.lock.json"
    for damage in (b"\xff\xfe", b'{"a":' * 100_000):
        path.write_bytes(damage)

        with pytest.raises(LockError, match="damaged"):
            lock.read(path, asked="x")
