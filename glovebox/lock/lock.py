"""Resolve what a build needs to exact versions and hashes, before anything is planned.

The lock *is* the archive of the build: steps see a package index that holds the locked packages and
no others, so nothing else can be installed, and no step needs the network.
"""

from __future__ import annotations

import contextlib
import functools
import json
import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from glovebox.errors import LockError
from glovebox.host import files
from glovebox.lock import apt, official, pip, pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from glovebox.store.store import Store

FORMAT = 2
# How long an index counts as fresh; `invoke lock` and `--refresh` ask the mirror at once.
FRESH_S = 12 * 3600
_PINNED = (
    "the image that this one starts from pins packages (etc/apt/preferences.d), which can rule"
    " versions out"
)
_KNOWN_SINCE = "building from the packages known since"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What one step wants installed on top of what the steps before it installed."""

    name: str
    packages: tuple[str, ...]
    recommends: bool = False


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Requests that build one root file system, in order."""

    name: str
    arch: str
    requests: tuple[Request, ...]
    # dpkg's status before the first request: empty, or that of an imported image.
    installed: str = ""
    # That image's apt preferences.
    pins: str = ""


@dataclass(frozen=True, kw_only=True)
class Package:
    """One locked package: its file and its entry in the package index."""

    name: str
    version: str
    arch: str
    url: str
    size: int
    sha256: str
    stanza: str

    @property
    def identity(self) -> str:
        """Name, version, architecture and hash: all that decides what it installs."""
        return f"{self.name}={self.version}:{self.arch}@{self.sha256}"

    def download(self) -> apt.Download:
        """Give what to fetch."""
        return apt.Download(url=self.url, name=self.name, size=self.size, sha256=self.sha256)


@dataclass(frozen=True, kw_only=True)
class Lock:
    """Exact versions for every chain and source; ``epoch`` is the build's time in seconds."""

    suite: str
    epoch: int
    # chain → request → the packages that it adds
    chains: Mapping[str, Mapping[str, tuple[Package, ...]]]
    sources: Mapping[str, tuple[apt.Download, ...]] = field(default_factory=dict)
    # The digest of what was asked for: a lock answers one set of questions.
    asked: str = ""
    warnings: tuple[str, ...] = ()
    # The lowest layer, with base raspios.
    raspios: official.OfficialImage | None = None
    # With an NN-wheels.
    wheels: pip.Locked | None = None

    def packages(self, chain: str) -> tuple[Package, ...]:
        """Give every package of a chain, in the order of installation."""
        return tuple(one for group in self.chains[chain].values() for one in group)

    def wheels_of(self, request: str) -> tuple[pip.Wheel, ...]:
        """Give the wheels that one list adds."""
        return self.wheels.lists.get(request, ()) if self.wheels else ()

    def identities(self, chain: str, request: str) -> str:
        """Give what a request adds, as text for a fingerprint."""
        return "\n".join(one.identity for one in self.chains.get(chain, {}).get(request, ()))

    def exact(
        self,
        chain: str,
        request: str,
        words: Sequence[str],
        *,
        installed: frozenset[str] = frozenset(),
    ) -> tuple[str, ...]:
        """Give the words of a request as apt takes them with this lock's archive alone.

        That one has no suites: `name/suite` becomes the version that was found for it. And it
        knows of no package that is only to be removed: `name-` is left out where that is not
        ``installed``.
        """
        known = {one.name for one in self.packages(chain)} | installed
        versions = {one.name: one.version for one in self.chains[chain].get(request, ())}
        found: list[str] = []
        for word in words:
            bare = word.partition(":")[0]
            if bare.endswith("-") and not known & {bare, bare[:-1]}:
                continue
            name, slash, _ = word.partition("/")
            version = versions.get(name.partition(":")[0])
            found.append(word if not slash else f"{name}={version}" if version else name)
        return tuple(found)

    def dump(self) -> str:
        """Give the lock as JSON that a person can diff."""
        data = {"format": FORMAT, **asdict(self)}
        if self.raspios is None:
            del data["raspios"]
        if self.wheels is None:
            del data["wheels"]
        return json.dumps(data, indent=1, sort_keys=True) + "\n"


def question(
    suite: str,
    chains: Sequence[Chain],
    sources: Sequence[str],
    wanted: Sequence[pip.Wanted] = (),
) -> str:
    """Give the digest of what a lock is asked for."""
    more = [[asdict(one) for one in wanted]] if wanted else []
    return files.digest_json([suite, [_asked(chain) for chain in chains], list(sources), *more])


