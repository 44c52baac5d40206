"""gpsd's own logs come from the archives that this host's packages come from."""

from glovebox.verify.gpsd_logs import of_sources


def test_archives_of_packages_become_archives_of_sources() -> None:
    """Both forms of a list are understood, and nothing but the kind of archive is changed."""
    old = "# deb is a word\ndeb [signed-by=/k] mirror bookworm main\ndeb-src mirror bookworm main\n"
    new = "Types: deb\nURIs: mirror\nSuites: bookworm\n\nTypes: deb deb-src\nURIs: deb\n"

    assert of_sources(old) == old.replace("\ndeb [", "\ndeb-src [")
    assert of_sources(new) == new.replace("Types: deb\n", "Types: deb-src\n")
