"""LED, radio and the recorder's state come in any order, and while another is being shown."""

from __future__ import annotations

import time
from itertools import permutations
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from tests.root.shown_board import CODES, GONE, LED, RADIO, Board, told

if TYPE_CHECKING:
    from pathlib import Path

THINGS = {"led": LED, "radio": RADIO, "no-fix": told("no-fix"), "driving": told("driving")}
ORDERS = sorted(permutations(THINGS))
# More than the script starts for a word: what comes later comes after it.
PROGRAMS = 7
WAIT = 'touch "$BOARD/here"; while [ ! -e "$BOARD/on" ]; do sleep 0.01; done'
POLL_S = 0.01


def is_right(board: Board, word: str) -> bool:
    """Tell whether LED and radio are as a word asks for."""
    return board.code == CODES[word] and board.blocked() == str(int(word == "driving"))


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_any_order(tmp_path: Path, order: tuple[str, ...]) -> None:
    """Whatever comes last, and at whichever moment of a run, all is right in the end.

    The first thing comes, and is shown; each of the others comes so many programs later, the first
    of them while the script runs.
    """
    last = next(each for each in reversed(order) if each in CODES)
    wrong = []
    for delay in range(1, PROGRAMS):
        (tmp_path / str(delay)).mkdir()
        board = Board(tmp_path / str(delay))
        board.come(THINGS[order[0]])
        board.come_while_shown({delay * n: THINGS[each] for n, each in enumerate(order[1:], 1)})
        board.settle()
        if not is_right(board, last):
            wrong.append((delay, board.code, board.blocked()))

    assert wrong == []


@pytest.mark.parametrize("moment", range(1, PROGRAMS))
def test_a_recorder_dies_while_its_last_word_is_shown(tmp_path: Path, moment: int) -> None:
    """What is shown at last is its end, not its word: trouble, and the radio is back."""
    board = Board(tmp_path)
    board.come(LED, RADIO, told("driving"))
    # The script stops there until the end of the recorder is told by another one beside it.
    board.come_while_shown({moment: WAIT})
    slow = Thread(target=board.settle)
    slow.start()
    while slow.is_alive() and not (tmp_path / "here").exists():
        time.sleep(POLL_S)
    death = Thread(target=board.die, args=["watchdog"])
    death.start()
    # It has done what it can while the other one stands there.
    while death.is_alive() and not (tmp_path / "beside-flock").exists():
        time.sleep(POLL_S)
    (tmp_path / "on").touch()
    for each in (slow, death):
        each.join()
    board.settle()

    assert is_right(board, "trouble")


def test_a_dead_recorder_stays_trouble_until_the_next_one_speaks(tmp_path: Path) -> None:
    """Its folder goes, and an LED comes: trouble all the same; then the new one's word counts."""
    board = Board(tmp_path)
    board.come(RADIO, told("driving"))
    board.settle()
    board.die("signal")
    board.come(LED)
    board.settle()
    assert is_right(board, "trouble")

    board.come(told("no-fix"))
    board.settle()
    assert is_right(board, "no-fix")


def test_a_recorder_whose_end_nobody_told(tmp_path: Path) -> None:
    """One that spoke and is gone is trouble, also after another that was told to stop."""
    board = Board(tmp_path)
    board.come(LED, RADIO, told("standing"))
    board.settle()
    board.die("success")
    board.settle()
    assert is_right(board, "stopped")

    board.come(told("driving"))
    board.settle()
    board.come(GONE)
    board.settle()
    assert is_right(board, "trouble")


def test_a_recorder_that_was_told_to_stop(tmp_path: Path) -> None:
    """It is no trouble, whatever its last word was."""
    board = Board(tmp_path)
    board.come(LED, RADIO, told("trouble"))
    board.settle()
    board.die("success")
    board.settle()

    assert is_right(board, "stopped")


def test_a_radio_that_comes_while_driving_is_blocked_by_the_kernel(tmp_path: Path) -> None:
    """It is from its first moment on, before anybody is asked about it."""
    board = Board(tmp_path)
    board.come(RADIO, told("driving"))
    board.settle()
    board.come("""
        mkdir "$BOARD/sys/class/rfkill/rfkill8"
        cat "$BOARD/global1" >"$BOARD/sys/class/rfkill/rfkill8/soft"
    """)

    assert board.blocked("rfkill8") == "1"


UNHEARD = """
mkdir -p "$BOARD/run/telematics-publish"
echo unheard >"$BOARD/run/telematics-publish/state"
touch "$BOARD/run/glovebox/state/ask"
"""
FINE = UNHEARD.replace("unheard", "fine")
MISTAKE = 'touch "$BOARD/run/glovebox/card-mistake" "$BOARD/run/glovebox/state/ask"'
MENDED = 'rm "$BOARD/run/glovebox/card-mistake"; touch "$BOARD/run/glovebox/state/ask"'


def test_led_tells_what_its_owner_can_mend(tmp_path: Path) -> None:
    """A mistake on the card before records that nobody takes, both before what goes well.

    Only trouble of the recorder comes first, and the radio goes by the recorder alone.
    """
    board = Board(tmp_path)
    shown = []
    steps = (
        UNHEARD, MISTAKE, told("trouble"), told("standing"), MENDED, FINE, told("no-fix"), MISTAKE,
    )  # fmt: skip
    board.come(LED, RADIO, told("driving"))
    for step in ("", *steps):
        board.come(step)
        board.settle()
        shown.append((board.code, board.blocked()))

    expected = ["driving", "unheard", "mistake", "trouble", "mistake", "unheard", "standing",
                "no-fix", "mistake"]  # fmt: skip
    assert [code for code, _ in shown] == [CODES[word] for word in expected]
    assert [blocked for _, blocked in shown] == ["1"] * 3 + ["0"] * 6


def test_no_two_codes_look_alike() -> None:
    """Each has its own rhythm, so that a board without screen and network can be read."""
    told_apart = {CODES[word] for word in ("driving", "no-fix", "trouble", "stopped")}

    assert len(told_apart | {CODES["unheard"], CODES["mistake"]}) == len(told_apart) + 2


def test_a_timer_that_nobody_heard_of_is_asked_for_again(tmp_path: Path) -> None:
    """Where systemd did not listen, the script fails, and its unit runs it again."""
    board = Board(tmp_path, off_after=10)
    (tmp_path / "bin/systemctl").write_text("#!/bin/sh\nexit 1\n")
    board.come(LED, RADIO, told("standing"))

    with pytest.raises(Exception, match="status 1"):
        board.show()

    assert is_right(board, "standing")
