"""Files that are put onto a card's boot partition without mounting it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox.card import table as card
from glovebox.errors import ImageError
from tests.root import small_card

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.needs("mformat", "mcopy", "sfdisk", "mke2fs")


def test_a_file_is_put_and_replaced(tmp_path: Path) -> None:
    """What was put under a name is what is found there, and the rest is as it was."""
    image = small_card.make(tmp_path / "card.img", small_card.LAYOUTS["trixie"])
    for text in ("hostname: truck\n", "hostname: van\n"):
        (tmp_path / "filled").write_text(text)
        card.copy_in(image, tmp_path / "filled", "glovebox.yaml")

    assert card.copy_out(image, "glovebox.yaml", tmp_path / "out").read_text() == text
    assert "arm_64bit=1" in card.copy_out(image, "config.txt", tmp_path / "config").read_text()


def test_no_room_is_told(tmp_path: Path) -> None:
    """A file that is larger than the partition is an error that names it."""
    image = small_card.make(tmp_path / "card.img", small_card.LAYOUTS["trixie"])
    with (tmp_path / "large").open("wb") as file:
        file.truncate(64 * small_card.MIB)

    with pytest.raises(ImageError, match=r"large\.bin does not get into its boot partition"):
        card.copy_in(image, tmp_path / "large", "large.bin")
