"""The end of the session: the board goes off cleanly, and its card is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox import card, files
from glovebox.run import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from glovebox.emulator import Machine
    from glovebox.verify import Facts, Target

pytestmark = [pytest.mark.last, pytest.mark.level("emulated", highest="emulated")]


def test_power_off_is_clean(
    machine: Machine, artifacts: Path, keep_evidence: Callable[[], None]
) -> None:
    """The kernel says its last word in time, and leaves a file system without a fault."""
    keep_evidence()
    machine.poweroff()

    copy = artifacts / "card.img"
    for part in card.table(copy).partitions:
        if part.kind == card.LINUX_TYPE:
            checked = run(["e2fsck", "-f", "-n", f"{copy}?offset={part.start}"], check=False)
            assert checked.returncode == 0, checked.stdout + checked.stderr
            assert "recovering journal" not in checked.stdout


def test_nothing_was_written_but_data(
    machine: Machine, artifacts: Path, target: Target, facts: Facts
) -> None:
    """After a start, drives and a power-off, boot and root are what was flashed, byte for byte."""
    if not facts.car:
        pytest.skip("the root of profile bench is there to be written to")
    assert machine.off
    assert target.path is not None
    shipped, used = target.path, artifacts / "card.img"

    for part in card.table(shipped).partitions[:2]:
        was, now = (
            files.sha256_file(image, start=part.start, size=part.size) for image in (shipped, used)
        )
        assert now == was, f"partition {part.number} was written"
