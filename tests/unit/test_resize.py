"""The arithmetic of a resize: never into data, neither the file system's nor a neighbour's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from glovebox.card.table import Partition, Table
from glovebox.errors import ConfigError
from glovebox.images.resize import MIB, Sizes, Wish, any_data, arithmetic, limit, parse_size, wish

if TYPE_CHECKING:
    from pathlib import Path

START = 520 * MIB
BEFORE = Sizes(file=1280 * MIB, start=START, partition=760 * MIB, system=760 * MIB)
BLOCK = 4096


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GiB", 4 << 30), ("500MiB", 500 << 20), ("32GB", 32 * 10**9), ("1048576", 1 << 20)],
)
def test_sizes(text: str, size: int) -> None:
    """GiB is a power of two, GB is what is printed on a card."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["big", "-4GiB", "4XB", "1.5.2GiB"])
def test_no_sizes(text: str) -> None:
    """What is no size, or could be read in two ways, is refused with one that is meant."""
    with pytest.raises(ConfigError, match="is not a size"):
        parse_size(text)


def test_one_wish_at_a_time() -> None:
    """Exactly one of the three options is taken."""
    assert wish("least", "", "") == Wish()
    assert wish("", "1GiB", "") == Wish(by=1 << 30)
    assert wish("", "", "1GiB") == Wish(by=-(1 << 30))
    for options in (("", "", ""), ("4GiB", "1GiB", ""), ("", "1GiB", "1GiB")):
        with pytest.raises(ConfigError, match="say one of"):
            wish(*options)


@pytest.mark.parametrize(
    ("wanted", "file", "partition", "system"),
    [
        (Wish(to=4 << 30), 4 << 30, (4 << 30) - START, (4 << 30) - START),
        (Wish(by=100 * MIB), 1380 * MIB, 860 * MIB, 860 * MIB),
        (Wish(by=-100 * MIB), 1180 * MIB, 660 * MIB, 660 * MIB),
        (Wish(), START + 600 * MIB, 600 * MIB, 600 * MIB),
        # A card's size is rarely whole: sectors are cut for the partition, blocks for the system.
        (Wish(to=2_000_000_001), 1_999_999_488 + 512, 1_999_999_488 + 512 - START,
         (2_000_000_000 - START) // BLOCK * BLOCK),
    ],
)  # fmt: skip
def test_arithmetic(wanted: Wish, file: int, partition: int, system: int) -> None:
    """File, partition and file system end where the wish says, in whole sectors and blocks."""
    after = arithmetic(BEFORE, wanted, least=600 * MIB, block=BLOCK, limit=None)

    assert after == Sizes(file=file, start=START, partition=partition, system=system)


@pytest.mark.parametrize("wanted", [Wish(to=1119 * MIB), Wish(by=-161 * MIB), Wish(to=1)])
def test_too_small_is_refused_with_the_least(wanted: Wish) -> None:
    """Below what the files need nothing is done, and the least is said."""
    with pytest.raises(ConfigError, match=r"at least 1,120\.0 MiB"):
        arithmetic(BEFORE, wanted, least=600 * MIB, block=BLOCK, limit=None)


def test_a_neighbour_is_never_touched() -> None:
    """Root grows into the gap before the next partition, and no further."""
    sizes = Sizes(file=2000 * MIB, start=START, partition=760 * MIB, system=760 * MIB)

    fits = arithmetic(sizes, Wish(by=20 * MIB), least=MIB, block=BLOCK, limit=1300 * MIB)
    smaller = arithmetic(sizes, Wish(by=-20 * MIB), least=MIB, block=BLOCK, limit=1300 * MIB)

    assert (fits.file, fits.end) == (2000 * MIB, 1300 * MIB)
    assert (smaller.file, smaller.partition) == (2000 * MIB, 740 * MIB)
    with pytest.raises(ConfigError, match=r"begins 20\.0 MiB behind"):
        arithmetic(sizes, Wish(by=21 * MIB), least=MIB, block=BLOCK, limit=1300 * MIB)
    with pytest.raises(ConfigError, match="keeps its size"):
        arithmetic(sizes, Wish(to=4 << 30), least=MIB, block=BLOCK, limit=1300 * MIB)


def test_an_mbr_has_an_end() -> None:
    """A table of 32-bit sectors cannot name more than 2 TiB."""
    with pytest.raises(ConfigError, match="2 TiB"):
        arithmetic(BEFORE, Wish(to=3 << 40), least=MIB, block=BLOCK, limit=None)


@given(
    to=st.integers(min_value=0, max_value=1 << 40),
    least=st.integers(min_value=1, max_value=1 << 34),
    start=st.integers(min_value=1, max_value=1 << 22).map(lambda sectors: sectors * 512),
    block=st.sampled_from([1024, 2048, 4096]),
)
def test_what_is_granted_holds_the_files(to: int, least: int, start: int, block: int) -> None:
    """Whatever is asked for: what is granted holds the files, and each lies within the next."""
    sizes = Sizes(file=start + MIB, start=start, partition=MIB, system=MIB)
    try:
        after = arithmetic(sizes, Wish(to=to), least=least, block=block, limit=None)
    except ConfigError:
        return

    assert least <= after.system <= after.partition
    assert after.system % block == 0
    assert after.partition % 512 == 0
    assert after.end == after.file <= to


def test_the_limit_is_the_next_partition_by_place() -> None:
    """Numbers do not tell the order on the card: the next start does."""
    one, two, three = (
        Partition(number=number, start=start, size=1, kind="83")
        for number, start in ((1, 100), (2, 900), (3, 500))
    )
    table = Table(disk_id="0", partitions=(one, two, three))

    assert limit(table, one) == 500
    assert limit(table, three) == 900
    assert limit(table, two) is None


def test_any_data(tmp_path: Path) -> None:
    """Holes and zeros are nothing; one byte is something."""
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(8 * MIB)
        file.seek(5 * MIB)
        file.write(b"x" + bytes(4096))

    assert any_data(path, 0, 8 * MIB)
    assert not any_data(path, 0, 5 * MIB)
    assert not any_data(path, 5 * MIB + 1, 8 * MIB)
    assert not any_data(path, 8 * MIB, 8 * MIB)
