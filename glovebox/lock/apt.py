"""Ask the host's apt about another suite and architecture, in a state folder of our own.

Nothing here touches the host's package state. Archive signatures are checked against the
debian-archive-keyring of the host.
"""

from __future__ import annotations

import email.utils
import fcntl
import functools
import os
import re
import shlex
import shutil
import urllib.parse
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from debian import deb822

from glovebox.errors import HostError, LockError
from glovebox.host import files, hints, inside
from glovebox.host.run import CommandError, run

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
COMPONENTS = ("main", "non-free-firmware")
HELPER = "/usr/lib/apt/apt-helper"
TIMEOUT_S = 30
RETRIES = 3
_KEPT = "kept"
# A message names so many of many.
_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """Where Debian's archive and its security archive are fetched from."""

    main: str
    security: str


@dataclass(frozen=True, kw_only=True)
class Archive:
    """One entry of a sources list."""

    url: str
    suite: str
    optional: bool
    components: tuple[str, ...] = COMPONENTS
    keyring: Path = KEYRING
    # Whether what is compiled may come from there, too.
    sources: bool = True

    def lines(self) -> tuple[str, ...]:
        """Give the entry in apt's one-line format, for binaries and for sources."""
        parts = f"[signed-by={self.keyring}] {self.url} {self.suite} {' '.join(self.components)}"
        return (f"deb {parts}", f"deb-src {parts}") if self.sources else (f"deb {parts}",)


@dataclass(frozen=True, kw_only=True)
class SourceEntry:
    """One entry of a system's own apt sources, as it stands there."""

    url: str
    suite: str
    components: tuple[str, ...]
    keyring: str = ""


@dataclass(frozen=True, kw_only=True)
class Download:
    """A file apt would fetch: address, name, size in bytes, sha256."""

    url: str
    name: str
    size: int
    sha256: str


def host_mirror(root: Path = Path("/")) -> Mirror:
    """Find this host's mirror: its own apt sources, else the default built into mmdebstrap."""
    found: dict[str, str] = {}
    for source in sources_of(root):
        parts = urllib.parse.urlsplit(source.url)
        # Makers of other software have a folder of this name too, and no component `main` in it.
        if parts.scheme not in ("http", "https") or "main" not in source.components:
            continue
        folder = parts.path.rpartition("/")[2]
        if folder == "debian-security" and source.suite.endswith("-security"):
            found.setdefault("security", source.url)
        elif folder == "debian":
            found.setdefault("main", source.url)
    default = mmdebstrap_default()
    main = found.get("main", default.main)
    # A host of another distribution has no Debian archive in its sources: then both are default.
    return Mirror(main=main, security=found.get("security", default.security))


def mmdebstrap_default() -> Mirror:
    """Read the mirrors out of the installed mmdebstrap: no host name stands in our files."""
    for folder in ("/usr/bin", "/usr/local/bin"):
        program = Path(folder) / "mmdebstrap"
        if program.exists():
            text = program.read_text(errors="replace")
            main = re.search(r"\$mirror\s*=\s*'(http[^']+/debian)'", text)
            security = re.search(r"\$secmirror\s*=\s*'(http[^']+)'", text)
            if main:
                other = security[1] if security else f"{main[1]}-security"
                return Mirror(main=main[1], security=other)
    raise HostError("mmdebstrap is not installed", hint="apt-get install mmdebstrap")


def archives(mirror: Mirror, suite: str) -> tuple[Archive, ...]:
    """Give the entries a stable suite of Debian has; only the first is indispensable."""
    return (
        Archive(url=mirror.main, suite=suite, optional=False),
        Archive(url=mirror.main, suite=f"{suite}-updates", optional=True),
        Archive(url=mirror.security, suite=f"{suite}-security", optional=True),
    )


