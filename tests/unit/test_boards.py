"""The table of boards, and what is said about them before a build starts."""

from __future__ import annotations

import pytest

from glovebox.boards.boards import BOARDS
from glovebox.boards.check import check_board
from glovebox.config.problem import Caution, Problem
from glovebox.config.schema import BoardName


@pytest.mark.parametrize("name", list(BoardName))
def test_every_board_is_described(name: BoardName) -> None:
    """Each board has what a build needs, and either a machine or the reason there is none."""
    board = BOARDS[name]

    assert board.name is name
    assert board.title.startswith("Raspberry Pi")
    assert board.kernel == {"armel": "linux-image-rpi", "arm64": "linux-image-arm64"}[board.arch]
    assert board.dtb.startswith("bcm2")
    assert board.imager_tags
    assert bool(board.qemu_machine) != bool(board.no_qemu)


@pytest.mark.parametrize(
    ("name", "suite", "kind", "said"),
    [
        (BoardName.ZERO_W, "trixie", Caution, "long-term support ends on 2030-06-30"),
        (BoardName.ZERO_W, "forky", Problem, "dropped armel after trixie"),
        (BoardName.ZERO_2_W, "trixie", Caution, "list firmware:"),
        (BoardName.PI_4, "sid", Caution, "not what images are tested with"),
        (BoardName.PI_5, "trixie", Problem, "use board 4"),
    ],
)
def test_debian_s_gaps_are_said(
    name: BoardName, suite: str, kind: type[Problem | Caution], said: str
) -> None:
    """What Debian lacks for a board is said in plain words with a way out."""
    first = check_board(BOARDS[name], "debian", suite=suite)[0]

    assert isinstance(first, kind)
    assert said in str(first)
    assert first.cure


@pytest.mark.parametrize("name", [BoardName.PI_3, BoardName.PI_4])
def test_served_boards_need_no_word(name: BoardName) -> None:
    """Debian serves the Pi 3 and 4 in full."""
    assert check_board(BOARDS[name], "debian") == []


@pytest.mark.parametrize("name", list(BoardName))
def test_own_image_brings_its_own_kernel(name: BoardName) -> None:
    """Debian's gaps are no reason to refuse an image that starts from another base."""
    assert check_board(BOARDS[name], "raspios.img.xz") == []
