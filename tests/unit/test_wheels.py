"""`NN-wheels`: resolved for the board by the pip of this machine, pinned, fetched, unpacked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from glovebox.build import wheel as unpacking
from glovebox.errors import ConfigError, LockError, StepError
from glovebox.lock import apt, lock, pip
from glovebox.stage import wheel_list
from tests.wheel_index import Index, served, wheel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PI = pip.Python(version="3.13.5", glibc=(2, 41), arch="arm64")
ZERO = replace(PI, arch="armel")
ARM, INTEL = "cp313-cp313-manylinux_2_28_aarch64", "cp313-cp313-manylinux_2_28_x86_64"


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Index]:
    """Give the index that this machine's pip asks."""
    with served(monkeypatch, tmp_path) as found:
        yield found


def resolved(python: pip.Python, *words: str) -> dict[str, str]:
    """Give the versions that one list comes to."""
    found = pip.resolve([pip.Wanted(name="own/00-a/01-wheels", requirements=words)], python)
    return {one.name: one.version for one in found.all()}


def test_a_list(tmp_path: Path) -> None:
    """A requirement a line, comments left out; what is none is named with its line."""
    listing = tmp_path / "01-wheels"
    listing.write_text(
        "# what shows\nduckdb >= 2.0.1   # SQL\n\nrich[jupyter]; python_version>'3'\n"
    )

    assert wheel_list.requirements_of(listing) == (
        "duckdb>=2.0.1",
        'rich[jupyter]; python_version > "3"',
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("two words", "'two words' is no requirement"),
        ("--index-url http://x", "is no requirement"),
        ("own @ https://example.org/own-1-py3-none-any.whl", "is an address"),
    ],
)
def test_a_line_that_is_no_requirement(tmp_path: Path, line: str, said: str) -> None:
    """It is refused before anything is asked, by file and line."""
    listing = tmp_path / "01-wheels"
    listing.write_text(f"good\n{line}\n")

    with pytest.raises(ConfigError, match=said) as caught:
        wheel_list.requirements_of(listing)

    assert caught.value.message.startswith(f"{listing}:2: ")


def test_the_board_s_python_is_read_off_its_packages() -> None:
    """Version and C library are those of the packages, with epochs and revisions cut off."""
    versions = {"python3-minimal": "3.13.5-1", "libc6": "2.41-12+deb13u1"}

    assert pip.python_of(versions, "arm64") == PI
    with pytest.raises(LockError, match="no stage installs python3"):
        pip.python_of({"libc6": "2.41-12"}, "arm64")


def test_the_status_of_an_image_counts_what_is_installed() -> None:
    """An image used as base brings its Python; a removed package's settings are none."""
    status = (
        "Package: libc6\nStatus: install ok installed\nVersion: 2.41-12\nDescription: C\n more: 1\n"
        "\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n"
    )

    assert apt.versions_in(status) == {"libc6": "2.41-12"}


@pytest.mark.thorough  # pip takes a second to start
def test_files_fit_the_board_and_not_this_machine(index: Index) -> None:
    """Processor, Python and C library are the board's: newer ones are not taken."""
    index.add(
        wheel("quick", "3.0", tag=INTEL),
        wheel("quick", "2.9", tag="cp314-cp314-manylinux_2_28_aarch64"),
        wheel("quick", "2.8", tag="cp313-cp313-manylinux_2_99_aarch64"),
        wheel("quick", "2.0", tag=ARM),
        wheel("quick", "1.0"),
    )

    assert resolved(PI, "quick") == {"quick": "2.0"}
    assert resolved(ZERO, "quick") == {"quick": "1.0"}  # nobody compiles wheels for an ARMv6


@pytest.mark.thorough  # pip takes a second to start
def test_conditions_are_the_board_s(index: Index) -> None:
    """What only the board needs is there, what only this machine would need is not."""
    index.add(
        wheel("top", requires=(
            "forarm>=1.5; platform_machine == 'aarch64'",
            "forintel; platform_machine != 'aarch64'",
            "forold; python_version < '3.12'",
            "fornew; python_full_version >= '3.13.5'",
            "forextra; extra == 'more'",
        )),
        wheel("forarm", "1.0"), wheel("forarm", "2.0", requires=("deeper",)), wheel("deeper"),
        wheel("forintel"), wheel("forold"), wheel("fornew"), wheel("forextra"),
    )  # fmt: skip

    plain = {"top": "1.0", "forarm": "2.0", "deeper": "1.0", "fornew": "1.0"}
    assert resolved(PI, "top") == plain
    assert resolved(PI, "top[more]") == {**plain, "forextra": "1.0"}
    assert resolved(PI, "top; python_version < '3'") == {}


@pytest.mark.thorough  # pip takes a second to start
def test_a_list_adds_to_those_before(index: Index) -> None:
    """A later list keeps the versions that are there, and names what it brings alone."""
    index.add(wheel("shared", "1.0"), wheel("shared", "2.0"), wheel("late", requires=("shared",)))
    lists = [
        pip.Wanted(name="one", requirements=("shared<2",)),
        pip.Wanted(name="two", requirements=("late",)),
    ]

    found = pip.resolve(lists, PI).lists

    assert [[one.name for one in group] for group in found.values()] == [["shared"], ["late"]]
    with pytest.raises(LockError, match="two: "):
        pip.resolve([lists[0], replace(lists[1], requirements=("shared>=2",))], PI)


