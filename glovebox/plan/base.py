"""What a plan has to know of a root file system that was not made of packages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from glovebox.card.first_start import FirstStart
from glovebox.host import inside
from glovebox.lock import apt

if TYPE_CHECKING:
    from glovebox.store.store import Layer

STEP = "base/import"


@dataclass(frozen=True, kw_only=True)
class Base:
    """An imported image: its layer and what the build has to know of it."""

    layer: Layer
    digest: str
    arch: str
    suite: str
    boot: str  # where its boot partition is mounted, without the leading slash
    step: str = STEP
    # What it would do by itself when it starts.
    first_start: FirstStart = field(default_factory=FirstStart)

    @property
    def status(self) -> str:
        """The packages that are installed, as dpkg lists them."""
        return inside.text(self.layer.tree, "var/lib/dpkg/status")

    @property
    def pins(self) -> str:
        """What its apt prefers, and rules out."""
        return apt.pins_of(self.layer.tree)
