"""The root partition is the one the kernel would take, and what is guessed is said."""

from __future__ import annotations

import pytest

from glovebox.card.cmdline import Named, Names, find, root_word
from glovebox.card.table import GPT, Partition, Table

MIB = 1 << 20
TABLE = Table(
    disk_id="0badcafe",
    partitions=tuple(
        Partition(number=one, start=one * MIB, size=MIB, kind="c" if one == 1 else "83")
        for one in (1, 2, 3)
    ),
)
NAMED = {
    2: Named(label="data", uuid="11111111-2222-3333-4444-555555555555"),
    3: Named(label="root fs", uuid="aaaaaaaa-2222-3333-4444-555555555555"),
}
UUID = "b0c1d2e3-0000-4000-8000-000000000003"
GPT_TABLE = Table(
    kind=GPT,
    disk_id="b0c1d2e3-0000-4000-8000-00000000000f",
    partitions=(
        Partition(number=1, start=MIB, size=MIB, kind="C12A7328-F81F-11D2-BA4B-00A0C93EC93B"),
        Partition(number=2, start=2 * MIB, size=MIB, kind="0FC63DAF-8483-4772-8E79-3D69D8477DE4"),
        Partition(number=3, start=3 * MIB, size=MIB, kind="B921B045-1DF0-41C3-AF44-4C6F280D3FAE",
                  uuid=UUID, name="sys"),
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "console=tty1 root=PARTUUID=0badcafe-03 rootwait",
        "root=PARTUUID=0BADCAFE-03",
        "root=PARTUUID=0badcafe-3",
        "root=PARTUUID=0badcafe-02/PARTNROFF=1",
        "root=/dev/mmcblk0p3 ro",
        "root=/dev/nvme0n1p3",
        "root=/dev/sda3",
        "root=/dev/vdb3",
        "root=179:3",
        "root=8:3",
        "root=b303",
        "root=0x803",
        "root=UUID=AAAAAAAA-2222-3333-4444-555555555555",
        'root="LABEL=root fs"',
        "root=/dev/disk/by-label/root\\x20fs",
        "root=/dev/disk/by-uuid/aaaaaaaa-2222-3333-4444-555555555555",
        "root=/dev/disk/by-partuuid/0badcafe-03",
        "root=/dev/disk/by-path/platform-fe340000.mmc-part3",
        "root=/dev/mmcblk0p2 quiet root=/dev/mmcblk0p3",
        "root=/dev/mmcblk0p3 -- root=/dev/mmcblk0p2",
        "xroot=/dev/mmcblk0p2 root=/dev/mmcblk0p3",
    ],
)
def test_root_is_what_the_kernel_is_told(text: str) -> None:
    """Each form that a kernel or an initramfs takes names the third partition, for sure."""
    found = find(TABLE, text, Names(named=NAMED))

    assert found is not None
    assert (found.partition.number, found.guess) == (3, "")


@pytest.mark.parametrize("text", [f"root=PARTUUID={UUID.upper()}", "root=PARTLABEL=sys"])
def test_names_of_a_gpt(text: str) -> None:
    """In a GPT each partition has a name and an identifier of its own."""
    found = find(GPT_TABLE, text, Names(named={3: Named(entry="sys")}))

    assert found is not None
    assert (found.partition.number, found.guess) == (3, "")


@pytest.mark.parametrize(
    ("text", "systems", "number", "said"),
    [
        ("root=LABEL=other", (), 2, "says root=LABEL=other, which is none of its; partition 2 is"),
        ("root=PARTUUID=11111111-03", (3,), 3, "the only one that holds a system"),
        ("root=/dev/mmcblk0p9", (2, 3), 2, "it is the first Linux partition"),
        ("root=/dev/ram0", (), 2, "says root=/dev/ram0"),
        ("root=", (), 2, "names no root partition"),
        ("root=99999999999999999999:1", (), 2, "which is none of its"),
        ("", (3,), 3, "names no root partition; partition 3 is taken: it is the only one"),
        ("quiet", (), 2, "names no root partition"),
    ],
)
def test_a_guess_is_said(text: str, systems: tuple[int, ...], number: int, said: str) -> None:
    """What the command line does not say is guessed, by what holds a system, and told so."""
    found = find(TABLE, text, Names(named=NAMED, systems=systems))

    assert found is not None
    assert found.partition.number == number
    assert said in found.guess


def test_where_there_is_one_there_is_no_guess() -> None:
    """A card with one Linux partition and no word of root= leaves no choice."""
    one = Table(disk_id="0", partitions=TABLE.partitions[:2])
    none = Table(disk_id="0", partitions=TABLE.partitions[:1])

    found = find(one, "", Names())

    assert found is not None
    assert (found.partition.number, found.guess) == (2, "")
    assert find(none, "", Names()) is None


def test_the_last_word_counts() -> None:
    """As the kernel has it; a quotation mark keeps spaces, and an open one does no harm."""
    assert root_word('root=a "root=b c" root=d') == "d"
    assert root_word('root="x y"') == "x y"
    assert root_word('quiet "root=') is None or root_word('quiet "root=') == ""
    assert root_word("rootwait") is None
