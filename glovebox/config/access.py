"""Who may log in to the board."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003  a dataclass field's hint


@dataclass(frozen=True, kw_only=True)
class AccessKeys:
    """The keys that open the image, and the private one that the tests log in with."""

    public: tuple[str, ...]
    private: Path | None
    origin: str