@dataclass(frozen=True, kw_only=True)
class Change:
    """What an installation would do: files to fetch, and names of packages it takes away."""

    downloads: tuple[Download, ...]
    removed: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Apt:
    """A private apt state for one architecture."""

    folder: Path
    arch: str

    def prepare(self) -> None:
        """Write the configuration that keeps apt inside ``folder``."""
        for name in ("lists/partial", "cache/archives/partial", "etc", "log"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        files.write_whole(self.folder / "apt.conf", _conf(self.folder, self.arch))

    def update(self, entries: Sequence[Archive]) -> list[str]:
        """Fetch the indices; give a warning for each optional archive that could not be used.

        Raises LockError when the main archive cannot be read.
        """
        try:
            self._update(entries)
        except CommandError:
            return self._update_one_by_one(entries)
        return []

    def _update_one_by_one(self, entries: Sequence[Archive]) -> list[str]:
        # A mirror in the middle of a sync has indices that do not match their Release file.
        good: list[Archive] = []
        warnings: list[str] = []
        for entry in entries:
            try:
                self._update([*good, entry])
            except CommandError as error:
                alias = self._under_its_other_name(entry, good)
                if alias is not None:
                    good.append(alias)
                    warnings.append(
                        f"the mirror's {entry.suite} ({self.arch}) does not match its own Release"
                        f" file: building from what it has as `{alias.suite}`, which can be older"
                    )
                    continue
                if not entry.optional:
                    raise LockError(
                        f"the package index of {entry.suite} ({self.arch}) could not be fetched:\n"
                        + error.tail,
                        hint=hints.hint_for(error.tail)
                        or "check the network and the clock (date); another mirror can be set"
                        " in image.yaml: mirror: http://…/debian",
                    ) from error
                warnings.append(
                    f"the mirror's {entry.suite} ({self.arch}) does not match its own Release file"
                    f" or cannot be read: building WITHOUT it ({_reason(error.tail)})"
                )
            else:
                good.append(entry)
        self._update(good)
        return warnings

    def _under_its_other_name(self, entry: Archive, good: Sequence[Archive]) -> Archive | None:
        """Fetch a suite as `stable` and the like, as its Release file calls it; None if that fails.

        A cache on the way can hold an older state under that name, whole and signed all the same.
        """
        alias = self.other_name(entry)
        if alias is None:
            return None
        try:
            self._update([*good, alias])
        except CommandError:
            return None
        return alias if self.is_of(entry.suite, alias) else None

    def other_name(self, entry: Archive) -> Archive | None:
        """Give the archive as its Release file calls its suite, if that is another name."""
        found = re.search(r"^Suite: (\S+)$", self._release_of(entry.suite), re.MULTILINE)
        return replace(entry, suite=found[1]) if found and found[1] != entry.suite else None

    def is_of(self, codename: str, entry: Archive) -> bool:
        """Tell whether an archive is the release it was taken for: `stable` moves on to another."""
        release = self._release_of(entry.suite)
        return re.search(rf"^Codename: {re.escape(codename)}$", release, re.MULTILINE) is not None

    def _release_of(self, suite: str) -> str:
        """Give the text of a suite's Release file, also if its indices did not come."""
        lists = self.folder / "lists"
        for folder in (lists, lists / "partial"):
            for path in sorted(folder.glob(f"*_dists_{suite}_InRelease")):
                return path.read_text(errors="replace")
        return ""

    def _update(self, entries: Sequence[Archive]) -> None:
        lines = [line for entry in entries for line in entry.lines()]
        files.write_whole(self.folder / "sources.list", "\n".join(lines) + "\n")
        self._run("apt-get", "update", "--error-on=any")

    def keep(self) -> None:
        """Keep the indices there are, for a day on which the mirror has none that fit."""
        kept, half = self.folder / _KEPT, self.folder / f"{_KEPT}.half"
        for old in (half, kept):
            shutil.rmtree(old, ignore_errors=True)
        half.mkdir()
        # apt replaces its files and writes into none: a link keeps the bytes.
        for path in (*self.index_files(), self.folder / "sources.list"):
            (half / path.name).hardlink_to(path)
        half.rename(kept)

    def restore(self) -> bool:
        """Take the kept indices again; False where none were ever kept."""
        kept = self.folder / _KEPT
        if not kept.is_dir():
            return False
        for path in self.index_files():
            path.unlink()
        for path in kept.iterdir():
            target = self.folder / ("." if path.name == "sources.list" else "lists") / path.name
            target.unlink(missing_ok=True)
            target.hardlink_to(path)
        return True

    def index_files(self) -> list[Path]:
        """Give the index files that are in use, sorted by name."""
        return sorted(path for path in (self.folder / "lists").iterdir() if path.is_file()
                      and path.name != "lock")  # fmt: skip

    def release_time(self, suite: str) -> int:
        """Give the date of the suite's Release file, in seconds since 1970."""
        for path in self.index_files():
            if not path.name.endswith("_InRelease"):
                continue
            text = path.read_text(errors="replace")
            # By its codename: it can have been fetched as `stable`.
            if f"\nCodename: {suite}\n" in text and (
                found := re.search(r"^Date: (.+)$", text, re.MULTILINE)
            ):
                return int(email.utils.parsedate_to_datetime(found[1]).timestamp())
        raise LockError(f"no Release file of {suite} was fetched", hint="run: invoke lock")

    def install_uris(
        self, packages: Sequence[str], *, recommends: bool, status: str, pins: str = ""
    ) -> Change:
        """Give what ``apt-get install`` would do on a system whose dpkg status is ``status``.

        ``pins`` are its preferences, which may ask for other versions, or for none. Raises
        LockError when the list cannot be satisfied.
        """
        where = self.folder / "status"
        files.write_whole(where, status)
        files.write_whole(self.folder / "etc/preferences", pins)
        words = ["--yes", "--quiet", "--print-uris"]
        if not recommends:
            words.append("--no-install-recommends")
        try:
            said = self._run("apt-get", "install", *words, "--", *packages)
        except CommandError as error:
            raise LockError(
                f"apt cannot resolve {few(packages)} for {self.arch}:\n{error.tail}",
                hint="a name may be wrong, or gone from the mirror; apt's words above say which",
            ) from error
        return Change(downloads=tuple(_uris(said)), removed=_removed(said))

    def source_versions(self, package: str) -> list[str]:
        """Give the versions of a source package that the indices know, newest first."""
        try:
            said = self._run("apt-cache", "showsrc", "--only-source", "--", package)
        except CommandError as error:
            raise LockError(f"there is no source package {package}:\n{error.tail}") from error
        versions = set(re.findall(r"^Version: (\S+)", said, re.MULTILINE))
        return sorted(versions, key=functools.cmp_to_key(_compare), reverse=True)

    def source_uris(self, package: str, version: str) -> list[Download]:
        """Give the files of a source package."""
        said = self._run("apt-get", "source", "--print-uris", "--", f"{package}={version}")
        return list(_uris(said))

    def stanzas(self, names: set[str]) -> Mapping[str, str]:
        """Give the index stanza of each .deb whose file name (without folder) is in ``names``."""
        found: dict[str, str] = {}
        for path in self.index_files():
            if not path.name.endswith("_Packages"):
                continue
            for stanza in path.read_text(errors="replace").split("\n\n"):
                at = stanza.find("\nFilename: ")
                if at < 0:
                    continue
                name = stanza[at + 11 : stanza.find("\n", at + 11)].rpartition("/")[2]
                if name in names:
                    found.setdefault(name, stanza.strip("\n"))
        return found

    def _run(self, *command: str) -> str:
        conf = {"APT_CONFIG": str(self.folder / "apt.conf"), "DEBIAN_FRONTEND": "noninteractive"}
        return run(command, env=conf, cwd=self.folder).stdout


def fetch(
    downloads: Sequence[Download],
    folder: Path,
    *,
    timeout_s: int = TIMEOUT_S,
    retries: int = RETRIES,
) -> None:
    """Fetch files into ``folder``, each checked against its sha256 and named by it.

    A server that says nothing for ``timeout_s`` seconds, or hangs up, is asked for the rest
    ``retries`` times more, after longer and longer pauses. Raises LockError when a file cannot be
    had; what came of it is kept.
    """
    if all((folder / one.sha256).exists() for one in downloads):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with _alone_in(folder):  # another build may want the same, and its file is the same
        missing = {one.sha256: one for one in downloads if not (folder / one.sha256).exists()}
        if not missing:
            return
        words: list[str] = []
        for one in missing.values():
            # apt-helper keeps what it has and resumes it; the final name appears only when whole.
            words += [one.url, str(folder / f".{one.sha256}.part"), f"SHA256:{one.sha256}"]
        options = ("APT::Sandbox::User=root", f"Acquire::Retries={retries}", *(
            f"Acquire::{kind}::Timeout={timeout_s}" for kind in ("http", "https", "ftp")
        ))  # fmt: skip
        try:
            run([HELPER, *(f"--option={one}" for one in options), "download-file", *words],
                cwd=folder)  # fmt: skip
        except CommandError as error:
            raise _not_fetched(list(missing.values()), folder, error) from error
        files.syncfs(folder)
        for one in missing.values():
            (folder / f".{one.sha256}.part").rename(folder / one.sha256)


def _not_fetched(missing: Sequence[Download], folder: Path, error: CommandError) -> LockError:
    """Say which files did not come; what came whole keeps its final name."""
    failed: list[Download] = []
    for one in missing:
        part = folder / f".{one.sha256}.part"
        if part.is_file() and files.sha256_file(part) == one.sha256:
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.rename(folder / one.sha256)
            continue
        failed.append(one)
        if "Hash Sum mismatch" in error.tail:  # resumed, it would stay wrong
            part.unlink(missing_ok=True)
    names = [one.name for one in failed]
    return LockError(
        f"could not fetch {len(failed)} of {len(missing)} files ({few(names)}):\n{error.tail}",
        hint=hints.hint_for(error.tail)
        or "the next run goes on where this one stopped; if a package is gone from the mirror:"
        " ./invoke build-image --refresh",
    )


def few(names: Sequence[str]) -> str:
    """Name the first ones of what may be many, for a message."""
    return ", ".join(names[:_NAMED]) + ", …" * (len(names) > _NAMED)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def status_of(stanzas: Sequence[str]) -> str:
    """Give the dpkg status of a system on which exactly these packages are installed."""
    return "".join(f"{stanza}\nStatus: install ok installed\n\n" for stanza in stanzas)


def versions_in(status: str) -> dict[str, str]:
    """Give the version of each package of a dpkg status."""
    found: dict[str, str] = {}
    for stanza in status.split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in stanza.splitlines() if ": " in line and line[0] != " "
        )
        if "Package" in fields and fields.get("Status", "").endswith(" installed"):
            found[fields["Package"]] = fields.get("Version", "")
    return found


