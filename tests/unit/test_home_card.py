"""What the home's card decides in shell: what fits into its memory, and what a password must be."""

from __future__ import annotations

from pathlib import Path

import pytest

from glovebox.host.run import run

CHECKOUT = Path(__file__).parents[2]
FITS = CHECKOUT / "overlays/home/usr/lib/glovebox/home-fits"
KAFKA = "kafka:\n  servers: broker:9093\n"


@pytest.mark.parametrize(
    ("yaml", "kib", "fits"),
    [
        ("folder: data\n", 900_000, True),
        (f"folder: data\n{KAFKA}", 900_000, False),
        (f"folder: data\n#{KAFKA}", 900_000, True),
        (KAFKA, 1_900_000, True),
    ],
)
def test_kafka_needs_memory(tmp_path: Path, yaml: str, kib: int, *, fits: bool) -> None:
    """A board of 1 GB is told so when it starts, and is not slowly brought to a standstill."""
    (tmp_path / "home.yaml").write_text(yaml)
    (tmp_path / "meminfo").write_text(f"MemTotal:       {kib} kB\nMemFree: 1 kB\n")

    done = run([FITS, tmp_path / "home.yaml", tmp_path / "meminfo"], check=False)

    assert (done.returncode == 0) is fits
    assert ("2 GB" in done.stderr) is not fits
