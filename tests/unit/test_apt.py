"""What is read of apt: the host's sources, the addresses it prints, the status it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox.errors import LockError
from glovebox.host.run import CommandError
from glovebox.lock import apt
from glovebox.lock.apt import Mirror

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DEFAULT = Mirror(main="http://default.example.org/debian", security="http://default.example.org/s")
NEAR = "http://near.example.org/debian"
SAFE = "http://near.example.org/debian-security"
ARMORED = """\
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 Enabled: no
 -----END PGP PUBLIC KEY BLOCK-----
"""


@pytest.fixture(autouse=True)
def _built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt, "mmdebstrap_default", lambda: DEFAULT)


# The files below /etc/apt, and the mirror they mean.
HOSTS: dict[str, tuple[dict[str, str], Mirror]] = {
    "no sources at all": ({}, DEFAULT),
    "one line each": (
        {"sources.list": f"deb {NEAR} trixie main\ndeb {SAFE} trixie-security main\n"},
        Mirror(main=NEAR, security=SAFE),
    ),
    "only the archive": (
        {"sources.list": f"deb {NEAR} trixie main"},
        Mirror(main=NEAR, security=DEFAULT.security),
    ),
    "comments and a slash": (
        {
            "sources.list": f"# deb http://old.example.org/debian trixie main\n\n"
            f"deb {NEAR}/ trixie main # it's near\n"
        },
        Mirror(main=NEAR, security=DEFAULT.security),
    ),
    "options in brackets": (
        {"sources.list": f"deb [ arch=amd64 signed-by=/k.gpg ] {NEAR} trixie main non-free"},
        Mirror(main=NEAR, security=DEFAULT.security),
    ),
    "encrypted": (
        {"sources.list": "deb https://near.example.org/debian trixie main"},
        Mirror(main="https://near.example.org/debian", security=DEFAULT.security),
    ),
    "below a folder": (
        {"sources.list": "deb http://example.org/pub/mirror/debian trixie main"},
        Mirror(main="http://example.org/pub/mirror/debian", security=DEFAULT.security),
    ),
    "what apt cannot fetch from": (
        {"sources.list": "deb cdrom:[Debian 13]/ trixie main\ndeb file:/srv/debian trixie main"},
        DEFAULT,
    ),
    "sources only": ({"sources.list": f"deb-src {NEAR} trixie main"}, DEFAULT),
    "a file beside": (
        {"sources.list": "", "sources.list.d/debian.list": f"deb {NEAR} trixie main"},
        Mirror(main=NEAR, security=DEFAULT.security),
    ),
    "a file apt ignores": ({"sources.list.d/debian.list.save": f"deb {NEAR} sid main"}, DEFAULT),
    "stanzas": (
        {
            "sources.list.d/debian.sources": f"Types: deb deb-src\nURIs: {NEAR}/\n"
            "Suites: trixie trixie-updates\nComponents: main\nSigned-By: /k.gpg\n\n"
            f"# the second\nTypes: deb\nURIs: {SAFE}/\nSuites: trixie-security\n"
            f"Components: main\n{ARMORED}"
        },
        Mirror(main=NEAR, security=SAFE),
    ),
    "a stanza that is off": (
        {
            "sources.list.d/debian.sources": "Enabled: no\nTypes: deb\n"
            f"URIs: http://off.example.org/debian\nSuites: trixie\nComponents: main\n\n"
            f"Types: deb\nURIs: {NEAR}\nSuites: trixie\nComponents: main\nEnabled: yes\n"
        },
        Mirror(main=NEAR, security=DEFAULT.security),
    ),
    "a stanza of sources only": (
        {
            "sources.list.d/d.sources": f"Types: deb-src\nURIs: {NEAR}\nSuites: sid\n"
            "Components: main\n"
        },
        DEFAULT,
    ),
    "another distribution": (
        {
            "sources.list": "deb http://example.org/ubuntu noble main universe\n"
            "deb http://example.org/ubuntu noble-updates main\n"
            "deb http://example.org/ubuntu noble-security main\n"
        },
        DEFAULT,
    ),
    # Its folder is named after the distribution it is for, and it comes first in apt's order.
    "other software for Debian": (
        {
            "sources.list.d/a.list": "deb [arch=any] https://example.org/x/debian trixie stable",
            "sources.list.d/debian.sources": f"Types: deb\nURIs: {NEAR}\nSuites: trixie\n"
            "Components: main\n",
        },
        Mirror(main=NEAR, security=DEFAULT.security),
    ),
}


@pytest.mark.parametrize("name", HOSTS)
def test_host_mirror(tmp_path: Path, name: str) -> None:
    """The host's own mirror of Debian is used; what is no such mirror never is."""
    written, expected = HOSTS[name]
    etc = tmp_path / "etc/apt"
    (etc / "sources.list.d").mkdir(parents=True)
    for path, text in written.items():
        (etc / path).write_text(text)

    assert apt.host_mirror(tmp_path) == expected


