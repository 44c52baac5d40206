"""Questions to a running QEMU, answered by one that is played."""

from __future__ import annotations

import json
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from glovebox.emulator import qmp
from glovebox.errors import VerifyError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

GREETING: dict[str, object] = {"QMP": {"version": {}, "capabilities": []}}
EVENT: dict[str, object] = {"event": "RTC_CHANGE", "data": {}}


def _play(control: Path, *answers: Sequence[object]) -> threading.Thread:
    """Be QEMU for one caller: a greeting, then for each line that comes one of the answers."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(control))
    server.listen()

    def serve() -> None:
        link, _ = server.accept()
        with server, link, link.makefile("rw") as lines:
            print(json.dumps(GREETING), file=lines, flush=True)
            for answer in answers:
                lines.readline()
                for each in answer:
                    print(json.dumps(each), file=lines, flush=True)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


def test_the_answer_is_found_among_events(tmp_path: Path) -> None:
    """What QEMU tells of itself meanwhile is no answer."""
    thread = _play(tmp_path / "control", [{"return": {}}], [EVENT, {"return": {"icount": 4711}}])

    assert qmp.ask(tmp_path / "control", "query-replay") == {"icount": 4711}
    thread.join()


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([[{"return": {}}], [{"error": {"class": "X", "desc": "no such thing"}}]], "no such thing"),
        ([[{"return": {}}]], "did not answer query-replay"),
    ],
)
def test_a_refusal_is_told(tmp_path: Path, answers: list[list[object]], why: str) -> None:
    """A command it does not know, or a QEMU that is gone: an error, no endless wait."""
    thread = _play(tmp_path / "control", *answers)

    with pytest.raises(VerifyError, match=why):
        qmp.ask(tmp_path / "control", "query-replay")
    thread.join()


def test_no_qemu_is_told(tmp_path: Path) -> None:
    """Nothing listens: the question is named."""
    with pytest.raises(VerifyError, match="did not answer query-replay"):
        qmp.ask(tmp_path / "control", "query-replay")
