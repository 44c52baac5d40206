"""The end of the session: the board goes off cleanly, and its card is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox import card
from glovebox.run import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from glovebox.emulator import Machine

pytestmark = [pytest.mark.last, pytest.mark.level("emulated", highest="emulated")]


def test_power_off_is_clean(
    machine: Machine, artifacts: Path, keep_evidence: Callable[[], None]
) -> None:
    """The kernel says its last word in time, and leaves a file system without a fault."""
    keep_evidence()
    machine.poweroff()

    copy = artifacts / "card.img"
    start = card.table(copy).root.start
    checked = run(["e2fsck", "-f", "-n", f"{copy}?offset={start}"], check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "recovering journal" not in checked.stdout
