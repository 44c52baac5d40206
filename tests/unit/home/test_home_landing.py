"""The landing: what is committed stays, what is not was never there."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from home import files, index
from home.errors import BusyError
from home.landing import Landing, Offsets, dead_letters, look
from tests.home import filled, made

if TYPE_CHECKING:
    from pathlib import Path

RAWS = [
    made.record("truck-7", seq, at_ms=made.START_MS + seq * 1000, mono=seq * 1000)
    for seq in range(1, 101)
]


def test_next_offset_is_read_from_the_names(tmp_path: Path) -> None:
    """A new process goes on where the last committed segment ends, whatever else lies there."""
    filled.land(tmp_path, RAWS, size=30)
    (tmp_path / "landing/kafka/telematics~1/.0-100-200.lines.1.1").write_bytes(b"half")

    landing = Landing(tmp_path / "landing").open()

    assert landing.next_offset("kafka/telematics~1", 0) == 100
    assert landing.next_offset("kafka/telematics~1", 1) is None
    assert not list((tmp_path / "landing").rglob(".0*")), "what was not committed is swept"


@pytest.mark.parametrize("step", ["write", "fsync", "rename", "fsync of the folder"])
def test_fault_in_a_commit_leaves_nothing_and_can_be_repeated(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk at any step raises; the same lines are there, once, when it has room again."""
    landing = Landing(tmp_path / "landing").open()
    entry = index.Entry(lines=1, size=len(RAWS[0]) + 1)
    calls = {"count": 0}
    with monkeypatch.context() as broken:

        def fail(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def fail_later(*words: object) -> None:
            calls["count"] += 1
            if step == "fsync" or calls["count"] > 3:
                fail(*words)

        if step == "rename":
            broken.setattr("pathlib.Path.rename", fail)
        elif step == "write":
            broken.setattr("pathlib.Path.open", fail)
        elif step == "fsync":
            broken.setattr(os, "fsync", fail)
        else:
            files.make_folder(tmp_path / "landing/http")
            broken.setattr(files, "flush_names", fail)
        with pytest.raises(OSError, match="No space left"):
            landing.put("http/a-b-1-1-0.lines", [RAWS[0]], entry)
    seen = landing.segments

    assert seen == {}, "nothing was acknowledged"
    assert not list((tmp_path / "landing").rglob("*.lines")), "and nothing is there"
    assert landing.put("http/a-b-1-1-0.lines", [RAWS[0]], entry)
    landing.close()
    assert (tmp_path / "landing/http/a-b-1-1-0.lines").read_bytes() == RAWS[0] + b"\n"
    assert look(tmp_path / "landing")[0].keys() == {"http/a-b-1-1-0.lines"}


def test_same_name_again_is_nothing_new(tmp_path: Path) -> None:
    """A repeated POST has the same content, so the same name, and changes nothing."""
    landing = Landing(tmp_path / "landing").open()
    entry = index.Entry(lines=1, size=len(RAWS[0]) + 1)

    assert landing.put("http/x.lines", [RAWS[0]], entry)
    assert not landing.put("http/x.lines", [RAWS[0]], entry)
    assert landing.total.lines == 1


def test_listener_that_fails_is_no_failed_commit(tmp_path: Path) -> None:
    """Who brought the lines is told that they are there, and the other listeners are, too."""
    landing = Landing(tmp_path / "landing").open()
    told: list[str] = []

    def fail(name: str, _entry: index.Entry) -> None:
        raise ValueError(name)

    landing.listeners += [fail, lambda name, _entry: told.append(name)]

    assert landing.put("http/x.lines", [RAWS[0]], index.Entry(lines=1, size=len(RAWS[0]) + 1))
    assert told == ["http/x.lines"]


def test_merging_keeps_every_line_and_the_offsets(tmp_path: Path) -> None:
    """Many small segments become few: the same lines, the same next offset, the same days."""
    filled.land(tmp_path, RAWS, size=2)
    landing = Landing(tmp_path / "landing").open()
    keys = landing.total.keys()

    assert landing.merge() == 50
    assert list(landing.segments) == ["kafka/telematics~1/0-0-100.lines"]
    assert landing.total.keys() == keys
    notes = (tmp_path / "landing/index.jsonl").read_bytes()
    assert len(notes.splitlines()) == 1, "the index grows with segments, not with time"
    landing.close()
    again = Landing(tmp_path / "landing").open()
    assert again.next_offset("kafka/telematics~1", 0) == 100
    text = (tmp_path / "landing/kafka/telematics~1/0-0-100.lines").read_bytes()
    assert text.split(b"\n")[:-1] == RAWS


def test_kill_within_a_merge_leaves_no_line_twice_for_kafka(tmp_path: Path) -> None:
    """If merged and small ones are both there, the small ones go at the next start."""
    filled.land(tmp_path, RAWS, size=50)
    folder = tmp_path / "landing/kafka/telematics~1"
    (folder / Offsets(0, 0, 100).name).write_bytes(b"\n".join(RAWS) + b"\n")

    landing = Landing(tmp_path / "landing").open()

    assert list(landing.segments) == ["kafka/telematics~1/0-0-100.lines"]
    assert landing.total.lines == 100


def test_posted_segments_are_merged_without_what_came_twice(tmp_path: Path) -> None:
    """Of arrays that overlapped each line is kept once."""
    landing = Landing(tmp_path / "landing").open()
    for at in range(40):
        lines = RAWS[at : at + 10]
        entry = index.Entry()
        for line in lines:
            entry.add(line, filled.read(line))
        landing.put(f"http/t-k-{at}-{at}-0.lines", lines, entry)

    landing.merge()

    assert [name.startswith("http/merged-49-") for name in landing.segments] == [True]


def test_index_is_only_a_cache(tmp_path: Path) -> None:
    """Lost, cut or of another version: what the segments hold is read from them."""
    filled.land(tmp_path, [*RAWS, b"odd"], size=30)
    before = look(tmp_path / "landing")[0]
    path = tmp_path / "landing/index.jsonl"
    for damage in (b"", path.read_bytes()[:-20], b'{"v":0,"segment":"x"}\n\xff\n'):
        path.write_bytes(damage)
        assert look(tmp_path / "landing")[0] == before
    path.unlink()

    assert look(tmp_path / "landing")[0] == before


def test_flipped_bit_in_a_segment_costs_one_record(tmp_path: Path) -> None:
    """What the medium destroyed is one dead letter; everything behind it is read."""
    name = filled.land(tmp_path, RAWS)[0]
    path = tmp_path / "landing" / name
    content = bytearray(path.read_bytes())
    content[60] ^= 4
    path.write_bytes(content)
    (tmp_path / "landing/index.jsonl").unlink()

    segments, _ = look(tmp_path / "landing")
    found = list(dead_letters(tmp_path / "landing", segments))

    assert [(segment, number) for segment, number, _ in found] == [(name, 1)]
    assert segments[name].days == {20717: [99, segments[name].days[20717][1]]}


def test_two_processes_on_one_folder(tmp_path: Path) -> None:
    """The second one is told whose the folder is."""
    with files.locked(tmp_path / "lock", "receiving"):
        again = files.locked(tmp_path / "lock", "receiving")
        with pytest.raises(BusyError, match=f"pid {os.getpid()}"), again:
            raise AssertionError
    with files.locked(tmp_path / "lock", "receiving"):
        pass