def _asked(chain: Chain) -> dict[str, Any]:
    """Give all of a chain that decides the answer; one without pins asks as it always did."""
    return {name: part for name, part in asdict(chain).items() if part or name != "pins"}


def read(path: Path, *, asked: str) -> Lock:
    """Read a lock file; raises LockError when there is none, or it answers another question."""
    found = load(path)
    if found.asked != asked:
        raise LockError(
            f"{path} was made for other packages than image.yaml and its stages ask for now",
            hint="./invoke lock, and look at what changes; or build without --locked",
        )
    return found


def load(path: Path) -> Lock:
    """Read a lock file, whatever it answers; raises LockError when there is none."""
    try:
        return parse(path.read_text(errors="replace"))
    except OSError as error:
        raise LockError(f"{path}: {error.strerror}", hint="./invoke lock writes it") from error


def parse(text: str) -> Lock:
    """Read a lock; raises LockError when it is none of ours."""
    try:
        data: dict[str, Any] = json.loads(text)
        if data.pop("format") != FORMAT:
            raise LockError("the lock file is of another version", hint="run: invoke lock")
        data["chains"] = {
            chain: {name: tuple(Package(**one) for one in group) for name, group in groups.items()}
            for chain, groups in data["chains"].items()
        }
        data["sources"] = {
            name: tuple(apt.Download(**one) for one in group)
            for name, group in data["sources"].items()
        }
        data["warnings"] = tuple(data["warnings"])
        if "wheels" in data:
            data["wheels"] = pip.again(data["wheels"])
        if "raspios" in data:  # a lock of another base, or of an older version, has none
            data["raspios"] = official.again(data["raspios"])
        return Lock(**data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LockError(f"the lock file is damaged: {error}", hint="run: invoke lock") from error


def resolve(
    store: Store,
    *,
    suite: str,
    mirror: apt.Mirror,
    chains: Sequence[Chain],
    sources: Sequence[str],
    wanted_wheels: Sequence[pip.Wanted] = (),
    refresh: bool = False,
    own: Sequence[apt.Archive] = (),
) -> Lock:
    """Resolve all chains and source packages against the mirror.

    The answer is kept beside the indices it came from: as long as they stand, asking again costs
    nothing. The first chain is the target's; ``own`` are the archives of an imported image, used
    for it in place of Debian's. Raises LockError when something cannot be resolved.
    """
    # One command at a time: apt is asked through files, its indices and a dpkg status, that each
    # question writes anew.
    with store.exclusive("resolve"):
        return _resolve(
            store, suite=suite, mirror=mirror, chains=chains, sources=sources,
            wanted_wheels=wanted_wheels, refresh=refresh, own=own,
        )  # fmt: skip


def _resolve(
    store: Store,
    *,
    suite: str,
    mirror: apt.Mirror,
    chains: Sequence[Chain],
    sources: Sequence[str],
    wanted_wheels: Sequence[pip.Wanted],
    refresh: bool,
    own: Sequence[apt.Archive],
) -> Lock:
    warnings: list[str] = []
    states: dict[str, apt.Apt] = {}
    entries: dict[str, tuple[apt.Archive, ...]] = {}
    for chain in chains:
        foreign = own and chain is chains[0]
        entries[chain.name] = tuple(own) if foreign else apt.archives(mirror, suite)
        states[chain.name], said = _indices(
            store, entries=entries[chain.name], arch=chain.arch, refresh=refresh
        )
        warnings += said
    wanted = files.digest_json(
        [FORMAT, suite, [_asked(chain) for chain in chains], list(sources), warnings]
        + [[asdict(one) for one in wanted_wheels]] * bool(wanted_wheels)
        + [
            (path.name, path.stat().st_size, path.stat().st_mtime_ns)
            for state in states.values()
            for path in state.index_files()
        ]
    )
    kept = store.root / "apt" / f"lock-{wanted[:32]}.json"
    if not refresh:  # the same indices can have found their files meanwhile
        with contextlib.suppress(OSError, LockError):  # damaged: it is made anew
            return parse(kept.read_text())
    state = states[chains[0].name]

    @functools.cache
    def older() -> apt.Apt | None:
        return _under_other_names(store, state, apt.archives(mirror, suite)[:1], refresh=refresh)

    found: dict[str, tuple[apt.Download, ...]] = {}
    for name in sources:
        package, _, other = name.partition("/")
        if other in ("", suite):
            found[name] = _resolve_source(state, older, package, store, warnings)
            continue
        indices, said = _indices(
            store, entries=apt.archives(mirror, other), arch=chains[0].arch, refresh=refresh
        )
        warnings += said
        found[name] = _resolve_source(indices, lambda: None, package, store, warnings)
    resolved: dict[str, Mapping[str, tuple[Package, ...]]] = {}
    for chain in chains:
        states[chain.name], resolved[chain.name] = _resolve_chain_that_is_there(
            store, states[chain.name], chain, entries[chain.name], warnings, refresh=refresh
        )
    lock = Lock(
        suite=suite,
        asked=question(suite, chains, sources, wanted_wheels),
        epoch=states[chains[0].name].release_time(suite),
        chains=resolved,
        sources=found,
        warnings=tuple(dict.fromkeys(warnings)),
    )
    if wanted_wheels:
        python = pip.python_of(_versions(lock, chains[0]), chains[0].arch)
        lock = replace(lock, wheels=pip.resolve(wanted_wheels, python))
    files.write_whole(kept, lock.dump(), mode=0o600)
    return lock


def _versions(lock: Lock, chain: Chain) -> dict[str, str]:
    """Give the version of each package that a root file system has in the end."""
    locked = {one.name: one.version for one in lock.packages(chain.name)}
    return {**apt.versions_in(chain.installed), **locked}


def download(lock: Lock, store: Store, chain: str) -> None:
    """Bring every package of a chain into the store."""
    apt.fetch([one.download() for one in lock.packages(chain)], store.root / "debs")


def repository(lock: Lock, chain: str, *, until: str | None = None) -> str:
    """Give the package index of a chain: what apt may see while the chain is built.

    With ``until``, while that request is installed: a later one may have another version.
    """
    found: list[Package] = []
    for request, group in lock.chains[chain].items():
        found += group
        if request == until:
            break
    return "".join(f"{_with_file_name(one)}\n\n" for one in found)


def _with_file_name(package: Package) -> str:
    lines = [
        f"Filename: ./pool/{package.sha256}" if line.startswith("Filename: ") else line
        for line in package.stanza.splitlines()
    ]
    return "\n".join(lines)


def _indices(
    store: Store, *, entries: Sequence[apt.Archive], arch: str, refresh: bool
) -> tuple[apt.Apt, list[str]]:
    where = files.digest(arch, *(line for entry in entries for line in entry.lines()))[:16]
    state = apt.Apt(folder=store.root / "apt" / f"{arch}-{where}", arch=arch)
    stamp = state.folder / "updated.json"
    with store.exclusive(f"apt-{where}"):
        state.prepare()
        known = _asked_before(stamp)
        # Written while a clock was ahead, it would be fresh for years.
        if not refresh and known and 0 <= time.time() - known.time < FRESH_S:
            return state, list(known.warnings)
        try:
            warnings, asked = state.update(entries), time.time()
            state.keep()
        except LockError as error:
            # Who asked for the newest wants to hear that there is none.
            if refresh or known is None or not state.restore():
                raise
            warnings, asked = _with_age(known.warnings, state, error), known.time
        files.write_whole(stamp, json.dumps({"time": asked, "warnings": warnings}))
    return state, warnings


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """When a mirror was asked for its indices, and what there was to say of them."""

    time: float
    warnings: tuple[str, ...]


def _asked_before(stamp: Path) -> _Asked | None:
    """Read when the indices were asked for; None where nobody knows."""
    match files.read_object(stamp):
        case {"time": int() | float() as when, "warnings": [*said]}:
            return _Asked(time=when, warnings=tuple(map(str, said)))
        case _:
            return None


def _with_age(warnings: Sequence[str], state: apt.Apt, error: LockError) -> list[str]:
    """Add to the warnings that came with kept indices that they are kept ones."""
    newest = max(path.stat().st_mtime for path in state.index_files())
    day = time.strftime("%Y-%m-%d", time.gmtime(newest))
    said = str(error).partition("\n")[0].rstrip(":")
    kept = f"{said}: {_KNOWN_SINCE} {day}; `invoke lock` asks again"
    return [*(one for one in warnings if _KNOWN_SINCE not in one), kept]


def _resolve_chain_that_is_there(
    store: Store,
    state: apt.Apt,
    chain: Chain,
    entries: Sequence[apt.Archive],
    warnings: list[str],
    *,
    refresh: bool,
) -> tuple[apt.Apt, Mapping[str, tuple[Package, ...]]]:
    """Resolve a chain to packages that can be had; give the indices they are from, too.

    Where the mirror lists packages that it has not, it is asked for the suite by its other name.
    If that is no better, the download will say which ones are missing.
    """
    listed = _resolve_chain(state, chain)
    gone = _missing(store, listed)
    if not gone:
        return state, listed
    other = _under_other_names(store, state, entries, refresh=refresh)
    if other is None:
        return state, listed
    try:
        older = _resolve_chain(other, chain)
    except LockError:  # it has not all that was asked for
        return state, listed
    if _missing(store, older):
        return state, listed
    names = [f"{one.name} {one.version}" for one in gone]
    warnings.append(
        f"the mirror lists packages ({chain.arch}) that it does not have, {len(gone)} of those"
        f" needed ({apt.few(names)}): building from what it has under the"
        " suite's other name, which is older, WITHOUT their fixes; `invoke lock` asks again"
    )
    return other, older


def _missing(store: Store, groups: Mapping[str, tuple[Package, ...]]) -> list[Package]:
    """Give the packages that are neither in the store nor, by its own word, on the mirror."""
    wanted = {
        one.download(): one
        for group in groups.values()
        for one in group
        if not (store.root / "debs" / one.sha256).exists()
    }
    return [wanted[one] for one in pool.missing(tuple(wanted))]


def _resolve_chain(state: apt.Apt, chain: Chain) -> dict[str, tuple[Package, ...]]:
    status = chain.installed
    groups: dict[str, tuple[Package, ...]] = {}
    for request in chain.requests:
        try:
            asked = state.install_uris(
                request.packages, recommends=request.recommends, status=status, pins=chain.pins
            )
        except LockError as error:
            hint = f"{_PINNED}, or {error.hint}" if chain.pins else error.hint
            raise LockError(f"{request.name}: {error.message}", hint=hint) from error
        stanzas = state.stanzas({one.name for one in asked.downloads})
        groups[request.name] = tuple(_package(one, stanzas[one.name]) for one in asked.downloads)
        # What is installed anew takes the place of what was there.
        gone = asked.removed | {one.name for one in groups[request.name]}
        status = apt.without(status, gone)
        status += apt.status_of([package.stanza for package in groups[request.name]])
    return groups


def _resolve_source(
    state: apt.Apt,
    older: Callable[[], apt.Apt | None],
    name: str,
    store: Store,
    warnings: list[str],
) -> tuple[apt.Download, ...]:
    """Fetch the newest version whose files the mirror has; say so when it is an older one.

    Where it has none of those that it lists, it is asked for the suite by its other name.
    """
    first: LockError | None = None
    for indices in _newest_first(state, older):
        for version in indices.source_versions(name):
            found = tuple(indices.source_uris(name, version))
            try:
                apt.fetch(found, store.root / "sources")
            except LockError as error:
                first = first or error
                warnings.append(
                    f"the mirror lists the source {name} {version} and does not have it: compiling"
                    " an older version WITHOUT its fixes; `invoke lock` asks again"
                )
            else:
                return found
    raise first or LockError(f"there is no source package {name} in {state.arch}'s indices")


def _newest_first(state: apt.Apt, older: Callable[[], apt.Apt | None]) -> Iterator[apt.Apt]:
    yield state
    other = older()
    if other is not None:
        yield other


def _under_other_names(
    store: Store, state: apt.Apt, entries: Sequence[apt.Archive], *, refresh: bool
) -> apt.Apt | None:
    """Give the indices with the suite under its other name, `stable`; None if there are none."""
    main = state.other_name(entries[0])
    if main is None:
        return None
    try:
        found, _ = _indices(store, entries=[main, *entries[1:]], arch=state.arch, refresh=refresh)
    except LockError:
        return None
    return found if found.is_of(entries[0].suite, main) else None


def _package(found: apt.Download, stanza: str) -> Package:
    fields = dict(
        line.split(": ", 1) for line in stanza.splitlines() if ": " in line and line[0] != " "
    )
    return Package(
        name=fields["Package"],
        version=fields["Version"],
        arch=fields["Architecture"],
        url=found.url,
        size=found.size,
        sha256=found.sha256,
        stanza=stanza,
    )
