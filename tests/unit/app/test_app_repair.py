"""The repair before the queue's start, where the files themselves are odd."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from telematics.journal import SALVAGED
from telematics.record import Identity
from telematics.repair import FOLDER, MANIFEST, STARTS, Outcome, repair
from tests.contract_model import epoch, maker

if TYPE_CHECKING:
    from pathlib import Path

IDENTITY = Identity(device="t", installation="k3x9w2", boot="1f0c9a")
RAWS = [maker(IDENTITY)(epoch(seq), seq, 1, None).encode() for seq in range(1, 6)]
NO_CHECKER = ["/bin/false"]


@pytest.fixture
def queue(tmp_path: Path) -> Path:
    """Give a queue's folder with five records in an increment, and an empty base."""
    folder = tmp_path / "queue" / FOLDER
    folder.mkdir(parents=True)
    (tmp_path / "state").mkdir()
    (folder / "appendonly.aof.1.incr.aof").write_bytes(b"\r\n".join(RAWS))
    (folder / "appendonly.aof.1.base.rdb").write_bytes(b"REDIS")
    return folder.parent


@pytest.mark.parametrize(
    "name", ["a" * 256, "a" * 5000, "../" * 90 + "passwd", "../state/numbers", "\N{SNOWMAN}" * 99]
)
def test_manifest_with_an_impossible_name_is_a_damaged_one(queue: Path, name: str) -> None:
    """A name that no file can have, or of a file elsewhere, stops nothing: records are saved."""
    manifest = f"file appendonly.aof.1.base.rdb seq 1 type b\nfile {name} seq 1 type i\n"
    (queue / FOLDER / MANIFEST).write_text(manifest, encoding="utf-8")

    outcome = repair(queue, queue.parent / "state", checker=NO_CHECKER)

    assert outcome == Outcome(
        found="the manifest is missing or damaged", done="the queue begins empty", saved=5
    )
    assert (queue.parent / "state" / SALVAGED).read_bytes().split() == RAWS


@pytest.mark.parametrize(
    "content", ["inf {now}", "1e400 {now}", "nan nan", "9" * 5000 + " {now}", "1", "a b", "\0"]
)
def test_count_of_starts_that_is_none_stops_nothing(queue: Path, content: str) -> None:
    """Whatever a cut left in the small file beside the queue, the queue is looked at."""
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    (queue / STARTS).write_text(content.format(now=now))

    outcome = repair(queue, queue.parent / "state", checker=NO_CHECKER)

    assert (outcome.done, outcome.saved) == ("the queue begins empty", 5)