def without(status: str, names: Collection[str]) -> str:
    """Give a dpkg status without these packages."""
    if not any(f"Package: {name}\n" in status for name in names):
        return status
    stanzas = [stanza for stanza in status.split("\n\n") if stanza.strip()]
    kept = [
        stanza
        for stanza in stanzas
        if stanza.lstrip("\n").partition("\n")[0].removeprefix("Package: ") not in names
    ]
    return "".join(f"{stanza.strip(chr(10))}\n\n" for stanza in kept)


def pins_of(root: Path) -> str:
    """Read the apt preferences of the system in ``root``, in the order in which apt does."""
    parts = "etc/apt/preferences.d"
    folder = inside.place(root, parts)
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    # As apt_preferences(5) has it: no extension, or .pref.
    listed = [f"{parts}/{name}" for name in names if re.fullmatch(r"[\w-]+(\.pref)?", name)]
    texts = [inside.text(root, name).strip() for name in (*listed, "etc/apt/preferences")]
    return "\n\n".join(text for text in texts if text)


def sources_of(root: Path) -> Iterator[SourceEntry]:
    """Read the apt sources of the system in ``root``, in both of their formats."""
    parts = "etc/apt/sources.list.d"
    folder = inside.place(root, parts)
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    lists = [f"{parts}/{name}" for name in names if name.endswith(".list")]
    for path in ("etc/apt/sources.list", *lists):
        for line in inside.text(root, path).splitlines():
            keyring = re.search(r"\[.*signed-by=([^ \]]+).*\]", line)
            words = _words(re.sub(r"\[.*?\]", "", line))
            if len(words) >= 3 and words[0] == "deb":  # noqa: PLR2004  type, address, suite
                yield SourceEntry(
                    url=words[1].rstrip("/"),
                    suite=words[2],
                    components=tuple(words[3:]),
                    keyring=keyring[1] if keyring else "",
                )
    for name in (one for one in names if one.endswith(".sources")):
        text = inside.text(root, f"{parts}/{name}")
        for stanza in deb822.Deb822.iter_paragraphs(text.splitlines(), use_apt_pkg=False):
            if (
                stanza.get("Enabled", "yes").strip() == "no"
                or "deb" not in stanza.get("Types", "").split()
            ):
                continue
            for url in stanza.get("URIs", "").split():
                for suite in stanza.get("Suites", "").split():
                    yield SourceEntry(
                        url=url.rstrip("/"),
                        suite=suite,
                        components=tuple(stanza.get("Components", "").split()),
                        keyring=" ".join(stanza.get("Signed-By", "").split()),
                    )


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # a quotation mark without its other half: apt takes no such line either
        return []