@pytest.mark.thorough  # pip takes a second to start
def test_what_cannot_be_had_is_named(index: Index) -> None:
    """The error names list, package and board, and holds no address of an index."""
    index.add(wheel("quick", "3.0", tag=INTEL))

    with pytest.raises(LockError) as caught:
        resolved(PI, "quick")

    assert caught.value.message == (
        "own/00-a/01-wheels: there is no wheel of quick for Python 3.13 on arm64 (C library 2.41)"
    )
    assert "127.0.0.1" not in str(caught.value)


@pytest.mark.thorough  # pip takes a second to start
def test_an_index_without_sums_is_refused(index: Index) -> None:
    """Nothing is pinned by a name alone."""
    index.add(wheel("quick"))
    index.sums = False

    try:
        found = pip.resolve([pip.Wanted(name="one", requirements=("quick",))], PI).all()
    except LockError as error:
        assert "gives no sha256" in error.message  # noqa: PT017  a newer pip makes the sum itself
    else:
        assert found[0].sha256 == hashlib.sha256(index.files[found[0].file]).hexdigest()


@pytest.mark.thorough  # pip takes a second to start
def test_fetched_once_by_its_sum(index: Index, tmp_path: Path) -> None:
    """What is there is not asked for again, so the next build needs no network."""
    index.add(wheel("quick", tag=ARM))
    found = pip.resolve([pip.Wanted(name="one", requirements=("quick",))], PI).all()
    store = tmp_path / "store"

    pip.fetch(found, PI, store)
    asked = len(index.asked)
    pip.fetch(found, PI, store)

    assert [path.name for path in store.iterdir()] == [found[0].sha256]
    assert hashlib.sha256(index.files[found[0].file]).hexdigest() == found[0].sha256
    assert len(index.asked) == asked


@pytest.mark.thorough  # pip takes a second to start
def test_another_file_under_the_same_name_is_refused(index: Index, tmp_path: Path) -> None:
    """An index that was changed since the lock was made gives nothing to the build."""
    index.add(wheel("quick"))
    found = pip.resolve([pip.Wanted(name="one", requirements=("quick",))], PI).all()
    index.add(wheel("quick", files={"quick/evil.py": "print('evil')\n"}))

    with pytest.raises(LockError, match="HASH"):
        pip.fetch(found, PI, tmp_path / "store")

    assert list((tmp_path / "store").iterdir()) == []


@pytest.mark.thorough  # pip takes a second to start
def test_the_lock_holds_sums_and_no_address(index: Index) -> None:
    """It is read back the same, and answers what the lists ask; without wheels nothing is new."""
    index.add(wheel("quick", tag=ARM))
    wanted = [pip.Wanted(name="one", requirements=("quick",))]
    plain = lock.Lock(suite="trixie", epoch=1, chains={})
    made = replace(plain, wheels=pip.resolve(wanted, PI))

    assert lock.parse(made.dump()) == made
    assert "://" not in made.dump()
    assert "wheels" not in json.loads(plain.dump())
    assert lock.question("trixie", (), ()) != lock.question("trixie", (), (), wanted)


def test_unpacked_to_the_places_of_debian_s_python(tmp_path: Path) -> None:
    """Modules, commands by the board's Python, and data, where pip on Debian would put them."""
    name, data = wheel(
        "quick",
        commands={"quickly": "quick:run"},
        files={"quick-1.0.data/data/share/quick/map": "a map\n"},
    )
    (tmp_path / "sum").write_bytes(data)
    root = tmp_path / "root"
    root.mkdir()

    unpacking.unpack(tmp_path / "sum", name, root, python="3.13")

    modules = root / "usr/local/lib/python3.13/dist-packages"
    assert (modules / "quick/__init__.py").read_text() == "VERSION = '1.0'\n"
    assert (modules / "quick-1.0.dist-info/INSTALLER").read_text() == "glovebox\n"
    command = root / "usr/local/bin/quickly"
    assert command.read_text().startswith("#!/usr/bin/python3\n")
    assert command.stat().st_mode & 0o111
    assert (root / "usr/local/share/quick/map").read_text() == "a map\n"


@pytest.mark.parametrize("other", ["quick/__init__.py", "RECORD"])
def test_a_wheel_that_does_not_hold_what_it_says(tmp_path: Path, other: str) -> None:
    """Two wheels with one file, and a wheel whose list of files is wrong, end the step."""
    root = tmp_path / "root"
    root.mkdir()
    name, data = wheel("quick")
    twin = wheel("twin", files={other: "other\n"} if other != "RECORD" else {})
    if other == "RECORD":
        twin = (twin[0], twin[1].replace(b"VERSION = '1.0'", b"VERSION = '6.6'"))
    for number, one in enumerate([(name, data), twin]):
        (tmp_path / str(number)).write_bytes(one[1])
    unpacking.unpack(tmp_path / "0", name, root, python="3.13")

    with pytest.raises(StepError, match=r"twin-1\.0"):
        unpacking.unpack(tmp_path / "1", twin[0], root, python="3.13")