def test_sources_of_keeps_what_an_entry_says(tmp_path: Path) -> None:
    """Components and keyring are read in both formats."""
    etc = tmp_path / "etc/apt"
    (etc / "sources.list.d").mkdir(parents=True)
    (etc / "sources.list").write_text(
        "deb [arch=armhf signed-by=/one.gpg] http://example.org/one trixie main rpi\n"
    )
    (etc / "sources.list.d/two.sources").write_text(
        "Types: deb\nURIs: http://example.org/two\nSuites: trixie\nComponents: main\n"
        "Signed-By: /two.gpg\n"
    )

    assert list(apt.sources_of(tmp_path)) == [
        apt.SourceEntry(url="http://example.org/one", suite="trixie", components=("main", "rpi"),
                   keyring="/one.gpg"),
        apt.SourceEntry(url="http://example.org/two", suite="trixie", components=("main",),
                   keyring="/two.gpg"),
    ]  # fmt: skip


def test_uris() -> None:
    """The addresses apt prints are read; its sentences and weaker sums are passed over."""
    said = (
        "Reading package lists...\n"
        "The following NEW packages will be installed:\n  gpsd\n"
        f"'http://example.org/gpsd_3%3a25%2bdfsg_armel.deb' gpsd_3.deb 1234 SHA256:{'ab' * 32}\n"
        f"'http://example.org/old.deb' old.deb 5 MD5Sum:{'ab' * 16}\n"
    )

    assert list(apt._uris(said)) == [
        apt.Download(
            url="http://example.org/gpsd_3%3a25%2bdfsg_armel.deb",
            name="gpsd_3:25+dfsg_armel.deb",
            size=1234,
            sha256="ab" * 32,
        )
    ]


def test_status_of() -> None:
    """Each package is a stanza of its own that says it is installed; none gives nothing."""
    assert apt.status_of([]) == ""
    assert apt.status_of(["Package: a", "Package: b"]) == (
        "Package: a\nStatus: install ok installed\n\nPackage: b\nStatus: install ok installed\n\n"
    )


def test_archives_of_a_suite() -> None:
    """A stable suite has updates and security besides; only the suite itself must be there."""
    found = apt.archives(Mirror(main=NEAR, security=SAFE), "trixie")

    assert [(one.url, one.suite, one.optional) for one in found] == [
        (NEAR, "trixie", False),
        (NEAR, "trixie-updates", True),
        (SAFE, "trixie-security", True),
    ]


NEW = "Suite: stable\nCodename: trixie\nDate: Sat, 21 Nov 2026 09:15:44 UTC\n"
OLD = "Suite: stable\nCodename: trixie\nDate: Sat, 12 Sep 2026 07:55:41 UTC\n"
MOVED = "Suite: stable\nCodename: forky\nDate: Sat, 12 Sep 2026 07:55:41 UTC\n"


class MirrorInASync(apt.Apt):
    """A mirror whose `trixie` does not fit its indices; ``stable`` is what it has besides."""

    def answers(self) -> Mapping[str, str]:
        """Give the Release file of each suite it knows."""
        return {"trixie": NEW, "stable": OLD}

    def _update(self, entries: Sequence[apt.Archive]) -> None:
        lists = self.folder / "lists"
        for entry in entries:
            text = self.answers().get(entry.suite)
            if text is None or entry.suite == "trixie":
                if text is not None:
                    (lists / "partial" / f"m_dists_{entry.suite}_InRelease").write_text(text)
                raise CommandError(["apt-get", "update"], 100, "E: unexpected size")
            (lists / f"m_dists_{entry.suite}_InRelease").write_text(f"Origin: Debian\n{text}")


def test_mirror_in_a_sync_is_asked_by_the_suite_s_other_name(tmp_path: Path) -> None:
    """What it has as `stable`, whole and signed, is taken; it says so, and its date counts."""
    state = MirrorInASync(folder=tmp_path, arch="armel")
    state.prepare()

    (warning,) = state.update([apt.Archive(url=NEAR, suite="trixie", optional=False)])

    assert "as `stable`, which can be older" in warning
    assert state.release_time("trixie") == 1789199741


def test_other_name_of_another_release_is_not_taken(tmp_path: Path) -> None:
    """When `stable` has moved on, the suite is missing, and that is an error."""

    class Moved(MirrorInASync):
        def answers(self) -> Mapping[str, str]:
            return {"trixie": NEW, "stable": MOVED}

    state = Moved(folder=tmp_path, arch="armel")
    state.prepare()

    with pytest.raises(LockError, match="could not be fetched"):
        state.update([apt.Archive(url=NEAR, suite="trixie", optional=False)])


def test_nothing_to_fetch_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are there are not asked for again."""
    one = apt.Download(url="http://example.org/x", name="x", size=1, sha256="a" * 64)
    (tmp_path / one.sha256).touch()
    monkeypatch.setattr(apt, "run", None)

    apt.fetch([one], tmp_path)
