"""gpsd's own logs come from the archives that this host's packages come from."""

from pathlib import Path

from glovebox.verify.gpsd_logs import archive_in, of_sources


def test_archives_of_packages_become_archives_of_sources() -> None:
    """Both forms of a list are understood, and nothing but the kind of archive is changed."""
    old = "# deb is a word\ndeb [signed-by=/k] mirror bookworm main\ndeb-src mirror bookworm main\n"
    new = "Types: deb\nURIs: mirror\nSuites: bookworm\n\nTypes: deb deb-src\nURIs: deb\n"

    assert of_sources(old) == old.replace("\ndeb [", "\ndeb-src [")
    assert of_sources(new) == new.replace("Types: deb\n", "Types: deb-src\n")


def test_a_signature_beside_the_archive_is_not_taken_for_it(tmp_path: Path) -> None:
    """Debian 12 has none of gpsd's, Debian 13 has."""
    names = ("gpsd_3.25-5.dsc", "gpsd_3.25-5.debian.tar.xz", "gpsd_3.25.orig.tar.xz")
    for name in (*names, f"{names[-1]}.asc"):
        (tmp_path / name).touch()

    assert archive_in(tmp_path) == tmp_path / names[-1]