def _compare(one: str, other: str) -> int:
    greater = run(["dpkg", "--compare-versions", one, "gt", other], check=False).returncode == 0
    return int(greater) - int(one != other and not greater)


def _uris(said: str) -> Iterator[Download]:
    for found in re.finditer(r"^'([^']+)' (\S+) (\d+) SHA256:([0-9a-f]{64})", said, re.MULTILINE):
        name = urllib.parse.unquote(found[1]).rpartition("/")[2]
        yield Download(url=found[1], name=name, size=int(found[3]), sha256=found[4])


def _removed(said: str) -> frozenset[str]:
    """Read the names below apt's headline: they stand on the indented lines that follow it."""
    found = re.search(r"packages will be REMOVED:\n((?: .*\n)+)", said)
    # A star marks what is purged, an architecture what is of another one.
    words = found[1].split() if found else []
    return frozenset(word.rstrip("*").partition(":")[0] for word in words)


def _reason(tail: str) -> str:
    for line in tail.splitlines():
        if line.startswith("E: ") or "unexpected" in line:
            return line.removeprefix("E: ").strip()
    return "see the log"


def _conf(folder: Path, arch: str) -> str:
    return f"""\
Dir "/";
Dir::State "{folder}";
Dir::State::status "{folder}/status";
Dir::State::lists "{folder}/lists";
Dir::Cache "{folder}/cache";
Dir::Etc "{folder}/etc";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "-";
Dir::Log "{folder}/log";
APT::Architecture "{arch}";
APT::Architectures {{ "{arch}"; }};
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "30";
Acquire::ForceHash "SHA256";
"""
