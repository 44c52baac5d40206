"""Retention, backup and restore."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

import pytest

from home import days, index, keep
from home.errors import HomeError
from home.landing import Landing
from tests.home import filled, made

if TYPE_CHECKING:
    from pathlib import Path

DAY_S = 86_400
FIRST_DAY = made.START_MS // index.DAY_MS


def records_of(days_: int) -> list[bytes]:
    """Make ten records a day."""
    return [
        made.record(
            "truck-7", day * 10 + at + 1, at_ms=(FIRST_DAY + day) * index.DAY_MS + at * 1000,
            mono=(day * DAY_S + at) * 1000,
        )
        for day in range(days_)
        for at in range(10)
    ]  # fmt: skip


def test_old_days_go_and_the_offset_stays(tmp_path: Path) -> None:
    """What is older than it has to be goes from landing and days; Kafka goes on where it was."""
    folder = filled.built(tmp_path, [*records_of(5), b"odd"], size=10)
    landing = Landing(folder / "landing").open()

    gone = keep.prune(folder, landing, 2, now=(FIRST_DAY + 4) * DAY_S + 5)

    assert gone == 3
    assert sorted(days.built_days(folder)) == [index.day_name(FIRST_DAY + at) for at in (3, 4)]
    assert filled.rows(folder, "SELECT MIN(seq), COUNT(*) FROM points") == [(31, 20)]
    assert days.pending(folder, landing.total) == []
    landing.close()
    again = Landing(folder / "landing").open()
    keep.prune(folder, again, 1, now=(FIRST_DAY + 400) * DAY_S)
    assert again.next_offset(filled.TOPIC, 0) == 51
    assert again.total.dead == 1, "a dead letter stays until somebody has seen to it"


def test_backup_and_restore_give_equal_bytes(tmp_path: Path) -> None:
    """From the archive the same landing, the same offsets and the same days come back."""
    folder = filled.built(tmp_path / "one", [*records_of(3), b"odd"], size=7)
    archive = tmp_path / "home.tar.gz"

    count = keep.backup(folder, archive)
    assert keep.restore(archive, tmp_path / "other") == count == 5
    days.build(tmp_path / "other")

    assert filled.digests(tmp_path / "other") == filled.digests(folder)
    assert Landing(tmp_path / "other/landing").open().next_offset(filled.TOPIC, 0) == 31
    with pytest.raises(HomeError, match="is there already"):
        keep.backup(folder, archive)
    with pytest.raises(HomeError, match="holds a landing"):
        keep.restore(archive, folder)


def test_archive_that_is_damaged_restores_nothing(tmp_path: Path) -> None:
    """A cut or foreign archive is one clear error, and the folder stays empty."""
    folder = filled.built(tmp_path / "one", records_of(1))
    archive = tmp_path / "home.tar.gz"
    keep.backup(folder, archive)
    whole = archive.read_bytes()
    for damage in (whole[: len(whole) // 2], b"", b"no archive at all"):
        archive.write_bytes(damage)
        with pytest.raises(HomeError, match="hint"):
            keep.restore(archive, tmp_path / "other")
        assert not (tmp_path / "other/landing").exists()
        assert not (tmp_path / "other/.restored").exists()


def test_archive_with_strange_names_writes_nothing_elsewhere(tmp_path: Path) -> None:
    """A name that leads out of the folder, or a link, ends the restoring; nothing is left of it."""
    archive = tmp_path / "home.tar.gz"
    for name, kind in (("landing/../../out", tarfile.REGTYPE), ("landing/link", tarfile.SYMTYPE)):
        with tarfile.open(archive, "w:gz") as file:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            file.addfile(member)
        with pytest.raises(HomeError, match="none of a backup's files"):
            keep.restore(archive, tmp_path / "other")

    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "other/landing").exists()
